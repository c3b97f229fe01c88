"""Private DNS zones, their links to virtual networks, and record sets."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from aksops_sandbox.azure import status
from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType, stamp
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes

ZONE = "Microsoft.Network/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"

#: Record type -> the property with its records.
RECORDS = {
    "A": "aRecords",
    "AAAA": "aaaaRecords",
    "CNAME": "cnameRecord",
    "MX": "mxRecords",
    "PTR": "ptrRecords",
    "SOA": "soaRecord",
    "SRV": "srvRecords",
    "TXT": "txtRecords",
}

#: Seconds that the records of private endpoints live.
ENDPOINT_TTL = 10

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"


def _record_id(zone_id: str, kind: str, name: str) -> str:
    return f"{zone_id}/{kind}/{name}"


def write_address(ctx: Any, zone: Resource, name: str, addresses: list[str], endpoint: Resource) -> None:
    """Add a private endpoint's addresses to an A record set, made where it is missing."""
    with ctx.store.lock:
        record = ctx.store.get(_record_id(zone.id, "A", name))
        if record is None:
            properties = {
                "fqdn": f"{name}.{zone.name}.",
                "ttl": ENDPOINT_TTL,
                "aRecords": [],
                "isAutoRegistered": False,
            }
            properties["metadata"] = {"creator": f"created by private endpoint {endpoint.name}"}
            record = Resource(_record_id(zone.id, "A", name), name, f"{ZONE}/A", properties=properties)
        present = {entry["ipv4Address"] for entry in record.properties["aRecords"]}
        record.properties["aRecords"] += [{"ipv4Address": item} for item in addresses if item not in present]
        stamp(record)
        ctx.store.put(record)


def withdraw_address(ctx: Any, zone: Resource, name: str, addresses: list[str]) -> None:
    """Take addresses out of an A record set; an empty one goes."""
    with ctx.store.lock:
        record = ctx.store.get(_record_id(zone.id, "A", name))
        if record is None:
            return
        left = [entry for entry in record.properties["aRecords"] if entry["ipv4Address"] not in addresses]
        if not left:
            ctx.store.delete(record.id)
            return
        record.properties["aRecords"] = left
        stamp(record)
        ctx.store.put(record)


def resolve(ctx: Any, fqdn: str) -> list[str]:
    """The private addresses of a name in any zone of the sandbox."""
    for zone in ctx.store.list(type=ZONE):
        if fqdn.lower().endswith("." + zone.name.lower()):
            record = ctx.store.get(_record_id(zone.id, "A", fqdn[: -len(zone.name) - 1]))
            if record is not None:
                return [entry["ipv4Address"] for entry in record.properties["aRecords"]]
    return []


