"""The Logs query API: of a workspace, of an application, of a resource, and several questions at once."""

from __future__ import annotations

import datetime
import json
import re
import time
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor import components, ingestion, kql, otlp, workspaces
from aksops_sandbox.services.monitor.kql_expressions import Row, moment, shown

AUDIENCES = [
    "https://api.loganalytics.io",
    "https://api.loganalytics.azure.com",
    "https://api.applicationinsights.io",
    "https://api.monitor.azure.com",
]

#: The classic table names of Application Insights.
_CLASSIC = {
    "requests": "AppRequests",
    "dependencies": "AppDependencies",
    "traces": "AppTraces",
    "exceptions": "AppExceptions",
    "customEvents": "AppEvents",
    "customMetrics": "AppMetrics",
    "availabilityResults": "AppAvailabilityResults",
    "pageViews": "AppPageViews",
}


def _shown(found: kql.Table) -> dict[str, Any]:
    """What a query has yielded, as the service's one table."""

    def kind(name: str) -> str:
        kinds = {type(row[name]) for row in found.rows if row.get(name) is not None}
        if name == "TimeGenerated" or kinds == {datetime.datetime}:
            return "datetime"
        known: dict[type, str] = {bool: "bool", int: "long", float: "real", dict: "dynamic", list: "dynamic"}
        names = {known.get(item, "string") for item in kinds}
        return "real" if names == {"long", "real"} else names.pop() if len(names) == 1 else "string"

    columns = [{"name": name, "type": kind(name)} for name in found.columns]
    rows = [[shown(row.get(name)) for name in found.columns] for row in found.rows]
    return {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]}


def _within(rows: list[Row], timespan: str | None) -> list[Row]:
    """Rows inside a timespan: an ISO 8601 duration back from now, or start/end."""
    if not timespan:
        return rows
    if "/" in timespan:
        first, last = timespan.split("/", 1)
        start = _instant(first)
        end = (
            start + datetime.timedelta(seconds=shapes.seconds(last, "timespan")) if last[:1] == "P" else _instant(last)
        )
    else:
        end = datetime.datetime.now(datetime.UTC)
        start = end - datetime.timedelta(seconds=shapes.seconds(timespan, "timespan"))
    return [row for row in rows if (at := moment(row["TimeGenerated"])) and start <= at <= end]


def _instant(text: str) -> datetime.datetime:
    found = moment(text)
    if found is None:
        raise AzureError(400, "BadArgumentError", f"The timespan holds '{text}', which is no time.")
    return found


_PATH = re.compile(r"/v1/(?:(?P<kind>workspaces|apps)/(?P<id>[^/]+)|(?P<resource>subscriptions/.+))/query/?", re.I)
_BATCH = "/v1/$batch"
#: Questions that one batch may hold.
_MOST = 100


def handle(ctx: Any, request: Request) -> Response:
    """GET or POST .../query of a workspace, an application or a resource by its id; POST /v1/$batch."""
    found = _PATH.fullmatch(request.path)
    batch = request.path.rstrip("/").lower() == _BATCH and request.method == "POST"
    if not batch and (found is None or request.method not in {"GET", "POST"}):
        raise AzureError(
            501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {request.path}."
        )
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise AzureError(401, "AuthorizationRequiredError", "Valid authentication was not provided.")
    claims = ctx.tokens.verify(token.strip(), AUDIENCES)
    request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
    body = {**request.query, **(request.json() if request.method == "POST" else {})}
    if batch:
        return _several(ctx, request, body.get("requests") or [])
    assert found is not None  # asked for above
    target = _by_id(ctx, found["resource"]) if found["resource"] else _target(ctx, found["kind"].lower(), found["id"])
    return Response.json(200, _answer(ctx, request, *target, body, request.headers.get("prefer", "")))


def _several(ctx: Any, request: Request, asked: list[dict[str, Any]]) -> Response:
    """Each question of a batch with its own answer, or its own error."""
    if len(asked) > _MOST:
        raise AzureError(400, "BadArgumentError", f"A batch holds {_MOST} requests at most.")
    answers = []
    for item in asked:
        headers = {str(key).lower(): str(value) for key, value in (item.get("headers") or {}).items()}
        try:
            if str(item.get("path", "")).strip("/") != "query" or not item.get("workspace"):
                raise AzureError(
                    501, "NotImplementedInSandbox", "The sandbox answers only queries of a workspace there."
                )
            target = _target(ctx, "workspaces", str(item["workspace"]))
            content = _answer(ctx, request, *target, item.get("body") or {}, headers.get("prefer", ""))
            answers.append({"id": item.get("id"), "status": 200, "body": content, "headers": {}})
        except AzureError as error:
            answers.append({"id": item.get("id"), "status": error.status, "body": error.body(), "headers": {}})
    return Response.json(200, {"responses": answers})


