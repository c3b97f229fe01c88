"""The Secrets Store CSI driver, played: mounts for pods that no kubelet runs.

For each pod with a volume of the driver it does what the driver does on a node: resolve the SecretProviderClass, have
the provider read its objects as the pod's identity, write the SecretProviderClassPodStatus and the synced Secrets, and
let the pod start. Values stay in memory, except those that secretObjects asks to be synced. Statuses, events and
Secrets follow the driver's v1.5, which AKS runs.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path

from . import addons, vault_files
from .events import record, warn
from .pods import Pod, PodQueue, annotation, scheduled
from .vault_objects import ObjectError
from .vault_provider import Fetched, VaultProvider

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

DRIVER = "secrets-store.csi.k8s.io"
ADDON = "azureKeyvaultSecretsProvider"
MOUNTED = "sandbox.aksops.platform/secrets-mounted"
_GROUP = "secrets-store.csi.x-k8s.io/v1"
_CONTROLLER, _ROTATION = "csi-secrets-store-controller", "csi-secrets-store-rotation"
_UNKNOWN = "rpc error: code = Unknown desc = "


class MountError(Exception):
    """A volume cannot be set up; the message is the driver's."""


class SyncError(Exception):
    """A Secret cannot be kept; the message is the driver's."""


def volumes(pod: Pod) -> list[dict[str, Any]]:
    """The pod's volumes of the driver."""
    found = pod["spec"].get("volumes") or []
    return [volume for volume in found if (volume.get("csi") or {}).get("driver") == DRIVER]


def waits(pod: Pod) -> bool:
    """True for a scheduled pod whose volumes are still to be mounted."""
    return bool(volumes(pod)) and scheduled(pod) and annotation(pod, MOUNTED) != "true"