class PrivateZone(ResourceType):
    type = ZONE
    status = "privatedns/2024-06-01/privatezones"
    name_pattern = rf"^({_LABEL}\.)+{_LABEL}$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if new.location != "global":
            message = f"The location of a private DNS zone must be 'global', not '{new.location}'."
            raise bad_request("LocationNotAvailableForResourceType", message)
        new.properties = {
            "maxNumberOfRecordSets": 25000,
            "maxNumberOfVirtualNetworkLinks": 1000,
            "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
        }
        if old is None:
            soa = {
                "host": "azureprivatedns.net",
                "email": "azureprivatedns-host.microsoft.com",
                "serialNumber": 1,
                "refreshTime": 3600,
                "retryTime": 300,
                "expireTime": 2419200,
                "minimumTtl": 10,
            }
            properties = {"fqdn": f"{new.name}.", "ttl": 3600, "isAutoRegistered": False, "soaRecord": soa}
            ctx.store.put(Resource(_record_id(new.id, "SOA", "@"), "@", f"{ZONE}/SOA", properties=properties))

    def remove(self, ctx: Any, resource: Resource) -> None:
        links = ctx.store.list(type=LINK, prefix=resource.id)
        if links:
            message = (
                f"Can not delete resource {resource.name} before nested resources are deleted: it has the virtual "
                f"network link {links[0].name}."
            )
            raise AzureError(409, "CannotDeleteResource", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        links = ctx.store.list(type=LINK, prefix=resource.id)
        records = [item for item in ctx.store.list(prefix=resource.id) if item.type != LINK]
        shown["properties"] = {
            **resource.properties,
            "numberOfRecordSets": len(records),
            "numberOfVirtualNetworkLinks": len(links),
            "numberOfVirtualNetworkLinksWithRegistration": sum(
                bool(link.properties.get("registrationEnabled")) for link in links
            ),
        }
        return shown


class ZoneLink(ResourceType):
    type = LINK
    status = "privatedns/2024-06-01/virtualnetworklinks"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        network = shapes.reference(ctx, shapes.dig(new.properties, "virtualNetwork.id"), new.id)
        shapes.fixed(new, old, "virtualNetwork.id")
        zone_id = shapes.identify(new.id).parent
        for other in ctx.store.list(type=LINK, prefix=zone_id):
            if other.id.lower() != new.id.lower() and shapes.same_id(
                other.properties["virtualNetwork"]["id"], network.id
            ):
                message = (
                    "A virtual network cannot be linked to multiple zones with overlapping namespaces: "
                    f"{network.id} is linked by {other.name} already."
                )
                raise AzureError(409, "Conflict", message)
        shapes.defaults(new.properties, {"registrationEnabled": False, "resolutionPolicy": "Default"})
        new.properties["virtualNetwork"] = {"id": network.id}
        new.properties["virtualNetworkLinkState"] = "Completed"


class RecordSet(ResourceType):
    """Record sets of one type, for example `Microsoft.Network/privateDnsZones/A`."""

    status = "privatedns/2024-06-01/privatedns"
    name_pattern = rf"^(@|\*|(\*\.)?({_LABEL}\.)*{_LABEL})$"
    tracked = False
    etag = True

    def __init__(self, kind: str) -> None:
        super().__init__(f"{ZONE}/{kind}")
        self.kind = kind

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        zone = ctx.store.get(shapes.identify(new.id).parent)
        field = RECORDS[self.kind]
        values = new.properties.get(field)
        if not values and self.kind != "SOA":
            raise bad_request("BadRequest", f"The record set '{new.name}' of type {self.kind} has no '{field}'.")
        if new.name == "@" and self.kind == "CNAME":
            raise bad_request("BadRequest", "A CNAME record set cannot stand at the zone's apex.")
        others = {
            item.type.rsplit("/", 1)[1]
            for item in ctx.store.list(prefix=zone.id)
            if item.name.lower() == new.name.lower() and item.type != LINK and item.type.lower() != self.type.lower()
        }
        if "CNAME" in others or (self.kind == "CNAME" and others):
            message = f"The record set '{new.name}' conflicts with the record set of type {min(others)} of that name."
            raise bad_request("BadRequest", message)
        if self.kind == "A":
            for entry in values or []:
                try:
                    ipaddress.IPv4Address(str(entry.get("ipv4Address")))
                except ValueError:
                    message = f"The IPv4 address '{entry.get('ipv4Address')}' of record set '{new.name}' is invalid."
                    raise bad_request("BadRequest", message) from None
        if old is not None and self.kind == "SOA":
            new.properties["soaRecord"] = {**old.properties["soaRecord"], **(values or {})}
        shapes.defaults(new.properties, {"ttl": 3600, "isAutoRegistered": False})
        new.properties["fqdn"] = f"{zone.name}." if new.name == "@" else f"{new.name}.{zone.name}."

    def delete(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        if self.kind == "SOA":
            raise bad_request("BadRequest", "The SOA record set of a zone cannot be deleted.")
        return super().delete(ctx, request, rid)


def list_all(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {zone}/ALL: the record sets of every type."""
    zone = ctx.store.get(match["zone"])
    if zone is None:
        raise not_found(match["zone"])
    ctx.rbac.require(request, f"{ZONE}/ALL/read", zone.id)
    records = [item for item in ctx.store.list(prefix=zone.id) if item.type.lower() != LINK.lower()]
    return Response.json(
        status.choose("", "GET", (200,)), {"value": [RecordSet("A").render(ctx, item) for item in records]}
    )
