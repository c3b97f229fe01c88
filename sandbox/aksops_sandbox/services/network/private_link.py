"""Private endpoints, their network interfaces and DNS zone groups."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.resource_type import ResourceType, stamp
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import ArmHandler
from aksops_sandbox.services.network import addressing, dns

ENDPOINT = "Microsoft.Network/privateEndpoints"
ZONE_GROUP = f"{ENDPOINT}/privateDnsZoneGroups"
NIC = "Microsoft.Network/networkInterfaces"

_CONNECTIONS = ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections")
_Names = Callable[[Resource], list[str]]


def _suffix(suffix: str) -> _Names:
    return lambda target: [f"{target.name.lower()}.{suffix}"]


def _registry(target: Resource) -> list[str]:
    return [f"{target.name.lower()}.{target.location}.data.azurecr.io", f"{target.name.lower()}.azurecr.io"]


def _redis_enterprise(target: Resource) -> list[str]:
    return [f"{target.name.lower()}.{target.location}.redis.azure.net"]


def _cluster(target: Resource) -> list[str]:
    return [str(target.properties.get("privateFQDN") or target.properties.get("fqdn") or target.name)]


def _monitor(target: Resource) -> list[str]:
    return ["api.monitor.azure.com", "global.in.ai.monitor.azure.com", "api.loganalytics.io"]


#: What private endpoints can target here: type -> group -> the public names that it answers for.
TARGETS: dict[str, dict[str, _Names]] = {
    "Microsoft.ContainerRegistry/registries": {"registry": _registry},
    "Microsoft.ContainerService/managedClusters": {"management": _cluster},
    "Microsoft.Cache/redis": {"redisCache": _suffix("redis.cache.windows.net")},
    "Microsoft.Cache/redisEnterprise": {"redisEnterprise": _redis_enterprise},
    "Microsoft.DBforPostgreSQL/flexibleServers": {"postgresqlServer": _suffix("postgres.database.azure.com")},
    "Microsoft.Insights/privateLinkScopes": {"azuremonitor": _monitor},
    "Microsoft.KeyVault/vaults": {"vault": _suffix("vault.azure.net")},
    "Microsoft.ServiceBus/namespaces": {"namespace": _suffix("servicebus.windows.net")},
    "Microsoft.Storage/storageAccounts": {
        name: _suffix(f"{name}.core.windows.net") for name in ("blob", "dfs", "file", "queue", "table", "web")
    },
}

#: Public domain -> private DNS zone, where it is not `privatelink.` and the public domain.
_ZONES = {"vault.azure.net": "privatelink.vaultcore.azure.net"}


def record_name(fqdn: str, zone: str) -> str | None:
    """The name of a public FQDN's record in a private zone; None where the zone is not for it."""
    for public, private in _ZONES.items():
        if fqdn.endswith("." + public):
            return fqdn.removesuffix("." + public) if zone.lower() == private else None
    public = zone.lower().removeprefix("privatelink.")
    return fqdn.removesuffix("." + public) if fqdn.endswith("." + public) else None


def connections_of(ctx: Any, target_id: str) -> list[dict[str, Any]]:
    """The `privateEndpointConnections` of a resource, as its own service shows them."""
    found = []
    target = ctx.store.get(target_id)
    for endpoint in ctx.store.list(type=ENDPOINT):
        for connection in [entry for field in _CONNECTIONS for entry in endpoint.properties.get(field) or []]:
            properties = connection["properties"]
            if not shapes.same_id(properties["privateLinkServiceId"], target_id):
                continue
            name = connection["connectionName"] if "connectionName" in connection else connection["name"]
            found.append(
                {
                    "id": f"{target_id}/privateEndpointConnections/{name}",
                    "name": name,
                    "type": f"{target.type}/privateEndpointConnections" if target else None,
                    "properties": {
                        "provisioningState": "Succeeded",
                        "groupIds": properties.get("groupIds") or [],
                        "privateEndpoint": {"id": endpoint.id},
                        "privateLinkServiceConnectionState": properties["privateLinkServiceConnectionState"],
                    },
                }
            )
    return found


