"""The Secrets Store CSI driver and its Azure provider, played: mounts for pods that no kubelet runs.

For each pod with a volume of the driver it does what driver and provider do on a node: resolve the SecretProviderClass,
exchange the pod's service-account token for a token of Entra, read the objects from Key Vault under its RBAC and
network rules, write the SecretProviderClassPodStatus and the synced Secrets, and let the pod start. Values stay in
memory, except those that secretObjects asks to be synced.
"""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.http.message import Request
from aksops_sandbox.services.entra import EntraService
from aksops_sandbox.services.identity import IDENTITY

from . import addons, vault_files
from .events import warn
from .pods import Pod, PodQueue, annotation, scheduled
from .workload_identity import AUDIENCE

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

DRIVER = "secrets-store.csi.k8s.io"
ADDON = "azureKeyvaultSecretsProvider"
MOUNTED = "sandbox.aksops.platform/secrets-mounted"
_GROUP = "secrets-store.csi.x-k8s.io/v1"
_AUDIENCE = "https://vault.azure.net"


class MountError(Exception):
    """A volume cannot be set up; the message is the driver's."""


@dataclass
class Fetched:
    """One object of a vault. file: its name in the volume."""

    id: str
    version: str
    file: str
    value: bytes = field(repr=False)


def volumes(pod: Pod) -> list[dict[str, Any]]:
    """The pod's volumes of the driver."""
    found = pod["spec"].get("volumes") or []
    return [volume for volume in found if (volume.get("csi") or {}).get("driver") == DRIVER]


def waits(pod: Pod) -> bool:
    """True for a scheduled pod whose volumes are still to be mounted."""
    return bool(volumes(pod)) and scheduled(pod) and annotation(pod, MOUNTED) != "true"


def objects(text: str) -> list[dict[str, str]]:
    """The entries of a SecretProviderClass' `objects` parameter. Raises MountError."""
    try:
        entries = (yaml.safe_load(text) or {}).get("array") or []
        return [{key: str(value) for key, value in yaml.safe_load(entry).items()} for entry in entries]
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise MountError(f"failed to yaml.Unmarshal objects, err: {error}") from None


