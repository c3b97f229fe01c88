"""Microsoft.Storage: accounts and their blob service, with Azurite behind the data plane."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.engines.azurite import Azurite
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.storage import accounts, blobs, blobservice

__all__ = ["StorageService"]


class StorageService(Service):
    """Control plane of storage accounts, data plane of blobs."""

    def __init__(self) -> None:
        super().__init__()
        self._azurite: Azurite | None = None
        self.resource_types = [
            accounts.StorageAccount(self.azurite),
            accounts.ManagementPolicy(),
            *blobservice.services(),
            blobservice.Container(self.azurite),
        ]
        self.arm_routes = accounts.ROUTES
        self.hosts = [
            (r"(?P<account>[a-z0-9]{3,24})(-secondary)?\.blob\.core\.windows\.net", blobs.Blobs(self.azurite).handle)
        ]

    def azurite(self, ctx: Any) -> Azurite:
        """The one Azurite of the sandbox; it starts with the first request to it."""
        if self._azurite is None:
            self._azurite = Azurite(ctx, lambda: accounts.keys_of_all(ctx))
        return self._azurite

    def start(self, ctx: Any) -> None:
        known = accounts.keys_of_all(ctx)
        if known:
            self.azurite(ctx).prepare(next(iter(known)))

    def stop(self, ctx: Any) -> None:
        if self._azurite is not None:
            self._azurite.stop()
