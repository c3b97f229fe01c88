"""Network security groups, their rules, route tables and their routes."""

from __future__ import annotations

import ipaddress
from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network.embedded import EmbeddedChild, EmbeddingParent

NSG = "Microsoft.Network/networkSecurityGroups"
ROUTE_TABLE = "Microsoft.Network/routeTables"

_PROTOCOLS = ("Tcp", "Udp", "Icmp", "Esp", "Ah", "*")
_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?$"

#: (name, priority, direction, access, source, destination) of the rules that every group has.
_DEFAULT_RULES = (
    ("AllowVnetInBound", 65000, "Inbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "Allow", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Inbound", "Deny", "*", "*"),
    ("AllowVnetOutBound", 65000, "Outbound", "Allow", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Outbound", "Allow", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Outbound", "Deny", "*", "*"),
)


def subnets_with(ctx: Any, field: str, resource_id: str) -> list[dict[str, str]]:
    """References to the subnets whose `field` names a resource."""
    subnets = ctx.store.list(type="Microsoft.Network/virtualNetworks/subnets")
    return [
        {"id": item.id} for item in subnets if shapes.same_id(shapes.dig(item.properties, f"{field}.id"), resource_id)
    ]


class SecurityRule(EmbeddedChild):
    type = f"{NSG}/securityRules"
    status = "network/2025-01-01/securityrules"
    name_pattern = _NAME

    def validate(
        self, ctx: Any, new: Resource, old: Resource | None, parent: Resource, siblings: list[Resource]
    ) -> None:
        properties, code = new.properties, "SecurityRuleInvalidParameter"
        properties["protocol"] = shapes.choice(properties.get("protocol"), _PROTOCOLS, "protocol", code)
        properties["access"] = shapes.choice(properties.get("access"), ("Allow", "Deny"), "access", code)
        properties["direction"] = shapes.choice(properties.get("direction"), ("Inbound", "Outbound"), "direction", code)
        if properties.get("priority") is None:
            raise bad_request(code, f"Security rule {new.name} has no priority.")
        shapes.between(properties["priority"], 100, 4096, "priority", "SecurityRuleInvalidPriority")
        for side in ("source", "destination"):
            self._one_of(new, f"{side}AddressPrefix", f"{side}AddressPrefixes", self._address)
            self._one_of(new, f"{side}PortRange", f"{side}PortRanges", self._port)
        for other in siblings:
            if all(other.properties.get(name) == properties[name] for name in ("priority", "direction")):
                message = (
                    f"Security rule {new.name} conflicts with rule {other.name}. Rules cannot have the same Priority "
                    "and Direction."
                )
                raise bad_request("SecurityRuleConflict", message)

    @staticmethod
    def _one_of(rule: Resource, one: str, many: str, check: Any) -> None:
        single, several = rule.properties.get(one), rule.properties.get(many) or []
        groups = rule.properties.get(one.replace("AddressPrefix", "ApplicationSecurityGroups"))
        if not single and not several and not groups:
            raise bad_request("SecurityRuleParameterRequired", f"Security rule {rule.name} must have '{one}'.")
        for value in [single, *several] if single else several:
            check(rule, value)
        rule.properties.setdefault(many, [])

    @staticmethod
    def _address(rule: Resource, value: str) -> None:
        if not value[:1].isdigit() and ":" not in value:
            return  # '*' or a service tag
        try:
            ipaddress.ip_network(value)
        except ValueError:
            message = f"Security rule {rule.name} has invalid Address prefix. Value provided: {value}."
            raise bad_request("SecurityRuleInvalidAddressPrefix", message) from None

    @staticmethod
    def _port(rule: Resource, value: Any) -> None:
        ends = str(value).split("-")
        numbers = [int(end) for end in ends if end.isdigit()]
        valid = (
            len(numbers) == len(ends) <= 2 and all(number <= 65535 for number in numbers) and numbers == sorted(numbers)
        )
        if value != "*" and not valid:
            message = f"Security rule {rule.name} has invalid Port range. Value provided: {value}."
            raise bad_request("SecurityRuleInvalidPortRange", message)


