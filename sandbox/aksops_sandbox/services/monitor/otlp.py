"""Azure Monitor's own OTLP endpoints (preview): OTLP/HTTP protobuf through a collection rule into the OTel tables."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor import collection, ingestion

Row = dict[str, Any]
Tables = dict[str, list[Row]]

PROTOBUF = "application/x-protobuf"
_PATH = re.compile(
    r"/dataCollectionRules/(?P<rule>dcr-[0-9a-f]{32})/streams/(?P<stream>[^/]+)/otlp/v1/(?P<signal>traces|logs|metrics)/?",
    re.I,
)
#: signal -> names of its stream in an address (both of the metrics' are in use), data source of the rule.
_STREAMS = {
    "traces": ({"microsoft-otlp-traces"}, "otelTraces"),
    "logs": ({"microsoft-otlp-logs"}, "otelLogs"),
    "metrics": ({"custom-metrics-otel", "microsoft-otelmetrics"}, "otelMetrics"),
}
#: stream of a rule -> table.
_TABLES = {
    "Microsoft-OTel-Traces-Spans": "OTelSpans",
    "Microsoft-OTel-Traces-Events": "OTelEvents",
    "Microsoft-OTel-Traces-Resources": "OTelResources",
    "Microsoft-OTel-Logs": "OTelLogs",
}
TABLES = frozenset(_TABLES.values())

#: resource attribute -> column of its own.
_COLUMNS = {
    "service.name": "ServiceName",
    "service.namespace": "ServiceNamespace",
    "service.instance.id": "ServiceInstanceId",
    "service.version": "ServiceVersion",
    "deployment.environment.name": "DeploymentEnvironmentName",
    "k8s.container.name": "K8sContainerName",
    "k8s.namespace.name": "K8sNamespaceName",
    "k8s.pod.name": "K8sPodName",
}


def logs_host(ctx: Any, request: Request) -> Response:
    """An endpoint's address for logs and traces: OTLP, and the Logs Ingestion API."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        return ingestion.upload(ctx, request)
    return _receive(ctx, request, found, {"traces", "logs"})


def metrics_host(ctx: Any, request: Request) -> Response:
    """An endpoint's address for metrics."""
    found = _PATH.fullmatch(request.path)
    if found is None:
        raise ingestion.unknown(request)
    return _receive(ctx, request, found, {"metrics"})


