"""Storage accounts: shape, rules, keys and the subscription-wide questions about them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.azurite import Azurite
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import ArmHandler
from aksops_sandbox.services.network.private_link import connections_of

ACCOUNT = "Microsoft.Storage/storageAccounts"

_NAME = re.compile(r"[a-z0-9]{3,24}")
_SKUS = (
    "Standard_LRS",
    "Standard_GRS",
    "Standard_RAGRS",
    "Standard_ZRS",
    "Standard_GZRS",
    "Standard_RAGZRS",
    "Premium_LRS",
    "Premium_ZRS",
)
_SERVICES = ("dfs", "web", "blob", "queue", "table", "file")


def keys_of_all(ctx: Any) -> dict[str, tuple[str, str]]:
    """The names of the sandbox's accounts with their keys."""
    return {item.name: tuple(item.internal["keys"]) for item in ctx.store.list(type=ACCOUNT)}  # type: ignore[misc]


def find(ctx: Any, name: str) -> Resource | None:
    """The account of that (globally unique) name."""
    for account in ctx.store.list(type=ACCOUNT):
        if account.name == name.lower():
            return account
    return None


class StorageAccount(ResourceType):
    type = ACCOUNT
    status = "storage/2025-08-01/storageaccounts"
    name_pattern = _NAME.pattern

    def __init__(self, azurite: Callable[[Any], Azurite]) -> None:
        super().__init__(actions={"listKeys": self._list_keys, "regenerateKey": self._regenerate})
        self._azurite = azurite

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        taken = find(ctx, new.name)
        if taken is not None and taken.id.lower() != new.id.lower():
            message = f"The storage account named {new.name} is already taken."
            raise AzureError(409, "StorageAccountAlreadyTaken", message)
        if old is not None:
            shapes.carry(new, old, *old.properties)
            for name in ("sku", "kind", "identity"):
                if new.body.get(name) is None and old.body.get(name) is not None:
                    new.body[name] = old.body[name]
        self._sku(new, old)
        shapes.fixed(
            new, old, "isHnsEnabled", "encryption.requireInfrastructureEncryption", "dnsEndpointType", "isNfsV3Enabled"
        )
        self._defaults(ctx, new, old)
        self._network(ctx, new)
        if "keys" not in new.internal:
            new.internal["keys"] = [shapes.access_key(), shapes.access_key()]

    def _write(self, ctx: Any, request: Request, new: Resource, old: Resource | None, verb: str) -> Response:
        answer = super()._write(ctx, request, new, old, verb)
        if old is None:
            self._azurite(ctx).prepare(new.name)
        return answer

    @staticmethod
    def _sku(new: Resource, old: Resource | None) -> None:
        name = shapes.choice(shapes.dig(new.body, "sku.name"), _SKUS, "sku.name", "InvalidSku")
        kinds = ("StorageV2", "Storage", "BlobStorage", "BlockBlobStorage", "FileStorage")
        new.body["kind"] = shapes.choice(new.body.get("kind"), kinds, "kind", "InvalidKind")
        if old is None and new.body["kind"] in {"Storage", "BlobStorage"}:
            message = f"Accounts of the legacy kind '{new.body['kind']}' can no longer be created. Use StorageV2."
            raise bad_request("LegacyAccountKindNotSupported", message)
        if old is not None:
            shapes.fixed(new, old, "body.kind", code="AccountPropertyCannotBeUpdated")
            before = old.body["sku"]["name"]
            zonal = {"ZRS", "GZRS", "RAGZRS"}
            changed = (before.split("_")[1] in zonal) != (name.split("_")[1] in zonal)
            if before.split("_")[0] != name.split("_")[0] or changed:
                message = f"Updating the account SKU from '{before}' to '{name}' is not allowed."
                raise bad_request("StorageAccountSkuUpdateNotAllowed", message)
        new.body["sku"] = {"name": name, "tier": name.split("_")[0]}

    @staticmethod
    def _defaults(ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        created = shapes.now()
        shapes.defaults(
            properties,
            {
                "allowBlobPublicAccess": False,
                "allowCrossTenantReplication": False,
                "minimumTlsVersion": "TLS1_2",
                "supportsHttpsTrafficOnly": True,
                "accessTier": "Hot",
                "networkAcls": {
                    "bypass": "AzureServices",
                    "defaultAction": "Allow",
                    "ipRules": [],
                    "virtualNetworkRules": [],
                },
                "encryption": {
                    "keySource": "Microsoft.Storage",
                    "services": {
                        name: {"enabled": True, "keyType": "Account", "lastEnabledTime": created}
                        for name in ("blob", "file")
                    },
                },
            },
        )
        shapes.choice(properties["minimumTlsVersion"], ("TLS1_2", "TLS1_3"), "minimumTlsVersion", "TlsVersionRetired")
        for entry in properties["encryption"]["services"].values():
            shapes.defaults(entry, {"enabled": True, "keyType": "Account", "lastEnabledTime": created})
        key_created = {"key1": created, "key2": created}
        shapes.computed(new, old, creationTime=created, keyCreationTime=key_created, statusOfPrimary="available")
        properties["primaryLocation"] = new.location
        properties["primaryEndpoints"] = {name: f"https://{new.name}.{name}.core.windows.net/" for name in _SERVICES}
        replication = new.body["sku"]["name"].split("_")[1]
        for name in ("secondaryLocation", "statusOfSecondary", "secondaryEndpoints"):
            properties.pop(name, None)
        if "G" in replication:
            secondary = regions.pair(new.location)
            if not secondary:
                message = f"The account type {new.body['sku']['name']} is not available in {new.location}."
                raise bad_request("AccountTypeNotSupported", message)
            properties |= {"secondaryLocation": secondary, "statusOfSecondary": "available"}
        if replication.startswith("RA"):
            properties["secondaryEndpoints"] = {
                name: f"https://{new.name}-secondary.{name}.core.windows.net/" for name in _SERVICES if name != "file"
            }
        properties.pop("privateEndpointConnections", None)

    @staticmethod
    def _network(ctx: Any, new: Resource) -> None:
        rules = new.properties["networkAcls"]
        rules["defaultAction"] = shapes.choice(rules["defaultAction"], ("Allow", "Deny"), "networkAcls.defaultAction")
        for entry in rules["ipRules"] or []:
            value = str(entry.get("value"))
            try:
                block = ipaddress.ip_network(value)
            except ValueError:
                raise bad_request(
                    "InvalidValuesForRequestParameters", f"'{value}' is no IPv4 address or range."
                ) from None
            private = any(
                block.overlaps(ipaddress.ip_network(net)) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
            )
            if private or ("/" in value and block.prefixlen > 30):
                message = f"Values for request parameters are invalid: networkAcls.ipRules[*].value '{value}'."
                raise bad_request("InvalidValuesForRequestParameters", message)
            entry["action"] = "Allow"
        for entry in rules["virtualNetworkRules"] or []:
            subnet = shapes.reference(ctx, entry.get("id"), new.id, "NetworkAclsValidationFailure")
            services = {item["service"] for item in subnet.properties.get("serviceEndpoints") or []}
            if not services & {"Microsoft.Storage", "Microsoft.Storage.Global"}:
                message = f"Subnet {subnet.id} does not have a service endpoint for Microsoft.Storage configured."
                raise bad_request("SubnetsHaveNoServiceEndpointsConfigured", message)
            entry |= {"action": "Allow", "state": "Succeeded"}

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown

    @staticmethod
    def _keys(resource: Resource) -> dict[str, Any]:
        names = ("key1", "key2")
        created = resource.properties["keyCreationTime"]
        return {
            "keys": [
                {"keyName": name, "value": value, "permissions": "FULL", "creationTime": created[name]}
                for name, value in zip(names, resource.internal["keys"], strict=True)
            ]
        }

    def _list_keys(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        return self._keys(resource)

    def _regenerate(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        name = shapes.choice(body.get("keyName"), ("key1", "key2"), "keyName")
        resource.internal["keys"][int(name[-1]) - 1] = shapes.access_key()
        resource.properties["keyCreationTime"][name] = shapes.now()
        ctx.store.put(resource)
        return self._keys(resource)


class ManagementPolicy(ResourceType):
    """The one lifecycle policy of an account."""

    type = f"{ACCOUNT}/managementPolicies"
    status = "storage/2025-08-01/managementpolicies"
    tracked = False
    name_pattern = "default"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        rules = shapes.dig(new.properties, "policy.rules", [])
        names = [rule.get("name") for rule in rules]
        if not rules or len(set(names)) != len(names):
            raise bad_request("InvalidManagementPolicy", "A management policy needs rules with different names.")
        for rule in rules:
            rule.setdefault("enabled", True)
        new.properties["lastModifiedTime"] = shapes.now()


def _name_free(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../Microsoft.Storage/checkNameAvailability."""
    ctx.rbac.require(request, "Microsoft.Storage/checknameavailability/read", match["scope"])
    name = str(request.json().get("name"))
    if not _NAME.fullmatch(name):
        message = (
            f"{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in "
            "length and use numbers and lower-case letters only."
        )
        return Response.json(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": message})
    if find(ctx, name) is not None:
        message = f"The storage account named {name} is already taken."
        return Response.json(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Response.json(200, {"nameAvailable": True})


def _usages(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Storage/locations/{location}/usages."""
    ctx.rbac.require(request, "Microsoft.Storage/locations/usages/read", match["scope"])
    name = {"value": "StorageAccounts", "localizedValue": "Storage Accounts"}
    row = {"unit": "Count", "currentValue": len(ctx.store.list(type=ACCOUNT)), "limit": 250, "name": name}
    return Response.json(200, {"value": [row]})


def _skus(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Storage/skus."""
    ctx.rbac.require(request, "Microsoft.Storage/skus/read", match["scope"])
    value = [
        {
            "resourceType": "storageAccounts",
            "name": name,
            "tier": name.split("_")[0],
            "kind": kind,
            "locations": [place],
            "capabilities": [],
            "restrictions": [],
        }
        for place, region in regions.REGIONS.items()
        for name in _SKUS
        if (region.zones or "ZRS" not in name) and (region.pair or "G" not in name.split("_")[1])
        for kind in (("StorageV2",) if name.startswith("Standard") else ("BlockBlobStorage", "FileStorage"))
    ]
    return Response.json(200, {"value": value})


_SUBSCRIPTION = r"(?P<scope>/subscriptions/[^/]+)/providers/Microsoft\.Storage"
ROUTES: list[tuple[str, str, ArmHandler]] = [
    ("POST", rf"{_SUBSCRIPTION}/checkNameAvailability", _name_free),
    ("GET", rf"{_SUBSCRIPTION}/locations/[^/]+/usages", _usages),
    ("GET", rf"{_SUBSCRIPTION}/skus", _skus),
]
