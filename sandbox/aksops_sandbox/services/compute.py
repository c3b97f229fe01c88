"""Microsoft.Compute and Microsoft.Security: what a preflight asks (sizes, zones, quota), and Defender's plans."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service

CLUSTER = "Microsoft.ContainerService/managedClusters"

#: Family -> (sizes in vCPUs, GiB of memory per vCPU, GiB of local disk per vCPU, zones, quota of the subscription).
FAMILIES: dict[str, tuple[str, tuple[int, ...], int, int, tuple[str, ...], int]] = {
    "standardDSv5Family": ("Standard_D{}s_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 0, ("1", "2", "3"), 350),
    "standardDDSv5Family": ("Standard_D{}ds_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 37, ("1", "2", "3"), 350),
    "standardDASv5Family": ("Standard_D{}as_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 0, ("1", "2", "3"), 350),
    "standardDADSv5Family": ("Standard_D{}ads_v5", (2, 4, 8, 16, 32, 48, 64, 96), 4, 37, ("1", "2", "3"), 350),
    "StandardDsv6Family": ("Standard_D{}s_v6", (2, 4, 8, 16, 32, 48, 64, 96), 4, 0, ("1", "2", "3"), 350),
    "StandardDdsv6Family": ("Standard_D{}ds_v6", (2, 4, 8, 16, 32, 48, 64, 96), 4, 55, ("1", "2", "3"), 350),
    "standardESv5Family": ("Standard_E{}s_v5", (2, 4, 8, 16, 20, 32, 48, 64), 8, 0, ("1", "2", "3"), 350),
    "standardEDSv5Family": ("Standard_E{}ds_v5", (2, 4, 8, 16, 20, 32, 48, 64), 8, 37, ("1", "2", "3"), 350),
    "standardFSv2Family": ("Standard_F{}s_v2", (2, 4, 8, 16, 32, 48, 64, 72), 2, 8, ("1", "2", "3"), 100),
    "standardBsv2Family": ("Standard_B{}s_v2", (2, 4, 8, 16, 32), 4, 0, ("1", "2", "3"), 100),
    "StandardNCADSH100v5Family": ("Standard_NC{}ads_H100_v5", (40, 80), 8, 88, ("2",), 0),
}

#: vCPUs that the subscription may use in a region, of all families together.
TOTAL_QUOTA = 500

_PLANS = (
    "VirtualMachines",
    "SqlServers",
    "AppServices",
    "StorageAccounts",
    "SqlServerVirtualMachines",
    "KeyVaults",
    "Arm",
    "OpenSourceRelationalDatabases",
    "CosmosDbs",
    "Containers",
    "CloudPosture",
    "Api",
    "AI",
)


def sizes() -> dict[str, tuple[str, int]]:
    """Size -> (family, vCPUs)."""
    return {
        pattern.format(count): (family, count)
        for family, (pattern, counts, _, _, _, _) in FAMILIES.items()
        for count in counts
    }


def _skus(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Compute/skus."""
    ctx.rbac.require(request, "Microsoft.Compute/skus/read", match["scope"])
    asked = re.search(r"location\s+eq\s+'([^']+)'", request.query.get("$filter", ""), re.I)
    places = [regions.short(asked.group(1))] if asked else list(regions.REGIONS)
    known = sizes()
    return Response.json(
        200,
        {
            "value": [
                _sku(name, *known[name], place, regions.REGIONS[place].zones)
                for place in places
                if place in regions.REGIONS
                for name in known
            ]
        },
    )


def _sku(name: str, family: str, cores: int, location: str, zonal: bool) -> dict[str, Any]:
    _, _, memory, disk, zones, quota = FAMILIES[family]
    zones = zones if zonal else ()
    capabilities = {
        "vCPUs": cores,
        "vCPUsAvailable": cores,
        "MemoryGB": cores * memory,
        "MaxResourceVolumeMB": cores * disk * 1024,
        "EphemeralOSDiskSupported": disk > 0,
        "CachedDiskBytes": cores * disk << 30 if disk else 0,
        "PremiumIO": True,
        "AcceleratedNetworkingEnabled": True,
        "EncryptionAtHostSupported": True,
        "CpuArchitectureType": "x64",
        "HyperVGenerations": "V1,V2",
    }
    restriction = {
        "type": "Location",
        "values": [location],
        "restrictionInfo": {"locations": [location], "zones": list(zones)},
        "reasonCode": "NotAvailableForSubscription",
    }
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.removeprefix("Standard_"),
        "family": family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": list(zones), "zoneDetails": []}],
        "capabilities": [{"name": key, "value": str(item)} for key, item in capabilities.items()],
        "restrictions": [] if quota else [restriction],
    }


