"""The services of a storage account (always there, named `default`) and the containers of the blob service."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.azurite import Azurite
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.storage.accounts import ACCOUNT

CONTAINER = f"{ACCOUNT}/blobServices/containers"

_NO_CORS: dict[str, Any] = {"cors": {"corsRules": []}}
_DEFAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "blobServices": ("storage/2025-08-01/blobservices", {**_NO_CORS, "deleteRetentionPolicy": {"enabled": False}}),
    "fileServices": (
        "storage/2025-08-01/fileservices",
        {**_NO_CORS, "shareDeleteRetentionPolicy": {"enabled": True, "days": 7}, "protocolSettings": {"smb": {}}},
    ),
    "queueServices": ("storage/2025-08-01/blobservices", _NO_CORS),
    "tableServices": ("storage/2025-08-01/blobservices", _NO_CORS),
}


class AccountService(ResourceType):
    """A service of an account: readable from the start, changed by PUT, never deleted alone."""

    tracked = False
    name_pattern = "default"
    implicit = True

    def __init__(self, kind: str) -> None:
        status, self._default = _DEFAULTS[kind]
        super().__init__(f"{ACCOUNT}/{kind}", status)
        self._kind = kind

    def _current(self, ctx: Any, rid: ResourceId) -> Resource:
        if ctx.store.get(rid.parent) is None:
            raise not_found(rid.parent)
        stored = ctx.store.get(str(rid))
        return stored or Resource(str(rid), rid.name, self.type, properties=copy.deepcopy(self._default))

    def get(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        return Response.json(200, self.render(ctx, self._current(ctx, rid)))

    def list(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        one = ResourceId(rid.scope, rid.namespace, rid.types, (*rid.names, "default"))
        return Response.json(200, {"value": [self.render(ctx, self._current(ctx, one))]})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        parsed = shapes.identify(new.id)
        if ctx.store.get(parsed.parent) is None:
            raise not_found(parsed.parent)
        before = old or Resource(new.id, new.name, new.type, properties=copy.deepcopy(self._default))
        shapes.carry(new, before, *before.properties)
        for name in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy", "shareDeleteRetentionPolicy"):
            policy = new.properties.get(name) or {}
            if policy.get("enabled"):
                if policy.get("days") is None:
                    raise bad_request("InvalidXmlDocument", f"'{name}' is enabled and must have 'days'.")
                shapes.between(policy["days"], 1, 365, f"{name}.days")
        restore = new.properties.get("restorePolicy") or {}
        if restore.get("enabled"):
            needed = shapes.dig(new.properties, "isVersioningEnabled") and shapes.dig(
                new.properties, "changeFeed.enabled"
            )
            retention = shapes.dig(new.properties, "deleteRetentionPolicy.days", 0)
            if not needed or restore.get("days", 0) >= retention:
                message = "Point-in-time restore needs versioning, change feed and soft delete for more days."
                raise bad_request("ConflictFeatureState", message)

    def delete(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        raise AzureError(405, "MethodNotAllowed", f"'{self._kind}/default' cannot be deleted.")

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        account = ctx.store.get(shapes.identify(resource.id).parent)
        shown["sku"] = account.body["sku"]
        return shown


def services() -> list[ResourceType]:
    """The types of the four services."""
    return [AccountService(kind) for kind in _DEFAULTS]


class Container(ResourceType):
    """A blob container; it is made in Azurite too, and what the data plane makes is known here."""

    type = CONTAINER
    status = "storage/2025-08-01/blobcontainers"
    tracked = False
    name_pattern = r"^(\$root|\$web|\$logs|[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9])$"

    def __init__(self, azurite: Callable[[Any], Azurite]) -> None:
        super().__init__()
        self._azurite = azurite

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        account = self._account(ctx, new.id)
        access = shapes.choice(
            new.properties.get("publicAccess") or "None", ("None", "Blob", "Container"), "publicAccess"
        )
        if access != "None" and not account.properties["allowBlobPublicAccess"]:
            message = "Public access is not permitted on this storage account."
            raise AzureError(409, "PublicAccessNotPermitted", message)
        new.properties["publicAccess"] = access
        complete(new, old)
        if old is None:
            headers = {} if access == "None" else {"x-ms-blob-public-access": access.lower()}
            answer = self._azurite(ctx).call(account.name, "PUT", f"/{new.name}?restype=container", headers)
            if answer.status not in {201, 409}:
                raise AzureError(
                    500, "InternalError", f"Azurite refused container '{new.name}': {answer.body[:200]!r}."
                )

    @staticmethod
    def _account(ctx: Any, container_id: str) -> Resource:
        account_id = container_id.split("/blobServices/")[0]
        account = ctx.store.get(account_id)
        if account is None:
            raise not_found(account_id)
        return account

    def remove(self, ctx: Any, resource: Resource) -> None:
        if resource.properties.get("hasLegalHold") or resource.properties.get("hasImmutabilityPolicy"):
            raise AzureError(
                409, "ContainerImmutable", f"The container '{resource.name}' is protected and cannot be deleted."
            )

    def removed(self, ctx: Any, resource: Resource) -> None:
        account = ctx.store.get(resource.id.split("/blobServices/")[0])
        if account is not None:
            self._azurite(ctx).call(account.name, "DELETE", f"/{resource.name}?restype=container")


def complete(new: Resource, old: Resource | None) -> None:
    """The read-only properties of a container."""
    shapes.defaults(
        new.properties,
        {
            "defaultEncryptionScope": "$account-encryption-key",
            "denyEncryptionScopeOverride": False,
            "immutableStorageWithVersioning": {"enabled": False},
            "metadata": {},
        },
    )
    shapes.computed(
        new,
        old,
        deleted=False,
        remainingRetentionDays=0,
        leaseStatus="Unlocked",
        leaseState="Available",
        hasImmutabilityPolicy=False,
        hasLegalHold=False,
    )
    new.properties["lastModifiedTime"] = shapes.now()


def remember(ctx: Any, account: Resource, name: str) -> None:
    """Take in a container that the data plane made."""
    container_id = f"{account.id}/blobServices/default/containers/{name}"
    if ctx.store.get(container_id) is None:
        container = Resource(container_id, name, CONTAINER, properties={"publicAccess": "None"})
        complete(container, None)
        ctx.store.put(container)


def forget(ctx: Any, account: Resource, name: str) -> None:
    """Drop a container that the data plane deleted."""
    ctx.store.delete(f"{account.id}/blobServices/default/containers/{name}")
