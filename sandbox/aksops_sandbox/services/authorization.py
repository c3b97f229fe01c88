"""Microsoft.Authorization: role definitions and role assignments."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.rbac import ASSIGNMENT, DEFINITION
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.roles import Role
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.entra import known_principals

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox


class RoleAssignments(ResourceType):
    """Assignments: immutable, one for each principal, role and scope."""

    type = ASSIGNMENT
    status = "authorization/2022-04-01/roleassignments"
    tracked = False
    name_pattern = r"[0-9a-fA-F-]{36}"

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        scope = new.id[: -len(f"/providers/{ASSIGNMENT}/{new.name}")]
        principal, definition = properties.get("principalId", ""), properties.get("roleDefinitionId", "")
        if not principal or not definition:
            raise bad_request("InvalidRequest", "A role assignment needs principalId and roleDefinitionId.")
        if ctx.rbac.role(definition) is None:
            raise AzureError(
                404, "RoleDefinitionDoesNotExist", f"The specified role definition '{definition}' does not exist."
            )
        if not properties.get("principalType") and principal.lower() not in known_principals(ctx):
            raise bad_request(
                "PrincipalNotFound",
                f"Principal {principal.replace('-', '')} does not exist in the directory {ctx.principals.tenant_id}. "
                "Check that you have the correct principal ID. If you are creating this principal and then immediately "
                "assigning a role, this error might be related to a replication delay.",
            )
        role_id = definition.rstrip("/").rsplit("/", 1)[-1].lower()
        subscription = ctx.subscription_of(new.id)
        properties["roleDefinitionId"] = f"/subscriptions/{subscription}/providers/{DEFINITION}/{role_id}"
        properties["scope"] = scope
        properties.setdefault("principalType", "ServicePrincipal")
        for other in ctx.store.list(type=ASSIGNMENT):
            same = other.properties["principalId"].lower() == principal.lower()
            same = same and other.properties["roleDefinitionId"].lower().endswith(role_id)
            if same and other.properties["scope"].lower() == scope.lower() and other.name.lower() != new.name.lower():
                raise AzureError(
                    409,
                    "RoleAssignmentExists",
                    f"The role assignment already exists. The ID of the existing role assignment is {other.name}.",
                )
        if old is None:
            new.internal["created"] = time.time()

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        content = super().render(ctx, resource)
        content["properties"] = {k: v for k, v in resource.properties.items() if k != "provisioningState"}
        return content

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        text = request.query.get("$filter", "")
        principal = re.search(r"(?:principalId eq|assignedTo\()\s*'([^']+)'", text)
        scope = rid.scope.lower()
        found = []
        for item in ctx.store.list(type=ASSIGNMENT):
            held = item.properties["scope"].lower()
            above = scope == held or scope.startswith(held.rstrip("/") + "/")
            below = held.startswith(scope.rstrip("/") + "/")
            if not (above or (below and "atscope()" not in text.lower())):
                continue
            if principal and item.properties["principalId"].lower() != principal.group(1).lower():
                continue
            found.append(self.render(ctx, item))
        return Response.json(200, {"value": found})

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        resource = ctx.store.get(str(rid))
        response = super().delete(ctx, request, rid)
        if resource is None or response.status != 200:
            return response
        return Response.json(200, self.render(ctx, resource))


class RoleDefinitions(ResourceType):
    """Custom roles; the built-in ones are answered by the routes of the service."""

    type = DEFINITION
    status = "authorization/2022-04-01/roledefinitions"
    tracked = False
    name_pattern = r"[0-9a-fA-F-]{36}"

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        role = ctx.rbac.role(rid.name)
        if role is None:
            raise AzureError(404, "RoleDefinitionDoesNotExist", f"The role definition '{rid.name}' does not exist.")
        return Response.json(200, _rendered(ctx, role))

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        wanted = re.search(r"roleName eq '([^']+)'", request.query.get("$filter", ""))
        roles = [role for role in ctx.rbac.definitions() if wanted is None or role.name == wanted.group(1)]
        return Response.json(200, {"value": [_rendered(ctx, role) for role in roles]})


def _rendered(ctx: Sandbox, role: Role) -> dict[str, Any]:
    custom = next((item for item in ctx.store.list(type=DEFINITION) if item.name == role.id), None)
    subscription = f"/subscriptions/{ctx.principals.subscription_id}"
    permission = {
        "actions": list(role.actions),
        "notActions": list(role.not_actions),
        "dataActions": list(role.data_actions),
        "notDataActions": list(role.not_data_actions),
    }
    properties = {
        "roleName": role.name,
        "type": "CustomRole" if custom else "BuiltInRole",
        "description": custom.properties.get("description", "") if custom else role.name,
        "assignableScopes": custom.properties.get("assignableScopes", [subscription]) if custom else ["/"],
        "permissions": [permission],
    }
    id_ = custom.id if custom else f"{subscription}/providers/{DEFINITION}/{role.id}"
    return {"id": id_, "name": role.id, "type": DEFINITION, "properties": properties}


class AuthorizationService(Service):
    """Roles and who has them."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [RoleAssignments(), RoleDefinitions()]
        self.arm_routes = [
            ("GET", rf"/providers/{re.escape(DEFINITION)}/([^/]+)", _definition),
            ("GET", r"(.*)/providers/Microsoft\.Authorization/permissions", _permissions),
        ]


def _definition(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    role = ctx.rbac.role(match.group(1))
    if role is None:
        raise AzureError(404, "RoleDefinitionDoesNotExist", f"The role definition '{match.group(1)}' does not exist.")
    return Response.json(200, _rendered(ctx, role))


def _permissions(ctx: Sandbox, request: Request, match: re.Match[str]) -> Response:
    """What the caller may do at a scope (the right check of preflight)."""
    scope = match.group(1).lower()
    oid = request.principal.object_id.lower() if request.principal else ""
    value = []
    for item in ctx.store.list(type=ASSIGNMENT):
        held = item.properties["scope"].lower()
        role = ctx.rbac.role(item.properties["roleDefinitionId"])
        if role and item.properties["principalId"].lower() == oid and (scope == held or scope.startswith(f"{held}/")):
            value.append(
                {
                    "actions": list(role.actions),
                    "notActions": list(role.not_actions),
                    "dataActions": list(role.data_actions),
                    "notDataActions": list(role.not_data_actions),
                }
            )
    return Response.json(200, {"value": value})
