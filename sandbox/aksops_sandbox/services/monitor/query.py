"""The Logs query API: a small part of KQL (where, count, summarize, project, distinct, sort, take); the rest is 501."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor import components, ingestion, otlp, workspaces

AUDIENCES = [
    "https://api.loganalytics.io",
    "https://api.loganalytics.azure.com",
    "https://api.applicationinsights.io",
    "https://api.monitor.azure.com",
]
Row = dict[str, Any]

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
_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_CONDITION = re.compile(
    rf"^(?P<column>{_NAME})\s*(?P<operator>==|!=|=~|>=|<=|>|<|contains|!contains|has|startswith|endswith|in)\s*(?P<value>.+)$",
    re.S,
)


def _unsupported(what: str) -> AzureError:
    return AzureError(
        501, "NotImplementedInSandbox", f"The sandbox's query language does not know: {what.strip()[:200]}"
    )


def _split(text: str, separator: str) -> list[str]:
    """Split outside quotes and brackets; a separator of letters stands between blanks."""
    pieces, depth, quote, start, position = [], 0, "", 0, 0
    pattern = re.compile(rf"\s+{separator}\s+" if separator.isalpha() else re.escape(separator), re.I)
    while position < len(text):
        letter = text[position]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif depth == 0 and (found := pattern.match(text, position)):
            pieces.append(text[start:position])
            start = position = found.end()
            continue
        position += 1
    return [piece.strip() for piece in [*pieces, text[start:]]]


def _literal(text: str) -> Any:
    """A literal: string, number, boolean, datetime(), now(), ago(), a timespan."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+", text):
        return float(text)
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    found = re.fullmatch(r"(ago|now)\(\s*(?:(\d+(?:\.\d+)?)([dhms]))?\s*\)", text)
    if found:
        seconds = float(found.group(2) or 0) * _UNITS.get(found.group(3) or "s", 1)
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=seconds)
    found = re.fullmatch(r"datetime\(\s*['\"]?([^'\")]+)['\"]?\s*\)", text)
    if found:
        return _moment(found.group(1))
    raise _unsupported(text)


def _moment(text: Any) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(str(text).strip()[:32].replace("Z", "+00:00"))
    except ValueError:
        found = re.match(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6})\d*(Z|[+-]\d{2}:\d{2})?", str(text))
        if found is None:
            raise _unsupported(f"datetime {text}") from None
        moment = datetime.datetime.fromisoformat(found.group(1) + "+00:00")
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _value(row: Row, column: str) -> Any:
    current: Any = row
    for step in column.split("."):
        if not isinstance(current, dict):
            return None
        current = current.get(step)
    return current


def _compare(left: Any, operator: str, right: Any) -> bool:
    if isinstance(right, datetime.datetime):
        left = _moment(left) if left else None
    if operator == "=~":
        return str(left or "").lower() == str(right).lower()
    if operator in {"contains", "!contains", "has", "startswith", "endswith"}:
        text, part = str(left or "").lower(), str(right).lower()
        if operator == "has":
            return re.search(rf"(?<![a-z0-9]){re.escape(part)}(?![a-z0-9])", text) is not None
        if operator == "startswith":
            return text.startswith(part)
        if operator == "endswith":
            return text.endswith(part)
        return (part in text) == (operator == "contains")
    if isinstance(right, bool) or isinstance(left, bool):
        left, right = str(left).lower(), str(right).lower()
    elif isinstance(right, str):
        left = "" if left is None else str(left)
    if operator == "==":
        return left == right
    if operator == "!=":
        return left != right
    if left is None:
        return False
    try:
        return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]
    except TypeError:
        return False


