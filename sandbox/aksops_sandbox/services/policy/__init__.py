"""Microsoft.Authorization: policy definitions, initiatives, assignments and exemptions."""

from __future__ import annotations

import datetime
import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.policy import catalog, states
from aksops_sandbox.services.policy.constraints import ASSIGNMENT, DEFINITION, EXEMPTION, SET_DEFINITION


def _scope_of(resource: Resource) -> str:
    return resource.id[: -len(f"/providers/{resource.type}/{resource.name}")]


def _built_in(item: catalog.BuiltIn) -> dict[str, Any]:
    """A built-in as the service shows it."""
    kind = SET_DEFINITION if item.members else DEFINITION
    metadata = {"version": item.version, "category": item.category}
    properties: dict[str, Any] = {
        "displayName": item.name,
        "policyType": "BuiltIn",
        "description": item.name,
        "metadata": metadata,
        "version": item.version,
        "versions": [item.version],
        "parameters": item.parameters,
    }
    if item.members:
        properties["policyDefinitions"] = [
            {
                "policyDefinitionReferenceId": reference,
                "policyDefinitionId": f"/providers/{DEFINITION}/{member}",
                "definitionVersion": f"{catalog.definition(member).version.split('.')[0]}.*.*",
                "parameters": {name: {"value": value} for name, value in passed.items()},
            }
            for reference, member, passed in item.members
        ]
    else:
        properties["mode"] = item.mode
        effect = "[parameters('effect')]"
        properties["policyRule"] = {"if": {"field": "type", "exists": "true"}, "then": {"effect": effect}}
    return {"properties": properties, "id": f"/providers/{kind}/{item.id}", "type": kind, "name": item.id}


def _parameters_of(ctx: Any, definition_id: str, assignment: Resource) -> dict[str, Any]:
    """The parameters that a definition or initiative declares. Raises AzureError 404 where it does not exist."""
    item = catalog.find(definition_id)
    if item is not None:
        return item.parameters
    stored = ctx.store.get(definition_id)
    if stored is None or stored.type not in {DEFINITION, SET_DEFINITION}:
        message = (
            f"The policy definition specified in policy assignment '{assignment.name}' is out of scope or does not "
            f"exist: '{definition_id}'."
        )
        raise AzureError(404, "PolicyDefinitionNotFound", message)
    return stored.properties.get("parameters") or {}


def _check_parameters(declared: dict[str, Any], given: dict[str, Any], assignment: Resource) -> None:
    known = {name.lower(): (name, schema) for name, schema in declared.items()}
    unknown = sorted(name for name in given if name.lower() not in known)
    if unknown:
        message = (
            f"The policy assignment '{assignment.name}' has defined parameters '{','.join(unknown)}' which are not "
            "defined in the policy definition."
        )
        raise bad_request("UndefinedPolicyParameter", message)
    lower = {name.lower(): entry for name, entry in given.items()}
    for key, (name, schema) in known.items():
        if key not in lower:
            if "defaultValue" not in schema:
                message = f"The policy assignment '{assignment.name}' is missing the parameter '{name}'."
                raise bad_request("MissingPolicyParameter", message)
            continue
        value = lower[key].get("value") if isinstance(lower[key], dict) else None
        kinds = {"array": list, "boolean": bool, "object": dict, "string": str, "integer": int}
        kind = kinds.get(str(schema.get("type", "")).lower())
        allowed = schema.get("allowedValues")
        fits = kind is None or isinstance(value, kind)
        if not fits or (allowed and str(value).lower() not in {str(item).lower() for item in allowed}):
            message = (
                f"The value of parameter '{name}' of policy assignment '{assignment.name}' is not valid: '{value}'."
            )
            raise bad_request("InvalidPolicyParameterValue" if fits else "InvalidPolicyParameterType", message)


def _around(ctx: Any, request: Request, rid: ResourceId, kind: ResourceType) -> Response:
    """Resources of a kind at a scope and above it; below it too, unless the filter is atScope()."""
    scope = rid.scope.lower().rstrip("/")
    exact = "atexactscope()" in request.query.get("$filter", "").lower()
    below_too = "atscope()" not in request.query.get("$filter", "").lower() and not exact
    found = []
    for item in ctx.store.list(type=kind.type):
        held = _scope_of(item).lower()
        above = scope.startswith(held + "/") and not exact
        if held == scope or above or (below_too and held.startswith(scope + "/")):
            found.append(kind.render(ctx, item))
    return Response.json(200, {"value": found})