class NetworkInterface(ResourceType):
    """A network interface: of a private endpoint (made with it), or made alone for a runner's machine."""

    type = NIC
    status = "network/2025-01-01/networkinterfaces"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if old is not None and old.properties.get("privateEndpoint"):
            message = (
                f"Network interface {new.id} is managed by private endpoint {old.properties['privateEndpoint']['id']}."
            )
            raise bad_request("CannotModifyNicAttachedToPrivateEndpoint", message)
        entries = new.properties.get("ipConfigurations") or []
        if not entries:
            raise bad_request("InvalidRequestFormat", f"Network interface {new.name} has no IP configuration.")
        before = {item["name"]: item["properties"] for item in old.properties["ipConfigurations"]} if old else {}
        with ctx.store.lock:
            for position, entry in enumerate(entries):
                self._configure(ctx, new, entry, before.get(entry.get("name"), {}), primary=position == 0)
            shapes.computed(new, old, resourceGuid=shapes.guid, macAddress=_mac)
            ctx.store.put(new)

    @staticmethod
    def _configure(ctx: Any, nic: Resource, entry: dict[str, Any], before: dict[str, Any], *, primary: bool) -> None:
        properties = entry["properties"]
        subnet = shapes.reference(ctx, shapes.dig(properties, "subnet.id"), nic.id)
        entry["id"] = f"{nic.id}/ipConfigurations/{entry['name']}"
        shapes.defaults(properties, {"privateIPAllocationMethod": "Dynamic", "privateIPAddressVersion": "IPv4"})
        properties.setdefault("primary", primary)
        kept = before.get("privateIPAddress") if shapes.same_id(shapes.dig(before, "subnet.id"), subnet.id) else None
        static = properties["privateIPAllocationMethod"] == "Static"
        wanted = properties.get("privateIPAddress") if static else None
        if kept and wanted in (None, kept):
            properties["privateIPAddress"] = kept
        else:
            properties["privateIPAddress"] = addressing.allocate(ctx, subnet, wanted)
        properties["provisioningState"] = "Succeeded"

    def remove(self, ctx: Any, resource: Resource) -> None:
        owner = shapes.dig(resource.properties, "privateEndpoint.id")
        if owner and ctx.store.get(owner) is not None:
            message = f"Network interface {resource.id} cannot be deleted because it is attached to {owner}."
            raise bad_request("CannotDeleteNicAttachedToPrivateEndpoint", message)


