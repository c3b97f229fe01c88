"""The control plane: vaults, deleted vaults, recovery, purge and names."""

from __future__ import annotations

import datetime
import re
import time
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.resource_type import ResourceType, merge
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.keyvault.data import VAULT_TYPE, DataPlane
from aksops_sandbox.services.keyvault.secrets import DAY
from aksops_sandbox.services.network.private_link import connections_of

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

NAME = r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]"
_DELETED = "keyvault-deleted-vaults"
_PREFIX = r"^/subscriptions/(?P<subscription>[^/]+)/providers/Microsoft\.KeyVault"


class VaultType(ResourceType):
    """`Microsoft.KeyVault/vaults`: names are unique across Azure, deletion is soft."""

    type = VAULT_TYPE
    status = "keyvault/2026-02-01/vaults"
    name_pattern = NAME

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        connections = connections_of(ctx, resource.id)
        if connections:
            shown["properties"] = {**shown["properties"], "privateEndpointConnections": connections}
        return shown

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        self._unique(ctx, new)
        new.properties.pop("privateEndpointConnections", None)
        mode = str(new.properties.pop("createMode", "default") or "default").lower()
        gone = ctx.store.table(_DELETED).get(new.name.lower())
        if gone is not None and old is None:
            if mode != "recover":
                raise AzureError(
                    409,
                    "ConflictError",
                    "A vault with the same name already exists in deleted state. You need to either recover or purge "
                    "existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more "
                    "information on soft delete.",
                )
            self._recover(ctx, new, gone)
        elif mode == "recover" and old is None:
            raise AzureError(404, "ResourceNotFound", f"There is no deleted vault '{new.name}' to recover.")
        self._settle(new, old)

    @staticmethod
    def _unique(ctx: Sandbox, new: Resource) -> None:
        for vault in ctx.store.list(type=VAULT_TYPE):
            if vault.name.lower() == new.name.lower() and vault.id.lower() != new.id.lower():
                raise AzureError(
                    409, "VaultAlreadyExists", f"The vault name '{new.name}' is already in use. Vault names are global."
                )

    @staticmethod
    def _recover(ctx: Sandbox, new: Resource, gone: dict[str, Any]) -> None:
        if gone["id"].lower() != new.id.lower():
            raise AzureError(
                409, "ConflictError", f"The deleted vault '{new.name}' belongs to {gone['id']}; recover it there."
            )
        new.properties = merge(gone["properties"], new.properties)
        new.tags = new.tags or gone["tags"]
        del ctx.store.table(_DELETED)[new.name.lower()]

    @staticmethod
    def _settle(new: Resource, old: Resource | None) -> None:
        properties = new.properties
        sku = properties.get("sku") or {}
        if str(sku.get("name", "")).lower() not in ("standard", "premium"):
            raise AzureError(400, "BadRequest", "The property 'sku.name' is required: standard or premium.")
        if not properties.get("tenantId"):
            raise AzureError(400, "BadRequest", "The property 'tenantId' is required.")
        before = old.properties if old else {}
        days = properties.get("softDeleteRetentionInDays") or before.get("softDeleteRetentionInDays") or 90
        if not isinstance(days, int) or not 7 <= days <= 90:
            raise AzureError(400, "BadRequest", "softDeleteRetentionInDays must be between 7 and 90.")
        if before and days != before["softDeleteRetentionInDays"]:
            raise AzureError(
                400,
                "BadRequest",
                'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.',
            )
        if properties.get("enableSoftDelete") is False and before:
            raise AzureError(400, "BadRequest", 'The property "enableSoftDelete" cannot be set to false.')
        if before.get("enablePurgeProtection") and not properties.get("enablePurgeProtection", True):
            raise AzureError(
                400,
                "BadRequest",
                'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a '
                "vault is an irreversible action.",
            )
        properties["sku"] = {"family": "A", "name": str(sku["name"]).lower()}
        properties["softDeleteRetentionInDays"] = days
        properties["enableSoftDelete"] = True
        if before.get("enablePurgeProtection"):
            properties["enablePurgeProtection"] = True
        if not properties.get("enablePurgeProtection"):
            properties.pop("enablePurgeProtection", None)
        properties.setdefault("accessPolicies", before.get("accessPolicies", []))
        properties.setdefault("enableRbacAuthorization", before.get("enableRbacAuthorization", True))
        properties.setdefault("publicNetworkAccess", before.get("publicNetworkAccess", "Enabled"))
        for flag in ("enabledForDeployment", "enabledForDiskEncryption", "enabledForTemplateDeployment"):
            properties[flag] = bool(properties.get(flag, before.get(flag, False)))
        properties["vaultUri"] = f"https://{new.name.lower()}.vault.azure.net/"

    def removed(self, ctx: Sandbox, resource: Resource) -> None:
        now = int(time.time())
        properties = {key: value for key, value in resource.properties.items() if key != "provisioningState"}
        ctx.store.table(_DELETED)[resource.name.lower()] = {
            "id": resource.id,
            "name": resource.name,
            "location": resource.location,
            "tags": resource.tags or {},
            "properties": properties,
            "deleted": now,
            "purge": now + int(properties["softDeleteRetentionInDays"]) * DAY,
        }


