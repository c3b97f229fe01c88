from __future__ import annotations

import copy

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _otlp
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA

TRACE = "0123456789abcdef0123456789abcdef"
NOW = 1_790_000_000_123_456_789
SPANS = ["Microsoft-OTel-Traces-Spans", "Microsoft-OTel-Traces-Events"]
RULE = {
    "name": "dcr",
    "properties": {
        "immutableId": "dcr-1",
        "directDataSources": {
            "otelTraces": [{"streams": SPANS}],
            "otelLogs": [{"streams": ["Microsoft-OTel-Logs"]}],
            "otelMetrics": [{"streams": ["Custom-Metrics-Otel"]}],
        },
        "destinations": {"logAnalytics": [{"name": "la", "workspaceResourceId": "/w"}]},
        "dataFlows": [
            {"streams": [*SPANS, "Microsoft-OTel-Logs"], "destinations": ["la"]},
            {"streams": ["Custom-Metrics-Otel"], "destinations": ["amw"]},
        ],
    },
}
ENDPOINT = {
    "name": "dce",
    "properties": {
        "logsIngestion": {"endpoint": "https://dce.weu-1.ingest.example.com"},
        "metricsIngestion": {"endpoint": "https://dce.weu-1.metrics.ingest.example.com"},
    },
}


def test_every_signal_has_its_address():
    where = _otlp.target(RULE, ENDPOINT)
    assert where.workspace_id == "/w"
    base = "https://dce.weu-1.{}ingest.example.com/dataCollectionRules/dcr-1/streams"
    assert where.addresses == {
        "span": f"{base.format('')}/Microsoft-OTLP-Traces/otlp/v1/traces",
        "log": f"{base.format('')}/Microsoft-OTLP-Logs/otlp/v1/logs",
        "metric": f"{base.format('metrics.')}/Custom-Metrics-Otel/otlp/v1/metrics",
    }


def without_source(rule, endpoint):
    del rule["properties"]["directDataSources"]["otelTraces"]


def without_flow(rule, endpoint):
    rule["properties"]["dataFlows"][0]["streams"].remove("Microsoft-OTel-Traces-Events")


def without_destination(rule, endpoint):
    rule["properties"]["dataFlows"][1]["destinations"] = []


def without_workspace(rule, endpoint):
    rule["properties"]["destinations"] = {}


def without_address(rule, endpoint):
    del endpoint["properties"]["metricsIngestion"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_source, "takes no spans by OTLP"),
        (without_flow, "takes no spans by OTLP"),
        (without_destination, "takes no metrics by OTLP"),
        (without_workspace, "no Log Analytics workspace"),
        (without_address, "no address for metrics"),
    ],
)
def test_a_rule_that_cannot_be_sent_to_is_named(spoil, words):
    rule, endpoint = copy.deepcopy(RULE), copy.deepcopy(ENDPOINT)
    spoil(rule, endpoint)
    with pytest.raises(AksPlatformError, match=words):
        _otlp.target(rule, endpoint)


def test_messages_are_what_opentelemetry_reads():
    got = _otlp.messages(TRACE, "shop", NOW)
    [spans] = ExportTraceServiceRequest.FromString(got["span"]).resource_spans
    [span] = spans.scope_spans[0].spans
    assert (spans.resource.attributes[0].key, spans.resource.attributes[0].value.string_value) == (
        "service.name",
        "shop",
    )
    assert spans.scope_spans[0].scope.name == "aksops.platform"
    assert (span.trace_id.hex(), span.span_id.hex(), span.name, span.kind) == (TRACE, TRACE[:16], "aksops verify", 2)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (NOW - 1_000_000, NOW)

    [logs] = ExportLogsServiceRequest.FromString(got["log"]).resource_logs
    [record] = logs.scope_logs[0].log_records
    assert (record.trace_id.hex(), record.span_id.hex()) == (TRACE, TRACE[:16])
    assert (record.severity_number, record.severity_text, record.time_unix_nano) == (9, "INFO", NOW)
    assert record.observed_time_unix_nano == NOW
    assert record.body.string_value == "aksops.platform verifies that telemetry arrives"

    [metrics] = ExportMetricsServiceRequest.FromString(got["metric"]).resource_metrics
    [metric] = metrics.scope_metrics[0].metrics
    [point] = metric.sum.data_points
    assert (metric.name, metric.sum.aggregation_temporality) == ("aksops_verify", AGGREGATION_TEMPORALITY_DELTA)
    assert (point.as_int, point.time_unix_nano, metric.sum.is_monotonic) == (1, NOW, True)
    for kind, what in ((ExportTraceServiceRequest, "span"), (ExportLogsServiceRequest, "log")):
        assert kind.FromString(got[what]).SerializeToString() == got[what]


def sent(status, answer):
    posted = []
    where = _otlp.target(RULE, ENDPOINT)

    def post(url, token, body):
        posted.append((url, token, body))
        return status, answer

    _otlp.send(post, where, "token", {"span": b"1", "metric": b"2", "log": b"3"})
    return posted


def test_a_missing_role_and_other_refusals_are_named():
    assert [body for _url, _token, body in sent(200, "")] == [b"1", b"2", b"3"]
    with pytest.raises(AksPlatformError, match=r"refuses the span \(HTTP 403\): may not.* on the collection rule"):
        sent(403, {"error": {"code": "OperationFailed", "message": "may not"}})
    with pytest.raises(AksPlatformError, match=r"did not take the span \(HTTP 400\): no stream"):
        sent(400, {"error": {"code": "InvalidStream", "message": "no stream"}})