def _usages(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Compute/locations/{location}/usages: vCPUs in use by the clusters' node pools."""
    ctx.rbac.require(request, "Microsoft.Compute/locations/usages/read", match["scope"])
    location = match["location"].lower()
    if location not in regions.REGIONS:
        raise AzureError(400, "LocationNotAvailable", f"The location '{match['location']}' has no compute here.")
    known = sizes()
    used = dict.fromkeys(FAMILIES, 0)
    machines = 0
    for cluster in ctx.store.list(type=CLUSTER):
        pools = (cluster.properties.get("agentPoolProfiles") or []) if cluster.location == location else []
        for pool in pools:
            count = int(pool.get("count") or 0)
            machines += count
            if pool.get("vmSize") in known:
                family, cores = known[pool["vmSize"]]
                used[family] += cores * count
    rows = [("cores", "Total Regional vCPUs", sum(used.values()), TOTAL_QUOTA)]
    rows += [
        ("virtualMachines", "Virtual Machines", machines, 25000),
        ("virtualMachineScaleSets", "Scale Sets", 0, 2500),
    ]
    rows += [(family, f"{family} vCPUs", used[family], FAMILIES[family][5]) for family in FAMILIES]
    value = [
        {"unit": "Count", "currentValue": current, "limit": limit, "name": {"value": name, "localizedValue": text}}
        for name, text, current, limit in rows
    ]
    return Response.json(200, {"value": value})


def _plan(ctx: Any, scope: str, name: str) -> dict[str, Any]:
    name = shapes.choice(name, _PLANS, "pricing")
    stored = ctx.store.table("defender-plans").get(name, {"pricingTier": "Free", "freeTrialRemainingTime": "P30D"})
    plan_id = f"{scope}/providers/Microsoft.Security/pricings/{name}"
    return {"id": plan_id, "name": name, "type": "Microsoft.Security/pricings", "properties": stored}


def _plans(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Security/pricings."""
    ctx.rbac.require(request, "Microsoft.Security/pricings/read", match["scope"])
    return Response.json(200, {"value": [_plan(ctx, match["scope"], name) for name in _PLANS]})


def _read_plan(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../Microsoft.Security/pricings/{plan}."""
    ctx.rbac.require(request, "Microsoft.Security/pricings/read", match["scope"])
    return Response.json(200, _plan(ctx, match["scope"], match["name"]))


def _put_plan(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """PUT .../Microsoft.Security/pricings/{plan}."""
    ctx.rbac.require(request, "Microsoft.Security/pricings/write", match["scope"])
    name = shapes.choice(match["name"], _PLANS, "pricing")
    wanted = request.json().get("properties") or {}
    tier = shapes.choice(wanted.get("pricingTier"), ("Free", "Standard"), "pricingTier")
    plan = {**wanted, "pricingTier": tier, "freeTrialRemainingTime": "P30D"}
    if tier == "Standard":
        plan["enablementTime"] = shapes.now()
    else:
        plan.pop("subPlan", None)
    ctx.store.table("defender-plans")[name] = plan
    return Response.json(200, _plan(ctx, match["scope"], name))


_SCOPE = r"(?P<scope>/subscriptions/[^/]+)"


class ComputeService(Service):
    """Questions about compute, and the subscription's Defender plans."""

    def __init__(self) -> None:
        super().__init__()
        self.arm_routes = [
            ("GET", rf"{_SCOPE}/providers/Microsoft\.Compute/skus", _skus),
            ("GET", rf"{_SCOPE}/providers/Microsoft\.Compute/locations/(?P<location>[^/]+)/usages", _usages),
            ("GET", rf"{_SCOPE}/providers/Microsoft\.Security/pricings", _plans),
            ("GET", rf"{_SCOPE}/providers/Microsoft\.Security/pricings/(?P<name>[^/]+)", _read_plan),
            ("PUT", rf"{_SCOPE}/providers/Microsoft\.Security/pricings/(?P<name>[^/]+)", _put_plan),
        ]
