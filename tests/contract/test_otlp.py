"""Azure Monitor's own OTLP endpoints: what they take, refuse and keep."""

from __future__ import annotations

import gzip
import json
import time
import uuid

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

LA = "2025-07-01"
RULE = "2024-03-11"
ENDPOINT = "2023-03-11"
REGION = {"location": "westus2"}
PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
MONITOR = "https://monitor.azure.com"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
TRACES = ["Microsoft-OTel-Traces-Spans", "Microsoft-OTel-Traces-Events", "Microsoft-OTel-Traces-Resources"]
LOGS = ["Microsoft-OTel-Logs"]
METRICS = ["Custom-Metrics-Otel"]
TRACE, SPAN, PARENT = (uuid.uuid4().bytes, uuid.uuid4().bytes[:8], uuid.uuid4().bytes[:8])
NOW = time.time_ns()


def source(name, streams, **more):
    return [
        {"name": name, "streams": streams, "enrichWithResourceAttributes": ["*"], "enrichWithReference": "app", **more}
    ]


@pytest.fixture(scope="module")
def place(client):
    """A rule with its endpoint, workspace, component and metrics' workspace; nobody may send to it yet."""
    providers = f"{client.subscription}{client.group('contract-otlp')}/providers"
    workspace = f"{providers}/Microsoft.OperationalInsights/workspaces/contract-otlp"
    component = f"{providers}/Microsoft.Insights/components/contract-otlp"
    account = f"{providers}/Microsoft.Monitor/accounts/contract-otlp"
    endpoint = f"{providers}/Microsoft.Insights/dataCollectionEndpoints/contract-otlp"
    client.arm("PUT", workspace, LA, REGION)
    client.arm(
        "PUT", component, "2020-02-02", {**REGION, "kind": "web", "properties": {"WorkspaceResourceId": workspace}}
    )
    client.arm("PUT", account, "2023-04-03", REGION)
    made = client.arm("PUT", endpoint, ENDPOINT, REGION).json["properties"]
    replaced = {"replaceResourceIdWithReference": True}
    properties = {
        "dataCollectionEndpointId": endpoint,
        "references": {"applicationInsights": [{"name": "app", "resourceId": component}]},
        "directDataSources": {
            "otelTraces": source("traces", TRACES, **replaced),
            "otelLogs": source("logs", LOGS, **replaced),
            "otelMetrics": source("metrics", METRICS),
        },
        "destinations": {
            "logAnalytics": [{"name": "la", "workspaceResourceId": workspace}],
            "monitoringAccounts": [{"name": "amw", "accountResourceId": account}],
        },
        "dataFlows": [
            {"streams": [*TRACES, *LOGS], "destinations": ["la"]},
            {"streams": METRICS, "destinations": ["amw"]},
        ],
    }
    rule = f"{providers}/Microsoft.Insights/dataCollectionRules/contract-otlp"
    answer = client.arm("PUT", rule, RULE, {**REGION, "properties": properties})
    assert answer.status in {200, 201}, answer.body
    base = f"dataCollectionRules/{answer.json['properties']['immutableId']}/streams"
    logs, metrics = (made[name]["endpoint"] for name in ("logsIngestion", "metricsIngestion"))
    return {
        "rule": rule,
        "properties": properties,
        "component": component,
        "logs_host": logs,
        "base": base,
        "traces": f"{logs}/{base}/Microsoft-OTLP-Traces/otlp/v1/traces",
        "logs": f"{logs}/{base}/Microsoft-OTLP-Logs/otlp/v1/logs",
        "metrics": f"{metrics}/{base}/Custom-Metrics-Otel/otlp/v1/metrics",
        "customer": client.arm("GET", workspace, LA).json["properties"]["customerId"],
        "app": client.arm("GET", component, "2020-02-02").json["properties"]["AppId"],
    }


def attribute(pairs, key, value):
    pairs.add(key=key).value.string_value = value


def traces():
    content = ExportTraceServiceRequest()
    group = content.resource_spans.add()
    attribute(group.resource.attributes, "service.name", "cart")
    attribute(group.resource.attributes, "service.namespace", "shop")
    attribute(group.resource.attributes, "k8s.pod.name", "cart-1")
    scope = group.scope_spans.add()
    scope.scope.name = "contract"
    span = scope.spans.add(
        trace_id=TRACE, span_id=SPAN, parent_span_id=PARENT, name="GET /cart", kind=2, start_time_unix_nano=NOW
    )
    span.end_time_unix_nano = NOW + 2_500_000
    span.status.code = 2
    span.status.message = "broken"
    span.attributes.add(key="http.response.status_code").value.int_value = 500
    event = span.events.add(name="exception", time_unix_nano=NOW)
    attribute(event.attributes, "exception.type", "KeyError")
    return content.SerializeToString()


def logs():
    content = ExportLogsServiceRequest()
    record = (
        content.resource_logs.add()
        .scope_logs.add()
        .log_records.add(trace_id=TRACE, span_id=SPAN, time_unix_nano=NOW, severity_number=17, severity_text="ERROR")
    )
    record.body.string_value = "no such cart"
    return content.SerializeToString()


def metrics():
    content = ExportMetricsServiceRequest()
    metric = content.resource_metrics.add().scope_metrics.add().metrics.add(name="carts")
    metric.gauge.data_points.add(time_unix_nano=NOW, as_int=3)
    return content.SerializeToString()


def send(client, url, body, headers=PROTOBUF, audience=MONITOR):
    return client.send("POST", url, body, {"Authorization": f"Bearer {client.token(audience)}", **headers})


