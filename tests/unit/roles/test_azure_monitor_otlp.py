"""What role azure_monitor makes of the mode native_otlp: ARM resources, and the collector's objects."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from support import manifests
from support.inputs import OTLP, ROLES

INSIGHTS = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Insights"


def role(mode: str, **given: Any) -> manifests.Role:
    facts = OTLP if mode == "native_otlp" else {}
    return manifests.Role(
        "azure_monitor",
        **{
            **ROLES["azure_monitor"],
            **facts,
            "azure_monitor_telemetry_mode": mode,
            "azure_monitor_application_insights_id": f"{INSIGHTS}/components/appi",
            **given,
        },
    )


def resources(mode: str, **given: Any) -> dict[str, Any]:
    made = role(mode, **given).value("__azure_monitor_resources")
    return {item["id"].rsplit("/", 2)[-2] + "/" + item["id"].rsplit("/", 1)[-1]: item for item in made}


def collector(mode: str) -> dict[str, Any]:
    objects = {
        item["kind"]: item
        for item in role(mode).objects()
        if item["metadata"]["name"] != "container-azm-ms-agentconfig"
    }
    if mode == "native_otlp":
        assert "Secret" not in objects
    return objects


def configuration(mode: str) -> dict[str, Any]:
    return yaml.safe_load(collector(mode)["ConfigMap"]["data"]["collector.yaml"])


def test_the_collector_sends_by_otlp_as_its_identity():
    found = configuration("native_otlp")
    [exporter] = found["exporters"].values()
    base = "https://d.weu-1.{}ingest.monitor.azure.com/dataCollectionRules/dcr-1/streams/"
    assert exporter == {
        "traces_endpoint": base.format("") + "Microsoft-OTLP-Traces/otlp/v1/traces",
        "logs_endpoint": base.format("") + "Microsoft-OTLP-Logs/otlp/v1/logs",
        "metrics_endpoint": base.format("metrics.") + "Custom-Metrics-Otel/otlp/v1/metrics",
        "auth": {"authenticator": "azure_auth"},
    }
    assert found["extensions"]["azure_auth"]["scopes"] == ["https://monitor.azure.com/.default"]
    assert found["extensions"]["azure_auth"]["workload_identity"]["client_id"] == "${env:AZURE_CLIENT_ID}"
    assert found["service"]["extensions"] == ["health_check", "azure_auth"]
    for name, pipeline in found["service"]["pipelines"].items():
        assert pipeline["exporters"] == ["otlp_http/azuremonitor"]
        assert ("cumulativetodelta" in pipeline["processors"]) is (name == "metrics")
        assert set(pipeline["processors"]) <= set(found["processors"])
    objects = collector("native_otlp")
    assert objects["ServiceAccount"]["metadata"]["annotations"] == {"azure.workload.identity/client-id": "client"}
    pod = objects["Deployment"]["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert [item["name"] for item in pod["spec"]["containers"][0]["env"]] == ["GOMEMLIMIT"]
    assert objects["Deployment"]["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/name": "otel-collector"}}


def test_the_collector_with_a_connection_string_is_as_it_was():
    found = configuration("collector")
    assert found["exporters"] == {"azuremonitor": {"connection_string": "${env:APPLICATIONINSIGHTS_CONNECTION_STRING}"}}
    assert found["service"]["extensions"] == list(found["extensions"]) == ["health_check"]
    assert all(item["exporters"] == ["azuremonitor"] for item in found["service"]["pipelines"].values())
    assert found["processors"]["probabilistic_sampler"] == {"sampling_percentage": 100.0}
    assert "cumulativetodelta" not in found["processors"]
    assert "Secret" in collector("collector")


def test_the_rule_takes_every_signal_and_lets_it_flow():
    made = resources("native_otlp")
    rule = made["dataCollectionRules/otlp-aks-shop"]
    assert (rule["state"], rule["api_version"]) == ("present", "2024-03-11")
    properties = rule["body"]["properties"]
    taken = [item for items in properties["directDataSources"].values() for entry in items for item in entry["streams"]]
    assert sorted(taken) == sorted(item for flow in properties["dataFlows"] for item in flow["streams"])
    [reference] = properties["references"]["applicationInsights"]
    assert reference["resourceId"] == f"{INSIGHTS}/components/appi"
    for source in properties["directDataSources"].values():
        assert source[0]["enrichWithReference"] == reference["name"]
    assert "replaceResourceIdWithReference" not in properties["directDataSources"]["otelMetrics"][0]
    assert made["dataCollectionEndpoints/otlp-aks-shop"]["state"] == "present"
    assert made["userAssignedIdentities/id-otel-collector-aks-shop"]["state"] == "present"
    # What the rule rests on comes before it.
    order = list(made)
    assert order.index("accounts/amw-aks-shop") < order.index("dataCollectionRules/otlp-aks-shop")
    assert order.index("dataCollectionEndpoints/otlp-aks-shop") < order.index("dataCollectionRules/otlp-aks-shop")


@pytest.mark.parametrize(("mode", "off"), [("direct", True), ("collector", False), ("native_otlp", True)])
def test_only_a_mode_without_entra_turns_keys_on(mode, off):
    assert resources(mode)["components/appi"]["body"]["properties"]["DisableLocalAuth"] is off


@pytest.mark.parametrize("mode", ["direct", "collector"])
def test_other_modes_take_the_rule_away(mode):
    made = resources(mode)
    for name in (
        "dataCollectionRules/otlp-aks-shop",
        "dataCollectionEndpoints/otlp-aks-shop",
        "userAssignedIdentities/id-otel-collector-aks-shop",
    ):
        assert made[name]["state"] == "absent"


def test_a_given_identity_is_neither_made_nor_removed_but_its_credential_is_taken_back():
    identity = "/subscriptions/s/resourceGroups/x/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mine"
    given = {"azure_monitor_collector_identity_id": identity}
    credential = "federatedIdentityCredentials/aks-shop-otel-collector"
    made = resources("native_otlp", **given)
    assert made["userAssignedIdentities/id-otel-collector-aks-shop"]["state"] == "absent"
    assert credential not in made
    assert "userAssignedIdentities/mine" not in resources("direct", **given)
    assert resources("direct", **given)[credential]["state"] == "absent"
    assert resources("native_otlp", **given, azure_monitor_state="absent")[credential]["state"] == "absent"


def test_long_names_fit():
    cluster = ROLES["azure_monitor"]["azure_monitor_cluster_id"] + "-" + "x" * 50
    endpoint = role("native_otlp", azure_monitor_cluster_id=cluster).value("__azure_monitor_otlp_endpoint")
    assert len(endpoint.rsplit("/", 1)[-1]) == 44


def test_what_is_removed_is_known_without_facts():
    given = {"azure_monitor_telemetry_mode": "native_otlp", "azure_monitor_state": "absent"}
    gone = manifests.Role("azure_monitor", **{**ROLES["azure_monitor"], **given}).value(
        "__azure_monitor_collector_objects"
    )
    assert {item["kind"] for item in gone} >= {"Namespace", "Deployment", "ConfigMap", "ServiceAccount"}
    made = resources("native_otlp", azure_monitor_state="absent")
    assert made["dataCollectionRules/otlp-aks-shop"]["state"] == "absent"
    assert made["userAssignedIdentities/id-otel-collector-aks-shop"]["state"] == "absent"


@pytest.mark.parametrize(
    ("mode", "made", "left"),
    [
        ("direct", {"action": "delete", "id": f"{INSIGHTS}/dataCollectionRules/otlp-aks-shop"}, True),
        ("direct", {"action": "none", "id": f"{INSIGHTS}/dataCollectionRules/otlp-aks-shop"}, False),
        (
            "native_otlp",
            {"action": "update", "id": f"{INSIGHTS}/components/appi", "differences": ["properties.DisableLocalAuth"]},
            True,
        ),
    ],
)
def test_what_a_mode_that_was_has_left_is_seen(mode, made, left):
    found = role(mode, __azure_monitor_made={"resources": [{"differences": [], **made}]})
    assert found.value("__azure_monitor_mode_left") is left
    kinds = {item["kind"] for item in found.value("__azure_monitor_collector_left")}
    assert kinds == {"Secret"} if mode == "native_otlp" else "Deployment" in kinds


def test_a_role_given_by_this_run_is_waited_for():
    assignment = {
        "action": "create",
        "id": f"{INSIGHTS}/components/appi/providers/Microsoft.Authorization/roleAssignments/1",
    }
    other = {"action": "create", "id": f"{INSIGHTS}/components/appi"}
    for given, new in (
        ({}, False),
        ({"__azure_monitor_made": {"resources": [other]}}, False),
        ({"__azure_monitor_made": {"resources": [assignment]}}, True),
        (
            {"__azure_monitor_made": {"resources": [other]}, "__azure_monitor_otlp_let": {"resources": [assignment]}},
            True,
        ),
        ({"__azure_monitor_otlp_let": {"skipped": True}}, False),
    ):
        assert role("native_otlp", **given).value("__azure_monitor_role_is_new") is new
