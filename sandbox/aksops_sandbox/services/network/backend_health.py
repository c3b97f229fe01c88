"""The action `backendhealth` of an application gateway: which backends answer, as far as a sandbox can know.

There are no packets between the gateway and pods that kwok plays. A backend is healthy where it is the address of a pod
that its API server calls Ready, and nothing else answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes

_CLUSTER = "Microsoft.ContainerService/managedClusters"


def health(ctx: Any, gateway: Resource) -> dict[str, Any]:
    """The answer for a gateway. Raises AzureError 400 where it is stopped."""
    if gateway.properties.get("operationalState") == "Stopped":
        raise AzureError(
            400, "ApplicationGatewayStopped", f"Application gateway {gateway.name} is stopped: it probes no backends."
        )
    pools = {entry["id"].lower(): entry for entry in gateway.properties.get("backendAddressPools") or []}
    addresses = {
        str(item.get("ipAddress") or item.get("fqdn"))
        for pool in pools.values()
        for item in pool["properties"].get("backendAddresses") or []
    }
    ready = _pods(ctx) if addresses else {}
    found: dict[str, list[dict[str, Any]]] = {}
    for pool_id, settings_id in sorted(set(_pairs(gateway))):
        pool = pools.get(pool_id.lower())
        if pool is None:
            continue
        names = [item.get("ipAddress") or item.get("fqdn") for item in pool["properties"].get("backendAddresses") or []]
        servers = [_server(str(name), ready) for name in names]
        found.setdefault(pool["id"], []).append({"backendHttpSettings": {"id": settings_id}, "servers": servers})
    return {
        "backendAddressPools": [
            {"backendAddressPool": {"id": pool_id}, "backendHttpSettingsCollection": settings}
            for pool_id, settings in found.items()
        ]
    }


def _pairs(gateway: Resource) -> Iterator[tuple[str, str]]:
    """Pool and settings of every rule, by id."""
    places = [rule["properties"] for rule in gateway.properties.get("requestRoutingRules") or []]
    for path_map in gateway.properties.get("urlPathMaps") or []:
        properties = path_map["properties"]
        places.append(
            {
                "backendAddressPool": properties.get("defaultBackendAddressPool"),
                "backendHttpSettings": properties.get("defaultBackendHttpSettings"),
            }
        )
        places += [rule["properties"] for rule in properties.get("pathRules") or []]
    for place in places:
        pool, settings = shapes.dig(place, "backendAddressPool.id"), shapes.dig(place, "backendHttpSettings.id")
        if pool and settings:
            yield pool, settings


def _server(address: str, ready: dict[str, bool]) -> dict[str, Any]:
    if ready.get(address):
        return {"address": address, "health": "Healthy", "healthProbeLog": "Success. Received 200 status code"}
    reason = "the pod is not ready" if address in ready else "nothing answers at this address"
    return {"address": address, "health": "Unhealthy", "healthProbeLog": f"The probe failed: {reason}."}


def _pods(ctx: Any) -> dict[str, bool]:
    """Address of every pod of every running cluster -> whether it is Ready."""
    from aksops_sandbox.services.containerservice import ContainerService

    service, found = ctx.service(ContainerService), {}
    for cluster in ctx.store.list(type=_CLUSTER):
        if service.fleet.find(cluster.id) is None:
            continue
        for pod in service.client(cluster.id).list("/api/v1/pods"):
            status = pod.get("status") or {}
            conditions = {item["type"]: item["status"] for item in status.get("conditions") or []}
            for item in status.get("podIPs") or []:
                found[item["ip"]] = conditions.get("Ready") == "True"
    return found
