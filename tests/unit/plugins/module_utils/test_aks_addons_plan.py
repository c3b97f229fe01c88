from __future__ import annotations

import copy

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _aks_addons_plan as addons
from hypothesis import given
from hypothesis import strategies as st

GATEWAY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationGateways/agw"
WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/law"


def cluster(**properties):
    return {
        "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks",
        "name": "aks",
        "type": "Microsoft.ContainerService/managedClusters",
        "location": "westeurope",
        "eTag": "e1",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {}},
        "sku": {"name": "Base", "tier": "Standard"},
        "tags": {"owner": "shop"},
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": "Running"},
            "fqdn": "x.hcp.westeurope.azmk8s.io",
            "unheardOf": {"future": True},
            "agentPoolProfiles": [
                {
                    "name": "system",
                    "mode": "System",
                    "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"],
                    "eTag": "p1",
                },
                {"name": "user", "mode": "User", "osType": "Linux", "nodeImageVersion": "v1"},
            ],
            "networkProfile": {"podCidr": "10.244.0.0/16"},
            **properties,
        },
    }


def test_nothing_told_is_nothing_done():
    assert addons.plan(cluster(), {}).body is None
    assert addons.plan(cluster(), {"azure_policy": None}).changes == []


def test_many_features_go_into_one_body_and_everything_else_stays():
    before = cluster(addonProfiles={"httpApplicationRouting": {"enabled": False}})
    kept = copy.deepcopy(before)
    got = addons.plan(
        before,
        {
            "keyvault_secrets_provider": {"enabled": True, "rotation": True, "rotation_interval": "2m"},
            "oms_agent": {"enabled": True, "workspace_id": WORKSPACE},
            "managed_prometheus": {"enabled": True},
            "gateway_api": {"enabled": True},
            "app_routing": {"enabled": True, "istio": True},
        },
    )
    assert before == kept
    properties = got.body["properties"]
    assert properties["addonProfiles"] == {
        "httpApplicationRouting": {"enabled": False},
        "azureKeyvaultSecretsProvider": {
            "enabled": True,
            "config": {"enableSecretRotation": "true", "rotationPollInterval": "2m"},
        },
        "omsagent": {
            "enabled": True,
            "config": {"useAADAuth": "true", "logAnalyticsWorkspaceResourceID": WORKSPACE},
        },
    }
    assert properties["ingressProfile"]["gatewayAPI"] == {"installation": "Standard"}
    assert properties["ingressProfile"]["webAppRouting"]["gatewayAPIImplementations"] == {
        "appRoutingIstio": {"mode": "Enabled"}
    }
    assert properties["unheardOf"] == {"future": True}
    assert got.body["tags"] == {"owner": "shop"}
    assert "keyvault_secrets_provider.enabled: off -> on" in got.changes


def test_body_carries_nothing_that_only_the_service_writes():
    profiles = {"azurepolicy": {"enabled": True, "identity": {"clientId": "c"}}}
    body = addons.plan(cluster(addonProfiles=profiles), {"app_monitoring": {"enabled": True}}).body
    assert not {"id", "name", "type", "eTag", "systemData"} & set(body)
    assert not {"provisioningState", "powerState", "fqdn"} & set(body["properties"])
    assert body["properties"]["addonProfiles"]["azurepolicy"] == {"enabled": True}
    assert [set(pool) & {"eTag", "nodeImageVersion"} for pool in body["properties"]["agentPoolProfiles"]] == [
        set(),
        set(),
    ]


def test_other_spellings_of_keys_and_ids_are_the_same_thing():
    profiles = {"omsAgent": {"enabled": True, "config": {"loganalyticsworkspaceresourceid": WORKSPACE.upper()}}}
    assert addons.plan(cluster(addonProfiles=profiles), {"oms_agent": {"workspace_id": WORKSPACE}}).changes == []


def test_a_setting_that_is_not_given_is_not_reset():
    profiles = {
        "azureKeyvaultSecretsProvider": {
            "enabled": True,
            "config": {"enableSecretRotation": "true", "rotationPollInterval": "30s"},
        }
    }
    got = addons.plan(cluster(addonProfiles=profiles), {"keyvault_secrets_provider": {"rotation": False}})
    assert got.changes == ["keyvault_secrets_provider.rotation: on -> off"]
    assert got.body["properties"]["addonProfiles"]["azureKeyvaultSecretsProvider"]["config"] == {
        "enableSecretRotation": "false",
        "rotationPollInterval": "30s",
    }


def zone(name, group="dns", kind="dnsZones"):
    return f"/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Network/{kind}/{name}.example"


@pytest.mark.parametrize("feature", addons.FEATURES)
def test_off_where_there_is_nothing_needs_no_write(feature):
    assert addons.plan(cluster(), {feature: {"enabled": False}}).body is None