class PrivateEndpoint(ResourceType):
    type = ENDPOINT
    status = "network/2025-01-01/privateendpoints"
    name_pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        subnet = shapes.reference(ctx, shapes.dig(properties, "subnet.id"), new.id)
        shapes.fixed(new, old, "subnet.id", "customNetworkInterfaceName", code="PrivateEndpointCannotBeUpdated")
        if subnet.properties.get("delegations"):
            message = f"Private endpoint {new.id} cannot be created in the delegated subnet {subnet.id}."
            raise bad_request("PrivateEndpointCannotBeCreatedInDelegatedSubnet", message)
        if addressing.gateways_of(ctx, subnet.id):
            message = f"Subnet {subnet.id} holds an application gateway and can hold nothing else."
            raise bad_request("ApplicationGatewaySubnetCannotHaveOtherResources", message)
        members = self._connect(ctx, new, old)
        properties["subnet"] = {"id": subnet.id}
        shapes.defaults(properties, {"customNetworkInterfaceName": "", "ipConfigurations": []})
        if old is not None:
            for name in ("networkInterfaces", "customDnsConfigs"):
                properties[name] = old.properties[name]
            return
        with ctx.store.lock:
            nic = self._interface(ctx, new, subnet, members)
            properties["networkInterfaces"] = [{"id": nic.id}]
            addresses = [entry["properties"]["privateIPAddress"] for entry in nic.properties["ipConfigurations"]]
            properties["customDnsConfigs"] = [
                {"fqdn": fqdn, "ipAddresses": [address]} for (_, fqdn), address in zip(members, addresses, strict=True)
            ]
            ctx.store.put(nic)
            ctx.store.put(new)

    def _connect(self, ctx: Any, new: Resource, old: Resource | None) -> list[tuple[str, str]]:
        """Check and complete the connections; returns (group, public name) of each address that is needed."""
        members: list[tuple[str, str]] = []
        known = {
            entry["name"]: entry for field in _CONNECTIONS for entry in (old.properties.get(field) or [] if old else [])
        }
        for field, state in zip(_CONNECTIONS, ("Approved", "Pending"), strict=True):
            for connection in new.properties.get(field) or []:
                properties = connection.setdefault("properties", {})
                target = self._target(ctx, properties.get("privateLinkServiceId"), new)
                before = known.get(connection.get("name"))
                if before and not shapes.same_id(before["properties"]["privateLinkServiceId"], target.id):
                    message = f"The target of connection {connection['name']} of {new.id} cannot be changed."
                    raise bad_request("PrivateEndpointCannotBeUpdated", message)
                kinds = {kind.lower(): groups for kind, groups in TARGETS.items()}
                groups = kinds[target.type.lower()]
                given = properties.get("groupIds") or []
                if len(given) != 1:
                    message = f"Connection {connection.get('name')} of {new.id} must name exactly one group id."
                    raise bad_request("InvalidPrivateLinkServiceGroupIds", message)
                group = shapes.choice(given[0], groups, "groupIds", "InvalidPrivateLinkServiceGroupIds")
                properties["groupIds"] = [group]
                properties["privateLinkServiceId"] = target.id
                properties["provisioningState"] = "Succeeded"
                approved = {
                    "status": state,
                    "description": "Auto-Approved" if state == "Approved" else "Awaiting approval",
                }
                properties["privateLinkServiceConnectionState"] = (
                    before["properties"]["privateLinkServiceConnectionState"]
                    if before
                    else {**approved, "actionsRequired": "None"}
                )
                connection["id"] = f"{new.id}/{field}/{connection['name']}"
                members += [(group, fqdn) for fqdn in groups[group](target)]
        if not members:
            message = f"Private endpoint {new.id} must have one private link service connection."
            raise bad_request("PrivateEndpointMustHaveConnection", message)
        return members

    @staticmethod
    def _target(ctx: Any, target_id: Any, new: Resource) -> Resource:
        target = ctx.store.get(target_id) if target_id else None
        if target is None:
            message = f"Private link service id {target_id} referenced by private endpoint {new.id} was not found."
            raise bad_request("PrivateLinkServiceNotFound", message)
        if target.type.lower() not in {kind.lower() for kind in TARGETS}:
            message = f"Resource {target_id} of type {target.type} does not support private endpoints."
            raise bad_request("PrivateEndpointTargetNotSupported", message)
        if target.type == "Microsoft.ContainerRegistry/registries" and target.body["sku"]["name"] != "Premium":
            raise bad_request(
                "PrivateEndpointNotSupported", f"Registry {target.name} must be Premium for private link."
            )
        if target.type == "Microsoft.ServiceBus/namespaces" and target.body["sku"]["name"] != "Premium":
            raise bad_request(
                "PrivateEndpointNotSupported", f"Namespace {target.name} must be Premium for private link."
            )
        if shapes.dig(target.properties, "network.delegatedSubnetResourceId"):
            message = f"Server {target.name} is in a delegated subnet and does not support private endpoints."
            raise bad_request("PrivateEndpointNotSupported", message)
        return target

    @staticmethod
    def _interface(ctx: Any, endpoint: Resource, subnet: Resource, members: list[tuple[str, str]]) -> Resource:
        group_id = ids.resource_group_id(endpoint.id)
        name = endpoint.properties.get("customNetworkInterfaceName") or f"{endpoint.name}.nic.{shapes.guid()}"
        nic_id = f"{group_id}/providers/{NIC}/{name}"
        if ctx.store.get(nic_id) is not None:
            raise AzureError(409, "NetworkInterfaceAlreadyExists", f"The network interface {nic_id} exists already.")
        static = endpoint.properties.get("ipConfigurations") or []
        entries: list[dict[str, Any]] = []
        taken: list[str] = []
        for position, (group, fqdn) in enumerate(members):
            asked = static[position] if position < len(static) else None
            address = addressing.allocate(ctx, subnet, shapes.dig(asked, "properties.privateIPAddress"), taken)
            taken.append(address)
            entry_name = asked["name"] if asked else f"privateEndpointIpConfig.{shapes.guid()}"
            entries.append(
                {
                    "id": f"{nic_id}/ipConfigurations/{entry_name}",
                    "name": entry_name,
                    "properties": {
                        "privateIPAddress": address,
                        "privateIPAllocationMethod": "Static" if asked else "Dynamic",
                        "privateIPAddressVersion": "IPv4",
                        "primary": position == 0,
                        "provisioningState": "Succeeded",
                        "subnet": {"id": subnet.id},
                        "privateLinkConnectionProperties": {
                            "groupId": group,
                            "requiredMemberName": group if position == len(members) - 1 else f"{group}_{position}",
                            "fqdns": [fqdn],
                        },
                    },
                }
            )
        properties = {
            "ipConfigurations": entries,
            "privateEndpoint": {"id": endpoint.id},
            "resourceGuid": shapes.guid(),
            "macAddress": _mac(),
            "enableIPForwarding": False,
            "nicType": "Standard",
            "provisioningState": "Succeeded",
        }
        nic = Resource(nic_id, name, NIC, endpoint.location, {}, properties)
        stamp(nic)
        return nic

    def removed(self, ctx: Any, resource: Resource) -> None:
        for nic in resource.properties.get("networkInterfaces", []):
            ctx.store.delete(nic["id"])


