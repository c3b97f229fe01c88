from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _telemetry
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

KEY = "11111111-2222-3333-4444-555555555555"


def component(**over):
    properties = {
        "ConnectionString": f"InstrumentationKey={KEY};IngestionEndpoint=https://weu-5.in.example.com/;LiveEndpoint=x",
        "WorkspaceResourceId": "/w",
        "DisableLocalAuth": True,
        **over,
    }
    return {"name": "appi", "properties": properties}


def test_target():
    assert _telemetry.target(component()) == (KEY, "https://weu-5.in.example.com", "/w", False)
    assert _telemetry.target(component(DisableLocalAuth=False)).local_authentication


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"ConnectionString": ""}, "no connection string"),
        ({"WorkspaceResourceId": None}, "classic"),
        ({"ConnectionString": f"InstrumentationKey={KEY};IngestionEndpoint=http://x/"}, "without TLS"),
    ],
)
def test_component_that_cannot_be_sent_to(over, words):
    with pytest.raises(AksPlatformError, match=words):
        _telemetry.target(component(**over))


def test_items_are_one_span_one_metric_one_log_of_one_operation():
    got = _telemetry.items(KEY, "op" * 16, "role")
    assert [item["data"]["baseType"] for item in got] == ["RequestData", "MetricData", "MessageData"]
    assert {item["tags"]["ai.operation.id"] for item in got} == {"op" * 16}
    assert all(item["time"].endswith("Z") and item["iKey"] == KEY for item in got)


def sent(status, answer):
    _telemetry.send(lambda *_: (status, answer), _telemetry.target(component()), "token", [])


def test_missing_role_and_partial_success_are_named():
    sent(200, {})
    with pytest.raises(AksPlatformError, match="Monitoring Metrics Publisher"):
        sent(403, {"errors": [{"message": "may not"}]})
    with pytest.raises(AksPlatformError, match=r"not all telemetry \(HTTP 206\): bad item"):
        sent(206, {"errors": [{"message": "bad item"}]})


def test_what_has_not_arrived_is_named():
    def post(url, _token, query):
        assert url == "https://api.loganalytics.io/v1/workspaces/cust/query"
        if query["query"].startswith("AppMetrics"):
            return 400, {"error": {"code": "BadArgumentError"}}
        rows = [[1]] if query["query"].startswith("AppRequests") else []
        return 200, {"tables": [{"rows": rows}]}

    assert _telemetry.missing(post, "cust", "token", "op") == ["metric", "log"]
    with pytest.raises(AksPlatformError, match="Log Analytics Reader"):
        _telemetry.missing(lambda *_: (403, "no"), "cust", "token", "op")


def test_other_tables_are_asked_by_their_own_column():
    asked = []

    def post(_url, _token, query):
        asked.append(query["query"])
        return 200, {"tables": [{"rows": [[1]]}]}

    assert _telemetry.missing(post, "cust", "token", "trace", {"span": "OTelSpans"}, "TraceId") == []
    assert asked == ["OTelSpans | where TraceId == 'trace' | take 1"]


def refused_times(number, error):
    left = [error] * number

    def attempt():
        if left:
            raise left.pop()

    return attempt, left


def test_a_role_that_is_not_known_yet_is_waited_for():
    error = _telemetry.SenderRefusedError("no role")
    attempt, left = refused_times(3, error)
    _telemetry.patiently(attempt, patience=5, interval=0)
    assert left == []
    attempt, left = refused_times(3, error)
    with pytest.raises(_telemetry.SenderRefusedError, match="no role"):
        _telemetry.patiently(attempt, patience=0, interval=0)
    assert len(left) == 2
    attempt, left = refused_times(3, AksPlatformError("broken"))
    with pytest.raises(AksPlatformError, match="broken"):
        _telemetry.patiently(attempt, patience=5, interval=0)
    assert len(left) == 2


def test_only_a_refusal_of_the_sender_is_waited_for():
    for status, kind in ((401, True), (403, True), (400, False), (206, False)):
        with pytest.raises(AksPlatformError) as caught:
            sent(status, {"errors": [{"message": "no"}]})
        assert isinstance(caught.value, _telemetry.SenderRefusedError) is kind
