"""Public DNS zones and their record sets. Nothing outside the sandbox resolves them."""

from __future__ import annotations

import ipaddress
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes

ZONE = "Microsoft.Network/dnsZones"
#: Record type -> the property with its records.
RECORDS = {"A": "ARecords", "AAAA": "AAAARecords", "CNAME": "CNAMERecord", "TXT": "TXTRecords"}
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_SERVERS = tuple(f"ns{number}-01.azure-dns.{domain}." for number, domain in enumerate(("com", "net", "org", "info"), 1))


class PublicZone(ResourceType):
    type = ZONE
    status = "dns/2018-05-01/zones"
    name_pattern = rf"^({_LABEL}\.)+{_LABEL}$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if new.location != "global":
            message = f"The location of a DNS zone must be 'global', not '{new.location}'."
            raise bad_request("LocationNotAvailableForResourceType", message)
        new.properties = {"zoneType": "Public", "maxNumberOfRecordSets": 10000, "nameServers": list(_SERVERS)}

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "numberOfRecordSets": len(ctx.store.list(prefix=resource.id))}
        return shown

    def remove(self, ctx: Any, resource: Resource) -> None:
        for record in ctx.store.list(prefix=resource.id):
            ctx.store.delete(record.id)


class PublicRecordSet(ResourceType):
    """Record sets of one type, for example `Microsoft.Network/dnsZones/A`: addresses, or an alias of a resource."""

    status = "dns/2018-05-01/recordsets"
    name_pattern = rf"^(@|\*|(\*\.)?({_LABEL}\.)*{_LABEL})$"
    tracked = False
    etag = True

    def __init__(self, kind: str) -> None:
        super().__init__(f"{ZONE}/{kind}")
        self.kind = kind

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        zone_id = shapes.identify(new.id).parent
        properties, field = new.properties, RECORDS[self.kind]
        alias = shapes.dig(properties, "targetResource.id")
        if bool(properties.get(field)) == bool(alias):
            message = f"The record set '{new.name}' needs either '{field}' or 'targetResource'."
            raise bad_request("BadRequest", message)
        if alias:
            if self.kind not in {"A", "AAAA", "CNAME"}:
                raise bad_request("BadRequest", f"A record set of type {self.kind} cannot be an alias.")
            properties["targetResource"] = {"id": shapes.reference(ctx, alias, new.id).id}
            properties[field] = {} if self.kind == "CNAME" else []
        for entry in properties[field] if self.kind == "A" else []:
            try:
                ipaddress.IPv4Address(str(entry.get("ipv4Address")))
            except ValueError:
                message = f"The IPv4 address '{entry.get('ipv4Address')}' of record set '{new.name}' is invalid."
                raise bad_request("BadRequest", message) from None
        others = [item for item in ctx.store.list(prefix=zone_id) if item.name.lower() == new.name.lower()]
        if any("CNAME" in (self.kind, item.type.rsplit("/", 1)[1]) for item in others if item.type != self.type):
            message = f"The record set '{new.name}' conflicts with another record set of that name."
            raise AzureError(400, "BadRequest", message)
        shapes.defaults(properties, {"TTL": 3600})
        zone = zone_id.rsplit("/", 1)[-1]
        properties["fqdn"] = f"{zone}." if new.name == "@" else f"{new.name}.{zone}."
