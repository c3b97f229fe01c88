from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _agic_plan as plan

GROUP = "/subscriptions/s/resourceGroups/g"
SUBNET = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/gateway"


def gateway(tier="WAF_v2", state="Running"):
    return {
        "id": f"{GROUP}/providers/Microsoft.Network/applicationGateways/agw",
        "name": "agw",
        "identity": {"userAssignedIdentities": {"/b": {}, "/a": {}}},
        "properties": {
            "sku": {"tier": tier},
            "operationalState": state,
            "gatewayIPConfigurations": [{"properties": {"subnet": {"id": SUBNET}}}],
            "sslCertificates": [{"name": "shop"}],
        },
    }


def rule(priority, access, ports, source="GatewayManager", direction="Inbound", **over):
    key = "destinationPortRanges" if isinstance(ports, list) else "destinationPortRange"
    return {
        "name": f"r{priority}",
        "properties": {
            "priority": priority,
            "access": access,
            "direction": direction,
            "protocol": "Tcp",
            "sourceAddressPrefix": source,
            key: ports,
            **over,
        },
    }


DENY_ALL = rule(65500, "Deny", "*", "*", protocol="*")


def closed(*rules):
    group = {"name": "nsg", "properties": {"securityRules": list(rules), "defaultSecurityRules": [DENY_ALL]}}
    return bool(plan.problems(gateway(), None, group))


def test_facts():
    got = plan.facts(gateway())
    assert got["subnet_id"] == SUBNET
    assert got["resource_group_id"] == GROUP
    assert got["identity_ids"] == ["/a", "/b"]
    assert got["certificates"] == ["shop"]


@pytest.mark.parametrize(
    ("tier", "state", "words"), [("Standard", "Running", "needs"), ("WAF_v2", "Stopped", "start it")]
)
def test_gateway_that_cannot_serve(tier, state, words):
    (line,) = plan.problems(gateway(tier, state), None, None)
    assert words in line


def test_subnet_must_be_the_gateways_own():
    own = {"id": f"{GROUP}/providers/Microsoft.Network/applicationGateways/agw/gatewayIPConfigurations/x"}
    vm = {"id": f"{GROUP}/providers/Microsoft.Network/networkInterfaces/nic/ipConfigurations/x"}
    assert plan.problems(gateway(), {"name": "n", "properties": {"ipConfigurations": [own]}}, None) == []
    (line,) = plan.problems(gateway(), {"name": "n", "properties": {"ipConfigurations": [own, vm]}}, None)
    assert "networkInterfaces/nic" in line


@pytest.mark.parametrize(
    ("rules", "is_closed"),
    [
        ([], True),
        ([rule(100, "Allow", "65200-65535")], False),
        ([rule(100, "Allow", ["443", "65000-65535"])], False),
        ([rule(100, "Allow", "65200-65400"), rule(110, "Allow", ["65401-65535"])], False),
        ([rule(100, "Allow", "65200-65400")], True),
        ([rule(100, "Allow", "*", "Internet")], False),
        ([rule(100, "Allow", "65200-65535", "VirtualNetwork")], True),
        ([rule(100, "Allow", "65200-65535", direction="Outbound")], True),
        ([rule(90, "Deny", "*", "*"), rule(100, "Allow", "65200-65535")], True),
        ([rule(90, "Deny", "22", "*"), rule(100, "Allow", "65200-65535")], False),
        ([rule(100, "Allow", "65200-65535", protocol="Udp")], True),
    ],
)
def test_gateway_manager_must_get_in(rules, is_closed):
    assert closed(*rules) is is_closed


def pool(name, *servers):
    settings = [{"servers": [{"address": a, "health": h, "healthProbeLog": log} for a, h, log in servers]}]
    return {"backendAddressPool": {"id": f"x/{name}"}, "backendHttpSettingsCollection": settings}


def test_health_names_what_is_not_well():
    answer = {
        "backendAddressPools": [
            pool("defaultaddresspool"),
            pool("shop", ("10.0.0.1", "Healthy", ""), ("10.0.0.2", "Unhealthy", "HTTP 404\nfrom probe")),
            pool("empty"),
        ]
    }
    counts, lines = plan.health(answer)
    assert counts == {"Healthy": 1, "Unhealthy": 1}
    assert lines == ["pool shop: 10.0.0.2 is Unhealthy: HTTP 404 from probe", "pool empty has no server"]


def test_a_service_without_a_pod_is_named_by_its_settings():
    # AGIC sends such a rule to its default pool, which alone says nothing.
    entry = pool("defaultaddresspool")
    entry["backendHttpSettingsCollection"] = [
        {"backendHttpSettings": {"id": f"x/{name}"}, "servers": []}
        for name in ("defaulthttpsetting", "bp-shop-web-80-80-web")
    ]
    assert plan.health({"backendAddressPools": [pool("shop", ("10.0.0.1", "Healthy", "")), entry]}) == (
        {"Healthy": 1},
        ["the service behind bp-shop-web-80-80-web has no server: no pod of it has an address"],
    )


def secret(name):
    return f"https://kv-shop.vault.azure.net/secrets/{name}"


def with_certificates():
    found = gateway()
    found["etag"] = "e"
    found["tags"] = {"managed-by": "agic"}
    found["properties"]["httpListeners"] = [{"name": "fl-1"}]
    found["properties"]["sslCertificates"] = [
        {"name": "shop", "id": "x", "properties": {"keyVaultSecretId": secret("shop")}},
        {"name": "uploaded", "id": "y", "properties": {}},
    ]
    return found


def test_certificates_that_are_there_need_no_write():
    lines, *_ = plan.certificates(with_certificates(), [{"name": "shop", "secret_id": secret("SHOP") + "/"}])
    assert lines == []


def test_certificates_are_added_changed_and_removed_and_the_rest_stays():
    found = with_certificates()
    wanted = [
        {"name": "new", "secret_id": secret("new")},
        {"name": "shop", "secret_id": secret("other")},
        {"name": "gone", "state": "absent"},
    ]
    lines, body, before, after = plan.certificates(found, wanted)
    assert lines == [
        f"certificate new: added from {secret('new')}",
        f"certificate shop: {secret('shop')} -> {secret('other')}",
    ]
    assert body["tags"] == {"managed-by": "agic"}
    assert body["properties"]["httpListeners"] == [{"name": "fl-1"}]
    assert "etag" not in body
    names = [item["name"] for item in body["properties"]["sslCertificates"]]
    assert sorted(names) == ["new", "shop", "uploaded"]
    assert (set(before), set(after)) == ({"shop", "uploaded"}, {"shop", "uploaded", "new"})
    assert plan.certificates(found, [{"name": "shop", "state": "absent"}])[0] == ["certificate shop: removed"]
