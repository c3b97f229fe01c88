"""Who may do what in a vault: tokens with the challenge, Azure RBAC or access policies, and the network's word."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

AUDIENCES = ["https://vault.azure.net", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"]
_CACHE_SECONDS = 1.0
_POLICY_NAMES = {
    "getSecret/action": "get",
    "setSecret/action": "set",
    "readMetadata/action": "list",
    "update/action": "set",
    "delete": "delete",
    "backup/action": "backup",
    "restore/action": "restore",
    "recover/action": "recover",
    "purge/action": "purge",
    "read": "get",
    "create/action": "create",
    "import/action": "import",
}


class Access:
    """Answers are kept for a second, since a seeding run asks the same question hundreds of times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._principals: dict[str, tuple[float, Principal]] = {}
        self._grants: dict[tuple[str, str, str], float] = {}
        self._reachable: dict[tuple[str, str], float] = {}

    def principal(self, ctx: Sandbox, request: Request) -> Principal:
        """The caller. Raises AzureError 401 with the vault's challenge where there is no valid token."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise self._challenge(ctx, "AKV10000: Request is missing a Bearer or PoP token.")
        with self._lock:
            known = self._principals.get(token)
        if known and known[0] > time.time():
            return known[1]
        try:
            claims = ctx.tokens.verify(token, AUDIENCES)
        except AzureError as error:
            raise self._challenge(ctx, f"AKV10032: {error.message}") from None
        principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
        with self._lock:
            if len(self._principals) > 1000:
                self._principals.clear()
            self._principals[token] = (float(claims["exp"]), principal)
        return principal

    @staticmethod
    def _challenge(ctx: Sandbox, message: str) -> AzureError:
        authority = f"https://login.microsoftonline.com/{ctx.tokens.tenant_id}"
        header = f'Bearer authorization="{authority}", resource="https://vault.azure.net"'
        return AzureError(401, "Unauthorized", message, headers={"WWW-Authenticate": header})

    def check_network(self, ctx: Sandbox, request: Request, vault: Resource) -> None:
        """Raise AzureError 403 ForbiddenByConnection or ForbiddenByFirewall where the vantage is closed."""
        key = (vault.id.lower(), request.vantage)
        now = time.monotonic()
        if self._reachable.get(key, 0.0) > now:
            return
        try:
            ctx.network.check(ctx, request, vault)
        except AzureError:
            raise self._closed(ctx, request, vault) from None
        self._reachable[key] = now + _CACHE_SECONDS

    @staticmethod
    def _closed(ctx: Sandbox, request: Request, vault: Resource) -> AzureError:
        if str(vault.properties.get("publicNetworkAccess", "Enabled")).lower() == "enabled":
            message = (
                "Client address is not authorized and caller is not a trusted service.\r\n"
                f"Client address: {ctx.network.address(request.vantage)}\r\n"
                f"Vault: {vault.name};location={vault.location}"
            )
            return AzureError(403, "Forbidden", message, inner={"code": "ForbiddenByFirewall"})
        message = (
            "Public network access is disabled and request is not from a trusted service nor via an approved private "
            f"link.\r\nVault: {vault.name};location={vault.location}"
        )
        return AzureError(403, "Forbidden", message, inner={"code": "ForbiddenByConnection"})

    def require(self, ctx: Sandbox, principal: Principal, vault: Resource, kind: str, name: str, verb: str) -> None:
        """Raise AzureError 403 where the principal lacks the data action `kind/verb` on the vault or on the object."""
        action = f"Microsoft.KeyVault/vaults/{kind}/{verb}"
        scope = f"{vault.id}/{kind}/{name}" if name else vault.id
        key = (principal.object_id, action, scope.lower())
        now = time.monotonic()
        if self._grants.get(key, 0.0) > now:
            return
        if not vault.properties.get("enableRbacAuthorization"):
            self._require_policy(principal, vault, kind, verb)
        elif not ctx.rbac.allowed(principal.object_id, action, scope, data=True):
            raise AzureError(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or "
                "role definitions were changed recently, please observe propagation time.\r\n"
                f"Caller: appid={principal.app_id};oid={principal.object_id};"
                f"iss=https://sts.windows.net/{principal.tenant_id}/\r\nAction: '{action}'\r\n"
                f"Resource: '{scope.lower()}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\n"
                f"DecisionReason: null \r\nVault: {vault.name};location={vault.location}\r\n",
                inner={"code": "ForbiddenByRbac"},
            )
        with self._lock:
            if len(self._grants) > 20_000:
                self._grants.clear()
            self._grants[key] = now + _CACHE_SECONDS

    @staticmethod
    def _require_policy(principal: Principal, vault: Resource, kind: str, verb: str) -> None:
        wanted = _POLICY_NAMES.get(verb, verb)
        for policy in vault.properties.get("accessPolicies") or []:
            if str(policy.get("objectId", "")).lower() != principal.object_id.lower():
                continue
            granted: Any = (policy.get("permissions") or {}).get(kind) or []
            if {wanted, "all"} & {str(permission).lower() for permission in granted}:
                return
        raise AzureError(
            403,
            "Forbidden",
            f"The user, group or application 'appid={principal.app_id};oid={principal.object_id};"
            f"iss=https://sts.windows.net/{principal.tenant_id}/' does not have {kind} {wanted} permission on key "
            f"vault '{vault.name};location={vault.location}'. For help resolving this issue, please see "
            "https://go.microsoft.com/fwlink/?linkid=2125287",
            inner={"code": "AccessDenied"},
        )
