"""Microsoft.Resources/tags: the tags of a subscription, a resource group or a resource, by themselves; names in use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import odata
from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_ROUTE = r"(?P<scope>/subscriptions/[^/]+(?:/resourcegroups/.+)?)/providers/microsoft\.resources/tags/default"
_TYPE = "Microsoft.Resources/tags"
_MOST = 50
_SUBSCRIPTION = "Microsoft.Resources/subscriptions"
SUBSCRIPTION_TAGS = "subscription_tags"


class TagsService(Service):
    """Reads, replaces, merges and removes tags without a write of the whole resource."""

    def __init__(self) -> None:
        super().__init__()
        self.arm_routes = [
            ("GET", _ROUTE, _get),
            ("PUT", _ROUTE, _put),
            ("PATCH", _ROUTE, _patch),
            ("DELETE", _ROUTE, _delete),
            ("GET", r"/subscriptions/[^/]+/tagnames", _names),
        ]


def _find(ctx: Sandbox, scope: str) -> Resource:
    if scope.count("/") == 2:
        subscription = f"/subscriptions/{ctx.principals.subscription_id}"
        tags = dict(ctx.store.table(SUBSCRIPTION_TAGS).get(subscription, {}))
        return Resource(subscription, ctx.principals.subscription_id, _SUBSCRIPTION, tags=tags)
    found = ctx.store.get(scope)
    if found is None:
        raise not_found(scope)
    return found


def _render(resource: Resource) -> Response:
    content = {
        "id": f"{resource.id}/providers/{_TYPE}/default",
        "name": "default",
        "type": _TYPE,
        "properties": {"tags": resource.tags or {}},
    }
    return Response.json(200, content)


def _wanted(request: Request) -> dict[str, str]:
    tags = (request.json().get("properties") or {}).get("tags")
    if not isinstance(tags, dict):
        raise bad_request("InvalidTagsRequest", "The request needs properties.tags, a mapping of names to texts.")
    return tags


def _store(ctx: Sandbox, resource: Resource, tags: dict[str, str]) -> Response:
    if len(tags) > _MOST:
        raise bad_request("InvalidTags", f"The resource has {len(tags)} tags; the maximum is {_MOST}.")
    for name, value in tags.items():
        if not re.fullmatch(r"[^<>%&\\?/]{1,512}", name):
            raise bad_request("InvalidTagNameCharacters", f"The tag name '{name}' has reserved characters: <>%&\\?/.")
        if not isinstance(value, str) or len(value) > 256:
            raise bad_request(
                "InvalidTagValueLength", f"The value of the tag '{name}' is no text of up to 256 characters."
            )
    resource.tags = tags
    if resource.type == _SUBSCRIPTION:
        ctx.store.table(SUBSCRIPTION_TAGS)[resource.id] = tags
    else:
        ctx.store.put(resource)
    return _render(resource)


def _get(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, f"{_TYPE}/read", match["scope"])
    return _render(_find(ctx, match["scope"]))


def _put(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, f"{_TYPE}/write", match["scope"])
    with ctx.exclusive(match["scope"]):
        return _store(ctx, _find(ctx, match["scope"]), _wanted(request))


def _patch(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, f"{_TYPE}/write", match["scope"])
    operation = str(request.json().get("operation") or "").lower()
    change = _wanted(request)
    with ctx.exclusive(match["scope"]):
        resource = _find(ctx, match["scope"])
        return _store(ctx, resource, _changed(dict(resource.tags or {}), change, operation))


def _changed(tags: dict[str, Any], change: dict[str, Any], operation: str) -> dict[str, Any]:
    """Names are compared without case, and keep the spelling in which they were first written."""
    spelled = {name.lower(): name for name in tags}
    if operation == "replace":
        return change
    if operation == "merge":
        return tags | {spelled.get(name.lower(), name): value for name, value in change.items()}
    if operation == "delete":
        gone = {name.lower(): value for name, value in change.items()}
        return {name: value for name, value in tags.items() if name.lower() not in gone or gone[name.lower()] != value}
    raise AzureError(400, "InvalidTagsPatchOperation", f"The operation '{operation}' is not Merge, Replace or Delete.")


def _delete(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, f"{_TYPE}/delete", match["scope"])
    with ctx.exclusive(match["scope"]):
        _store(ctx, _find(ctx, match["scope"]), {})
    return Response.empty(200)


def _names(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    """Every tag in use, with its values and how often each is."""
    used: dict[str, dict[str, int]] = {}
    for resource in ctx.store.peek():
        for name, value in (resource.tags or {}).items():
            values = used.setdefault(name, {})
            values[value] = values.get(value, 0) + 1
    base = f"/subscriptions/{ctx.principals.subscription_id}/tagNames"
    return odata.page(request, sorted(used.items()), lambda item: _name(base, *item))


def _name(base: str, name: str, values: dict[str, int]) -> dict[str, Any]:
    shown = [
        {"id": f"{base}/{name}/tagValues/{value}", "tagValue": value, "count": {"type": "Total", "value": count}}
        for value, count in values.items()
    ]
    return {
        "id": f"{base}/{name}",
        "tagName": name,
        "count": {"type": "Total", "value": sum(values.values())},
        "values": shown,
    }
