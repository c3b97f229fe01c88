"""The sandbox in one process: what every service works with (`ctx`)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from aksops_sandbox.azure.certificates import Certificates
from aksops_sandbox.azure.errors import AzureError, not_found
from aksops_sandbox.azure.ids import ResourceId, last_name, parse, resource_group_id
from aksops_sandbox.azure.network_access import NetworkAccess
from aksops_sandbox.azure.operations import Operations
from aksops_sandbox.azure.rbac import Rbac
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.azure.tokens import Tokens
from aksops_sandbox.engines.process import Supervisor
from aksops_sandbox.http.faults import Faults
from aksops_sandbox.http.ledger import Ledger
from aksops_sandbox.settings import DEFAULT_LOCATION, Home, Ports, Principals

if TYPE_CHECKING:
    from aksops_sandbox.azure.resource_type import ResourceType
    from aksops_sandbox.http.router import Router
    from aksops_sandbox.services.base import Service
    from aksops_sandbox.services.policy.agent import PolicyAgent
    from aksops_sandbox.tools import Tools

_OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
_READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
LOCK = "Microsoft.Authorization/locks"
GROUP = "Microsoft.Resources/resourceGroups"
S = TypeVar("S", bound="Service")


class Sandbox:
    """State and helpers of one sandbox.

    Args:
        home: its folder; made where it is missing.

    Attributes:
        tunnels: host -> loopback address of what is passed through as raw TCP (API servers).
        oidc_issuers: issuer -> function that returns its key set, for federated credentials.
        admin_commands: commands that services add to the sandbox's own API.
        policy_delay: seconds that a policy assignment, or its end, takes to count in a cluster.
        policy_agents: cluster id in lower case -> its Azure Policy add-on.
        environment: variables that services add to what `aksops-sandbox env` prints.
    """

    location = DEFAULT_LOCATION

    def __init__(self, home: Home) -> None:
        from aksops_sandbox.tools import Tools

        home.make()
        self.home = home
        self.principals = Principals.load(home.principals)
        self.ports = Ports(home.ports)
        self.store = Store(home.store)
        self.certificates = Certificates(home.sub("pki"))
        self.tokens = Tokens(home.sub("pki") / "tokens.key", self.principals.tenant_id)
        self.operations = Operations(self.store)
        self.rbac = Rbac(self.store)
        self.network = NetworkAccess(self.store)
        self.supervisor = Supervisor(home.sub("logs"), home.sub("run"))
        self.ledger = Ledger(home.sub("logs") / "requests.jsonl")
        self.faults = Faults()
        self.tools: Tools = Tools()
        self.tunnels: dict[str, tuple[str, int]] = {}
        self.tunnel_guards: dict[str, Callable[[str], bool]] = {}
        self.router: Router | None = None
        self.oidc_issuers: dict[str, Callable[[], dict[str, Any]]] = {}
        self.admin_commands: dict[str, Callable[[Sandbox, Any], Any]] = {}
        self.environment: dict[str, str] = {}
        self.policy_delay = 3.0
        self.policy_agents: dict[str, PolicyAgent] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        self.services: list[Service] = []
        self.types: dict[str, ResourceType] = {}
        self._seed()

    def _seed(self) -> None:
        scope = f"/subscriptions/{self.principals.subscription_id}"
        for account in self.principals.accounts:
            self.rbac.assign(account.object_id, _READER if account.name == "reader" else _OWNER, scope)

    def register(self, services: list[Service]) -> None:
        """Take the services and their resource types in."""
        self.services = services
        for service in services:
            for resource_type in service.resource_types:
                self.types[resource_type.type.lower()] = resource_type

    def service(self, kind: type[S]) -> S:
        """The running service of a class. Raises LookupError."""
        for service in self.services:
            if isinstance(service, kind):
                return service
        raise LookupError(kind.__name__)

    def exclusive(self, resource_id: str) -> threading.RLock:
        """The lock of one resource: its ETag is compared and its new content stored in one step."""
        with self._locks_lock:
            return self._locks.setdefault(resource_id.lower(), threading.RLock())

    # Rules that concern every resource ------------------------------------------------------------------------------

    @staticmethod
    def subscription_of(resource_id: str) -> str:
        """The subscription in an id."""
        return resource_id.strip("/").split("/")[1]

    def check_parent(self, rid: ResourceId) -> None:
        """Raise AzureError 404 where the resource group, the parent or the extended resource does not exist."""
        group = resource_group_id(rid.scope)
        if group and self.store.get(group) is None:
            raise AzureError(404, "ResourceGroupNotFound", f"Resource group '{rid.resource_group}' could not be found.")
        parent = rid.parent
        if "/providers/" not in parent.lower() or self.store.get(parent) is not None:
            return
        parsed = parse(parent)
        known = self.types.get(parsed.type.lower()) if parsed else None
        if known is not None and known.implicit:
            return
        raise AzureError(
            404,
            "ParentResourceNotFound",
            f"Failed to perform 'write' on resource(s) of type '{rid.type}', because the parent resource '{parent}' "
            "could not be found.",
        )

    def check_deletable(self, resource: Resource) -> None:
        """Raise AzureError 409 ScopeLocked where a lock holds the resource or something above or below it."""
        target = resource.id.lower()
        for lock in self.store.list(type=LOCK):
            if lock.id.lower() == target:
                return
            scope = lock.id.lower().split(f"/providers/{LOCK.lower()}/")[0]
            if target == scope or target.startswith(scope + "/") or scope.startswith(target + "/"):
                raise AzureError(
                    409,
                    "ScopeLocked",
                    f"The scope '{resource.id}' cannot perform delete operation because following scope(s) are locked: "
                    f"'{scope}'. Please remove the lock and try again.",
                )

    def check_writable(self, resource: Resource) -> None:
        """Raise AzureError 409 ScopeLocked where a ReadOnly lock holds the resource or something above it."""
        if resource.type == LOCK:
            return
        target = resource.id.lower()
        for lock in self.store.list(type=LOCK):
            scope = lock.id.lower().split(f"/providers/{LOCK.lower()}/")[0]
            if lock.properties.get("level") == "ReadOnly" and (target == scope or target.startswith(scope + "/")):
                raise AzureError(
                    409,
                    "ScopeLocked",
                    f"The scope '{resource.id}' cannot perform write operation because following scope(s) are locked: "
                    f"'{scope}'. Please remove the lock and try again.",
                )

    def delete_tree(self, resource: Resource, skip_remove: bool = False) -> None:
        """Delete a resource and everything below it, deepest first, with each type's hooks.

        What is still in use is tried again after the rest, so that the order among neighbours does not matter. Raises
        the first refusal where nothing more goes.
        """
        below = sorted(self.store.list(prefix=resource.id), key=lambda item: -item.id.count("/"))
        pending = [*below, resource]
        while pending:
            stuck: list[Resource] = []
            refusal: AzureError | None = None
            for item in pending:
                current = self.store.get(item.id)
                if current is None:
                    continue
                if any(other.id.lower().startswith(item.id.lower() + "/") for other in stuck):
                    stuck.append(item)
                    continue
                kind = self.types.get(item.type.lower())
                try:
                    if kind is not None and not (skip_remove and item is resource):
                        kind.remove(self, current)
                except AzureError as error:
                    stuck.append(item)
                    refusal = refusal or error
                    continue
                self.store.delete(item.id)
                if kind is not None:
                    kind.removed(self, current)
            if refusal is not None and len(stuck) == len(pending):
                raise refusal
            pending = stuck

    def complete_identity(self, identity: dict[str, Any]) -> None:
        """Fill what the service computes in an `identity` object: tenant and the ids of user-assigned identities."""
        if "SystemAssigned" in str(identity.get("type", "")):
            identity.setdefault("principalId", str(uuid.uuid4()))
            identity["tenantId"] = self.principals.tenant_id
        assigned = identity.get("userAssignedIdentities")
        if not assigned:
            return
        for identity_id in list(assigned):
            found = self.store.get(identity_id)
            if found is None:
                raise AzureError(
                    400,
                    "FailedIdentityOperation",
                    f"Identity operation failed: the user-assigned identity '{identity_id}' does not exist.",
                )
            assigned[identity_id] = {
                "principalId": found.properties.get("principalId"),
                "clientId": found.properties.get("clientId"),
            }

    def require_resource(self, resource_id: str) -> Resource:
        """The resource of an id. Raises AzureError 404."""
        found = self.store.get(resource_id)
        if found is None:
            raise not_found(resource_id)
        return found

    def ensure_group(self, name: str, managed_by: str = "") -> str:
        """Make a resource group where it is missing (AKS's node group, for example); returns its id."""
        group_id = f"/subscriptions/{self.principals.subscription_id}/resourceGroups/{name}"
        if self.store.get(group_id) is None:
            body = {"managedBy": managed_by} if managed_by else {}
            properties = {"provisioningState": "Succeeded"}
            group = Resource(group_id, last_name(group_id), GROUP, self.location, {}, properties, body)
            self.store.put(group)
        return group_id
