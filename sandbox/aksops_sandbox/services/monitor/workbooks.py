"""Workbooks: dashboards as data. Their content is stored and shown on request; nothing draws it."""

from __future__ import annotations

import json
import re
from typing import Any

from aksops_sandbox.azure.errors import bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes

_GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class Workbook(ResourceType):
    type = "Microsoft.Insights/workbooks"
    status = "applicationinsights/2022-04-01/workbooksapis"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        if not re.match(_GUID, new.name):
            raise bad_request("BadRequest", f"The name of a workbook must be a GUID, not '{new.name}'.")
        for field in ("displayName", "category", "serializedData"):
            if not properties.get(field):
                raise bad_request("BadRequest", f"The workbook {new.name} has no '{field}'.")
        try:
            content = json.loads(properties["serializedData"])
        except (TypeError, ValueError):
            content = None
        if not isinstance(content, dict) or not isinstance(content.get("items"), list):
            raise bad_request("BadRequest", f"The serializedData of workbook {new.name} is not a workbook's JSON.")
        new.body["kind"] = shapes.choice(new.body.get("kind"), ("shared",), "kind")
        properties["sourceId"] = str(properties.get("sourceId") or "azure monitor").lower()
        shapes.defaults(properties, {"version": "Notebook/1.0"})
        properties["timeModified"] = shapes.now()
        shapes.computed(new, old, userId=shapes.guid, revision=lambda: shapes.guid().replace("-", ""))

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "serializedData": None}
        return shown

    def get(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        """The content is part of the answer only where `canFetchContent` asks for it."""
        if request.query.get("canFetchContent", "").lower() != "true":
            return super().get(ctx, request, rid)
        resource = ctx.store.get(str(rid))
        if resource is None:
            raise not_found(str(rid))
        return Response.json(200, super().render(ctx, resource))
