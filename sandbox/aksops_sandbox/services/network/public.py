"""Public IP addresses, their prefixes and NAT gateways."""

from __future__ import annotations

import ipaddress
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network.security import subnets_with

PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
PREFIX = "Microsoft.Network/publicIPPrefixes"
NAT_GATEWAY = "Microsoft.Network/natGateways"

#: The sandbox hands out addresses of the block reserved for benchmarks (RFC 2544), so that none is anybody's.
_POOL = ipaddress.IPv4Network("198.18.0.0/15")
_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?$"


def _free(ctx: Any, size: int) -> ipaddress.IPv4Network:
    """An unused block of the pool with 2**(32-size) addresses."""
    used = [ipaddress.ip_network(item.properties["ipPrefix"]) for item in ctx.store.list(type=PREFIX)]
    used += [ipaddress.ip_network(item.properties["ipAddress"]) for item in ctx.store.list(type=PUBLIC_IP)]
    taken = [block for block in used if block.version == 4]
    for block in _POOL.subnets(new_prefix=size):
        if block.network_address != _POOL.network_address and not any(block.overlaps(other) for other in taken):
            return block
    raise AzureError(409, "PublicIPAllocationFailed", "No public IP addresses are left in this region.")


def _standard(new: Resource) -> None:
    sku = new.body.get("sku") or {}
    name = shapes.choice(sku.get("name") or "Basic", ("Basic", "Standard", "StandardV2"), "sku.name")
    if name == "Basic":
        message = "Basic SKU public IP addresses are retired and cannot be created. Use the Standard SKU."
        raise bad_request("BasicSkuPublicIpIsRetired", message)
    new.body["sku"] = {"name": name, "tier": sku.get("tier") or "Regional"}


