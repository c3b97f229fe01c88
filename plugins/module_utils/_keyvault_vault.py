# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""From a vault's name to its address; a soft-deleted vault is explained, or recovered on request."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._auth import arm_endpoint, credential, subscription_id
from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    missing_library,
    one_sentence,
)

_NAME = re.compile(r"^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$")


def address(params: dict[str, Any], check_mode: bool) -> tuple[str, bool]:
    """The vault's address without a trailing slash, and whether the vault was (or would be) recovered.

    An empty address means: check mode, and the vault would first have to be recovered.
    """
    uri = params.get("vault_uri")
    if uri:
        return _checked_uri(uri), False
    name = params["vault_name"]
    if not _NAME.match(name):
        raise AksPlatformError(f"'{name}' is not a vault's name: 3 to 24 letters, digits and dashes, a letter first.")
    return Vaults(params).find(name, params.get("resource_group"), bool(params.get("recover_vault")), check_mode)


def _checked_uri(uri: str) -> str:
    parts = urlsplit(uri)
    plain = parts.path in ("", "/") and not parts.query and not parts.username
    if parts.scheme != "https" or not parts.hostname or not plain:
        raise AksPlatformError(
            f"vault_uri must look like https://<vault>.vault.azure.net, not '{one_sentence(uri, 80)}'."
        )
    return f"https://{parts.netloc.lower()}"


class Vaults:
    """The vaults of one subscription."""

    def __init__(self, params: dict[str, Any]) -> None:
        try:
            from azure.mgmt.keyvault import KeyVaultManagementClient
        except ImportError as error:
            raise missing_library("azure-mgmt-keyvault", error) from None
        endpoint = arm_endpoint(params)
        self._client: Any = KeyVaultManagementClient(
            credential(params),
            subscription_id(params),
            base_url=endpoint,
            credential_scopes=[f"{endpoint}/.default"],
        )

    def find(self, name: str, group: str | None, recover: bool, check_mode: bool) -> tuple[str, bool]:
        """See `address`."""
        from azure.core.exceptions import AzureError

        try:
            for vault in self._listed(group):
                if vault.name.lower() == name.lower():
                    return str(vault.properties.vault_uri).rstrip("/"), False
            gone = next(
                (item for item in self._client.vaults.list_deleted() if item.name.lower() == name.lower()), None
            )
            if gone is None:
                where = f"the resource group '{group}'" if group else "the subscription"
                raise AksPlatformError(f"There is no vault '{name}' in {where}, nor a soft-deleted one.")
            if not recover:
                dates = gone.properties
                raise AksPlatformError(
                    f"The vault '{name}' is soft-deleted since {dates.deletion_date:%Y-%m-%d} and will be purged on "
                    f"{dates.scheduled_purge_date:%Y-%m-%d}; recover_vault: true brings it back with its secrets."
                )
            return ("", True) if check_mode else (self._recover(gone), True)
        except AzureError as error:
            raise AksPlatformError(f"The vault '{name}' cannot be looked up: {one_sentence(str(error), 300)}") from None

    def _listed(self, group: str | None) -> Any:
        vaults = self._client.vaults
        return vaults.list_by_resource_group(group) if group else vaults.list_by_subscription()

    def _recover(self, gone: Any) -> str:
        from azure.mgmt.keyvault.models import Sku, VaultCreateOrUpdateParameters, VaultProperties

        parts = str(gone.properties.vault_id).split("/")
        properties = VaultProperties(
            tenant_id=self._tenant(), sku=Sku(family="A", name="standard"), create_mode="recover"
        )
        parameters = VaultCreateOrUpdateParameters(location=gone.properties.location, properties=properties)
        vault = self._client.vaults.begin_create_or_update(parts[4], gone.name, parameters).result()
        return str(vault.properties.vault_uri).rstrip("/")

    def _tenant(self) -> str:
        """The tenant of the access token, which is the one that the vault must belong to."""
        import base64
        import json

        token = self._client._config.credential.get_token(*self._client._config.credential_scopes).token
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["tid"])
