"""The sandbox's vault keeps the rules of Key Vault that clients trip over."""

from __future__ import annotations

import json

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services.keyvault.control import VaultType
from keyvault_support import CALLER, TENANT, VAULT, LocalVault

TOKEN = {"authorization": "Bearer token"}


def call(vault, method, path, body=None, token=True):
    separator = "&" if "?" in path else "?"
    content = json.dumps(body).encode() if body is not None else None
    return vault.answer(method, f"{path}{separator}api-version=7.6", TOKEN if token else {}, content)


@pytest.fixture
def vault() -> LocalVault:
    return LocalVault()


def test_whoever_has_no_token_is_challenged_before_anything_is_looked_at(vault):
    reply = call(vault, "PUT", "/secrets/not_a_name", {}, token=False)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == (
        f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
    )


def test_lists_have_25_entries_no_values_no_versions_and_links_with_a_port(vault):
    for number in range(30):
        vault.put(f"s{number:02}", "the-value")
    reply = call(vault, "GET", "/secrets?maxresults=100")
    assert len(reply.body["value"]) == 25
    assert reply.body["nextLink"].startswith("https://kv-unit.vault.azure.net:443/secrets?api-version=7.6&$skiptoken=")
    assert reply.body["value"][0]["id"] == "https://kv-unit.vault.azure.net/secrets/s00"
    assert all("value" not in entry for entry in reply.body["value"])


def test_a_new_version_inherits_nothing(vault):
    vault.put("a", "one", tags={"x": "y"}, contentType="text/plain", attributes={"exp": 1_900_000_000})
    reply = call(vault, "PUT", "/secrets/a", {"value": "two"})
    assert "tags" not in reply.body
    assert "contentType" not in reply.body
    assert "exp" not in reply.body["attributes"]
    assert reply.body["previousVersion"]


def test_a_patch_clears_what_is_null_and_leaves_what_is_absent(vault):
    vault.put("a", "one", tags={"x": "y"}, attributes={"exp": 1_900_000_000, "nbf": 1_700_000_000})
    reply = call(vault, "PATCH", "/secrets/a", {"attributes": {"exp": None}})
    assert "exp" not in reply.body["attributes"]
    assert reply.body["attributes"]["nbf"] == 1_700_000_000
    assert reply.body["tags"] == {"x": "y"}


def test_soft_delete_has_its_windows_and_codes(vault):
    vault.put("a", "one")
    assert call(vault, "DELETE", "/secrets/a").body["recoveryId"].endswith("/deletedsecrets/a")
    assert call(vault, "GET", "/secrets/a").status == 404
    assert call(vault, "GET", "/deletedsecrets/a").status == 404
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).error[1] == "ObjectIsBeingDeleted"
    vault.clock.sleep(2)
    assert call(vault, "GET", "/deletedsecrets/a").status == 200
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).error[1] == "ObjectIsDeletedButRecoverable"
    assert call(vault, "POST", "/deletedsecrets/a/recover").status == 200
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).error[1] == "ObjectIsBeingRecovered"
    vault.clock.sleep(2)
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).status == 200


def test_a_deleted_secret_ends_on_its_scheduled_day():
    vault = LocalVault(softDeleteRetentionInDays=7)
    vault.put("a", "one")
    vault.remove("a")
    vault.clock.sleep(8 * 86_400)
    assert call(vault, "GET", "/deletedsecrets/a").status == 404
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).status == 200


def test_purge_protection_and_recovery_levels():
    protected = LocalVault(enablePurgeProtection=True, softDeleteRetentionInDays=7)
    protected.put("a", "one")
    attributes = call(protected, "GET", "/secrets/a").body["attributes"]
    assert attributes["recoveryLevel"] == "CustomizedRecoverable"
    protected.remove("a")
    assert call(protected, "DELETE", "/deletedsecrets/a").status == 403
    assert call(LocalVault(), "PUT", "/secrets/a", {"value": "x"}).body["attributes"]["recoveryLevel"] == (
        "Recoverable+Purgeable"
    )


def test_the_300_and_first_write_is_throttled_without_retry_after(vault):
    for _ in range(300):
        assert call(vault, "PUT", "/secrets/a", {"value": "x"}).status == 200
    reply = call(vault, "PUT", "/secrets/a", {"value": "x"})
    assert reply.status == 429
    assert reply.error[:2] == ("Throttled", "VaultRequestTypeLimitReached")
    assert "retry-after" not in reply.headers
    assert call(vault, "GET", "/secrets/a").status == 200
    vault.clock.sleep(1)
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).status == 200


def test_a_role_at_one_secret_opens_only_that_one():
    vault = LocalVault(role=None)
    vault.put("a", "one")
    vault.put("b", "two")
    vault.ctx.rbac.assign(CALLER, "4633458b-17de-408a-b874-0445c86b69e6", f"{VAULT}/secrets/a")
    assert call(vault, "GET", "/secrets/a").status == 200
    assert call(vault, "GET", "/secrets/b").error[1] == "ForbiddenByRbac"


def test_access_policies_count_where_rbac_is_off():
    vault = LocalVault(
        role=None,
        enableRbacAuthorization=False,
        accessPolicies=[{"objectId": CALLER, "permissions": {"secrets": ["Get"]}}],
    )
    vault.put("a", "one")
    assert call(vault, "GET", "/secrets/a").status == 200
    assert call(vault, "PUT", "/secrets/a", {"value": "x"}).error[1] == "AccessDenied"


def test_closed_networks_have_their_own_codes():
    private = LocalVault(publicNetworkAccess="Disabled")
    assert call(private, "GET", "/secrets").error[1] == "ForbiddenByConnection"
    walled = LocalVault(networkAcls={"defaultAction": "Deny", "ipRules": []})
    walled.vantage = "outside"
    assert call(walled, "GET", "/secrets").error[1] == "ForbiddenByFirewall"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"value": "x" * 25_601}, "/secrets/a"),
        ({"value": "x", "tags": {str(number): "x" for number in range(16)}}, "/secrets/a"),
        ({"value": "x"}, "/secrets/under_score"),
        ({}, "/secrets/a"),
    ],
)
def test_what_is_too_big_or_wrong_is_refused(vault, body, path):
    assert call(vault, "PUT", path, body).status == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"softDeleteRetentionInDays": 30}, "softDeleteRetentionInDays"),
        ({"enablePurgeProtection": False}, "irreversible"),
        ({"enableSoftDelete": False}, "enableSoftDelete"),
    ],
)
def test_what_a_vault_never_gives_up(change, message):
    vault = LocalVault(enablePurgeProtection=True)
    old = vault.store.get(VAULT)
    assert old is not None
    new = Resource(VAULT, "kv-unit", VaultType.type, "westeurope", {}, {**old.properties, **change})
    with pytest.raises(AzureError, match=message):
        VaultType().prepare(vault.ctx, new, old)
