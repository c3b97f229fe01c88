"""The vCores that a subscription may have of each family in a region, and how many its servers use."""

from __future__ import annotations

import re
from re import Match
from typing import TYPE_CHECKING

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.postgresql import catalog
from aksops_sandbox.services.postgresql.state import SERVER

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

TOTAL, FAMILY = 350, 96
_SIZE = re.compile(r"Standard_([A-Z])(\d+)([a-z]*)(?:_(v\d+))?")


def family(size: str) -> tuple[str, int]:
    """A size's family, as quotas are named, and its vCores."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise AzureError(400, "InvalidSku", f"The size '{size}' is not known.")
    letter, cores, kind, version = match.groups()
    kind = "S" if letter == "B" else kind.upper()  # B1ms and B2s are of one family
    return f"standard{letter}{kind}{version or ''}Family", int(cores)


def usages(ctx: Sandbox, request: Request, match: Match[str]) -> Response:
    """GET .../locations/{location}/resourceType/flexibleServers/usages."""
    location = regions.short(match["location"])
    ctx.rbac.require(
        request,
        "Microsoft.DBforPostgreSQL/locations/resourceType/usages/read",
        f"/subscriptions/{ctx.principals.subscription_id}",
    )
    used = _used(ctx, location)
    rows = [("cores", sum(used.values()), TOTAL), *((name, used[name], FAMILY) for name in sorted(used))]
    value = [
        {
            "name": {"value": name, "localizedValue": name},
            "currentValue": count,
            "limit": limit,
            "unit": "Count",
            "id": "",
        }
        for name, count, limit in rows
    ]
    return Response.json(200, {"value": value})


def check(ctx: Sandbox, new: Resource) -> None:
    """Refuse a new server that the subscription has no vCores for. Raises AzureError 400."""
    name, cores = family((new.body.get("sku") or {}).get("name", ""))
    used = _used(ctx, regions.short(new.location or ""))
    need = cores * _machines(new)
    for quota, count, limit in ((name, used[name], FAMILY), ("cores", sum(used.values()), TOTAL)):
        if count + need > limit:
            raise AzureError(
                400,
                "QuotaExceeded",
                f"The operation needs {need} vCores of '{quota}' in {new.location}; {count} of {limit} are in use.",
            )


def _used(ctx: Sandbox, location: str) -> dict[str, int]:
    used = {family(size)[0]: 0 for sizes in catalog.TIERS.values() for size in sizes}
    for server in ctx.store.list(type=SERVER):
        if regions.short(server.location or "") == location:
            name, cores = family(server.body["sku"]["name"])
            used[name] += cores * _machines(server)
    return used


def _machines(server: Resource) -> int:
    """High availability is a second machine."""
    return 1 if (server.properties.get("highAvailability") or {}).get("mode", "Disabled") == "Disabled" else 2