def owners(pod: Pod, status: dict[str, Any], have: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The owners of a synced Secret: those that it has, and what owns the pod, for a bare one the pod's status."""
    known = {"apiVersion": _GROUP, "kind": "SecretProviderClassPodStatus", **status["metadata"]}
    wanted = pod["metadata"].get("ownerReferences") or [known]
    names = {owner["name"] for owner in have}
    found = [*have, *(owner for owner in wanted if owner["name"] not in names)]
    return [{key: owner[key] for key in ("apiVersion", "kind", "name", "uid")} for owner in found]


def secret_data(item: dict[str, Any], files: dict[str, bytes]) -> dict[str, bytes]:
    """The data of one of a class's secretObjects, by key; files: by their path in the volume. Raises SyncError."""
    kind, found = item.get("type") or "Opaque", {}
    for entry in item.get("data") or []:
        name, key = str(entry.get("objectName") or "").strip(), str(entry.get("key") or "").strip()
        if name not in files:
            raise SyncError(f"file matching objectName {name} not found in the pod")
        try:
            found[key] = vault_files.secret_value(kind, key, files[name])
        except vault_files.ContentError as error:
            raise SyncError(f"failed to get cert data from file {name}, err: {error}") from None
    return found


class SecretsStore(PodQueue):
    """The player of one cluster: it mounts what waits, and rotates what is mounted."""

    name = "secrets store"

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        super().__init__(client)
        self._ctx = ctx
        self._cluster_id = cluster_id
        self._provider = VaultProvider(ctx, cluster_id, client)
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
        namespace = pod["metadata"]["namespace"]
        name = _class_of(volume)
        if not name:
            raise MountError(f"{_UNKNOWN}secretProviderClass is not set")
        found = self._class(namespace, name)
        if found is None:
            raise MountError(
                f"{_UNKNOWN}failed to get secretproviderclass {namespace}/{name}, error: "
                f'SecretProviderClass.secrets-store.csi.x-k8s.io "{name}" not found'
            )
        spec = found["spec"]
        for part in ("provider", "parameters"):
            if not spec.get(part):
                raise MountError(f"{_UNKNOWN}{part} not set in {namespace}/{name}")
        if not volume["csi"].get("readOnly"):
            raise MountError("rpc error: code = InvalidArgument desc = Readonly is not true in request")
        try:
            fetched = self._fetch(pod, spec)
        except MountError as error:
            where = f"{namespace}/{pod['metadata']['name']}"
            raise MountError(f"{_UNKNOWN}failed to mount secrets store objects for pod {where}, err: {error}") from None
        status = self._record(pod, volume["name"], name, fetched)
        for item in spec.get("secretObjects") or []:
            try:
                self._keep(pod, item, fetched, status)
            except SyncError as error:
                text = f"failed to get data in spc {namespace}/{name} for secret {item['secretName']}, err: {error}"
                warn(self._client, pod, "FailedToCreateSecret", text, _CONTROLLER)
            except KubernetesError:
                warn(self._client, pod, "FailedToCreateSecret", "timed out waiting for the condition", _CONTROLLER)

    def _fetch(self, pod: Pod, spec: dict[str, Any]) -> list[Fetched]:
        provider = spec["provider"]
        if provider != "azure":
            raise MountError(f'error connecting to provider "{provider}": provider not found: provider "{provider}"')
        try:
            return self._provider.fetch(pod, spec.get("parameters") or {})
        except ObjectError as error:
            raise MountError(f"{_UNKNOWN}failed to mount objects, error: {error}") from None

    def _class(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self._client.get(path(_GROUP, "secretproviderclasses", namespace, name))

    # Writing to Kubernetes -------------------------------------------------------------------------------------------

    def _record(self, pod: Pod, volume: str, name: str, fetched: list[Fetched]) -> dict[str, Any]:
        metadata = pod["metadata"]
        owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        return self._client.apply(
            {
                "apiVersion": _GROUP,
                "kind": "SecretProviderClassPodStatus",
                "metadata": {
                    "name": _status_name(pod, name),
                    "namespace": metadata["namespace"],
                    "labels": {"internal.secrets-store.csi.k8s.io/node-name": pod["spec"]["nodeName"]},
                    "ownerReferences": [owner],
                },
                "status": {
                    "podName": metadata["name"],
                    "secretProviderClassName": name,
                    "mounted": True,
                    "targetPath": f"/var/lib/kubelet/pods/{metadata['uid']}/volumes/kubernetes.io~csi/{volume}/mount",
                    "objects": _versions(fetched),
                },
            }
        )

    def _keep(self, pod: Pod, item: dict[str, Any], fetched: list[Fetched], status: dict[str, Any]) -> bool:
        """Write one synced Secret; True where its data changed. Raises SyncError, KubernetesError."""
        values = secret_data(item, {one.file: one.value for one in fetched})
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        namespace = pod["metadata"]["namespace"]
        have = self._client.get(path("v1", "secrets", namespace, item["secretName"])) or {"metadata": {}}
        metadata: dict[str, Any] = {
            "name": item["secretName"],
            "namespace": namespace,
            "labels": {**(item.get("labels") or {}), "secrets-store.csi.k8s.io/managed": "true"},
            "annotations": item.get("annotations") or {},
            "ownerReferences": owners(pod, status, have["metadata"].get("ownerReferences") or []),
        }
        kind = item.get("type") or "Opaque"
        self._client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data})
        return have.get("data") != data

    # Rotation --------------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Read every mounted object again, as the driver does at each poll; one request for each object and pod."""
        for pod in self._client.list("/api/v1/pods"):
            over = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            if annotation(pod, MOUNTED) != "true" or pod["metadata"].get("deletionTimestamp") or over:
                continue
            for volume in volumes(pod):
                self._renew(pod, volume)

    def _renew(self, pod: Pod, volume: dict[str, Any]) -> None:
        namespace, name = pod["metadata"]["namespace"], _class_of(volume)
        status = self._client.get(path(_GROUP, "secretproviderclasspodstatuses", namespace, _status_name(pod, name)))
        found = self._class(namespace, name)
        if status is None or found is None:
            return
        try:
            fetched = self._fetch(pod, found["spec"])
        except MountError as error:
            warn(self._client, pod, "MountRotationFailed", f"provider mount err: {error}", _ROTATION)
            return
        if (status.get("status") or {}).get("objects") != _versions(fetched):
            text = f"successfully rotated mounted contents for spc {namespace}/{name}"
            record(self._client, pod, ("Normal", "MountRotationComplete"), text, _ROTATION)
            status = self._record(pod, volume["name"], name, fetched)
        for item in found["spec"].get("secretObjects") or []:
            self._renew_secret(pod, item, fetched, status)

    def _renew_secret(self, pod: Pod, item: dict[str, Any], fetched: list[Fetched], status: dict[str, Any]) -> None:
        secret = item["secretName"]
        try:
            if self._keep(pod, item, fetched, status):
                text = f"successfully rotated K8s secret {secret}"
                record(self._client, pod, ("Normal", "SecretRotationComplete"), text, _ROTATION)
        except SyncError as error:
            where = f"{pod['metadata']['namespace']}/{status['status']['secretProviderClassName']}"
            text = f"failed to get data in spc {where} for secret {secret}, err: {error}"
            warn(self._client, pod, "SecretRotationFailed", text, _ROTATION)
        except KubernetesError:
            text = f"failed to patch secret {secret} with new data, err: timed out waiting for the condition"
            warn(self._client, pod, "SecretRotationFailed", text, _ROTATION)

    def _config(self) -> dict[str, str]:
        cluster = self._ctx.store.get(self._cluster_id)
        profile = addons.profile_of(cluster, ADDON) if cluster else {}
        return (profile.get("config") or {}) if profile.get("enabled") else {}

    def _enabled(self) -> bool:
        cluster = self._ctx.store.get(self._cluster_id)
        return cluster is not None and bool(addons.profile_of(cluster, ADDON).get("enabled"))


def _class_of(volume: dict[str, Any]) -> str:
    return str((volume["csi"].get("volumeAttributes") or {}).get("secretProviderClass") or "")


def _status_name(pod: Pod, name: str) -> str:
    return f"{pod['metadata']['name']}-{pod['metadata']['namespace']}-{name}"


def _versions(fetched: list[Fetched]) -> list[dict[str, str]]:
    """Objects as a pod's status lists them."""
    versions = {item.id: item.version for item in fetched}
    return [{"id": name, "version": version} for name, version in sorted(versions.items())]
