"""Passwords that stay in Key Vault until the module that needs them reads them."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_secret as secret
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

ADDRESS = "https://kv-shop.vault.azure.net/secrets/reports-password"


def test_an_address_is_a_vault_and_a_name():
    assert secret.parse(ADDRESS) == ("https://kv-shop.vault.azure.net", "reports-password")
    assert secret.parse(f"{ADDRESS}/") == secret.parse(ADDRESS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "reports-password",
        "http://kv.vault.azure.net/secrets/x",
        f"{ADDRESS}/0123",
        "https://kv/secrets/x",
        "https://a.b.c/keys/x",
    ],
)
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(AksPlatformError, match="not the address of a Key Vault secret"):
        secret.parse(text)


def test_each_secret_is_read_once_and_given_to_every_role_that_names_it():
    asked = []

    def read(address):
        asked.append(address)
        return f"value-{len(asked)}"

    role = {"name": "reports", "access": "reader", "password_secret": ADDRESS}
    other = {"name": "id-shop", "object_id": "oid"}
    found = secret.resolve([{"name": "shop", "roles": [role, other]}, {"name": "ledger", "roles": [role]}], read)
    assert [item["roles"][0]["password"] for item in found] == ["value-1", "value-1"]
    assert found[0]["roles"][1] == other
    assert asked == [ADDRESS]
    assert "password" not in role


def test_two_sources_of_one_password_are_refused():
    role = {"name": "reports", "password": "given", "password_secret": ADDRESS}
    with pytest.raises(AksPlatformError, match="leave one out"):
        secret.resolve([{"name": "shop", "roles": [role]}], lambda _: "read")
