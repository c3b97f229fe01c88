"""Azure RBAC: role definitions, assignments, and whether a principal may carry out an action at a scope."""

from __future__ import annotations

import re
import time
import uuid
from functools import cache

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.roles import BUILT_IN, Role
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.http.message import Request

ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
DEFINITION = "Microsoft.Authorization/roleDefinitions"


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text.lower()).replace(r"\*", ".*"))


def _matches(patterns: tuple[str, ...] | list[str], action: str) -> bool:
    return any(_pattern(pattern).fullmatch(action.lower()) for pattern in patterns)


class Rbac:
    """Answers from the role assignments in the store.

    `delay` (seconds) is how long a new assignment, or the removal of one, takes to count for data planes, as on Azure.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.delay = 0.0
        self._built_in = {role.id: role for role in BUILT_IN}

    def role(self, definition_id: str) -> Role | None:
        """The role of a definition id (any scope), built in or custom."""
        name = definition_id.rstrip("/").rsplit("/", 1)[-1].lower()
        if name in self._built_in:
            return self._built_in[name]
        for resource in self._store.peek(type=DEFINITION):
            if resource.name.lower() == name:
                return role_of(resource)
        return None

    def definitions(self) -> list[Role]:
        """Every role, built in first."""
        return [*BUILT_IN, *(role_of(resource) for resource in self._store.list(type=DEFINITION))]

    def assign(self, principal_id: str, role_id: str, scope: str, principal_type: str = "ServicePrincipal") -> None:
        """Store an assignment with a name made from its parts (used for the sandbox's own principals)."""
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope}|{principal_id}|{role_id}".lower()))
        subscription = "/".join(scope.split("/")[:3])
        definition = f"{subscription}/providers/{DEFINITION}/{role_id}"
        properties = {
            "roleDefinitionId": definition,
            "principalId": principal_id,
            "principalType": principal_type,
            "scope": scope,
        }
        internal = {"created": time.time() - 86400}
        id_ = f"{scope}/providers/{ASSIGNMENT}/{name}"
        self._store.put(Resource(id_, name, ASSIGNMENT, properties=properties, internal=internal))

    def allowed(self, principal_oid: str, action: str, scope: str, data: bool = False) -> bool:
        """True where an assignment at the scope or above it grants the action (or the data action)."""
        target = scope.lower().rstrip("/") + "/"
        now = time.time()
        for assignment in self._store.peek(type=ASSIGNMENT):
            properties = assignment.properties
            if properties["principalId"].lower() != principal_oid.lower():
                continue
            if not target.startswith(properties["scope"].lower().rstrip("/") + "/"):
                continue
            if data and now - assignment.internal.get("created", 0.0) < self.delay:
                continue
            role = self.role(properties["roleDefinitionId"])
            if role is None:
                continue
            granted, withheld = (role.data_actions, role.not_data_actions) if data else (role.actions, role.not_actions)
            if _matches(granted, action) and not _matches(withheld, action):
                return True
        return False

    def require(self, request: Request, action: str, scope: str, data: bool = False) -> None:
        """Raise AzureError 403 where the request's principal may not carry out the action."""
        principal = request.principal
        oid = principal.object_id if principal else ""
        if self.allowed(oid, action, scope, data):
            return
        client = (principal.app_id if principal else None) or oid
        raise AzureError(
            403,
            "AuthorizationFailed",
            f"The client '{client}' with object id '{oid}' does not have authorization to perform action '{action}' "
            f"over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
            "credentials.",
        )


def role_of(resource: Resource) -> Role:
    """The role that a stored custom definition describes."""
    permission = (resource.properties.get("permissions") or [{}])[0]
    return Role(
        resource.name,
        resource.properties.get("roleName", ""),
        tuple(permission.get("actions") or ()),
        tuple(permission.get("notActions") or ()),
        tuple(permission.get("dataActions") or ()),
        tuple(permission.get("notDataActions") or ()),
    )
