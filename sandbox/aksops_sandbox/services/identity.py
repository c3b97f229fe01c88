"""User-assigned managed identities and their federated credentials (Microsoft.ManagedIdentity)."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service

IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATED = f"{IDENTITY}/federatedIdentityCredentials"

#: Azure's limit of federated credentials per identity.
FEDERATED_LIMIT = 20

#: Seconds that one write of a federated credential takes; a second one to the same identity meanwhile is refused.
FEDERATED_WRITE = 0.05


class UserAssignedIdentity(ResourceType):
    type = IDENTITY
    status = "managedidentity/2024-11-30/identities"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        new.properties.pop("isolationScope", None) if new.properties.get("isolationScope") in (None, "None") else None
        shapes.computed(new, old, tenantId=ctx.tokens.tenant_id, principalId=shapes.guid, clientId=shapes.guid)


class FederatedCredential(ResourceType):
    type = FEDERATED
    status = "managedidentity/2024-11-30/federatedidentitycredentials"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$"
    tracked = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writing: set[str] = set()
        self._guard = threading.Lock()

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        parent = shapes.identify(new.id).parent.lower()
        with self._guard:
            if parent in self._writing:
                raise AzureError(
                    409,
                    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                    "Too many Federated Identity Credentials are written concurrently for the managed identity "
                    f"'{ids.last_name(parent)}'. Concurrent Federated Identity Credentials writes under the same "
                    "managed identity are not supported.",
                )
            self._writing.add(parent)
        try:
            time.sleep(FEDERATED_WRITE)
            self._validate(ctx, new, parent, created=old is None)
        finally:
            with self._guard:
                self._writing.discard(parent)

    def _validate(self, ctx: Any, new: Resource, parent: str, *, created: bool) -> None:
        properties = new.properties
        for field in ("issuer", "subject", "audiences"):
            if not properties.get(field):
                raise bad_request("BadRequest", f"Property '{field}' of a federated identity credential is required.")
        if urlsplit(properties["issuer"]).scheme != "https":
            raise bad_request("BadRequest", f"The issuer '{properties['issuer']}' must be an https URL.")
        if len(properties["audiences"]) != 1:
            raise bad_request("BadRequest", "A federated identity credential must have exactly one audience.")
        siblings = [item for item in ctx.store.list(type=FEDERATED, prefix=parent) if item.id.lower() != new.id.lower()]
        if created and len(siblings) >= FEDERATED_LIMIT:
            message = f"Too many Federated Identity Credentials: the limit for a managed identity is {FEDERATED_LIMIT}."
            raise bad_request("BadRequest", message)
        for sibling in siblings:
            if all(sibling.properties[name] == properties[name] for name in ("issuer", "subject")):
                message = "Issuer and subject combination already exists for this Managed Identity."
                raise AzureError(409, "Conflict", message)


class ManagedIdentityService(Service):
    """The control plane of managed identities. Their tokens are issued by the Entra service."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [UserAssignedIdentity(), FederatedCredential()]
