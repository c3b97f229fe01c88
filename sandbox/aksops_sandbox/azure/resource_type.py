"""The generic ARM resource: create, read, update, delete, list and actions of one type, with hooks for its rules."""

from __future__ import annotations

import copy
import hashlib
import re
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import odata
from aksops_sandbox.azure import status as status_table
from aksops_sandbox.azure.errors import AzureError, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.regions import REGIONS, short
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

Action = Callable[["Sandbox", Resource, dict[str, Any], Request], "Response | dict[str, Any] | None"]
_COMMON = {"id", "name", "type", "location", "tags", "properties", "etag"}


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7386): nested objects merge, null removes, everything else replaces."""
    merged = dict(base)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            held = merged.get(key)
            merged[key] = merge(held if isinstance(held, dict) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


class ResourceType:
    """One ARM resource type. Subclass it for hooks; instantiate it where the defaults do.

    Args:
        type: for example `Microsoft.KeyVault/vaults`.
        status: its row group in the status table, for example `keyvault/2026-02-01/vaults`.
        tracked: whether it needs a location and carries tags.
        name_pattern: regular expression that the whole name must match.
        write_only: dotted paths kept out of every answer (moved to `internal`, keyed by the path).
    """

    type = ""
    status = ""
    tracked = True
    name_pattern = r"[^<>%&:\\?/#]{1,260}"
    write_only: tuple[str, ...] = ()
    etag = False
    implicit = False
    actions: dict[str, Action] = {}

    def __init__(
        self,
        type: str = "",
        status: str = "",
        *,
        tracked: bool | None = None,
        name_pattern: str | None = None,
        write_only: tuple[str, ...] | None = None,
        actions: dict[str, Action] | None = None,
    ) -> None:
        if type:
            self.type = type
        if status:
            self.status = status
        if tracked is not None:
            self.tracked = tracked
        if name_pattern is not None:
            self.name_pattern = name_pattern
        if write_only is not None:
            self.write_only = write_only
        if actions is not None:
            self.actions = actions

    # Hooks -----------------------------------------------------------------------------------------------------------

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        """Fill defaults and computed fields and refuse what Azure refuses; fast, before anything is stored."""

    def provision(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        """Slow work. Where a subclass overrides it, PUT and PATCH become long-running operations."""

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        """The resource as a client sees it."""
        content: dict[str, Any] = {"id": resource.id, "name": resource.name, "type": resource.type}
        if resource.location is not None:
            content["location"] = resource.location
        if resource.tags is not None:
            content["tags"] = resource.tags
        if self.etag:
            content["etag"] = etag_of(resource)
        return {**content, **resource.body, "properties": resource.properties}

    def remove(self, ctx: Sandbox, resource: Resource) -> None:
        """Called before a deletion: refuse it, or stop what runs."""

    def removed(self, ctx: Sandbox, resource: Resource) -> None:
        """Called after a deletion."""

    # Verbs -----------------------------------------------------------------------------------------------------------

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer GET of one resource."""
        resource = ctx.store.get(str(rid))
        if resource is None:
            raise not_found(str(rid))
        headers = {"ETag": etag_of(resource)} if self.etag else None
        return Response.json(200, self.render(ctx, resource), headers)

    def head(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer HEAD: 204 where the resource exists."""
        self.get(ctx, request, rid)
        return Response.empty(204)

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer GET of a collection: below a resource group, a subscription or a parent resource."""
        parent = rid.parent if len(rid.types) > 1 else rid.scope
        found = ctx.store.list(type=self.type, prefix=parent or None)
        return odata.page(request, found, lambda resource: self.render(ctx, resource))

    def put(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer PUT: create, or replace."""
        content = request.json()
        self._check_envelope(ctx, content, rid)
        with ctx.exclusive(str(rid)):
            old = ctx.store.get(str(rid))
            self._check_match(request, old)
            new = self._resource(content, rid, old)
            return self._write(ctx, request, new, old, "PUT")

    def patch(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer PATCH: merge into what exists."""
        with ctx.exclusive(str(rid)):
            old = ctx.store.get(str(rid))
            if old is None:
                raise not_found(str(rid))
            self._check_match(request, old)
            change = request.json()
            if not isinstance(change, dict):
                raise AzureError(400, "InvalidRequestContent", "The request content must be a JSON object.")
            new = old.copy()
            new.properties = merge(old.properties, change.get("properties") or {})
            if change.get("tags") is not None:
                new.tags = dict(change["tags"])
            new.body = merge(old.body, {key: value for key, value in change.items() if key not in _COMMON})
            self._hide(new)
            return self._write(ctx, request, new, old, "PATCH")

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """Answer DELETE: the resource and its children."""
        resource = ctx.store.get(str(rid))
        if resource is None:
            return Response.empty(status_table.choose(self.status, "DELETE", (204, 200, 404)))
        self._check_match(request, resource)
        ctx.check_deletable(resource)
        if type(self).remove is ResourceType.remove:
            ctx.delete_tree(resource)
            return self._deleted(ctx, request, resource)
        if type(self).provision is ResourceType.provision:
            self.remove(ctx, resource)
            ctx.delete_tree(resource, skip_remove=True)
            return self._deleted(ctx, request, resource)
        resource.properties["provisioningState"] = "Deleting"
        ctx.store.put(resource)

        def work() -> None:
            self.remove(ctx, resource)
            ctx.delete_tree(resource, skip_remove=True)

        path = ctx.operations.start(rid.subscription, rid.namespace, resource.location or "global", str(rid), work)
        code = status_table.choose(self.status, "DELETE", (202, 200))
        return Response.empty(code, ctx.operations.headers(path, request))

    def _deleted(self, ctx: Sandbox, request: Request, resource: Resource) -> Response:
        code = status_table.choose(self.status, "DELETE", (200, 204, 202))
        headers = self._finished(ctx, request, resource) if code == 202 else None
        return Response.empty(code, headers)

    def _finished(self, ctx: Sandbox, request: Request, resource: Resource) -> dict[str, str]:
        """Headers of an operation that ends at once, for verbs whose clients take nothing but 202."""
        namespace = self.type.split("/")[0]
        subscription = ctx.subscription_of(resource.id)
        path = ctx.operations.start(subscription, namespace, resource.location or "global", resource.id, lambda: None)
        return ctx.operations.headers(path, request)

    def action(self, ctx: Sandbox, request: Request, rid: ResourceId, name: str) -> Response | None:
        """Answer POST of one action; None where the type has no such action."""
        for known, run in self.actions.items():
            if known.lower() == name.lower():
                resource = ctx.store.get(str(rid))
                if resource is None:
                    raise not_found(str(rid))
                answer = run(ctx, resource, request.json() if request.body else {}, request)
                if isinstance(answer, Response):
                    return answer
                return Response.empty(200) if answer is None else Response.json(200, answer)
        return None

    # Parts -----------------------------------------------------------------------------------------------------------

    def _check_envelope(self, ctx: Sandbox, content: Any, rid: ResourceId) -> None:
        if not isinstance(content, dict):
            raise AzureError(400, "InvalidRequestContent", "The request content must be a JSON object.")
        if not re.fullmatch(self.name_pattern, rid.name):
            raise AzureError(
                400, "InvalidResourceName", f"The name '{rid.name}' is not valid for the resource type '{self.type}'."
            )
        if self.tracked and not content.get("location"):
            raise AzureError(400, "LocationRequired", f"The location property is required for '{rid.name}'.")
        if self.tracked and short(content["location"]) not in {"global", *REGIONS}:
            raise AzureError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{content['location']}' is not available for resource type '{self.type}'. "
                f"List of available regions for the resource type is '{','.join(REGIONS)}'.",
            )
        ctx.check_parent(rid)

    @staticmethod
    def _check_match(request: Request, old: Resource | None) -> None:
        wanted = request.headers.get("if-match")
        if wanted and wanted != "*" and (old is None or wanted.strip('"') != etag_of(old).strip('"')):
            raise AzureError(
                412, "PreconditionFailed", "The resource was changed since it was read (If-Match differs)."
            )
        if request.headers.get("if-none-match") == "*" and old is not None:
            raise AzureError(412, "PreconditionFailed", "The resource exists already (If-None-Match: *).")

    def _resource(self, content: dict[str, Any], rid: ResourceId, old: Resource | None) -> Resource:
        if old is not None and self.tracked and content["location"]:
            location = short(content["location"])
            if old.location and location != old.location:
                raise AzureError(
                    409,
                    "InvalidResourceLocation",
                    f"The resource '{rid.name}' already exists in location '{old.location}'; a resource with the same "
                    f"name cannot be created in location '{location}'.",
                )
        location = content.get("location")
        tags = content.get("tags")
        resource = Resource(
            id=old.id if old else str(rid),
            name=old.name if old else rid.name,
            type=self.type,
            location=short(location) if location else None,
            tags=dict(tags) if tags else ({} if self.tracked else None),
            properties=copy.deepcopy(content.get("properties") or {}),
            body={key: copy.deepcopy(value) for key, value in content.items() if key not in _COMMON},
            internal=copy.deepcopy(old.internal) if old else {"created": time.time()},
        )
        self._identity(resource, old)
        self._hide(resource)
        return resource

    def _identity(self, resource: Resource, old: Resource | None) -> None:
        identity = resource.body.get("identity")
        if not isinstance(identity, dict) or "SystemAssigned" not in str(identity.get("type", "")):
            return
        before = (old.body.get("identity") or {}) if old else {}
        identity["principalId"] = before.get("principalId") or str(uuid.uuid4())
        identity["tenantId"] = resource.internal.get("tenant", before.get("tenantId"))

    def _hide(self, resource: Resource) -> None:
        for path in self.write_only:
            *parents, last = path.removeprefix("properties.").split(".")
            place: Any = resource.properties
            for parent in parents:
                place = place.get(parent) if isinstance(place, dict) else None
            if isinstance(place, dict) and place.get(last) is not None:
                resource.internal[path] = place.pop(last)

    def _write(self, ctx: Sandbox, request: Request, new: Resource, old: Resource | None, verb: str) -> Response:
        identity = new.body.get("identity")
        if isinstance(identity, dict):
            ctx.complete_identity(identity)
        ctx.check_writable(new)
        self.prepare(ctx, new, old)
        if type(self).provision is ResourceType.provision:
            new.properties["provisioningState"] = "Succeeded"
            stamp(new)
            ctx.store.put(new)
            preferred = (200, 201, 202) if old else (201, 200, 202)
            code = status_table.choose(self.status, verb, preferred)
            headers: dict[str, str] = {"ETag": etag_of(new)} if self.etag else {}
            if code == 202:
                headers |= self._finished(ctx, request, new)
            return Response.json(code, self.render(ctx, new), headers)
        new.properties["provisioningState"] = "Updating" if old else "Creating"
        stamp(new)
        ctx.store.put(new)

        def work() -> None:
            try:
                self.provision(ctx, new, old)
            except BaseException:
                new.properties["provisioningState"] = "Failed"
                ctx.store.put(new)
                raise
            new.properties["provisioningState"] = "Succeeded"
            stamp(new)
            ctx.store.put(new)

        path = ctx.operations.start(
            ctx.subscription_of(new.id), self.type.split("/")[0], new.location or "global", new.id, work
        )
        preferred = (200, 202) if old else (201, 202, 200)
        code = status_table.choose(self.status, verb, preferred)
        return Response.json(code, self.render(ctx, new), ctx.operations.headers(path, request))


def stamp(resource: Resource) -> None:
    """Give the resource a new ETag; called at every write."""
    resource.internal["revision"] = int(resource.internal.get("revision", 0)) + 1


def etag_of(resource: Resource) -> str:
    """A weak-free ETag that changes at every write."""
    text = f"{resource.id.lower()}|{resource.internal.get('revision', 0)}"
    return f'"{uuid.UUID(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())}"'
