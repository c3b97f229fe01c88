"""IP address arithmetic and the question who uses which subnet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services.shapes import dig, same_id

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Azure keeps the first four addresses of a subnet (network, gateway, two for DNS) and the last one.
_RESERVED_FIRST = 4


def network(prefix: Any, owner: str) -> Network:
    """A CIDR block. Raises AzureError 400 where it is none or has host bits set."""
    try:
        return ipaddress.ip_network(str(prefix))
    except ValueError:
        message = f"The address prefix '{prefix}' of '{owner}' is not a valid CIDR block."
        raise bad_request("InvalidAddressPrefixFormat", message) from None


def networks(prefixes: Iterable[Any], owner: str) -> list[Network]:
    return [network(prefix, owner) for prefix in prefixes]


def contains(space: Iterable[Network], block: Network) -> bool:
    """True where one network of the space holds the whole block."""
    return any(outer.version == block.version and block.subnet_of(outer) for outer in space)  # type: ignore[arg-type]


def overlap(one: Iterable[Network], other: Iterable[Network]) -> bool:
    """True where any two networks share an address."""
    second = list(other)
    return any(a.version == b.version and a.overlaps(b) for a in one for b in second)


def subnet_prefixes(subnet: Resource) -> list[str]:
    """The prefixes of a subnet, however they were given."""
    many = subnet.properties.get("addressPrefixes")
    if many:
        return list(many)
    one = subnet.properties.get("addressPrefix")
    return [one] if one else []


def private_addresses(ctx: Any, subnet_id: str) -> Iterator[tuple[str, str]]:
    """(address, id of the IP configuration) of everything with an address in a subnet."""
    for nic in ctx.store.list(type="Microsoft.Network/networkInterfaces"):
        for entry in nic.properties.get("ipConfigurations", []):
            if same_id(dig(entry, "properties.subnet.id"), subnet_id):
                yield entry["properties"]["privateIPAddress"], entry["id"]
    for gateway in ctx.store.list(type="Microsoft.Network/applicationGateways"):
        for entry in gateway.properties.get("frontendIPConfigurations", []):
            address = dig(entry, "properties.privateIPAddress")
            if address and same_id(dig(entry, "properties.subnet.id"), subnet_id):
                yield address, entry["id"]


def allocate(ctx: Any, subnet: Resource, wanted: str | None = None, taken: Iterable[str] = ()) -> str:
    """A free private address of a subnet, or the wanted one. Raises AzureError 400 where there is none."""
    used = {address for address, _ in private_addresses(ctx, subnet.id)} | set(taken)
    block = network(subnet_prefixes(subnet)[0], subnet.name)
    if wanted:
        if ipaddress.ip_address(wanted) not in block:
            message = f"The private IP address {wanted} is not in the range of subnet {subnet.name} ({block})."
            raise bad_request("PrivateIPAddressNotInSubnet", message)
        if wanted in used:
            raise bad_request("PrivateIPAddressInUse", f"The private IP address {wanted} is already in use.")
        return wanted
    for position in range(_RESERVED_FIRST, block.num_addresses - 1):
        address = str(block[position])
        if address not in used:
            return address
    raise bad_request("SubnetIsFull", f"Subnet {subnet.name} with address prefix {block} has no free address left.")


def gateways_of(ctx: Any, subnet_id: str) -> list[dict[str, Any]]:
    """The gateway IP configurations of application gateways in a subnet."""
    return [
        entry
        for gateway in ctx.store.list(type="Microsoft.Network/applicationGateways")
        for entry in gateway.properties.get("gatewayIPConfigurations", [])
        if same_id(dig(entry, "properties.subnet.id"), subnet_id)
    ]


def delegated_users(ctx: Any, subnet_id: str) -> list[Resource]:
    """Resources of other providers that live in a subnet: clusters, node pools, database servers."""
    found = []
    for cluster in ctx.store.list(type="Microsoft.ContainerService/managedClusters"):
        pools = cluster.properties.get("agentPoolProfiles") or []
        uses = [pool.get(name) for pool in pools for name in ("vnetSubnetID", "podSubnetID")]
        uses.append(dig(cluster.properties, "apiServerAccessProfile.subnetId"))
        if any(same_id(use, subnet_id) for use in uses if use):
            found.append(cluster)
    for pool in ctx.store.list(type="Microsoft.ContainerService/managedClusters/agentPools"):
        if any(same_id(pool.properties.get(name), subnet_id) for name in ("vnetSubnetID", "podSubnetID")):
            found.append(pool)
    for server in ctx.store.list(type="Microsoft.DBforPostgreSQL/flexibleServers"):
        if same_id(dig(server.properties, "network.delegatedSubnetResourceId"), subnet_id):
            found.append(server)
    return found


def subnet_users(ctx: Any, subnet_id: str) -> list[str]:
    """The ids of everything that keeps a subnet from being deleted."""
    return [
        *(entry for _, entry in private_addresses(ctx, subnet_id)),
        *(entry["id"] for entry in gateways_of(ctx, subnet_id)),
        *(resource.id for resource in delegated_users(ctx, subnet_id)),
    ]
