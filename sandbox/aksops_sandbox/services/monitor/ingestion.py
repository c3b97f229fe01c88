"""Telemetry and logs coming in: Application Insights' track endpoint and the Logs Ingestion API."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import zlib
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor import collection, components

AUDIENCES = ["https://monitor.azure.com", "https://monitor.azure.com//"]
_WRITE = "Microsoft.Insights/Telemetry/Write"

#: Rows that a table keeps; the oldest go first.
KEEP = 20000

#: baseType -> (workspace table, property with the item's own columns).
_TABLES = {
    "RequestData": "AppRequests",
    "RemoteDependencyData": "AppDependencies",
    "MessageData": "AppTraces",
    "ExceptionData": "AppExceptions",
    "EventData": "AppEvents",
    "MetricData": "AppMetrics",
    "AvailabilityData": "AppAvailabilityResults",
    "PageViewData": "AppPageViews",
}
#: SDKs send a level's word or its number; the tables hold the number.
_LEVELS = {"Verbose": 0, "Information": 1, "Warning": 2, "Error": 3, "Critical": 4}
_TAGS = {
    "ai.cloud.role": "AppRoleName",
    "ai.cloud.roleInstance": "AppRoleInstance",
    "ai.operation.id": "OperationId",
    "ai.operation.parentId": "ParentId",
    "ai.operation.name": "OperationName",
    "ai.internal.sdkVersion": "SDKVersion",
    "ai.user.id": "UserId",
    "ai.session.id": "SessionId",
}


def append(ctx: Any, workspace_id: str, table: str, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table of a workspace."""
    key = f"{workspace_id.lower()}|{table}"
    with ctx.store.lock:
        store = ctx.store.table("logs")
        store[key] = [*store.get(key, []), *rows][-KEEP:]


def rows_of(ctx: Any, workspace_id: str, table: str) -> list[dict[str, Any]]:
    """The rows of a table of a workspace."""
    return list(ctx.store.table("logs").get(f"{workspace_id.lower()}|{table}", []))


def tables_of(ctx: Any, workspace_id: str) -> list[str]:
    """The tables of a workspace that hold rows."""
    prefix = f"{workspace_id.lower()}|"
    return sorted(key.removeprefix(prefix) for key in ctx.store.table("logs") if key.startswith(prefix))


def unknown(request: Request) -> AzureError:
    """The refusal of what the sandbox does not answer."""
    message = f"The sandbox does not answer {request.method} {request.path}."
    return AzureError(501, "NotImplementedInSandbox", message)


def decoded(request: Request) -> bytes:
    """The body without its content encoding."""
    encoding = request.headers.get("content-encoding", "").lower()
    try:
        if encoding == "gzip":
            return gzip.decompress(request.body)
        if encoding == "deflate":
            return zlib.decompress(request.body)
    except (OSError, zlib.error) as error:
        raise AzureError(400, "InvalidBody", f"The body is not valid {encoding}: {error}.") from None
    return request.body


def _items(body: bytes) -> list[Any]:
    """The telemetry items of a body: a JSON array, one object, or one object a line."""
    text = body.decode("utf-8", errors="replace").strip()
    try:
        if text.startswith("["):
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise AzureError(400, "InvalidBody", f"The body is not valid JSON: {error}.") from None