class PolicyAssignment(ResourceType):
    """An assignment at a subscription, resource group or resource. Its PUT answers 201, on updates too."""

    type = ASSIGNMENT
    status = "resources/2022-06-01/policyassignments"
    tracked = False
    name_pattern = r"[^<>%&\\?/#]{1,128}"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        definition = properties.get("policyDefinitionId")
        if not definition:
            raise bad_request("InvalidCreatePolicyAssignmentRequest", "A policy assignment needs policyDefinitionId.")
        shapes.fixed(new, old, "policyDefinitionId", code="PolicyDefinitionIdCannotBeChanged")
        shapes.defaults(properties, {"enforcementMode": "Default", "parameters": {}, "notScopes": []})
        modes = ("Default", "DoNotEnforce", "Enroll")
        properties["enforcementMode"] = shapes.choice(properties["enforcementMode"], modes, "enforcementMode")
        _check_parameters(_parameters_of(ctx, definition, new), properties["parameters"], new)
        if new.body.get("identity", {}).get("type", "None") != "None" and not new.location:
            message = f"The policy assignment '{new.name}' has a managed identity and needs a location."
            raise bad_request("LocationRequired", message)
        who = ctx.principals.account("operator").object_id
        made = (old.properties.get("metadata") or {}) if old else {}
        properties["metadata"] = {
            **(properties.get("metadata") or {}),
            "createdBy": made.get("createdBy", who),
            "createdOn": made.get("createdOn", shapes.now()),
            "updatedBy": who if old else None,
            "updatedOn": shapes.now() if old else None,
        }
        properties["scope"] = _scope_of(new)

    def _write(self, ctx: Any, request: Request, new: Resource, old: Resource | None, verb: str) -> Response:
        answer = super()._write(ctx, request, new, old, verb)
        if verb == "PUT":
            answer.status = 201
        return answer

    def list(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        return _around(ctx, request, rid, self)


class PolicyExemption(ResourceType):
    type = EXEMPTION
    status = ""
    tracked = False

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        assignment = ctx.store.get(properties.get("policyAssignmentId") or "")
        if assignment is None or assignment.type != ASSIGNMENT:
            message = f"The policy assignment '{properties.get('policyAssignmentId')}' could not be found."
            raise AzureError(404, "PolicyAssignmentNotFound", message)
        if not f"{_scope_of(new).lower()}/".startswith(assignment.properties["scope"].lower() + "/"):
            message = f"The scope of exemption '{new.name}' is not below the scope of its policy assignment."
            raise bad_request("InvalidPolicyExemptionScope", message)
        properties["exemptionCategory"] = shapes.choice(
            properties.get("exemptionCategory"), ("Waiver", "Mitigated"), "exemptionCategory"
        )
        expires = properties.get("expiresOn")
        if expires:
            try:
                datetime.datetime.fromisoformat(expires)
            except ValueError:
                raise bad_request("InvalidPolicyExemption", f"'{expires}' is no date.") from None

    def list(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        return _around(ctx, request, rid, self)


class PolicyDefinition(ResourceType):
    """A custom definition or initiative of a subscription."""

    tracked = False

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        properties["policyType"] = "Custom"
        if self.type == DEFINITION:
            rule = properties.get("policyRule") or {}
            if not rule.get("if") or not rule.get("then"):
                raise bad_request(
                    "InvalidPolicyRule", f"The rule of policy definition '{new.name}' needs 'if' and 'then'."
                )
            properties.setdefault("mode", "All")
            if str(properties["mode"]).lower().startswith("microsoft.kubernetes"):
                message = (
                    f"The sandbox runs no Rego and no templates of others, so policy definition '{new.name}' would "
                    "never count in a cluster: use a built-in definition, or try it in Azure."
                )
                raise AzureError(501, "NotImplementedInSandbox", message)
        else:
            for member in properties.get("policyDefinitions") or []:
                _parameters_of(ctx, member.get("policyDefinitionId") or "", new)
        properties.setdefault("parameters", {})
        properties.setdefault("metadata", {})

    def _write(self, ctx: Any, request: Request, new: Resource, old: Resource | None, verb: str) -> Response:
        answer = super()._write(ctx, request, new, old, verb)
        if self.type == DEFINITION:
            answer.status = 201
        return answer

    def remove(self, ctx: Any, resource: Resource) -> None:
        for assignment in ctx.store.list(type=ASSIGNMENT):
            if shapes.same_id(assignment.properties["policyDefinitionId"], resource.id):
                message = f"The policy definition '{resource.name}' is in use by the assignment '{assignment.id}'."
                raise AzureError(409, "PolicyDefinitionInUse", message)


class DeploymentSafeguard(ResourceType):
    """The deployment safeguards of a cluster, named `default`."""

    type = "Microsoft.ContainerService/deploymentSafeguards"
    tracked = False
    name_pattern = "default"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        cluster = ctx.store.get(shapes.identify(new.id).scope)
        if cluster is None or cluster.type.lower() != "microsoft.containerservice/managedclusters":
            raise bad_request("InvalidScope", "Deployment safeguards stand on a managed cluster.")
        if not shapes.dig(cluster.properties, "addonProfiles.azurepolicy.enabled"):
            message = (
                f"Deployment safeguards need the Azure Policy add-on, which cluster '{cluster.name}' does not have."
            )
            raise bad_request("AzurePolicyAddonNotEnabled", message)
        properties = new.properties
        shapes.defaults(properties, {"excludedNamespaces": [], "podSecurityStandardsLevel": "Privileged"})
        properties["level"] = shapes.choice(properties.get("level"), ("Warn", "Enforce"), "level")
        levels = ("Privileged", "Baseline", "Restricted")
        level = shapes.choice(properties["podSecurityStandardsLevel"], levels, "podSecurityStandardsLevel")
        properties["podSecurityStandardsLevel"] = level


def _read_built_in(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET /providers/Microsoft.Authorization/policy(Set)Definitions/{name}: open to every caller of the tenant."""
    item = catalog.find(request.path)
    if item is None:
        raise AzureError(
            404, "PolicyDefinitionNotFound", f"The policy definition '{match['name']}' could not be found."
        )
    return Response.json(200, _built_in(item))


def _list(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET [{subscription}]/providers/Microsoft.Authorization/policy(Set)Definitions."""
    initiatives = match["kind"].lower() == "policysetdefinitions"
    kind = SET_DEFINITION if initiatives else DEFINITION
    value = [_built_in(item) for item in (catalog.INITIATIVES if initiatives else catalog.DEFINITIONS)]
    scope = match["scope"] or ""
    if scope:
        ctx.rbac.require(request, f"{kind}/read", scope)
        value += [ctx.types[kind.lower()].render(ctx, item) for item in ctx.store.list(type=kind, prefix=scope)]
    text = request.query.get("$filter", "")
    wanted = re.search(r"policyType\s+eq\s+'(\w+)'", text, re.I)
    if wanted:
        value = [item for item in value if item["properties"]["policyType"].lower() == wanted.group(1).lower()]
    category = re.search(r"category\s+eq\s+'([^']+)'", text, re.I)
    if category:
        value = [
            item
            for item in value
            if str((item["properties"].get("metadata") or {}).get("category", "")).lower() == category.group(1).lower()
        ]
    return Response.json(200, {"value": value})


def _read_here(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {subscription}/.../policy(Set)Definitions/{name}: custom ones, and built-in ones under their own id."""
    stored = ctx.store.get(request.path)
    kind = SET_DEFINITION if "/policysetdefinitions/" in request.path.lower() else DEFINITION
    ctx.rbac.require(request, f"{kind}/read", match["scope"])
    if stored is not None:
        return Response.json(200, ctx.types[kind.lower()].render(ctx, stored))
    raise not_found(request.path)


_KIND = r"(?P<kind>policyDefinitions|policySetDefinitions)"
_PROVIDER = r"/providers/Microsoft\.Authorization"


class PolicyService(Service):
    """Control plane of Azure Policy, and the compliance of clusters. Policies on ARM resources are not evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            PolicyAssignment(),
            PolicyExemption(),
            DeploymentSafeguard(),
            PolicyDefinition(DEFINITION, ""),
            PolicyDefinition(SET_DEFINITION, "resources/2025-01-01/policysetdefinitions"),
        ]
        self.arm_routes = [
            ("GET", rf"{_PROVIDER}/{_KIND}/(?P<name>[^/]+)", _read_built_in),
            ("GET", rf"(?P<scope>/subscriptions/[^/]+)?{_PROVIDER}/{_KIND}", _list),
            ("GET", rf"(?P<scope>/subscriptions/[^/]+){_PROVIDER}/{_KIND}/(?P<name>[^/]+)", _read_here),
            *states.ROUTES,
        ]
