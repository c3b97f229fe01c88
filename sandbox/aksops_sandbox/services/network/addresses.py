"""What a virtual network tells of its addresses: whether one is free, and how many of each subnet are used."""

from __future__ import annotations

import ipaddress
from re import Match
from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.network import addressing, vnet

_VNET = r"(?P<vnet>/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.network/virtualnetworks/[^/]+)"
#: Azure keeps five addresses of each subnet.
_RESERVED = 5
_PROPOSED = 5


def _availability(ctx: Any, request: Request, match: Match[str]) -> Response:
    """GET .../checkIPAddressAvailability?ipAddress=: free, or the next addresses that are."""
    ctx.rbac.require(request, f"{vnet.VNET}/read", match["vnet"])
    network = ctx.require_resource(match["vnet"])
    wanted = next((value for name, value in request.query.items() if name.lower() == "ipaddress"), "")
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        raise bad_request("InvalidIPAddress", f"The IP address '{wanted}' is not valid.") from None
    for subnet in ctx.store.list(type=vnet.SUBNET, prefix=network.id):
        blocks = addressing.networks(addressing.subnet_prefixes(subnet), subnet.name)
        if any(address in block for block in blocks):
            free = _free(ctx, subnet)
            proposed = [] if wanted in free else free[:_PROPOSED]
            return Response.json(
                200, {"available": wanted in free, "availableIPAddresses": proposed, "isPlatformReserved": False}
            )
    message = f"Private static IP address {wanted} does not belong to the range of any subnet of {network.name}."
    raise bad_request("PrivateIPAddressNotInAnySubnet", message)


def _free(ctx: Any, subnet: Resource) -> list[str]:
    used = {address for address, _ in addressing.private_addresses(ctx, subnet.id)}
    block = addressing.networks(addressing.subnet_prefixes(subnet), subnet.name)[0]
    usable = (str(block[position]) for position in range(_RESERVED - 1, min(block.num_addresses - 1, 65536)))
    return [address for address in usable if address not in used]


def _usages(ctx: Any, request: Request, match: Match[str]) -> Response:
    """GET .../usages: addresses in use and in all, subnet by subnet."""
    ctx.rbac.require(request, f"{vnet.VNET}/usages/read", match["vnet"])
    network = ctx.require_resource(match["vnet"])
    value = []
    for subnet in ctx.store.list(type=vnet.SUBNET, prefix=network.id):
        blocks = addressing.networks(addressing.subnet_prefixes(subnet), subnet.name)
        value.append(
            {
                "id": subnet.id,
                "name": {"value": "SubnetSpace", "localizedValue": "Subnet size and usage"},
                "currentValue": len(list(addressing.private_addresses(ctx, subnet.id))),
                "limit": sum(block.num_addresses for block in blocks) - _RESERVED,
                "unit": "Count",
            }
        )
    return Response.json(200, {"value": value})


ROUTES = [
    ("GET", rf"{_VNET}/checkipaddressavailability", _availability),
    ("GET", rf"{_VNET}/usages", _usages),
]
