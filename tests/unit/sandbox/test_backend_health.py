"""Which backends of a gateway answer: pods that are Ready, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.services.network import backend_health

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationGateways/agw"


def pod(address, ready):
    return {"status": {"podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": str(ready)}]}}


def context(*pods):
    client = SimpleNamespace(list=lambda path: list(pods))
    service = SimpleNamespace(client=lambda cluster: client, fleet=SimpleNamespace(find=lambda cluster: object()))
    store = SimpleNamespace(list=lambda **_filter: [SimpleNamespace(id="cluster")])
    return SimpleNamespace(store=store, service=lambda kind: service)


def gateway(state="Running", **addresses):
    pools = [
        {
            "id": f"{ID}/backendAddressPools/{name}",
            "properties": {"backendAddresses": [{"ipAddress": ip} for ip in ips]},
        }
        for name, ips in addresses.items()
    ]
    settings = {"id": f"{ID}/backendHttpSettingsCollection/http"}
    places = [{"backendAddressPool": {"id": pool["id"].upper()}, "backendHttpSettings": settings} for pool in pools]
    properties = {
        "operationalState": state,
        "backendAddressPools": pools,
        "requestRoutingRules": [{"properties": place} for place in places[:1]],
        "urlPathMaps": [{"properties": {"pathRules": [{"properties": place} for place in places[1:]]}}],
    }
    return SimpleNamespace(id=ID, name="agw", properties=properties)


def servers(answer):
    return {
        server["address"]: server["health"]
        for pool in answer["backendAddressPools"]
        for settings in pool["backendHttpSettingsCollection"]
        for server in settings["servers"]
    }


def test_ready_pods_are_healthy_and_nothing_else_is():
    ctx = context(pod("10.0.0.1", True), pod("10.0.0.2", False))
    answer = backend_health.health(ctx, gateway(web=["10.0.0.1", "10.0.0.2"], other=["10.0.0.3"]))
    assert servers(answer) == {"10.0.0.1": "Healthy", "10.0.0.2": "Unhealthy", "10.0.0.3": "Unhealthy"}


def test_an_empty_pool_is_listed_without_servers():
    answer = backend_health.health(context(), gateway(empty=[]))
    assert [pool["backendHttpSettingsCollection"][0]["servers"] for pool in answer["backendAddressPools"]] == [[]]


def test_a_pool_that_no_rule_uses_is_not_probed():
    stray = gateway(web=["10.0.0.1"])
    stray.properties["requestRoutingRules"] = []
    assert backend_health.health(context(), stray) == {"backendAddressPools": []}


def test_a_stopped_gateway_probes_nothing():
    with pytest.raises(AzureError, match="is stopped"):
        backend_health.health(context(), gateway("Stopped"))
