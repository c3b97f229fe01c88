"""Application Insights components, their billing features, and the private link scopes of Azure Monitor."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure.errors import bad_request, not_found
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network.private_link import connections_of

COMPONENT = "Microsoft.Insights/components"
SCOPE = "Microsoft.Insights/privateLinkScopes"

_RETENTION = (30, 60, 90, 120, 180, 270, 365, 550, 730)
_BILLING = {
    "CurrentBillingFeatures": ["Basic"],
    "DataVolumeCap": {
        "Cap": 100.0,
        "ResetTime": 0,
        "WarningThreshold": 90,
        "StopSendNotificationWhenHitThreshold": False,
        "StopSendNotificationWhenHitCap": False,
        "MaxHistoryCap": 1000.0,
    },
}


class Component(ResourceType):
    type = COMPONENT
    status = "applicationinsights/2020-02-02/componentsapis"
    name_pattern = r"^[^%&\\?/]{0,254}[^%&\\?/.]$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        if old is not None:
            shapes.carry(new, old, *old.properties)
        workspace = properties.get("WorkspaceResourceId")
        if not workspace:
            message = "Classic Application Insights is retired: a component needs a workspace (WorkspaceResourceId)."
            raise bad_request("WorkspaceRequired", message)
        properties["WorkspaceResourceId"] = shapes.reference(ctx, workspace, new.id).id
        properties["Application_Type"] = shapes.choice(
            properties.get("Application_Type") or "web",
            ("web", "other", "java", "Node.JS", "ios", "phone", "store"),
            "Application_Type",
        )
        shapes.defaults(
            properties,
            {
                "RetentionInDays": 90,
                "SamplingPercentage": None,
                "DisableIpMasking": False,
                "DisableLocalAuth": False,
                "ForceCustomerStorageForProfiler": False,
                "publicNetworkAccessForIngestion": "Enabled",
                "publicNetworkAccessForQuery": "Enabled",
                "IngestionMode": "LogAnalytics",
                "Flow_Type": "Bluefield",
                "Request_Source": "rest",
            },
        )
        if properties["RetentionInDays"] not in _RETENTION:
            message = f"RetentionInDays must be one of {', '.join(map(str, _RETENTION))}."
            raise bad_request("InvalidRetention", message)
        shapes.computed(new, old, AppId=shapes.guid, InstrumentationKey=shapes.guid, CreationDate=shapes.now)
        properties |= {
            "ApplicationId": new.name,
            "Name": new.name,
            "TenantId": ctx.principals.subscription_id,
            "Ver": "v2",
        }
        properties["ConnectionString"] = (
            f"InstrumentationKey={properties['InstrumentationKey']};"
            f"IngestionEndpoint=https://{new.location}-5.in.applicationinsights.azure.com/;"
            f"LiveEndpoint=https://{new.location}.livediagnostics.monitor.azure.com/;"
            f"ApplicationId={properties['AppId']}"
        )

    def removed(self, ctx: Any, resource: Resource) -> None:
        ctx.store.table("component-billing").pop(resource.id.lower(), None)


def _component(ctx: Any, request: Request, resource_id: str, verb: str) -> Resource:
    resource = ctx.store.get(resource_id)
    if resource is None:
        raise not_found(resource_id)
    ctx.rbac.require(request, f"{COMPONENT}/currentbillingfeatures/{verb}", resource.id)
    return resource


def _billing(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {component}/currentbillingfeatures."""
    resource = _component(ctx, request, match["id"], "read")
    return Response.json(200, ctx.store.table("component-billing").get(resource.id.lower(), _BILLING))


def _set_billing(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """PUT {component}/currentbillingfeatures."""
    resource = _component(ctx, request, match["id"], "write")
    table = ctx.store.table("component-billing")
    before, change = table.get(resource.id.lower(), _BILLING), request.json()
    cap = {**before["DataVolumeCap"], **(change.get("DataVolumeCap") or {})}
    features = change.get("CurrentBillingFeatures") or before["CurrentBillingFeatures"]
    table[resource.id.lower()] = {"CurrentBillingFeatures": features, "DataVolumeCap": cap}
    return Response.json(200, table[resource.id.lower()])


def by_key(ctx: Any, instrumentation_key: str) -> Resource | None:
    """The component of an instrumentation key."""
    for component in ctx.store.list(type=COMPONENT):
        if component.properties["InstrumentationKey"].lower() == instrumentation_key.lower():
            return component
    return None


class PrivateLinkScope(ResourceType):
    """An Azure Monitor private link scope (AMPLS)."""

    type = SCOPE
    status = "insights/2021-07-01-preview/privatelinkscopesapis"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        shapes.defaults(
            new.properties,
            {"accessModeSettings": {"ingestionAccessMode": "Open", "queryAccessMode": "Open", "exclusions": []}},
        )
        for name in ("ingestionAccessMode", "queryAccessMode"):
            shapes.choice(new.properties["accessModeSettings"].get(name), ("Open", "PrivateOnly"), name)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown


class ScopedResource(ResourceType):
    """A workspace, component or collection endpoint inside a private link scope."""

    type = f"{SCOPE}/scopedResources"
    status = "insights/2019-10-17-preview/privatelinkscopedresources"
    tracked = False

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        new.properties["linkedResourceId"] = shapes.reference(ctx, new.properties.get("linkedResourceId"), new.id).id


_ID = r"(?P<id>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Insights/components/[^/]+)"
ROUTES = [
    ("GET", rf"{_ID}/currentbillingfeatures", _billing),
    ("PUT", rf"{_ID}/currentbillingfeatures", _set_billing),
]
