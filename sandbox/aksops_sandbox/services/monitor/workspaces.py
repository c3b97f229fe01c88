"""Log Analytics workspaces with their soft delete, tables and keys."""

from __future__ import annotations

import datetime
import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import ArmHandler

WORKSPACE = "Microsoft.OperationalInsights/workspaces"

#: Days that a deleted workspace can be had back.
SOFT_DELETE_DAYS = 14

_SKUS = ("PerGB2018", "CapacityReservation", "LACluster", "Standalone", "PerNode", "Free", "Standard", "Premium")
_RETIRED_SKUS = {"Free", "Standard", "Premium"}


class Workspace(ResourceType):
    type = WORKSPACE
    status = "operationalinsights/2025-07-01/workspaces"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$"

    def __init__(self) -> None:
        super().__init__(actions={"sharedKeys": _keys, "regenerateSharedKey": self._regenerate, "listKeys": _keys})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        before = old or self._recover(ctx, new)
        if old is not None:
            shapes.carry(new, old, *old.properties)
        if old is None and properties.get("defaultDataCollectionRuleResourceId"):
            message = "Default dcr is not applicable on workspace creation, please provide it on update."
            raise bad_request("InvalidParameter", message)
        sku = shapes.choice(shapes.dig(properties, "sku.name", "PerGB2018"), _SKUS, "sku.name", "UnsupportedSku")
        if sku in _RETIRED_SKUS:
            raise bad_request("UnsupportedSku", f"The pricing tier '{sku}' is retired. Use PerGB2018.")
        properties["sku"] = {**(properties.get("sku") or {}), "name": sku, "lastSkuUpdate": shapes.now()}
        shapes.defaults(
            properties,
            {
                "retentionInDays": 30,
                "publicNetworkAccessForIngestion": "Enabled",
                "publicNetworkAccessForQuery": "Enabled",
                "features": {
                    "legacy": 0,
                    "searchVersion": 1,
                    "enableLogAccessUsingOnlyResourcePermissions": True,
                    "disableLocalAuth": False,
                },
                "workspaceCapping": {"dailyQuotaGb": -1.0},
            },
        )
        if properties["retentionInDays"] != 7:
            shapes.between(properties["retentionInDays"], 30, 730, "retentionInDays", "InvalidParameter")
        capping = properties["workspaceCapping"]
        capping |= {"quotaNextResetTime": shapes.now(), "dataIngestionStatus": "RespectQuota"}
        shapes.computed(new, before, customerId=shapes.guid, createdDate=shapes.now)
        properties["modifiedDate"] = shapes.now()
        keys = before.internal.get("keys") if before else None
        new.internal["keys"] = keys or [shapes.access_key(), shapes.access_key()]
        ctx.store.table("deleted-workspaces").pop(new.id.lower(), None)

    @staticmethod
    def _recover(ctx: Any, new: Resource) -> Resource | None:
        """A deleted workspace of the same id comes back with its data."""
        kept = ctx.store.table("deleted-workspaces").get(new.id.lower())
        return Resource(**kept["resource"]) if kept else None

    def delete(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        answer = super().delete(ctx, request, rid)
        if request.query.get("force", "").lower() == "true":
            ctx.store.table("deleted-workspaces").pop(str(rid).lower(), None)
        return answer

    def removed(self, ctx: Any, resource: Resource) -> None:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=SOFT_DELETE_DAYS)
        record = {"resource": vars(resource), "until": until.isoformat()}
        ctx.store.table("deleted-workspaces")[resource.id.lower()] = record

    @staticmethod
    def _regenerate(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        resource.internal["keys"] = [shapes.access_key(), shapes.access_key()]
        ctx.store.put(resource)
        return _keys(ctx, resource, body, request)


def _keys(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
    primary, secondary = resource.internal["keys"]
    return {"primarySharedKey": primary, "secondarySharedKey": secondary}


class Table(ResourceType):
    """A table of a workspace: a custom one (`_CL`), or the plan and retention of a built-in one."""

    type = f"{WORKSPACE}/tables"
    status = "operationalinsights/2022-10-01/tables"
    tracked = False
    name_pattern = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        workspace = ctx.store.get(shapes.identify(new.id).parent)
        schema = new.properties.setdefault("schema", {})
        schema["name"] = new.name
        custom = new.name.endswith("_CL")
        if custom and not (schema.get("columns") or (old and old.properties["schema"].get("columns"))):
            raise bad_request("InvalidParameter", f"The custom table '{new.name}' needs columns in its schema.")
        shapes.defaults(
            new.properties,
            {
                "plan": "Analytics",
                "retentionInDays": workspace.properties["retentionInDays"],
                "totalRetentionInDays": workspace.properties["retentionInDays"],
            },
        )
        new.properties["plan"] = shapes.choice(new.properties["plan"], ("Analytics", "Basic", "Auxiliary"), "plan")
        shapes.between(new.properties["totalRetentionInDays"], 4, 4383, "totalRetentionInDays")


def list_deleted(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET .../deletedWorkspaces of the subscription or a resource group."""
    ctx.rbac.require(request, f"{WORKSPACE}/read", match["scope"])
    now = datetime.datetime.now(datetime.UTC)
    value = []
    for key, record in ctx.store.table("deleted-workspaces").items():
        if key.startswith(match["scope"].lower() + "/") and datetime.datetime.fromisoformat(record["until"]) > now:
            resource = Resource(**record["resource"])
            value.append(
                {
                    "id": resource.id,
                    "name": resource.name,
                    "type": resource.type,
                    "location": resource.location,
                    "tags": resource.tags,
                    "properties": resource.properties,
                }
            )
    return Response.json(200, {"value": value})


def by_customer_id(ctx: Any, customer_id: str) -> Resource:
    """The workspace of a customer id. Raises AzureError 404."""
    for workspace in ctx.store.list(type=WORKSPACE):
        if workspace.properties["customerId"].lower() == customer_id.lower():
            return workspace
    raise AzureError(404, "WorkspaceNotFoundError", f"The workspace '{customer_id}' could not be found.")


_PACKS = ("AlertManagement", "AzureNetworking", "ChangeTracking", "Containers", "LogManagement", "Security", "Updates")


def _workspace(ctx: Any, request: Request, match: re.Match[str], action: str) -> Resource:
    workspace = ctx.require_resource(match["id"])
    ctx.rbac.require(request, f"{WORKSPACE}/{action}", workspace.id)
    return workspace


def _packs(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {workspace}/intelligencePacks: the solutions of old; LogManagement is always on."""
    workspace = _workspace(ctx, request, match, "intelligencePacks/read")
    enabled = {"LogManagement", *workspace.internal.get("packs", [])}
    return Response.json(200, [{"name": name, "enabled": name in enabled, "displayName": name} for name in _PACKS])


def _switch_pack(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST {workspace}/intelligencePacks/{name}/enable or disable."""
    workspace = _workspace(ctx, request, match, f"intelligencePacks/{match['verb'].lower()}/action")
    name = shapes.choice(match["name"], _PACKS, "intelligencePackName")
    packs = set(workspace.internal.get("packs", []))
    workspace.internal["packs"] = sorted(packs | {name} if match["verb"].lower() == "enable" else packs - {name})
    ctx.store.put(workspace)
    return Response.empty(200)


def _workspace_usages(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {workspace}/usages."""
    workspace = _workspace(ctx, request, match, "usages/read")
    name = {"value": "DataAnalyzed", "localizedValue": "Data Analyzed"}
    quota = workspace.properties["workspaceCapping"]["dailyQuotaGb"]
    row = {"name": name, "unit": "Bytes", "currentValue": 0, "limit": quota, "quotaPeriod": "P1D"}
    return Response.json(200, {"value": [row]})


def _management_groups(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {workspace}/managementGroups: no Operations Manager is connected."""
    _workspace(ctx, request, match, "managementGroups/read")
    return Response.json(200, {"value": []})


_ID = r"(?P<id>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.OperationalInsights/workspaces/[^/]+)"
_SCOPE = r"(?P<scope>/subscriptions/[^/]+(/resourceGroups/[^/]+)?)"
ROUTES: list[tuple[str, str, ArmHandler]] = [
    ("GET", rf"{_SCOPE}/providers/Microsoft\.OperationalInsights/deletedWorkspaces", list_deleted),
    ("GET", rf"{_ID}/intelligencePacks", _packs),
    ("POST", rf"{_ID}/intelligencePacks/(?P<name>[^/]+)/(?P<verb>enable|disable)", _switch_pack),
    ("GET", rf"{_ID}/usages", _workspace_usages),
    ("GET", rf"{_ID}/managementGroups", _management_groups),
]