def _receive(ctx: Any, request: Request, found: re.Match[str], here: set[str]) -> Response:
    signal = found["signal"].lower()
    if request.method != "POST" or signal not in here:
        raise ingestion.unknown(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != PROTOBUF:
        raise AzureError(415, "UnsupportedMediaType", f"The content type '{kind}' is not supported; use {PROTOBUF}.")
    if "content-length" not in request.headers:
        raise AzureError(400, "MissingContentLengthHeader", "The Content-Length header is required.")
    rule = ingestion.writable_rule(ctx, request, found["rule"])
    _reachable(ctx, request)
    _stream(rule, signal, found["stream"])
    messages, answer = _MESSAGES[signal]
    content = messages()
    try:
        content.ParseFromString(ingestion.decoded(request))
    except DecodeError as error:
        raise AzureError(400, "InvalidPayload", f"The body is not an OTLP message of {signal}: {error}.") from None
    # Metrics go to the Azure Monitor workspace, whose PromQL the sandbox does not answer: they are checked, not kept.
    if signal != "metrics":
        _store(ctx, rule, signal, _ROWS[signal](content))
    return Response(200, {"Content-Type": PROTOBUF}, answer().SerializeToString())


def _reachable(ctx: Any, request: Request) -> None:
    """Refuse an address that no endpoint has, and one that is closed to public networks."""
    for endpoint in ctx.store.list(type=collection.ENDPOINT):
        addresses = {
            shapes.dig(endpoint.properties, f"{name}.endpoint") for name in ("logsIngestion", "metricsIngestion")
        }
        if f"https://{request.host}" in addresses:
            access = shapes.dig(endpoint.properties, "networkAcls.publicNetworkAccess")
            if access == "Disabled" and not ingestion.linked(ctx, request, endpoint):
                raise AzureError(
                    403, "Forbidden", "Public network access is disabled for the data collection endpoint."
                )
            return
    raise AzureError(404, "NotFound", f"No data collection endpoint has the address '{request.host}'.")


def _stream(rule: Resource, signal: str, stream: str) -> None:
    """Refuse a stream that the address spells wrongly, or that the rule takes directly from no source."""
    names, source = _STREAMS[signal]
    taken = {
        name
        for item in shapes.dig(rule.properties, f"directDataSources.{source}", [])
        for name in item.get("streams") or []
    }
    flowing = {name for flow in rule.properties.get("dataFlows") or [] for name in flow.get("streams") or []}
    if stream.lower() not in names or not taken & flowing:
        raise AzureError(400, "InvalidStream", f"Stream '{stream}' was not found in the rule '{rule.name}'.")


def _store(ctx: Any, rule: Resource, signal: str, tables: Tables) -> None:
    """Rows into the workspaces to which the rule lets their stream flow."""
    sources = shapes.dig(rule.properties, f"directDataSources.{_STREAMS[signal][1]}", [])
    references = {
        item["name"]: item["resourceId"] for item in shapes.dig(rule.properties, "references.applicationInsights", [])
    }
    workspaces = {item["name"]: item for item in shapes.dig(rule.properties, "destinations.logAnalytics", [])}
    for flow in rule.properties.get("dataFlows") or []:
        for stream in flow.get("streams") or []:
            source = next((item for item in sources if stream in (item.get("streams") or [])), None)
            if source is None or stream not in _TABLES:
                continue
            table = _TABLES[stream]
            owner = (
                references.get(source.get("enrichWithReference"))
                if source.get("replaceResourceIdWithReference")
                else None
            )
            rows = [{**row, "Type": table, "_ResourceId": (owner or "").lower()} for row in tables.get(table, [])]
            for name in flow.get("destinations") or []:
                if rows and name in workspaces:
                    ingestion.append(ctx, workspaces[name]["workspaceResourceId"], table, rows)


def _value(value: Any) -> Any:
    """A protobuf AnyValue as JSON."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [_value(item) for item in content.values]
    if kind == "kvlist_value":
        return _attributes(content.values)
    return content.hex() if kind == "bytes_value" else content


def _attributes(pairs: Any) -> Row:
    return {pair.key: _value(pair.value) for pair in pairs}


def _moment(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as Azure writes a datetime; now where the sender said none."""
    if not nanoseconds:
        return shapes.now()
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _resource(resource: Any) -> Row:
    attributes = _attributes(resource.attributes)
    row: Row = {column: attributes[name] for name, column in _COLUMNS.items() if name in attributes}
    service = [str(row[column]) for column in ("ServiceNamespace", "ServiceName") if row.get(column)]
    return {**row, "RoleName": ".".join(service), "ResourceAttributes": attributes}


def _scopes(groups: Any, scopes: str, items: str) -> Iterator[tuple[Row, Any]]:
    """(columns of resource and scope, item) of every span or log record."""
    for group in groups:
        resource = _resource(group.resource)
        for scope in getattr(group, scopes):
            named = {"ScopeName": scope.scope.name, "ScopeVersion": scope.scope.version}
            for item in getattr(scope, items):
                yield {**resource, **named, "ItemCount": 1}, item


def _traces(content: Any) -> Tables:
    tables: Tables = {"OTelSpans": [], "OTelEvents": [], "OTelResources": []}
    for common, span in _scopes(content.resource_spans, "scope_spans", "spans"):
        start = _moment(span.start_time_unix_nano)
        ids = {"TimeGenerated": start, "TraceId": span.trace_id.hex(), "SpanId": span.span_id.hex()}
        row = {
            **common,
            **ids,
            "ParentSpanId": span.parent_span_id.hex(),
            "Name": span.name,
            "Kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").capitalize(),
            "DurationMs": max(span.end_time_unix_nano - span.start_time_unix_nano, 0) / 1e6,
            "StatusCode": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_").capitalize(),
            "StatusMessage": span.status.message,
            "Success": span.status.code != Status.STATUS_CODE_ERROR,
            "TraceState": span.trace_state,
            "Attributes": _attributes(span.attributes),
            "DroppedAttributesCount": span.dropped_attributes_count,
        }
        tables["OTelSpans"].append(row)
        for event in span.events:
            attributes = _attributes(event.attributes)
            told = {
                "ExceptionType": attributes.get("exception.type"),
                "ExceptionMessage": attributes.get("exception.message"),
                "ExceptionStackTrace": attributes.get("exception.stacktrace"),
            }
            row = {**common, **ids, "Name": event.name, "Attributes": attributes}
            tables["OTelEvents"].append({**row, **{key: value for key, value in told.items() if value is not None}})
    for group in content.resource_spans:
        tables["OTelResources"].append({"TimeGenerated": shapes.now(), **_resource(group.resource)})
    return tables


def _logs(content: Any) -> Tables:
    rows = []
    for common, record in _scopes(content.resource_logs, "scope_logs", "log_records"):
        body = _value(record.body)
        row = {
            **common,
            "TimeGenerated": _moment(record.time_unix_nano or record.observed_time_unix_nano),
            "TraceId": record.trace_id.hex(),
            "SpanId": record.span_id.hex(),
            "Body": body if isinstance(body, str) else "" if body is None else str(body),
            "SeverityNumber": record.severity_number,
            "SeverityText": record.severity_text,
            "Attributes": _attributes(record.attributes),
            "DroppedAttributesCount": record.dropped_attributes_count,
        }
        rows.append(row)
    return {"OTelLogs": rows}


_MESSAGES: dict[str, tuple[Callable[[], Message], Callable[[], Message]]] = {
    "traces": (trace_pb2.ExportTraceServiceRequest, trace_pb2.ExportTraceServiceResponse),
    "logs": (logs_pb2.ExportLogsServiceRequest, logs_pb2.ExportLogsServiceResponse),
    "metrics": (metrics_pb2.ExportMetricsServiceRequest, metrics_pb2.ExportMetricsServiceResponse),
}
_ROWS: dict[str, Callable[[Any], Tables]] = {"traces": _traces, "logs": _logs}