class DeletedVaults:
    """The routes below `Microsoft.KeyVault` that are no resource of a group."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.routes = [
            ("GET", _PREFIX + r"/deletedVaults/?$", self._list),
            ("GET", _PREFIX + r"/deletedManagedHSMs/?$", self._list_managed_hsms),
            ("GET", _PREFIX + r"/locations/(?P<location>[^/]+)/deletedVaults/(?P<name>[^/]+)/?$", self._get),
            ("POST", _PREFIX + r"/locations/(?P<location>[^/]+)/deletedVaults/(?P<name>[^/]+)/purge/?$", self._purge),
            ("POST", _PREFIX + r"/checkNameAvailability/?$", self._check_name),
        ]

    def _find(self, ctx: Sandbox, match: re.Match[str]) -> dict[str, Any]:
        table = ctx.store.table(_DELETED)
        name, location = match["name"], match["location"]
        gone = table.get(name.lower())
        if gone is not None and gone["purge"] <= time.time():
            self._forget(ctx, gone)
            gone = None
        if gone is None or gone["location"] != regions.short(location):
            raise AzureError(
                404, "DeletedVaultNotFound", f"The specified deleted vault '{name}' does not exist in {location}."
            )
        return dict(gone)

    def _forget(self, ctx: Sandbox, gone: dict[str, Any]) -> None:
        del ctx.store.table(_DELETED)[gone["name"].lower()]
        self._plane.erase(ctx, gone["name"].lower())

    def _get(self, ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
        ctx.rbac.require(request, "Microsoft.KeyVault/locations/deletedVaults/read", _scope(match))
        return Response.json(200, _render(self._find(ctx, match)))

    def _list(self, ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
        ctx.rbac.require(request, "Microsoft.KeyVault/deletedVaults/read", _scope(match))
        rows = [row for row in ctx.store.table(_DELETED).values() if row["purge"] > time.time()]
        return Response.json(200, {"value": [_render(row) for row in rows]})

    def _list_managed_hsms(self, ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
        """Always empty, since there are no managed HSMs here; `az keyvault list-deleted` asks for both kinds."""
        ctx.rbac.require(request, "Microsoft.KeyVault/deletedManagedHsms/read", _scope(match))
        return Response.json(200, {"value": []})

    def _purge(self, ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
        ctx.rbac.require(request, "Microsoft.KeyVault/locations/deletedVaults/purge/action", _scope(match))
        gone = self._find(ctx, match)
        if gone["properties"].get("enablePurgeProtection"):
            raise AzureError(
                400,
                "DeletedVaultPurge",
                f"Purge is not allowed: purge protection holds the vault '{gone['name']}' until its scheduled date.",
            )
        self._forget(ctx, gone)
        return Response.empty(200)

    def _check_name(self, ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
        ctx.rbac.require(request, "Microsoft.KeyVault/checkNameAvailability/read", _scope(match))
        name = str(request.json().get("name") or "")
        if not re.fullmatch(NAME, name):
            return _unavailable("AccountNameInvalid", f"The vault name '{name}' is invalid: 3 to 24 characters.")
        taken = any(vault.name.lower() == name.lower() for vault in ctx.store.list(type=VAULT_TYPE))
        if taken or name.lower() in ctx.store.table(_DELETED):
            return _unavailable("AlreadyExists", f"The vault name '{name}' is already in use.")
        return Response.json(200, {"nameAvailable": True})


def change_policies(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    """PUT accessPolicies/add, replace or remove on a vault."""
    vault = ctx.store.get(match["vault"])
    if vault is None:
        raise AzureError(404, "ResourceNotFound", f"The vault {match['vault']} was not found.")
    ctx.rbac.require(request, "Microsoft.KeyVault/vaults/accessPolicies/write", vault.id)
    given = (request.json().get("properties") or {}).get("accessPolicies") or []
    held = {_policy_key(policy): policy for policy in vault.properties.get("accessPolicies") or []}
    for policy in given:
        key = _policy_key(policy)
        kind = match["kind"].lower()
        if kind == "replace":
            held[key] = policy
            continue
        before = (held.get(key) or {}).get("permissions") or {}
        after: dict[str, list[str]] = {area: list(names) for area, names in before.items()}
        for area, names in (policy.get("permissions") or {}).items():
            current = set(after.get(area, []))
            after[area] = sorted(current | set(names) if kind == "add" else current - set(names))
        if any(after.values()):
            held[key] = {**policy, "permissions": after}
        else:
            held.pop(key, None)
    vault.properties["accessPolicies"] = list(held.values())
    ctx.store.put(vault)
    content = {"id": f"{vault.id}/accessPolicies/", "type": f"{VAULT_TYPE}/accessPolicies", "location": vault.location}
    return Response.json(200, {**content, "properties": {"accessPolicies": vault.properties["accessPolicies"]}})


def _policy_key(policy: dict[str, Any]) -> str:
    return f"{policy.get('objectId', '')}|{policy.get('applicationId') or ''}".lower()


def _scope(match: re.Match[str]) -> str:
    return f"/subscriptions/{match['subscription']}"


def _unavailable(reason: str, message: str) -> Response:
    return Response.json(200, {"nameAvailable": False, "reason": reason, "message": message})


def _render(gone: dict[str, Any]) -> dict[str, Any]:
    subscription = gone["id"].split("/")[2]
    base = f"/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/{gone['location']}"
    return {
        "id": f"{base}/deletedVaults/{gone['name']}",
        "name": gone["name"],
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": gone["id"],
            "location": gone["location"],
            "tags": gone["tags"],
            "deletionDate": _moment(gone["deleted"]),
            "scheduledPurgeDate": _moment(gone["purge"]),
            "purgeProtectionEnabled": bool(gone["properties"].get("enablePurgeProtection")),
        },
    }


def _moment(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
