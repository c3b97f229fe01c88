"""Subscriptions, locations, resource providers, resource groups and the list of resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import odata, regions
from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.operations import retry_after
from aksops_sandbox.azure.resource_type import merge
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.sandbox import GROUP
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.tags import SUBSCRIPTION_TAGS

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_SUBSCRIPTION = r"/subscriptions/([^/]+)"
_GROUP = rf"{_SUBSCRIPTION}/resourcegroups/([^/]+)"
_PROVIDERS = (
    "Microsoft.AlertsManagement",
    "Microsoft.Authorization",
    "Microsoft.Cache",
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.LoadTestService",
    "Microsoft.ManagedIdentity",
    "Microsoft.Monitor",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.OperationsManagement",
    "Microsoft.PolicyInsights",
    "Microsoft.Resources",
    "Microsoft.Security",
    "Microsoft.ServiceBus",
    "Microsoft.Storage",
)


class SubscriptionsService(Service):
    """What stands above the resources."""

    def __init__(self) -> None:
        super().__init__()
        self.arm_routes = [
            ("GET", r"/subscriptions", _subscriptions),
            ("GET", r"/tenants", _tenants),
            ("GET", _SUBSCRIPTION, _subscription),
            ("GET", rf"{_SUBSCRIPTION}/locations", _locations),
            ("GET", rf"(?:{_SUBSCRIPTION})?/providers", _providers),
            ("GET", rf"(?:{_SUBSCRIPTION})?/providers/([^/]+)", _provider),
            ("POST", rf"{_SUBSCRIPTION}/providers/([^/]+)/register", _register),
            ("POST", rf"{_SUBSCRIPTION}/providers/([^/]+)/unregister", _unregister),
            ("GET", rf"{_SUBSCRIPTION}/resourcegroups", _groups),
            ("GET", rf"{_SUBSCRIPTION}/resources", _resources),
            ("GET", rf"{_GROUP}/resources", _resources),
            ("GET", _GROUP, _group),
            ("HEAD", _GROUP, _group_exists),
            ("PUT", _GROUP, _put_group),
            ("PATCH", _GROUP, _patch_group),
            ("DELETE", _GROUP, _delete_group),
        ]


def _subscription_body(ctx: Sandbox) -> dict[str, Any]:
    subscription = ctx.principals.subscription_id
    return {
        "id": f"/subscriptions/{subscription}",
        "subscriptionId": subscription,
        "tenantId": ctx.principals.tenant_id,
        "homeTenantId": ctx.principals.tenant_id,
        "displayName": "aksops sandbox",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "tags": ctx.store.table(SUBSCRIPTION_TAGS).get(f"/subscriptions/{subscription}", {}),
        "subscriptionPolicies": {"quotaId": "PayAsYouGo_2014-09-01", "spendingLimit": "Off"},
    }


def _subscriptions(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    return Response.json(200, {"value": [_subscription_body(ctx)], "count": {"type": "Total", "value": 1}})


def _subscription(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    return Response.json(200, _subscription_body(ctx))


def _tenants(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    tenant = ctx.principals.tenant_id
    entry = {"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": "aksops sandbox", "tenantCategory": "Home"}
    return Response.json(200, {"value": [entry]})


def _locations(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    value = []
    for name, region in regions.REGIONS.items():
        base = f"/subscriptions/{ctx.principals.subscription_id}/locations"
        paired = [{"name": region.pair, "id": f"{base}/{region.pair}"}] if region.pair else []
        count = 3 if region.zones else 0
        zones = [{"logicalZone": str(zone), "physicalZone": f"{name}-az{zone}"} for zone in range(1, count + 1)]
        value.append(
            {
                "id": f"{base}/{name}",
                "name": name,
                "displayName": region.display,
                "type": "Region",
                "metadata": {"regionType": "Physical", "pairedRegion": paired},
                "availabilityZoneMappings": zones,
            }
        )
    return Response.json(200, {"value": value})


def _provider_body(ctx: Sandbox, namespace: str) -> dict[str, Any]:
    unregistered = ctx.store.table("unregistered_providers")
    kinds = [kind.type.split("/", 1)[1] for kind in ctx.types.values() if kind.type.startswith(f"{namespace}/")]
    versions = ["2026-04-01", "2025-08-01", "2025-01-01"]
    locations = [region.display for region in regions.REGIONS.values()]
    return {
        "id": f"/subscriptions/{ctx.principals.subscription_id}/providers/{namespace}",
        "namespace": namespace,
        "registrationState": "NotRegistered" if namespace.lower() in unregistered else "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [
            {"resourceType": kind, "locations": locations, "apiVersions": versions} for kind in sorted(kinds)
        ],
    }


def _providers(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    return Response.json(200, {"value": [_provider_body(ctx, name) for name in _PROVIDERS]})


def _known_provider(name: str) -> str:
    for known in _PROVIDERS:
        if known.lower() == name.lower():
            return known
    raise AzureError(404, "InvalidResourceNamespace", f"The resource namespace '{name}' is invalid.")


def _provider(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    return Response.json(200, _provider_body(ctx, _known_provider(match.group(2))))


def _register(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    namespace = _known_provider(match.group(2))
    ctx.rbac.require(request, f"{namespace}/register/action", f"/subscriptions/{match.group(1)}")
    ctx.store.table("unregistered_providers").pop(namespace.lower(), None)
    return Response.json(200, _provider_body(ctx, namespace))


def _unregister(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    namespace = _known_provider(match.group(2))
    ctx.rbac.require(request, f"{namespace}/unregister/action", f"/subscriptions/{match.group(1)}")
    ctx.store.table("unregistered_providers")[namespace.lower()] = True
    return Response.json(200, _provider_body(ctx, namespace))


def _render_group(group: Resource) -> dict[str, Any]:
    content = {"id": group.id, "name": group.name, "type": GROUP, "location": group.location, "tags": group.tags}
    return {**content, **group.body, "properties": group.properties}


def _find_group(ctx: Sandbox, match: re.Match[str]) -> Resource:
    group = ctx.store.get(f"/subscriptions/{match.group(1)}/resourceGroups/{match.group(2)}")
    if group is None:
        raise AzureError(404, "ResourceGroupNotFound", f"Resource group '{match.group(2)}' could not be found.")
    return group


def _groups(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    groups = ctx.store.list(type=GROUP)
    wanted = odata.terms(request.query.get("$filter", ""), _TAG_FIELDS)
    if wanted:
        groups = [group for group in groups if any(odata.tagged(group.tags, terms) for terms in wanted)]
    return odata.page(request, groups, _render_group)


def _group(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, "Microsoft.Resources/subscriptions/resourceGroups/read", request.path)
    return Response.json(200, _render_group(_find_group(ctx, match)))


def _group_exists(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    _find_group(ctx, match)
    return Response.empty(204)


def _put_group(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    name, content = match.group(2), request.json()
    ctx.rbac.require(request, "Microsoft.Resources/subscriptions/resourceGroups/write", request.path)
    if not re.fullmatch(r"[-\w._()]{1,90}(?<!\.)", name):
        raise bad_request("InvalidResourceGroup", f"The resource group name '{name}' is not valid.")
    location = regions.short(str(content.get("location") or ""))
    if location not in regions.REGIONS:
        raise bad_request(
            "LocationNotAvailableForResourceGroup",
            f"The provided location '{location}' is not available for resource group. List of available regions is "
            f"'{','.join(regions.REGIONS)}'.",
        )
    group_id = f"/subscriptions/{match.group(1)}/resourceGroups/{name}"
    old = ctx.store.get(group_id)
    if old is not None and old.location != location:
        raise AzureError(
            409,
            "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{old.location}'.",
        )
    body = {"managedBy": content["managedBy"]} if content.get("managedBy") else (old.body if old else {})
    properties = {"provisioningState": "Succeeded"}
    group = Resource(old.id if old else group_id, old.name if old else name, GROUP, location, {}, properties, body)
    group.tags = dict(content.get("tags") or {})
    ctx.store.put(group)
    return Response.json(200 if old else 201, _render_group(group))


def _patch_group(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, "Microsoft.Resources/subscriptions/resourceGroups/write", request.path)
    group = _find_group(ctx, match)
    content = request.json()
    if content.get("tags") is not None:
        group.tags = dict(content["tags"])
    group.body = merge(group.body, {key: content[key] for key in ("managedBy",) if key in content})
    ctx.store.put(group)
    return Response.json(200, _render_group(group))


def _delete_group(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    ctx.rbac.require(request, "Microsoft.Resources/subscriptions/resourceGroups/delete", request.path)
    group = _find_group(ctx, match)
    ctx.check_deletable(group)
    group.properties["provisioningState"] = "Deleting"
    ctx.store.put(group)
    subscription = match.group(1)
    path = ctx.operations.start(
        subscription, "Microsoft.Resources", group.location or "", group.id, lambda: ctx.delete_tree(group)
    )
    location = ctx.operations.headers(path, request)["Location"]
    return Response.empty(202, {"Location": location, **retry_after(request)})


def _resources(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    prefix = request.path[: -len("/resources")]
    found = [
        item
        for item in ctx.store.list(prefix=prefix)
        if item.location is not None and item.type != GROUP and item.type.count("/") == 1
    ]
    wanted = odata.terms(request.query.get("$filter", ""), (*_RESOURCE_FIELDS, *_TAG_FIELDS))
    if wanted:
        found = [item for item in found if any(_fits(item, terms) for terms in wanted)]
    expanded = "provisioningstate" in request.query.get("$expand", "").lower()
    return odata.page(request, found, lambda item: _listed(item, expanded))


_RESOURCE_FIELDS = {
    "name": lambda item: item.name,
    "location": lambda item: item.location,
    "resourcetype": lambda item: item.type,
    "resourcegroup": lambda item: item.id.split("/")[4],
    "identity/principalid": lambda item: str((item.body.get("identity") or {}).get("principalId") or ""),
}
_TAG_FIELDS = ("tagname", "tagvalue")


def _fits(item: Resource, terms: list[odata.Term]) -> bool:
    for term in terms:
        read = _RESOURCE_FIELDS.get(term.field)
        value = regions.short(term.value) if term.field == "location" else term.value
        if read and not odata.Term(term.field, term.verb, value).holds(read(item)):
            return False
    return odata.tagged(item.tags, [term for term in terms if term.field in _TAG_FIELDS])


def _listed(item: Resource, expanded: bool) -> dict[str, Any]:
    entry = {"id": item.id, "name": item.name, "type": item.type, "location": item.location, "tags": item.tags}
    if expanded:
        entry["provisioningState"] = item.properties.get("provisioningState", "Succeeded")
    return entry | {key: item.body[key] for key in ("sku", "kind", "identity", "zones") if key in item.body}
