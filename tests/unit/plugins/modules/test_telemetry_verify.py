from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _otlp, _telemetry
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.modules import telemetry_verify

RULE = {
    "name": "dcr",
    "properties": {
        "immutableId": "dcr-1",
        "dataCollectionEndpointId": "/dce",
        "directDataSources": {source: [{"streams": [source]}] for source, _path in _otlp.SIGNALS.values()},
        "destinations": {"logAnalytics": [{"workspaceResourceId": "/workspace"}]},
        "dataFlows": [{"streams": [source], "destinations": ["x"]} for source, _path in _otlp.SIGNALS.values()],
    },
}
AZURE = {
    "/appi": {
        "name": "appi",
        "properties": {
            "ConnectionString": "InstrumentationKey=k-k;IngestionEndpoint=https://in.example/",
            "WorkspaceResourceId": "/workspace",
            "DisableLocalAuth": True,
        },
    },
    "/workspace": {"properties": {"customerId": "customer"}},
    "/dcr": RULE,
    "/dce": {
        "name": "dce",
        "properties": {
            "logsIngestion": {"endpoint": "https://logs.example"},
            "metricsIngestion": {"endpoint": "https://metrics.example"},
        },
    },
}


@pytest.fixture
def posted(monkeypatch):
    """Every POST; refuses what is sent as often as `refusals` says."""
    found = SimpleNamespace(sent=[], asked=[], refusals=0)

    def send(url, _token, body):
        if found.refusals:
            found.refusals -= 1
            return 403, {"error": {"message": "may not"}}
        found.sent.append(url)
        return 200, {}

    def post_json(url, token, body):
        if url.startswith(_telemetry.QUERY_ENDPOINT):
            found.asked.append(body["query"].split(" ")[0])
            return 200, {"tables": [{"rows": [[1]]}]}
        return send(url, token, body)

    arm = SimpleNamespace(get=lambda path, _version: AZURE.get(path))
    credential = SimpleNamespace(get_token=lambda scope: SimpleNamespace(token=scope))
    monkeypatch.setattr(telemetry_verify._auth, "credential", lambda _params: credential)
    monkeypatch.setattr(telemetry_verify._auth, "arm_endpoint", lambda _params: "https://arm.example")
    monkeypatch.setattr(telemetry_verify._arm, "ArmClient", lambda *_args, **_more: arm)
    monkeypatch.setattr(_telemetry, "post_json", post_json)
    monkeypatch.setattr(_telemetry, "post_protobuf", send)
    return found


def run(check_mode=False, **params):
    given = {
        "application_insights_id": "/appi",
        "data_collection_rule_id": None,
        "allow_local_authentication": False,
        "role_timeout": 0,
        "wait_timeout": 1,
        "wait_sleep": 0,
        **params,
    }
    module = SimpleNamespace(params=given, check_mode=check_mode, debug=lambda _text: None)
    return telemetry_verify.run(module)


def test_a_service_sends_to_application_insights(posted):
    result = run()
    assert posted.sent == ["https://in.example/v2.1/track"]
    assert posted.asked == ["AppRequests", "AppMetrics", "AppTraces"]
    assert (result["changed"], result["found"]) == (False, ["span", "metric", "log"])


def test_a_collector_sends_to_the_rule(posted):
    result = run(data_collection_rule_id="/dcr")
    assert [url.rsplit("/", 1)[1] for url in posted.sent] == ["traces", "metrics", "logs"]
    assert posted.asked == ["OTelSpans", "OTelLogs"]
    assert result["found"] == ["span", "log"]


@pytest.mark.parametrize("rule", [None, "/dcr"])
def test_a_new_role_is_waited_for_only_where_that_is_asked(posted, rule):
    posted.refusals = 2
    assert run(data_collection_rule_id=rule, role_timeout=5)["operation_id"]
    posted.refusals = 2
    with pytest.raises(AksPlatformError, match="needs the role Monitoring Metrics Publisher"):
        run(data_collection_rule_id=rule)


def test_check_mode_sends_nothing(posted):
    assert run(check_mode=True, data_collection_rule_id="/dcr")["operation_id"] == ""
    assert posted.sent == posted.asked == []


def test_a_rule_that_is_not_there_is_named(posted):
    with pytest.raises(AksPlatformError, match="There is no /gone"):
        run(data_collection_rule_id="/gone")
