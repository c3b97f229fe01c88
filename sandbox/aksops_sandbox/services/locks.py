"""Microsoft.Authorization/locks: CanNotDelete and ReadOnly on any scope.

The core asks for locks before every deletion (`Sandbox.check_deletable`).
"""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.sandbox import LOCK
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service


class Lock(ResourceType):
    type = LOCK
    status = "resources/2020-05-01/managementlocks"
    tracked = False
    name_pattern = r"[^<>*%&:\\?+/]{1,260}"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        level = shapes.choice(new.properties.get("level"), ("CanNotDelete", "ReadOnly"), "level", "InvalidLockLevel")
        new.properties["level"] = level
        if len(new.properties.get("notes") or "") > 512:
            raise bad_request("InvalidLockNotes", "The notes of a lock have 512 characters at most.")

    def list(self, ctx: Any, request: Request, rid: Any) -> Response:
        """The locks at a scope, above it (they hold there too) and below it."""
        scope = rid.scope.lower().rstrip("/")
        above_only = "atscope()" in request.query.get("$filter", "").lower()
        found = []
        for lock in ctx.store.list(type=LOCK):
            held = lock.id.lower().split(f"/providers/{LOCK.lower()}/")[0]
            above = scope == held or scope.startswith(held + "/")
            if above or (held.startswith(scope + "/") and not above_only):
                found.append(self.render(ctx, lock))
        return Response.json(200, {"value": found})


class LocksService(Service):
    """The control plane of locks."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [Lock()]