class PublicIp(ResourceType):
    type = PUBLIC_IP
    status = "network/2025-01-01/publicipaddresses"
    name_pattern = _NAME
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _standard(new)
        properties = new.properties
        shapes.fixed(
            new, old, "body.sku.name", "body.sku.tier", "publicIPAddressVersion", code="PublicIPPropertyIsImmutable"
        )
        if old is not None and sorted(old.body.get("zones") or []) != sorted(new.body.get("zones") or []):
            message = f"Resource {new.id} has an existing availability zone constraint that cannot be changed."
            raise bad_request("ResourceAvailabilityZonesCannotBeModified", message)
        if properties.get("publicIPAllocationMethod") != "Static":
            message = f"Standard sku publicIp {new.id} must have AllocationMethod set to Static."
            raise bad_request("StandardSkuPublicIPAddressesMustBeStatic", message)
        shapes.defaults(properties, {"publicIPAddressVersion": "IPv4", "idleTimeoutInMinutes": 4, "ipTags": []})
        shapes.between(properties["idleTimeoutInMinutes"], 4, 30, "idleTimeoutInMinutes")
        shapes.defaults(properties, {"ddosSettings": {"protectionMode": "VirtualNetworkInherited"}})
        shapes.computed(new, old, resourceGuid=shapes.guid)
        properties.pop("ipConfiguration", None)
        with ctx.store.lock:
            self._label(ctx, new)
            shapes.computed(new, old, ipAddress=lambda: self._address(ctx, new))
            ctx.store.put(new)

    def _address(self, ctx: Any, new: Resource) -> str:
        prefix = shapes.dig(new.properties, "publicIPPrefix.id")
        if prefix is None:
            if new.properties["publicIPAddressVersion"] == "IPv6":
                return f"2001:db8::{len(ctx.store.list(type=PUBLIC_IP)) + 1:x}"
            return str(_free(ctx, 32).network_address)
        block = ipaddress.ip_network(shapes.reference(ctx, prefix, new.id).properties["ipPrefix"])
        used = {item.properties["ipAddress"] for item in ctx.store.list(type=PUBLIC_IP)}
        for address in block:
            if str(address) not in used:
                return str(address)
        raise bad_request("PublicIPPrefixOutOfIpAddresses", f"The prefix {prefix} has no address left.")

    @staticmethod
    def _label(ctx: Any, new: Resource) -> None:
        label = shapes.dig(new.properties, "dnsSettings.domainNameLabel")
        if not label:
            return
        name = f"{label}.{new.location}.cloudapp.azure.com"
        for other in ctx.store.list(type=PUBLIC_IP):
            if other.id.lower() != new.id.lower() and shapes.dig(other.properties, "dnsSettings.fqdn") == name:
                raise bad_request("DnsRecordInUse", f"DNS record {name} is already used by another public IP.")
        new.properties["dnsSettings"]["fqdn"] = name

    @staticmethod
    def _user(ctx: Any, resource: Resource) -> tuple[str, str] | None:
        """(property, id) of what the address is attached to."""
        for gateway in ctx.store.list(type="Microsoft.Network/applicationGateways"):
            for entry in gateway.properties.get("frontendIPConfigurations", []):
                if shapes.same_id(shapes.dig(entry, "properties.publicIPAddress.id"), resource.id):
                    return "ipConfiguration", entry["id"]
        for gateway in ctx.store.list(type=NAT_GATEWAY):
            if any(
                shapes.same_id(entry["id"], resource.id) for entry in gateway.properties.get("publicIpAddresses", [])
            ):
                return "natGateway", gateway.id
        for cluster in ctx.store.list(type="Microsoft.ContainerService/managedClusters"):
            profile = shapes.dig(cluster.properties, "networkProfile.loadBalancerProfile", {})
            addresses = shapes.dig(profile, "outboundIPs.publicIPs", []) + (profile.get("effectiveOutboundIPs") or [])
            if any(shapes.same_id(entry.get("id"), resource.id) for entry in addresses):
                return "ipConfiguration", cluster.id
        return None

    def remove(self, ctx: Any, resource: Resource) -> None:
        user = self._user(ctx, resource)
        if user:
            message = (
                f"Public IP address {resource.id} can not be deleted since it is still allocated to resource "
                f"{user[1]}. In order to delete the public IP, disassociate/detach it from the resource."
            )
            raise bad_request("PublicIPAddressCannotBeDeleted", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        user = self._user(ctx, resource)
        if user:
            shown["properties"] = {**resource.properties, user[0]: {"id": user[1]}}
        return shown


class PublicIpPrefix(ResourceType):
    type = PREFIX
    status = "network/2025-01-01/publicipprefixes"
    name_pattern = _NAME
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _standard(new)
        shapes.defaults(new.properties, {"publicIPAddressVersion": "IPv4", "prefixLength": 28, "ipTags": []})
        shapes.between(new.properties["prefixLength"], 24, 31, "prefixLength")
        shapes.fixed(new, old, "prefixLength", "publicIPAddressVersion", "body.sku.name")
        shapes.computed(new, old, resourceGuid=shapes.guid)
        with ctx.store.lock:
            shapes.computed(new, old, ipPrefix=lambda: str(_free(ctx, new.properties["prefixLength"])))
            ctx.store.put(new)

    @staticmethod
    def _addresses(ctx: Any, resource: Resource) -> list[dict[str, str]]:
        return [
            {"id": item.id}
            for item in ctx.store.list(type=PUBLIC_IP)
            if shapes.same_id(shapes.dig(item.properties, "publicIPPrefix.id"), resource.id)
        ]

    def remove(self, ctx: Any, resource: Resource) -> None:
        nats = [
            gateway.id
            for gateway in ctx.store.list(type=NAT_GATEWAY)
            if any(shapes.same_id(entry["id"], resource.id) for entry in gateway.properties.get("publicIpPrefixes", []))
        ]
        users = [*(entry["id"] for entry in self._addresses(ctx, resource)), *nats]
        if users:
            message = f"Public IP prefix {resource.id} cannot be deleted since it is in use by {users[0]}."
            raise bad_request("InUsePublicIPPrefixCannotBeDeleted", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "publicIPAddresses": self._addresses(ctx, resource)}
        return shown


class NatGateway(ResourceType):
    type = NAT_GATEWAY
    status = "network/2025-01-01/natgateways"
    name_pattern = _NAME
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        new.body["sku"] = {
            "name": shapes.choice(shapes.dig(new.body, "sku.name"), ("Standard", "StandardV2"), "sku.name")
        }
        zones = new.body.get("zones") or []
        if new.body["sku"]["name"] == "Standard" and len(zones) > 1:
            message = f"NAT gateway {new.id} of the Standard SKU can be in one availability zone only."
            raise bad_request("NatGatewayCannotHaveMultipleZones", message)
        if old is not None and sorted(old.body.get("zones") or []) != sorted(zones):
            message = f"Resource {new.id} has an existing availability zone constraint that cannot be changed."
            raise bad_request("ResourceAvailabilityZonesCannotBeModified", message)
        new.properties.pop("subnets", None)
        shapes.defaults(new.properties, {"idleTimeoutInMinutes": 4})
        shapes.between(new.properties["idleTimeoutInMinutes"], 4, 120, "idleTimeoutInMinutes")
        shapes.computed(new, old, resourceGuid=shapes.guid)
        for field in ("publicIpAddresses", "publicIpPrefixes"):
            for entry in new.properties.get(field) or []:
                found = shapes.reference(ctx, entry.get("id"), new.id)
                entry["id"] = found.id
                user = PublicIp._user(ctx, found) if field == "publicIpAddresses" else None
                if user and not shapes.same_id(user[1], new.id):
                    message = (
                        f"Resource {user[1]} already references public IP {found.id}; it cannot be used by {new.id}."
                    )
                    raise bad_request("PublicIPAddressInUse", message)

    def remove(self, ctx: Any, resource: Resource) -> None:
        users = subnets_with(ctx, "natGateway", resource.id)
        if users:
            message = f"NAT gateway {resource.id} is in use by subnet {users[0]['id']} and cannot be deleted."
            raise bad_request("InUseNatGatewayCannotBeDeleted", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        users = subnets_with(ctx, "natGateway", resource.id)
        if users:
            shown["properties"] = {**resource.properties, "subnets": users}
        return shown
