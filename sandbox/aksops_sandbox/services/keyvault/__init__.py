"""Azure Key Vault: the vaults as ARM resources and their data plane."""

from __future__ import annotations

from aksops_sandbox.services.base import Service
from aksops_sandbox.services.keyvault.control import DeletedVaults, VaultType, change_policies
from aksops_sandbox.services.keyvault.data import HOST, DataPlane

_VAULT = (
    r"^(?P<vault>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.KeyVault/vaults/[^/]+)"
    r"/accessPolicies/(?P<kind>add|replace|remove)/?$"
)


class KeyVaultService(Service):
    """Vaults, deleted vaults, secrets and self-signed certificates."""

    def __init__(self) -> None:
        super().__init__()
        plane = DataPlane()
        self.resource_types = [VaultType()]
        self.arm_routes = [*DeletedVaults(plane).routes, ("PUT", _VAULT, change_policies)]
        self.hosts = [(HOST, plane.handle)]


__all__ = ["KeyVaultService"]