class SecretsStore(PodQueue):
    """The player of one cluster: it mounts what waits, and rotates what is mounted."""

    name = "secrets store"

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        super().__init__(client)
        self._ctx = ctx
        self._cluster_id = cluster_id
        self._rotated = time.monotonic()

    def waits(self, pod: Pod) -> bool:
        return waits(pod)

    def tick(self) -> None:
        config = self._config()
        poll = addons.seconds(config.get("rotationPollInterval", "2m")) or 120.0
        if config.get("enableSecretRotation") == "true" and time.monotonic() - self._rotated >= poll:
            self._rotated = time.monotonic()
            self._rotate()

    # Mounting --------------------------------------------------------------------------------------------------------

    def attempt(self, pod: Pod, tries: int) -> bool:
        try:
            for volume in volumes(pod):
                try:
                    self._mount(pod, volume)
                except MountError as error:
                    raise MountError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from None
        except MountError as error:
            warn(self._client, pod, "FailedMount", str(error), "kubelet")
            return False
        metadata = pod["metadata"]
        target = path("v1", "pods", metadata["namespace"], metadata["name"])
        self._client.merge(target, {"metadata": {"uid": metadata["uid"], "annotations": {MOUNTED: "true"}}})
        return True

    def _mount(self, pod: Pod, volume: dict[str, Any]) -> None:
        if not self._enabled():
            raise MountError(
                "kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name "
                f"{DRIVER} not found in the list of registered CSI drivers"
            )
        metadata = pod["metadata"]
        namespace = metadata["namespace"]
        name = (volume["csi"].get("volumeAttributes") or {}).get("secretProviderClass", "")
        found = self._client.get(path(_GROUP, "secretproviderclasses", namespace, name)) if name else None
        if found is None:
            raise MountError(
                f"rpc error: code = Unknown desc = failed to get secretproviderclass {namespace}/{name}, error: "
                f'SecretProviderClass.secrets-store.csi.x-k8s.io "{name}" not found'
            )
        try:
            fetched = self._fetch(pod, found["spec"])
        except MountError as error:
            raise MountError(
                f"rpc error: code = Unknown desc = failed to mount secrets store objects for pod "
                f"{namespace}/{metadata['name']}, err: rpc error: code = Unknown desc = failed to mount objects, "
                f"error: {error}"
            ) from None
        self._record(pod, volume["name"], name, fetched)
        self._sync(pod, found["spec"].get("secretObjects") or [], fetched)

    # Reading Key Vault -----------------------------------------------------------------------------------------------

    def _fetch(self, pod: Pod, spec: dict[str, Any]) -> list[Fetched]:
        if spec.get("provider") != "azure":
            raise MountError(f'provider not found: provider "{spec.get("provider", "")}"')
        parameters = spec.get("parameters") or {}
        vault = parameters.get("keyvaultName") or parameters.get("keyVaultName") or ""
        if not vault:
            raise MountError("keyvaultName is not set")
        wanted = objects(parameters.get("objects", ""))
        token = self._token(pod, parameters)
        return [self._read(vault, token, entry) for entry in wanted]

    def _token(self, pod: Pod, parameters: dict[str, str]) -> str:
        client_id = parameters.get("clientID", "")
        if client_id:
            namespace = pod["metadata"]["namespace"]
            account = pod["spec"].get("serviceAccountName") or "default"
            tenant = parameters.get("tenantId") or parameters.get("tenantID") or ""
            if tenant.lower() != self._ctx.principals.tenant_id.lower():
                raise MountError(f"failed to acquire token: AADSTS90002: Tenant '{tenant}' not found.")
            assertion = self._client.token(namespace, account, AUDIENCE, pod)
            try:
                return self._ctx.service(EntraService).exchange(self._ctx, client_id, assertion, _AUDIENCE)
            except AzureError as error:
                raise MountError(
                    f"failed to get keyvault client: failed to get authorizer for keyvault client: failed to acquire "
                    f"token: {error.message}"
                ) from None
        if parameters.get("useVMManagedIdentity") == "true":
            return self._node_identity(parameters.get("userAssignedIdentityID", ""))
        raise MountError(
            "failed to get keyvault client: no identity is configured: set clientID or useVMManagedIdentity"
        )

    def _node_identity(self, client_id: str) -> str:
        """A token of an identity of the nodes: those of the add-ons and the kubelet's."""
        cluster = self._ctx.require_resource(self._cluster_id)
        group = cluster.properties["nodeResourceGroup"].lower()
        kubelet = (cluster.properties.get("identityProfile") or {}).get("kubeletidentity") or {}
        for identity in self._ctx.store.list(type=IDENTITY):
            own = identity.properties
            on_nodes = identity.id.lower().split("/")[4] == group or own["clientId"] == kubelet.get("clientId")
            if own["clientId"].lower() == client_id.lower() and on_nodes:
                tenant = self._ctx.principals.tenant_id
                return self._ctx.tokens.issue(own["principalId"], tenant, _AUDIENCE, client_id)
        raise MountError(
            "failed to get keyvault client: ManagedIdentityCredential authentication failed: Identity not found: "
            f"{client_id}"
        )

    def _read(self, vault: str, token: str, entry: dict[str, str]) -> Fetched:
        name, kind = entry.get("objectName", ""), entry.get("objectType", "secret")
        version = entry.get("objectVersion", "")
        collection = {"secret": "secrets", "key": "keys", "cert": "certificates"}.get(kind)
        if collection is None:
            raise MountError(f"invalid vaultObjectTypes. Should be secret, key, or cert: {kind}")
        request = Request(
            method="GET",
            host=f"{vault.lower()}.vault.azure.net",
            port=443,
            path=f"/{collection}/{name}/{version}",
            query={"api-version": "7.6"},
            headers={
                "authorization": f"Bearer {token}",
                "user-agent": "k8s-secrets-store-csi-driver-provider-azure/v1.8.1",
            },
            body=b"",
        )
        router = self._ctx.router
        assert router is not None
        answer = router.handle(request)
        content = json.loads(answer.body or b"{}")
        if answer.status != 200:
            error = content.get("error") or {}
            raise MountError(
                f"failed to get objectType:{kind}, objectName:{name}, objectVersion:{version}: GET "
                f"https://{request.host}{request.path} RESPONSE {answer.status} ERROR CODE: {error.get('code', '')} "
                f"{error.get('message', '')}"
            )
        identifier = content["key"]["kid"] if kind == "key" else content["id"]
        try:
            value = vault_files.content(kind, content, entry)
        except vault_files.ContentError as error:
            raise MountError(
                f"failed to get objectType:{kind}, objectName:{name}, objectVersion:{version}: {error}"
            ) from None
        return Fetched(f"{kind}/{name}", identifier.rsplit("/", 1)[-1], entry.get("objectAlias") or name, value)

    # Writing to Kubernetes -------------------------------------------------------------------------------------------

    def _record(self, pod: Pod, volume: str, name: str, fetched: list[Fetched]) -> None:
        metadata = pod["metadata"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        self._client.apply(
            {
                "apiVersion": _GROUP,
                "kind": "SecretProviderClassPodStatus",
                "metadata": {
                    "name": f"{metadata['name']}-{metadata['namespace']}-{name}",
                    "namespace": metadata["namespace"],
                    "labels": {"internal.secrets-store.csi.k8s.io/node-name": pod["spec"]["nodeName"]},
                    "ownerReferences": [owner],
                },
                "status": {
                    "podName": metadata["name"],
                    "secretProviderClassName": name,
                    "mounted": True,
                    "targetPath": f"/var/lib/kubelet/pods/{metadata['uid']}/volumes/kubernetes.io~csi/{volume}/mount",
                    "objects": sorted(
                        ({"id": item.id, "version": item.version} for item in fetched), key=lambda item: item["id"]
                    ),
                },
            }
        )

    def _sync(self, pod: Pod, wanted: list[dict[str, Any]], fetched: list[Fetched]) -> None:
        """Keep the synced Secrets. What hinders one is an event; the pod starts without it."""
        files = {item.file: item.value for item in fetched} | {item.id.split("/", 1)[1]: item.value for item in fetched}
        for item in wanted:
            try:
                self._keep(pod, item, files)
            except (vault_files.ContentError, KubernetesError) as error:
                text = f"failed to create Kubernetes secret {item['secretName']}: {error}"
                warn(self._client, pod, "FailedToCreateSecret", text, "csi-secrets-store-controller")

    def _keep(self, pod: Pod, item: dict[str, Any], files: dict[str, bytes]) -> None:
        metadata = pod["metadata"]
        kind = item.get("type") or "Opaque"
        owners = metadata.get("ownerReferences") or [
            {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        ]
        data = {}
        for entry in item.get("data") or []:
            value = files.get(entry["objectName"])
            if value is None:
                raise vault_files.ContentError(f"file matching objectName {entry['objectName']} not found in the pod")
            data[entry["key"]] = base64.b64encode(vault_files.secret_value(kind, entry["key"], value)).decode()
        self._client.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": item["secretName"],
                    "namespace": metadata["namespace"],
                    "labels": {**(item.get("labels") or {}), "secrets-store.csi.k8s.io/managed": "true"},
                    "ownerReferences": [
                        {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")} for owner in owners
                    ],
                },
                "type": kind,
                "data": data,
            }
        )

    # Rotation --------------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Read every mounted object again, as the driver does at each poll; one request for each object and pod."""
        for pod in self._client.list("/api/v1/pods"):
            annotations = pod["metadata"].get("annotations") or {}
            if not volumes(pod) or annotations.get(MOUNTED) != "true" or pod["metadata"].get("deletionTimestamp"):
                continue
            for volume in volumes(pod):
                try:
                    self._mount(pod, volume)
                except MountError as error:
                    warn(
                        self._client,
                        pod,
                        "FailedMount",
                        f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}',
                        "kubelet",
                    )

    def _config(self) -> dict[str, str]:
        cluster = self._ctx.store.get(self._cluster_id)
        profile = addons.profile_of(cluster, ADDON) if cluster else {}
        return (profile.get("config") or {}) if profile.get("enabled") else {}

    def _enabled(self) -> bool:
        cluster = self._ctx.store.get(self._cluster_id)
        return cluster is not None and bool(addons.profile_of(cluster, ADDON).get("enabled"))