class PrivateDnsZoneGroup(ResourceType):
    """Writes the endpoint's addresses into private DNS zones, and takes them out again."""

    type = ZONE_GROUP
    status = "network/2025-01-01/privatednszonegroups"
    tracked = False
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        endpoint = ctx.store.get(shapes.identify(new.id).parent)
        siblings = [
            item for item in ctx.store.list(type=ZONE_GROUP, prefix=endpoint.id) if item.id.lower() != new.id.lower()
        ]
        if siblings:
            message = f"Private endpoint {endpoint.id} has the DNS zone group {siblings[0].name} already."
            raise bad_request("PrivateEndpointCannotHaveMoreThanOnePrivateDnsZoneGroup", message)
        configurations = new.properties.get("privateDnsZoneConfigs") or []
        zones = []
        for entry in configurations:
            zone_id = shapes.dig(entry, "properties.privateDnsZoneId")
            zones.append(shapes.reference(ctx, zone_id, new.id, "InvalidPrivateDnsZoneIds"))
        if old is not None:
            self._withdraw(ctx, old)
        for entry, zone in zip(configurations, zones, strict=True):
            records = []
            for answer in endpoint.properties["customDnsConfigs"]:
                name = record_name(answer["fqdn"], zone.name)
                if name is None:
                    continue
                dns.write_address(ctx, zone, name, answer["ipAddresses"], endpoint)
                records.append(
                    {
                        "recordType": "A",
                        "recordSetName": name,
                        "fqdn": f"{name}.{zone.name}",
                        "ttl": dns.ENDPOINT_TTL,
                        "ipAddresses": answer["ipAddresses"],
                        "provisioningState": "Succeeded",
                    }
                )
            entry["id"] = f"{new.id}/privateDnsZoneConfigs/{entry.get('name')}"
            entry["properties"] = {
                "privateDnsZoneId": zone.id,
                "recordSets": records,
                "provisioningState": "Succeeded",
            }

    @staticmethod
    def _withdraw(ctx: Any, group: Resource) -> None:
        for entry in group.properties.get("privateDnsZoneConfigs") or []:
            zone = ctx.store.get(entry["properties"]["privateDnsZoneId"])
            for record in entry["properties"].get("recordSets") or []:
                if zone is not None:
                    dns.withdraw_address(ctx, zone, record["recordSetName"], record["ipAddresses"])

    def removed(self, ctx: Any, resource: Resource) -> None:
        self._withdraw(ctx, resource)


