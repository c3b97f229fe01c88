"""The activity log: who wrote what through ARM, and how it ended (Microsoft.Insights/eventtypes/management/values)."""

from __future__ import annotations

import datetime
import http
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import ids, odata
from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service

if TYPE_CHECKING:
    from aksops_sandbox.azure.store import Table
    from aksops_sandbox.sandbox import Sandbox

_DAYS = 90
_KEPT = 20_000
_PAGE = 200
_VERBS = {"PUT": "write", "PATCH": "write", "DELETE": "delete"}
_GROUP = re.compile(r"/subscriptions/[^/]+/resourcegroups/([^/]+)(?:/|$)", re.I)
_FIELDS = {
    "resourcegroupname": lambda event: event["resourceGroupName"],
    "resourceuri": lambda event: event["resourceId"],
    "resourceid": lambda event: event["resourceId"],
    "resourceprovider": lambda event: event["resourceProviderName"]["value"],
    "resourcetype": lambda event: event["resourceType"]["value"],
    "correlationid": lambda event: event["correlationId"],
    "operationname": lambda event: event["operationName"]["value"],
    "caller": lambda event: event["caller"],
    "status": lambda event: event["status"]["value"],
    "levels": lambda event: event["level"],
    "category": lambda event: event["category"]["value"],
}
_TIMES = ("eventtimestamp",)
_ALL = ("eventchannels",)


class ActivityService(Service):
    """Keeps the writes of every client, without their bodies, for as long as Azure does."""

    def __init__(self) -> None:
        super().__init__()
        self.arm_routes = [
            ("GET", r"/subscriptions/[^/]+/providers/microsoft\.insights/eventtypes/management/values", _values),
            ("GET", r"/providers/microsoft\.insights/eventcategories", _categories),
        ]


def record(ctx: Sandbox, request: Request, status: int, operation: str = "") -> None:
    """Note one answered write; `operation` is the name of the long-running operation that it has started."""
    about = _about(request)
    if about is None or request.principal is None:
        return
    resource_id, action = about
    table = ctx.store.table("activity")
    event = {
        "time": time.time(),
        "id": str(uuid.uuid4()),
        "resource": resource_id,
        "action": action,
        "caller": request.principal.object_id,
        "app": request.principal.app_id or "",
        "correlation": request.headers.get("x-ms-correlation-request-id") or request.id,
        "method": request.method,
        "status": status,
        "operation": operation,
    }
    table[f"{time.time_ns():020}-{event['id']}"] = event
    _forget(table)