def _answer(
    ctx: Any, request: Request, workspace: Resource, resource: Resource, body: dict[str, Any], prefer: str
) -> dict[str, Any]:
    """What a query of a resource yields for the request's principal."""
    action = (
        "Microsoft.Insights/logs/read"
        if resource.type == components.COMPONENT
        else f"{workspaces.WORKSPACE}/query/read"
    )
    assert request.principal is not None  # `handle` has read it from the token
    if not ctx.rbac.allowed(request.principal.object_id, action, resource.id):
        message = "The provided credentials have insufficient access to perform the requested operation."
        raise AzureError(403, "InsufficientAccessError", message)
    field = "publicNetworkAccessForQuery"
    if resource.properties[field] == "Disabled" and request.vantage != "inside":
        raise AzureError(403, "InsufficientAccessError", "Queries from public networks are disabled for this resource.")
    others = sorted({"workspaces", "applications", "resources"} & {key for key, value in body.items() if value})
    if others:
        message = f"The sandbox asks one workspace at a time, without further {', '.join(others)}."
        raise AzureError(501, "NotImplementedInSandbox", message)
    started = time.monotonic()

    def table(name: str) -> list[Row]:
        actual = _CLASSIC.get(name, name)
        rows = _within(ingestion.rows_of(ctx, workspace.id, actual), body.get("timespan"))
        if resource.type == components.COMPONENT:
            rows = [row for row in rows if row.get("_ResourceId") == resource.id.lower()]
        if not rows and actual not in _KNOWN | set(ingestion.tables_of(ctx, workspace.id)) | _custom(ctx, workspace):
            message = f"'where' operator: Failed to resolve table or column expression named '{name}'"
            raise AzureError(
                400,
                "BadArgumentError",
                "The request had some invalid properties",
                inner={"code": "SemanticError", "message": message},
            )
        return rows

    yielded = kql.run(str(body.get("query") or ""), table)
    content = _shown(yielded)
    if "include-statistics=true" in prefer.replace(" ", "").lower():
        spent = round(time.monotonic() - started, 7)
        sizes = [{"tableRowCount": len(yielded.rows), "tableSize": len(json.dumps(content["tables"][0]["rows"]))}]
        content["statistics"] = {"query": {"executionTime": spent, "datasetStatistics": sizes}}
    return content


#: Tables that exist in every workspace, with or without rows.
_KNOWN = {
    *_CLASSIC.values(),
    *otlp.TABLES,
    "AzureActivity",
    "AzureDiagnostics",
    "AzureMetrics",
    "ContainerInventory",
    "ContainerLogV2",
    "Heartbeat",
    "InsightsMetrics",
    "KubeEvents",
    "KubeNodeInventory",
    "KubePodInventory",
    "Perf",
    "Usage",
}


def _custom(ctx: Any, workspace: Resource) -> set[str]:
    return {item.name for item in ctx.store.list(type=f"{workspaces.WORKSPACE}/tables", prefix=workspace.id)}


def _by_id(ctx: Any, resource_id: str) -> tuple[Resource, Resource]:
    """(workspace with the rows, resource that is asked) of a resource id."""
    resource = ctx.require_resource(f"/{resource_id}")
    if resource.type == workspaces.WORKSPACE:
        return resource, resource
    if resource.type == components.COMPONENT:
        return ctx.require_resource(resource.properties["WorkspaceResourceId"]), resource
    message = f"The sandbox asks the logs of workspaces and components, not of {resource.type}."
    raise AzureError(501, "NotImplementedInSandbox", message)


def _target(ctx: Any, kind: str, target_id: str) -> tuple[Resource, Resource]:
    """(workspace with the rows, resource that is asked)."""
    if kind == "workspaces":
        workspace = workspaces.by_customer_id(ctx, target_id)
        return workspace, workspace
    for component in ctx.store.list(type=components.COMPONENT):
        if component.properties["AppId"].lower() == target_id.lower():
            return ctx.require_resource(component.properties["WorkspaceResourceId"]), component
    raise AzureError(404, "PathNotFoundError", f"The application '{target_id}' could not be found.")