def _condition(text: str) -> Callable[[Row], bool]:
    """A predicate: comparisons joined by `and` / `or`, with brackets around groups."""
    text = text.strip()
    alternatives = _split(text, "or")
    if len(alternatives) > 1:
        tests = [_condition(part) for part in alternatives]
        return lambda row: any(test(row) for test in tests)
    parts = _split(text, "and")
    if len(parts) > 1:
        tests = [_condition(part) for part in parts]
        return lambda row: all(test(row) for test in tests)
    if text.startswith("(") and text.endswith(")"):
        return _condition(text[1:-1])
    found = re.fullmatch(rf"(isnotempty|isempty)\(\s*({_NAME})\s*\)", text)
    if found:
        wanted = found.group(1) == "isnotempty"
        return lambda row: (_value(row, found.group(2)) not in (None, "")) == wanted
    match = _CONDITION.match(text)
    if match is None:
        raise _unsupported(text)
    column, operator, raw = match["column"], match["operator"], match["value"].strip()
    if operator == "in":
        if not (raw.startswith("(") and raw.endswith(")")):
            raise _unsupported(text)
        allowed = [_literal(item) for item in _split(raw[1:-1], ",")]
        return lambda row: any(_compare(_value(row, column), "==", item) for item in allowed)
    value = _literal(raw)
    return lambda row: _compare(_value(row, column), operator, value)


def _aggregate(text: str) -> tuple[str, Callable[[list[Row]], Any]]:
    """(column, function) of one aggregation such as `Total = count()`."""
    named = re.fullmatch(rf"(?:({_NAME})\s*=\s*)?(\w+)\(\s*(.*?)\s*\)", text.strip(), re.S)
    if named is None:
        raise _unsupported(text)
    name, function, argument = named.groups()
    if function == "count" and not argument:
        return name or "count_", len
    if function == "countif":
        test = _condition(argument)
        return name or "countif_", lambda rows: sum(test(row) for row in rows)
    if not re.fullmatch(_NAME, argument):
        raise _unsupported(text)

    def values(rows: list[Row]) -> list[Any]:
        return [item for row in rows if (item := _value(row, argument)) is not None]

    functions: dict[str, Callable[[list[Row]], Any]] = {
        "sum": lambda rows: sum(values(rows)),
        "avg": lambda rows: sum(values(rows)) / len(values(rows)) if values(rows) else None,
        "min": lambda rows: min(values(rows), default=None),
        "max": lambda rows: max(values(rows), default=None),
        "dcount": lambda rows: len({str(item) for item in values(rows)}),
        "make_set": lambda rows: sorted({str(item) for item in values(rows)}),
    }
    if function not in functions:
        raise _unsupported(text)
    return name or f"{function}_{argument}", functions[function]


def _summarize(text: str, rows: list[Row]) -> list[Row]:
    parts = _split(text, "by")
    if len(parts) > 2:
        raise _unsupported(text)
    aggregates = [_aggregate(item) for item in _split(parts[0], ",")]
    columns = _split(parts[1], ",") if len(parts) == 2 else []
    for column in columns:
        if not re.fullmatch(_NAME, column):
            raise _unsupported(column)
    groups: dict[tuple[str, ...], list[Row]] = {}
    keys: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(str(_value(row, column)) for column in columns)
        groups.setdefault(key, []).append(row)
        keys.setdefault(key, {column: _value(row, column) for column in columns})
    if not columns:
        return [{name: function(rows) for name, function in aggregates}]
    return [{**keys[key], **{name: function(group) for name, function in aggregates}} for key, group in groups.items()]


def _step(text: str, rows: list[Row]) -> list[Row]:
    """One operator of a pipe."""
    word, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    if word == "where":
        test = _condition(rest)
        return [row for row in rows if test(row)]
    if word in {"take", "limit"} and rest.isdigit():
        return rows[: int(rest)]
    if word == "count" and not rest:
        return [{"Count": len(rows)}]
    if word == "summarize":
        return _summarize(rest, rows)
    if word == "project":
        pairs = [re.fullmatch(rf"(?:({_NAME})\s*=\s*)?({_NAME})", item) for item in _split(rest, ",")]
        if not all(pairs):
            raise _unsupported(text)
        return [{pair.group(1) or pair.group(2): _value(row, pair.group(2)) for pair in pairs if pair} for row in rows]
    if word == "distinct":
        columns = _split(rest, ",")
        seen = {tuple(str(_value(row, item)) for item in columns): row for row in reversed(rows)}
        return [{item: _value(row, item) for item in columns} for row in reversed(list(seen.values()))]
    found = re.fullmatch(rf"(?:sort|order)\s+by\s+({_NAME})(?:\s+(asc|desc))?", text.strip())
    if found is None and word == "top":
        found_top = re.fullmatch(rf"(\d+)\s+by\s+({_NAME})(?:\s+(asc|desc))?", rest)
        if found_top:
            return _sorted(rows, found_top.group(2), found_top.group(3))[: int(found_top.group(1))]
    if found:
        return _sorted(rows, found.group(1), found.group(2))
    raise _unsupported(text)