def _forget(table: Table) -> None:
    if len(table) > _KEPT:
        for key in sorted(table)[: len(table) - _KEPT + _KEPT // 10]:
            del table[key]


def _about(request: Request) -> tuple[str, str] | None:
    """The resource and the action of a write, None for a read or what belongs to no resource."""
    path = request.path.rstrip("/")
    found = ids.parse(path)
    if request.method in _VERBS:
        if found is None:
            group = _GROUP.fullmatch(path)
            return (
                (path, f"Microsoft.Resources/subscriptions/resourceGroups/{_VERBS[request.method]}") if group else None
            )
        return None if found.is_collection else (path, f"{found.type}/{_VERBS[request.method]}")
    if request.method != "POST" or found is None or not found.is_collection or not found.names:
        return None
    return path.rsplit("/", 1)[0], f"{found.type}/action"


def _events(ctx: Sandbox) -> list[dict[str, Any]]:
    """Newest first. A long-running operation has two: accepted, and how it ended."""
    oldest = time.time() - _DAYS * 86400
    found = []
    for row in ctx.store.table("activity").values():
        if row["time"] < oldest:
            continue
        ending = ctx.operations.outcome(row["operation"]) if row["operation"] else None
        if ending is None:
            state = "Succeeded" if row["status"] < 300 else "Failed"
            found.append(
                (row["time"], _event(ctx, row, "Accepted" if row["operation"] else state, row["time"], row["id"]))
            )
            continue
        state, at = ending
        found.append((row["time"], _event(ctx, row, "Accepted", row["time"], row["id"])))
        found.append((at, _event(ctx, row, state, at, str(uuid.uuid5(uuid.UUID(row["id"]), state)))))
    return [event for _, event in sorted(found, key=lambda item: item[0], reverse=True)]


def _event(ctx: Sandbox, row: dict[str, Any], state: str, at: float, name: str) -> dict[str, Any]:
    group = _GROUP.match(row["resource"])
    kind = row["action"].rsplit("/", 1)[0] if row["method"] != "POST" else row["action"].rsplit("/", 2)[0]
    phrase = http.HTTPStatus(row["status"]).phrase.replace(" ", "") if row["status"] in list(http.HTTPStatus) else ""
    moment = _stamp(at)
    return {
        "authorization": {"action": row["action"], "scope": row["resource"]},
        "caller": row["caller"],
        "category": _named("Administrative"),
        "channels": "Operation",
        "claims": {"appid": row["app"], "http://schemas.microsoft.com/identity/claims/objectidentifier": row["caller"]},
        "correlationId": row["correlation"],
        "description": "",
        "eventDataId": name,
        "eventName": _named("EndRequest" if state in {"Succeeded", "Failed"} else "BeginRequest"),
        "eventTimestamp": moment,
        "httpRequest": {"clientRequestId": row["correlation"], "method": row["method"]},
        "id": f"{row['resource']}/events/{name}/ticks/{621355968000000000 + int(at * 10_000_000)}",
        "level": "Error" if state == "Failed" else "Informational",
        "operationId": row["correlation"],
        "operationName": _named(row["action"]),
        "properties": {"statusCode": phrase, "entity": row["resource"], "message": row["action"]},
        "resourceGroupName": group.group(1) if group else "",
        "resourceId": row["resource"],
        "resourceProviderName": _named(row["action"].split("/", 1)[0]),
        "resourceType": _named(kind),
        "status": _named(state),
        "subStatus": {"value": phrase, "localizedValue": f"{phrase} (HTTP Status Code: {row['status']})"},
        "submissionTimestamp": moment,
        "subscriptionId": ctx.principals.subscription_id,
        "tenantId": ctx.principals.tenant_id,
    }


def _named(value: str) -> dict[str, str]:
    return {"value": value, "localizedValue": value}


def _stamp(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _values(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(
        request, "Microsoft.Insights/eventtypes/values/read", f"/subscriptions/{ctx.principals.subscription_id}"
    )
    wanted = odata.terms(request.query.get("$filter", ""), (*_FIELDS, *_TIMES, *_ALL))
    for term in (term for together in wanted for term in together if term.field in _TIMES):
        moment = _moment(term.value)
        if term.verb in {"ge", "gt"} and moment < time.time() - (_DAYS + 1) * 86400:
            raise bad_request("BadRequest", f"The start time cannot be more than {_DAYS} days in the past.")
    events = [
        event for event in _events(ctx) if not wanted or any(all(_fits(event, t) for t in terms) for terms in wanted)
    ]
    chosen = [field.strip() for field in request.query.get("$select", "").split(",") if field.strip()]
    return odata.page(request, events, lambda event: _only(event, chosen), _PAGE)


def _fits(event: dict[str, Any], term: odata.Term) -> bool:
    if term.field in _ALL:
        return True
    if term.field in _TIMES:
        return odata.Term(term.field, term.verb, _stamp(_moment(term.value))).holds(event["eventTimestamp"])
    values = [value.strip() for value in term.value.split(",")]
    return any(odata.Term(term.field, term.verb, value).holds(_FIELDS[term.field](event)) for value in values)


def _only(event: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    if not fields:
        return event
    lower = {field.lower() for field in fields}
    return {name: value for name, value in event.items() if name.lower() in lower}


def _moment(text: str) -> float:
    try:
        at = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise bad_request("BadRequest", f"The time '{text}' in the filter is not valid.") from None
    return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()


def _categories(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    names = (
        "Administrative",
        "Security",
        "ServiceHealth",
        "Alert",
        "Recommendation",
        "Policy",
        "Autoscale",
        "ResourceHealth",
    )
    return Response.json(200, {"value": [_named(name) for name in names]})