class SecurityGroup(EmbeddingParent):
    type = NSG
    status = "network/2025-01-01/networksecuritygroups"
    name_pattern = _NAME
    child = SecurityRule()
    field = "securityRules"

    def validate(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        for name in ("defaultSecurityRules", "subnets", "networkInterfaces"):
            new.properties.pop(name, None)
        shapes.computed(new, old, resourceGuid=shapes.guid)

    def remove(self, ctx: Any, resource: Resource) -> None:
        users = subnets_with(ctx, "networkSecurityGroup", resource.id)
        if users:
            message = (
                f"Network security group {resource.id} cannot be deleted because it is in use by: {users[0]['id']}."
            )
            raise bad_request("InUseNetworkSecurityGroupCannotBeDeleted", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"]["defaultSecurityRules"] = [
            {
                "id": f"{resource.id}/defaultSecurityRules/{name}",
                "name": name,
                "properties": {
                    "priority": priority,
                    "direction": direction,
                    "access": access,
                    "protocol": "*",
                    "sourcePortRange": "*",
                    "destinationPortRange": "*",
                    "sourceAddressPrefix": source,
                    "destinationAddressPrefix": destination,
                    "provisioningState": "Succeeded",
                },
            }
            for name, priority, direction, access, source, destination in _DEFAULT_RULES
        ]
        users = subnets_with(ctx, "networkSecurityGroup", resource.id)
        if users:
            shown["properties"]["subnets"] = users
        return shown


class Route(EmbeddedChild):
    type = f"{ROUTE_TABLE}/routes"
    status = "network/2025-01-01/routes"
    name_pattern = _NAME

    def validate(
        self, ctx: Any, new: Resource, old: Resource | None, parent: Resource, siblings: list[Resource]
    ) -> None:
        properties = new.properties
        hops = ("VirtualNetworkGateway", "VnetLocal", "Internet", "VirtualAppliance", "None")
        properties["nextHopType"] = shapes.choice(properties.get("nextHopType"), hops, "nextHopType")
        if properties["nextHopType"] == "VirtualAppliance" and not properties.get("nextHopIpAddress"):
            raise bad_request("RouteNextHopIpAddressRequired", f"Route {new.name} must have 'nextHopIpAddress'.")
        if properties["nextHopType"] != "VirtualAppliance" and properties.get("nextHopIpAddress"):
            message = f"Route {new.name} must not have 'nextHopIpAddress' with next hop {properties['nextHopType']}."
            raise bad_request("RouteInvalidNextHopIpAddress", message)
        properties.setdefault("hasBgpOverride", False)
        for other in siblings:
            if other.properties.get("addressPrefix") == properties.get("addressPrefix"):
                message = (
                    f"Route {new.name} conflicts with route {other.name}: both are for {properties['addressPrefix']}."
                )
                raise bad_request("RouteConflict", message)


class RouteTable(EmbeddingParent):
    type = ROUTE_TABLE
    status = "network/2025-01-01/routetables"
    name_pattern = _NAME
    child = Route()
    field = "routes"

    def validate(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        new.properties.pop("subnets", None)
        new.properties.setdefault("disableBgpRoutePropagation", False)
        shapes.computed(new, old, resourceGuid=shapes.guid)

    def remove(self, ctx: Any, resource: Resource) -> None:
        users = subnets_with(ctx, "routeTable", resource.id)
        if users:
            message = f"Route table {resource.name} is in use and cannot be deleted: {users[0]['id']}."
            raise bad_request("InUseRouteTableCannotBeDeleted", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        users = subnets_with(ctx, "routeTable", resource.id)
        if users:
            shown["properties"]["subnets"] = users
        return shown
