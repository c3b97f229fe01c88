"""What SDKs ask of Application Insights and of the Logs query API."""

from __future__ import annotations

import json
import time

import pytest
from test_governance import AI, LA, PUBLISHER, WEST, assign, trace

MONITOR, LOGS = "https://monitor.azure.com", "https://api.loganalytics.io"


@pytest.fixture(scope="module")
def shop(client):
    """A component without keys, its workspace, and the right to send."""
    group = client.group("contract-logs")
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/shop"
    customer = client.arm("PUT", workspace, LA, WEST).json["properties"]["customerId"]
    path = f"{group}/providers/Microsoft.Insights/components/shop"
    properties = {
        "Application_Type": "web",
        "WorkspaceResourceId": client.subscription + workspace,
        "DisableLocalAuth": True,
    }
    made = client.arm("PUT", path, AI, {**WEST, "kind": "web", "properties": properties}).json["properties"]
    parts = dict(part.split("=", 1) for part in made["ConnectionString"].split(";"))
    return {"path": path, "workspace": workspace, "customer": customer, "parts": parts}


def envelope(key, kind, base, **more):
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = {"baseType": kind, "baseData": {"ver": 2, **base}}
    return {"name": kind, "time": moment, "iKey": key, "tags": {"ai.operation.id": "op-9"}, "data": data, **more}


def test_nobody_watches_live_metrics_and_only_senders_may_ask(client, shop):
    url = f"{shop['parts']['LiveEndpoint']}QuickPulseService.svc/ping?ikey="
    key = shop["parts"]["InstrumentationKey"]
    assert client.send("POST", url + key, {}).status == 401
    assert client.bearer("POST", url + key, {}, MONITOR).status == 403
    assign(client, shop["path"], PUBLISHER, "00000000-0000-0000-0000-0000000000e1")
    answer = client.bearer("POST", url + key, {}, MONITOR)
    assert (answer.status, answer.headers["x-ms-qps-subscribed"]) == (200, "false")
    assert client.bearer("POST", url + "unknown", {}, MONITOR).status == 400


def test_columns_are_azures_and_sampling_counts(client, shop):
    key = shop["parts"]["InstrumentationKey"]
    database = {"name": "SELECT", "type": "postgresql", "data": "select 1", "success": True, "duration": "0.00:00:00.5"}
    items = [
        envelope(key, "RemoteDependencyData", database, sampleRate=25.0),
        trace(key, "sent"),
        envelope(key, "MessageData", {"message": "word", "severityLevel": "Error"}),
    ]
    answer = client.bearer("POST", f"{shop['parts']['IngestionEndpoint']}v2.1/track", items, MONITOR)
    assert answer.json["itemsAccepted"] == 3
    text = "AppDependencies | where OperationId == 'op-9' | project Type, DependencyType, ItemCount, DurationMs"
    url = f"{LOGS}/v1/workspaces/{shop['customer']}/query"
    [table] = client.bearer("POST", url, {"query": text}, LOGS).json["tables"]
    assert table["rows"] == [["AppDependencies", "postgresql", 4, 500.0]]
    [table] = client.bearer(
        "POST", url, {"query": "AppTraces | where Message == 'sent' | project Properties"}, LOGS
    ).json["tables"]
    assert table["columns"] == [{"name": "Properties", "type": "dynamic"}]
    assert json.loads(table["rows"][0][0]) == {"run": "7"}
    levels = {"query": "AppTraces | order by SeverityLevel asc | project SeverityLevel"}
    assert client.bearer("POST", url, levels, LOGS).json["tables"][0]["rows"] == [[1], [3]]
    nothing = {"query": "AppTraces | where Message == 'no' | project Message", "timespan": "PT1H"}
    [table] = client.bearer("POST", url, nothing, LOGS).json["tables"]
    assert ([item["name"] for item in table["columns"]], table["rows"]) == (["Message"], [])


def test_a_query_may_name_a_resource_or_come_in_a_batch(client, shop):
    text = {"query": "AppTraces | count"}
    for path in (shop["path"], shop["workspace"]):
        answer = client.bearer("POST", f"{LOGS}/v1{client.subscription}{path}/query", text, LOGS)
        assert answer.json["tables"][0]["rows"] == [[2]]
    asked = [
        {"id": name, "method": "POST", "path": "/query", "workspace": customer, "body": {"query": query}}
        for name, customer, query in (
            ("a", shop["customer"], text["query"]),
            ("b", shop["customer"], "Nonesuch | count"),
            ("c", "00000000-0000-0000-0000-000000000000", text["query"]),
        )
    ]
    answers = client.bearer("POST", f"{LOGS}/v1/$batch", {"requests": asked}, LOGS).json["responses"]
    assert [(item["id"], item["status"]) for item in answers][:2] == [("a", 200), ("b", 400)]
    assert answers[2]["status"] in {403, 404}
    assert answers[0]["body"]["tables"][0]["rows"] == [[2]]
    more = {**text, "workspaces": [client.subscription + shop["workspace"]]}
    assert client.bearer("POST", f"{LOGS}/v1/workspaces/{shop['customer']}/query", more, LOGS).status == 501
    statistics = client.send(
        "POST",
        f"{LOGS}/v1/workspaces/{shop['customer']}/query",
        text,
        {"Authorization": f"Bearer {client.token(LOGS)}", "Prefer": "wait=30,include-statistics=true"},
    )
    assert statistics.json["statistics"]["query"]["datasetStatistics"][0]["tableRowCount"] == 1
