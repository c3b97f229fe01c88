"""The Azure provider of the Secrets Store CSI driver, played: it reads a class's objects as the pod's identity."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.engines.kubernetes import Client
from aksops_sandbox.http.message import Request
from aksops_sandbox.services.entra import EntraService
from aksops_sandbox.services.identity import IDENTITY

from . import vault_files, vault_objects
from .pods import Pod
from .vault_objects import ObjectError, VaultObject
from .workload_identity import AUDIENCE

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_AUDIENCE = "https://vault.azure.net"
_AGENT = "k8s-secrets-store-csi-driver-provider-azure/v1.8.1"
_LOGIN = "https://login.microsoftonline.com"
_COLLECTIONS = {"secret": "secrets", "key": "keys", "cert": "certificates"}


@dataclass
class Fetched:
    """One object of a vault. id: as the pod's status shows it; file: its path in the volume."""

    id: str
    version: str
    file: str
    value: bytes = field(repr=False)


class VaultProvider:
    """The provider on the nodes of one cluster."""

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        self._ctx = ctx
        self._cluster_id = cluster_id
        self._client = client

    def fetch(self, pod: Pod, parameters: dict[str, str]) -> list[Fetched]:
        """What a class asks for, in its order. Raises ObjectError."""
        vault = parameters.get("keyvaultName", "").strip()
        tenant = (parameters.get("tenantID") or parameters.get("tenantId") or "").strip()
        own, managed = parameters.get("clientID", "").strip(), vault_objects.flag(parameters, "useVMManagedIdentity")
        if not vault:
            raise ObjectError("keyvaultName is not provided")
        if not tenant:
            raise ObjectError("tenantId is not provided")
        if not own and not managed:
            raise ObjectError(
                "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is "
                "not set"
            )
        wanted = vault_objects.objects(parameters)
        host = vault_objects.vault_host(vault)
        if not wanted:
            return []
        try:
            if managed:
                token = self._node_identity(parameters.get("userAssignedIdentityID", "").strip())
            else:
                token = self._workload_identity(pod, tenant, own)
        except ObjectError as error:
            # The SDK asks for a token only with the first request.
            raise wanted[0].error(error) from None
        found = []
        for item in wanted:
            several = item.versions(self._versions(host, token, item)) if item.history > 1 else [item]
            found += [self._read(host, token, one) for one in several]
        return found

    def _workload_identity(self, pod: Pod, tenant: str, client_id: str) -> str:
        account = pod["spec"].get("serviceAccountName") or "default"
        code, text = "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found."
        if tenant.lower() == self._ctx.principals.tenant_id.lower():
            assertion = self._client.token(pod["metadata"]["namespace"], account, AUDIENCE, pod)
            try:
                return self._ctx.service(EntraService).exchange(self._ctx, client_id, assertion, _AUDIENCE)
            except AzureError as error:
                code, text = "invalid_client", error.message
        status = "400 Bad Request" if code == "invalid_request" else "401 Unauthorized"
        body = json.dumps({"error": code, "error_description": text}, indent=2)
        answer = vault_objects.refusal("POST", f"{_LOGIN}/{tenant}/oauth2/v2.0/token", status, "", body)
        raise ObjectError(f"ClientAssertionCredential authentication failed. \n{answer}")

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
        body = json.dumps({"error": "invalid_request", "error_description": "Identity not found"}, indent=2)
        url = "http://169.254.169.254/metadata/identity/oauth2/token"
        raise ObjectError(
            "ManagedIdentityCredential authentication failed. the requested identity isn't assigned to this resource\n"
            + vault_objects.refusal("GET", url, "400 Bad Request", "", body)
        )

    def _versions(self, host: str, token: str, item: VaultObject) -> list[tuple[str, int]]:
        answer = self._ask(host, token, item, f"/{_collection(item)}/{item.name}/versions")
        found = []
        for entry in answer.get("value") or []:
            identifier = str(entry.get("kid") or entry["id"])
            found.append((identifier.rsplit("/", 1)[-1], int((entry.get("attributes") or {}).get("created") or 0)))
        return found

    def _read(self, host: str, token: str, item: VaultObject) -> Fetched:
        answer = self._ask(host, token, item, f"/{_collection(item)}/{item.name}/{item.version}")
        identifier = answer["key"]["kid"] if item.kind == "key" else answer["id"]
        try:
            value = vault_files.content(item, answer)
        except vault_files.ContentError as error:
            raise item.error(error) from None
        return Fetched(item.uid, identifier.rsplit("/", 1)[-1], item.file, value)

    def _ask(self, host: str, token: str, item: VaultObject, path: str) -> dict[str, Any]:
        request = Request(
            method="GET",
            host=host.lower(),
            port=443,
            path=path,
            query={"api-version": "7.6"},
            headers={"authorization": f"Bearer {token}", "user-agent": _AGENT},
            body=b"",
        )
        router = self._ctx.router
        assert router is not None
        answer = router.handle(request)
        content: dict[str, Any] = json.loads(answer.body or b"{}")
        if answer.status == 200:
            return content
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        code = str((content.get("error") or {}).get("code") or "")
        body = json.dumps(content, indent=2)
        raise item.error(vault_objects.refusal("GET", f"https://{host}{path}", status, code, body))


def _collection(item: VaultObject) -> str:
    found = _COLLECTIONS.get(item.kind)
    if found is None:
        raise item.error("Invalid vaultObjectTypes. Should be secret, key, or cert")
    return found