def test_the_sender_needs_the_role_on_the_rule_itself(client, place):
    assert client.send("POST", place["traces"], traces(), PROTOBUF).status == 401
    assert send(client, place["traces"], traces(), audience="https://management.azure.com").status == 401
    assign(client, place["component"], "00000000-0000-0000-0000-0000000000e1")
    refused = send(client, place["traces"], traces())
    assert (refused.status, refused.code) == (403, "OperationFailed")
    assign(client, place["rule"], "00000000-0000-0000-0000-0000000000e2")
    answer = send(client, place["traces"], traces())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-protobuf")
    assert not ExportTraceServiceResponse.FromString(answer.body).HasField("partial_success")


def assign(client, scope, name):
    definition = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{PUBLISHER}"
    body = {"properties": {"principalId": client.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": definition}}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert client.arm("PUT", path, "2022-04-01", body).status in {200, 201}


def rows(client, place, query):
    url = f"https://api.loganalytics.io/v1/workspaces/{place['customer']}/query"
    answer = client.bearer("POST", url, {"query": query, "timespan": "PT1H"}, "https://api.loganalytics.io")
    assert answer.status == 200, answer.body
    return answer.json["tables"][0]["rows"]


def test_spans_events_resources_and_logs_are_found(client, place):
    zipped = {**PROTOBUF, "Content-Encoding": "gzip"}
    assert send(client, place["logs"], gzip.compress(logs()), zipped).status == 200
    where = f"where TraceId == '{TRACE.hex()}'"
    columns = "Name, Kind, DurationMs, StatusCode, StatusMessage, Success, RoleName, K8sPodName, SpanId, ParentSpanId"
    assert rows(client, place, f"OTelSpans | {where} | project {columns}") == [
        ["GET /cart", "Server", 2.5, "Error", "broken", False, "shop.cart", "cart-1", SPAN.hex(), PARENT.hex()]
    ]
    [[attributes, resource, owner]] = rows(
        client, place, f"OTelSpans | {where} | project Attributes, ResourceAttributes, _ResourceId"
    )
    # The service hands dynamic values over as texts.
    assert json.loads(attributes) == {"http.response.status_code": 500}
    assert json.loads(resource)["service.name"] == "cart"
    assert owner == place["component"].lower()
    assert rows(client, place, f"OTelEvents | {where} | project Name, ExceptionType, SpanId") == [
        ["exception", "KeyError", SPAN.hex()]
    ]
    assert rows(client, place, "OTelResources | project ServiceName") == [["cart"]]
    assert rows(client, place, f"OTelLogs | {where} | project Body, SeverityNumber, SeverityText, SpanId") == [
        ["no such cart", 17, "ERROR", SPAN.hex()]
    ]
    # The component that the rule refers to owns the rows.
    url = f"https://api.applicationinsights.io/v1/apps/{place['app']}/query"
    asked = {"query": f"OTelLogs | {where} | count"}
    assert client.bearer("POST", url, asked, "https://api.applicationinsights.io").json["tables"][0]["rows"] == [[1]]


def test_metrics_are_taken_at_their_own_address_only(client, place):
    assert send(client, place["metrics"], metrics()).status == 200
    assert (
        send(client, place["metrics"].replace("Custom-Metrics-Otel", "microsoft-otelmetrics"), metrics()).status == 200
    )
    astray = f"{place['logs_host']}/{place['base']}/Custom-Metrics-Otel/otlp/v1/metrics"
    assert send(client, astray, metrics()).status == 501


@pytest.mark.parametrize(
    ("change", "body", "headers", "expected"),
    [
        (
            lambda url: url,
            b'{"resourceSpans": []}',
            {"Content-Type": "application/json"},
            (415, "UnsupportedMediaType"),
        ),
        (lambda url: url, b"\xff\xff\xff", PROTOBUF, (400, "InvalidPayload")),
        (lambda url: url, b"no gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, (400, "InvalidBody")),
        (
            lambda url: url.replace("Microsoft-OTLP-Traces", "Microsoft-OTel-Traces-Spans"),
            None,
            PROTOBUF,
            (400, "InvalidStream"),
        ),
        (
            lambda url: url.replace("Microsoft-OTLP-Traces", "Microsoft-OTLP-Logs"),
            None,
            PROTOBUF,
            (400, "InvalidStream"),
        ),
        (lambda url: url.replace("contract-otlp", "somebody"), None, PROTOBUF, (404, "NotFound")),
        (
            lambda url: url.replace("/v1/traces", "/v1development/profiles"),
            None,
            PROTOBUF,
            (501, "NotImplementedInSandbox"),
        ),
    ],
)
def test_what_azure_does_not_take_is_refused(client, place, change, body, headers, expected):
    answer = send(client, change(place["traces"]), traces() if body is None else body, headers)
    assert (answer.status, answer.code) == expected


def test_an_unknown_rule_is_refused(client, place):
    immutable = place["base"].split("/")[1]
    answer = send(client, place["traces"].replace(immutable, f"dcr-{'0' * 32}"), traces())
    assert (answer.status, answer.code) == (404, "NotFound")


def test_a_rule_takes_only_what_it_has_a_source_for(client, place):
    properties = json.loads(json.dumps(place["properties"]))
    del properties["directDataSources"]["otelLogs"]
    assert client.arm("PUT", place["rule"], RULE, {**REGION, "properties": properties}).status == 200
    assert send(client, place["logs"], logs()).code == "InvalidStream"
    properties["directDataSources"]["otelTraces"][0]["enrichWithReference"] = "other"
    assert client.arm("PUT", place["rule"], RULE, {**REGION, "properties": properties}).code == "InvalidPayload"
    client.arm("PUT", place["rule"], RULE, {**REGION, "properties": place["properties"]})
    assert send(client, place["logs"], logs()).status == 200