def _sorted(rows: list[Row], column: str, order: str | None) -> list[Row]:
    present = [row for row in rows if _value(row, column) is not None]
    absent = [row for row in rows if _value(row, column) is None]
    return [*sorted(present, key=lambda row: _value(row, column), reverse=order != "asc"), *absent]


def run(text: str, table: Callable[[str], list[Row]]) -> list[Row]:
    """The rows that a query yields. Raises AzureError 501 for what is not known here."""
    text = re.sub(r"//[^\n]*", "", text)
    steps = _split(text, "|")
    if not re.fullmatch(_NAME, steps[0]):
        raise _unsupported(steps[0])
    rows = table(steps[0])
    for step in steps[1:]:
        rows = _step(step, rows)
    return rows


def _shown(rows: list[Row]) -> dict[str, Any]:
    """Rows as the service's one table."""
    columns: list[str] = []
    for row in rows:
        columns += [name for name in row if name not in columns]

    def kind(name: str) -> str:
        value = next((row[name] for row in rows if row.get(name) is not None), None)
        if name == "TimeGenerated":
            return "datetime"
        kinds = {bool: "bool", int: "long", float: "real", dict: "dynamic", list: "dynamic"}
        return kinds.get(type(value), "string")

    names = [{"name": name, "type": kind(name)} for name in columns]
    return {
        "tables": [
            {"name": "PrimaryResult", "columns": names, "rows": [[row.get(name) for name in columns] for row in rows]}
        ]
    }


def _within(rows: list[Row], timespan: str | None) -> list[Row]:
    """Rows inside a timespan: an ISO 8601 duration back from now, or start/end."""
    if not timespan:
        return rows
    if "/" in timespan:
        first, last = timespan.split("/", 1)
        start = _moment(first)
        end = start + datetime.timedelta(seconds=shapes.seconds(last, "timespan")) if last[:1] == "P" else _moment(last)
    else:
        end = datetime.datetime.now(datetime.UTC)
        start = end - datetime.timedelta(seconds=shapes.seconds(timespan, "timespan"))
    return [row for row in rows if start <= _moment(row["TimeGenerated"]) <= end]


_PATH = re.compile(r"/v1/(?P<kind>workspaces|apps)/(?P<id>[^/]+)/query/?", re.I)


def handle(ctx: Any, request: Request) -> Response:
    """GET or POST /v1/workspaces/{id}/query and /v1/apps/{id}/query."""
    found = _PATH.fullmatch(request.path)
    if found is None or request.method not in {"GET", "POST"}:
        raise AzureError(
            501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {request.path}."
        )
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise AzureError(401, "AuthorizationRequiredError", "Valid authentication was not provided.")
    claims = ctx.tokens.verify(token.strip(), AUDIENCES)
    request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
    workspace, resource = _target(ctx, found["kind"].lower(), found["id"])
    action = (
        "Microsoft.Insights/logs/read"
        if resource.type == components.COMPONENT
        else f"{workspaces.WORKSPACE}/query/read"
    )
    if not ctx.rbac.allowed(claims["oid"], action, resource.id):
        message = "The provided credentials have insufficient access to perform the requested operation."
        raise AzureError(403, "InsufficientAccessError", message)
    field = "publicNetworkAccessForQuery"
    if resource.properties[field] == "Disabled" and request.vantage != "inside":
        raise AzureError(403, "InsufficientAccessError", "Queries from public networks are disabled for this resource.")
    body = {**request.query, **(request.json() if request.method == "POST" else {})}

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

    return Response.json(200, _shown(run(str(body.get("query") or ""), table)))


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


def _target(ctx: Any, kind: str, target_id: str) -> tuple[Resource, Resource]:
    """(workspace with the rows, resource that is asked)."""
    if kind == "workspaces":
        workspace = workspaces.by_customer_id(ctx, target_id)
        return workspace, workspace
    for component in ctx.store.list(type=components.COMPONENT):
        if component.properties["AppId"].lower() == target_id.lower():
            return ctx.require_resource(component.properties["WorkspaceResourceId"]), component
    raise AzureError(404, "PathNotFoundError", f"The application '{target_id}' could not be found.")
