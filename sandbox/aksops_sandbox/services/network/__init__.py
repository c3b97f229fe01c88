"""Microsoft.Network: virtual networks and everything in them."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.network import addresses, dns, gateway, private_link, public, public_dns, security, vnet

__all__ = ["NetworkService"]


class NetworkService(Service):
    """The control plane of Azure networking."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            vnet.VirtualNetwork(),
            vnet.Subnet(),
            vnet.Peering(),
            security.SecurityGroup(),
            security.SecurityRule(),
            security.RouteTable(),
            security.Route(),
            public.PublicIp(),
            public.PublicIpPrefix(),
            public.NatGateway(),
            gateway.ApplicationGateway(),
            gateway.FirewallPolicy(),
            private_link.NetworkInterface(),
            private_link.PrivateEndpoint(),
            private_link.PrivateDnsZoneGroup(),
            dns.PrivateZone(),
            dns.ZoneLink(),
            *(dns.RecordSet(kind) for kind in dns.RECORDS),
            public_dns.PublicZone(),
            *(public_dns.PublicRecordSet(kind) for kind in public_dns.RECORDS),
        ]
        self.arm_routes = [
            *private_link.ROUTES,
            *addresses.ROUTES,
            ("GET", r"(?P<zone>/.+/privateDnsZones/[^/]+)/ALL", dns.list_all),
            ("GET", r"(?P<scope>/subscriptions/[^/]+)/providers/Microsoft\.Network/locations/[^/]+/usages", _usages),
        ]


def _usages(ctx: Any, request: Request, match: Any) -> Response:
    """GET .../locations/{location}/usages: what the subscription uses of its network limits."""
    ctx.rbac.require(request, "Microsoft.Network/locations/usages/read", match["scope"])
    rows = (
        ("VirtualNetworks", "Virtual Networks", vnet.VNET, 1000),
        ("PublicIPAddresses", "Public IP Addresses", public.PUBLIC_IP, 1000),
        ("StandardSkuPublicIpAddresses", "Public IPv4 Addresses - Standard", public.PUBLIC_IP, 1000),
        ("NetworkSecurityGroups", "Network Security Groups", security.NSG, 5000),
        ("RouteTables", "Route Tables", security.ROUTE_TABLE, 200),
        ("ApplicationGateways", "Application Gateways", gateway.GATEWAY, 1000),
        ("PrivateEndpoints", "Private Endpoints", private_link.ENDPOINT, 65536),
        ("NatGateways", "NAT Gateways", public.NAT_GATEWAY, 400),
    )
    value = [
        {
            "id": f"{request.path}/{name}",
            "name": {"value": name, "localizedValue": text},
            "unit": "Count",
            "currentValue": len(ctx.store.list(type=kind)),
            "limit": limit,
        }
        for name, text, kind, limit in rows
    ]
    return Response.json(200, {"value": value})