@pytest.mark.parametrize(
    ("properties", "wish", "words"),
    [
        ({}, {"ingress_application_gateway": {}}, "needs gateway_id"),
        ({}, {"ingress_application_gateway": {"gateway_id": WORKSPACE}}, "not the id of a Microsoft.Network"),
        (
            {"networkProfile": {"podCidr": "172.30.128.0/17"}},
            {"ingress_application_gateway": {"gateway_id": GATEWAY}},
            "172.30.0.0/16",
        ),
        (
            {"agentPoolProfiles": [{"name": "sys", "nodeTaints": ["CriticalAddonsOnly=true:NoSchedule"]}]},
            {"ingress_application_gateway": {"gateway_id": GATEWAY}},
            "without a taint",
        ),
        ({"networkProfile": {"podLinkLocalAccess": "None"}}, {"azure_policy": {}}, "instance metadata"),
        ({}, {"oms_agent": {}}, "needs workspace_id"),
        ({}, {"keyvault_secrets_provider": {"rotation_interval": "soon"}}, "not a duration"),
        ({}, {"app_routing": {"istio": True}}, "needs gateway_api"),
        (
            {"serviceMeshProfile": {"mode": "Istio"}},
            {"app_routing": {"istio": True}, "gateway_api": {}},
            "service mesh",
        ),
        (
            {
                "ingressProfile": {
                    "gatewayAPI": {"installation": "Standard"},
                    "webAppRouting": {
                        "enabled": True,
                        "gatewayAPIImplementations": {"appRoutingIstio": {"mode": "Enabled"}},
                    },
                }
            },
            {"gateway_api": {"enabled": False}},
            "needs gateway_api",
        ),
        ({"powerState": {"code": "Stopped"}}, {"azure_policy": {}}, "stopped"),
        ({}, {"app_routing": {"dns_zone_ids": [WORKSPACE]}}, "not the id of a DNS zone"),
        ({}, {"app_routing": {"dns_zone_ids": [zone("a"), zone("b", "other")]}}, "must lie in one resource group"),
        ({}, {"app_routing": {"dns_zone_ids": [zone(f"z{number}") for number in range(6)]}}, "AKS takes five"),
    ],
)
def test_what_aks_refuses_is_named(properties, wish, words):
    got = addons.refusals(cluster(**properties), wish)
    assert len(got) == 1
    assert words in got[0]


def test_a_cluster_with_a_service_principal_is_refused_what_needs_an_identity():
    wish = {"managed_prometheus": {}, "oms_agent": {"workspace_id": WORKSPACE, "entra_auth": True}}
    for identity in ({"type": "None"}, None):
        got = addons.refusals({**cluster(), "identity": identity}, wish)
        assert [line.split(" ", 1)[0] for line in got] == ["oms_agent.entra_auth", "managed_prometheus"]


def test_a_good_wish_is_not_refused():
    wish = {
        "ingress_application_gateway": {"enabled": True, "gateway_id": GATEWAY},
        "oms_agent": {"enabled": True, "workspace_id": WORKSPACE, "entra_auth": True},
        "gateway_api": {"enabled": True},
        "app_routing": {"enabled": True, "istio": True},
        "keyvault_secrets_provider": {"rotation_interval": "1h30m"},
    }
    assert addons.refusals(cluster(), wish) == []


def test_describe_shows_identities_of_enabled_addons_only():
    identity = {"clientId": "c", "objectId": "o", "resourceId": "r"}
    profiles = {
        "azurepolicy": {"enabled": True, "identity": identity},
        "ingressApplicationGateway": {"enabled": False, "identity": identity},
    }
    got = addons.describe(cluster(addonProfiles=profiles))
    assert got["azure_policy"]["identity"] == {"client_id": "c", "object_id": "o", "resource_id": "r"}
    assert "identity" not in got["ingress_application_gateway"]
    assert got["oms_agent"]["enabled"] is False


SETTINGS = {
    "keyvault_secrets_provider": {"rotation": st.booleans(), "rotation_interval": st.sampled_from(["2m", "1h"])},
    "ingress_application_gateway": {"gateway_id": st.just(GATEWAY)},
    "azure_policy": {},
    "oms_agent": {"workspace_id": st.just(WORKSPACE), "entra_auth": st.booleans()},
    "managed_prometheus": {"labels_allowed": st.sampled_from(["", "pods=[app]"]), "control_plane": st.booleans()},
    "app_monitoring": {},
    "gateway_api": {},
    "app_routing": {"istio": st.booleans(), "dns_zone_ids": st.lists(st.sampled_from(["/a", "/b"]), unique=True)},
}


@st.composite
def wishes(draw):
    wish = {}
    for feature in draw(st.sets(st.sampled_from(addons.FEATURES))):
        settings = {"enabled": draw(st.booleans())}
        for name, values in SETTINGS[feature].items():
            settings[name] = draw(st.none() | values)
        wish[feature] = settings
    return wish


@given(first=wishes(), second=wishes())
def test_a_plan_carried_out_leaves_nothing_to_do_and_touches_only_what_was_told(first, second):
    start = cluster()
    for wish in (first, second):
        got = addons.plan(start, wish)
        assert (got.body is None) == (got.before == got.after) == (not got.changes)
        if got.body is None:
            continue
        body = got.body
        again = addons.plan(body, wish)
        assert again.changes == []
        for feature in set(addons.FEATURES) - set(wish):
            assert addons.feature_state(body, feature) == addons.feature_state(start, feature)
        untouched = {"addonProfiles", "azureMonitorProfile", "ingressProfile"}
        stripped = addons.without_read_only(start)["properties"]
        assert {k: v for k, v in body["properties"].items() if k not in untouched} == {
            k: v for k, v in stripped.items() if k not in untouched
        }
        start = body