def bearer(ctx: Any, request: Request) -> dict[str, Any] | None:
    """The claims of the request's token, None where it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    claims = ctx.tokens.verify(token.strip(), AUDIENCES)
    request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
    return claims


def _row(item: dict[str, Any], component: Resource) -> tuple[str, dict[str, Any]]:
    """(table, row) of one telemetry item, in the columns of workspace-based Application Insights."""
    data = item.get("data") or {}
    base = data.get("baseData") or {}
    table = _TABLES[data["baseType"]]
    row: dict[str, Any] = {
        "TimeGenerated": item.get("time") or shapes.now(),
        "Type": table,
        "IKey": item["iKey"],
        "ResourceGUID": component.properties["AppId"],
        "_ResourceId": component.id.lower(),
        # One item stands for those that sampling has left out.
        "ItemCount": round(100 / rate) if (rate := item.get("sampleRate") or 100) > 0 else 1,
        "Properties": base.get("properties") or {},
        "Measurements": base.get("measurements") or {},
    }
    for tag, column in _TAGS.items():
        if tag in (item.get("tags") or {}):
            row[column] = item["tags"][tag]
    for name, value in base.items():
        if name in {"properties", "measurements", "ver"}:
            continue
        if name == "metrics" and value:
            row |= {"Name": value[0].get("name"), "Sum": value[0].get("value"), "Count": value[0].get("count", 1)}
            row |= {"Min": value[0].get("min"), "Max": value[0].get("max")}
        elif name == "exceptions" and value:
            row |= {"ExceptionType": value[0].get("typeName"), "OuterMessage": value[0].get("message")}
        elif name == "duration":
            row["DurationMs"] = _milliseconds(value)
        elif name == "responseCode":
            row["ResultCode"] = str(value)
        elif name == "severityLevel":
            row["SeverityLevel"] = _LEVELS.get(value, value)
        elif name == "type":
            # `Type` is the table's name in every table.
            row["DependencyType"] = value
        else:
            row[name[:1].upper() + name[1:]] = value
    return table, row


def _milliseconds(duration: Any) -> float:
    """`[d.]hh:mm:ss.fffffff` in milliseconds."""
    found = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)", str(duration))
    if found is None:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000, 4)


def track(ctx: Any, request: Request) -> Response:
    """POST /v2/track and /v2.1/track of *.in.applicationinsights.azure.com."""
    if request.method != "POST" or not re.fullmatch(r"/v2(\.1)?/track/?", request.path):
        raise unknown(request)
    claims = bearer(ctx, request)
    items = _items(decoded(request))
    accepted: dict[tuple[str, str], list[dict[str, Any]]] = {}
    errors = []
    refused = 0
    for index, item in enumerate(items):
        problem = _problem(ctx, request, item, claims)
        if problem is not None:
            errors.append({"index": index, "statusCode": problem.status, "message": problem.message})
            refused = refused or problem.status
            continue
        component = components.by_key(ctx, item["iKey"])
        assert component is not None  # `_problem` has looked
        table, row = _row(item, component)
        accepted.setdefault((component.properties["WorkspaceResourceId"], table), []).append(row)
    for (workspace, table), rows in accepted.items():
        append(ctx, workspace, table, rows)
    count = sum(len(rows) for rows in accepted.values())
    status = 200 if not errors else 206 if count else refused
    content = {"itemsReceived": len(items), "itemsAccepted": count, "appId": None, "errors": errors}
    return Response.json(status, content)


def _problem(ctx: Any, request: Request, item: Any, claims: dict[str, Any] | None) -> AzureError | None:
    """Why an item is refused, or None."""
    problem = refusal(ctx, request, item.get("iKey") if isinstance(item, dict) else None, claims)
    if problem is None and shapes.dig(item, "data.baseType") not in _TABLES:
        return AzureError(400, "InvalidItem", f"Unknown telemetry type '{shapes.dig(item, 'data.baseType')}'.")
    return problem


def refusal(ctx: Any, request: Request, key: Any, claims: dict[str, Any] | None) -> AzureError | None:
    """Why whoever sends may not send to the component of an instrumentation key, or None."""
    component = components.by_key(ctx, str(key)) if key else None
    if component is None:
        return AzureError(400, "InvalidInstrumentationKey", "Invalid instrumentation key.")
    if component.properties["publicNetworkAccessForIngestion"] == "Disabled" and not linked(ctx, request, component):
        return AzureError(403, "Forbidden", "Ingestion from public networks is disabled for this component.")
    if component.properties["DisableLocalAuth"]:
        if claims is None:
            message = "Local authentication is disabled for this component: a Microsoft Entra token is required."
            return AzureError(401, "Unauthorized", message)
        if not ctx.rbac.allowed(claims["oid"], _WRITE, component.id, data=True):
            return AzureError(403, "Forbidden", f"The principal may not carry out {_WRITE} on the component.")
    return None


def linked(ctx: Any, request: Request, resource: Resource) -> bool:
    """True where the client is inside and a private link scope with an endpoint holds the resource."""
    if request.vantage != "inside":
        return False
    for scoped in ctx.store.list(type=f"{components.SCOPE}/scopedResources"):
        if shapes.same_id(scoped.properties["linkedResourceId"], resource.id):
            return ctx.network.has_private_endpoint(scoped.id.rsplit("/", 2)[0])
    return False


def writable_rule(ctx: Any, request: Request, immutable_id: str) -> Resource:
    """The rule of an immutable id, into which the bearer of the request may send."""
    rules = ctx.store.list(type=collection.RULE)
    rule = next((item for item in rules if item.properties["immutableId"].lower() == immutable_id.lower()), None)
    if rule is None:
        raise AzureError(404, "NotFound", f"Data collection rule with immutable id '{immutable_id}' not found.")
    claims = bearer(ctx, request)
    if claims is None:
        raise AzureError(401, "Unauthorized", "The authorization header is missing.")
    if not ctx.rbac.allowed(claims["oid"], _WRITE, rule.id, data=True):
        message = f"The authentication token does not have access to ingest data for the rule '{rule.name}'."
        raise AzureError(403, "OperationFailed", message)
    return rule


_UPLOAD = re.compile(r"/dataCollectionRules/(?P<rule>dcr-[0-9a-f]{32})/streams/(?P<stream>[^/]+)/?", re.I)


def upload(ctx: Any, request: Request) -> Response:
    """POST /dataCollectionRules/{immutable id}/streams/{stream} of an endpoint's ingestion host."""
    found = _UPLOAD.fullmatch(request.path)
    if request.method != "POST" or found is None:
        raise unknown(request)
    rule = writable_rule(ctx, request, found["rule"])
    rows = json.loads(decoded(request) or b"null")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AzureError(400, "InvalidPayload", "The body must be a JSON array of objects.")
    flows = [flow for flow in rule.properties.get("dataFlows") or [] if found["stream"] in flow.get("streams", [])]
    if not flows:
        raise AzureError(400, "InvalidStream", f"Stream '{found['stream']}' was not found in the rule '{rule.name}'.")
    workspaces = {entry["name"]: entry for entry in shapes.dig(rule.properties, "destinations.logAnalytics", [])}
    moment = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    for flow in flows:
        table = str(flow.get("outputStream") or found["stream"]).removeprefix("Custom-").removeprefix("Microsoft-")
        for name in flow["destinations"]:
            if name in workspaces:
                ready = [{"TimeGenerated": moment, **row, "Type": table} for row in rows]
                append(ctx, workspaces[name]["workspaceResourceId"], table, ready)
    return Response.empty(204)