# The targets' side ----------------------------------------------------------------------------------------------------


def _asked(ctx: Any, request: Request, target_id: str, verb: str) -> Resource:
    """The target of a request about its private endpoint connections."""
    target = ctx.store.get(target_id)
    if target is None:
        raise not_found(target_id)
    ctx.rbac.require(request, f"{target.type}/privateEndpointConnections/{verb}", target.id)
    return target


def _connections(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {target}/privateEndpointConnections[/{name}]."""
    target = _asked(ctx, request, match["id"], "read")
    found = connections_of(ctx, target.id)
    if match["name"] is None:
        return Response.json(200, {"value": found})
    for connection in found:
        if connection["name"].lower() == match["name"].lower():
            return Response.json(200, connection)
    raise not_found(request.path)


def _decide(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """PUT {target}/privateEndpointConnections/{name}: approve or reject."""
    target = _asked(ctx, request, match["id"], "write")
    state = shapes.dig(request.json(), "properties.privateLinkServiceConnectionState", {})
    wanted = shapes.choice(state.get("status"), ("Approved", "Rejected", "Disconnected"), "status")
    for endpoint in ctx.store.list(type=ENDPOINT):
        for connection in [entry for field in _CONNECTIONS for entry in endpoint.properties.get(field) or []]:
            same = shapes.same_id(connection["properties"]["privateLinkServiceId"], target.id)
            if same and connection["name"].lower() == match["name"].lower():
                connection["properties"]["privateLinkServiceConnectionState"] = {
                    "status": wanted,
                    "description": state.get("description") or "",
                    "actionsRequired": "None",
                }
                stamp(endpoint)
                ctx.store.put(endpoint)
                return _connections(ctx, request, match)
    raise not_found(request.path)


def _link_resources(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {target}/privateLinkResources: the groups that an endpoint can name."""
    target = ctx.store.get(match["id"])
    if target is None:
        raise not_found(match["id"])
    ctx.rbac.require(request, f"{target.type}/privateLinkResources/read", target.id)
    groups = {kind.lower(): entries for kind, entries in TARGETS.items()}.get(target.type.lower(), {})
    value = []
    for name, names in groups.items():
        zones = sorted({_zone_of(fqdn) for fqdn in names(target)})
        value.append(
            {
                "id": f"{target.id}/privateLinkResources/{name}",
                "name": name,
                "type": f"{target.type}/privateLinkResources",
                "properties": {"groupId": name, "requiredMembers": [name], "requiredZoneNames": zones},
            }
        )
    return Response.json(200, {"value": value})


def _zone_of(fqdn: str) -> str:
    """The private zone for a public name."""
    for public, private in _ZONES.items():
        if fqdn.endswith("." + public):
            return private
    for public in ("redis.azure.net", "azurecr.io"):
        if fqdn.endswith("." + public):
            return f"privatelink.{public}"
    return f"privatelink.{fqdn.split('.', 1)[1]}"


_TYPES = "|".join(re.escape(kind) for kind in TARGETS)
_TARGET = rf"(?P<id>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/(?:{_TYPES})/[^/]+)"
ROUTES: list[tuple[str, str, ArmHandler]] = [
    ("GET", rf"{_TARGET}/privateEndpointConnections(?:/(?P<name>[^/]+))?", _connections),
    ("PUT", rf"{_TARGET}/privateEndpointConnections/(?P<name>[^/]+)", _decide),
    ("GET", rf"{_TARGET}/privateLinkResources", _link_resources),
]


def _mac() -> str:
    return "00-0D-3A-" + "-".join(f"{byte:02X}" for byte in secrets.token_bytes(3))
