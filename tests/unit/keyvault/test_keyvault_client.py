"""The client: tokens go nowhere else, links stay in the vault, addresses are checked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import KeyVaultError, Tokens, VaultClient
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_http import Reply
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_vault import address
from keyvault_support import Clock, LocalVault, item, seed


class Credential:
    """Counts the tokens that it gives and remembers what for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []

    def get_token(self, *scopes, **options):
        self.asked.append((scopes[0], options))
        return SimpleNamespace(token=f"token-{len(self.asked)}", expires_on=4_000_000_000)


def test_a_known_domain_gets_its_token_at_once():
    credential = Credential()
    tokens = Tokens(lambda: credential, "kv.vault.azure.net")
    assert tokens.header() == "Bearer token-1"
    assert tokens.header() == "Bearer token-1"
    assert credential.asked == [("https://vault.azure.net/.default", {})]


def test_an_unknown_host_must_say_what_it_is_first():
    credential = Credential()
    tokens = Tokens(lambda: credential, "kv.vault.example.com")
    assert tokens.header() is None
    with pytest.raises(KeyVaultError, match="not its own domain"):
        tokens.challenged('Bearer authorization="https://login/x", resource="https://vault.azure.net"', None)
    assert credential.asked == []
    assert tokens.challenged('Bearer authorization="https://login/x", resource="https://vault.example.com"', None)
    assert tokens.header() == "Bearer token-1"


def test_a_look_alike_host_gets_no_token():
    tokens = Tokens(Credential, "kv.vault.azure.net.example.com")
    assert tokens.header() is None
    with pytest.raises(KeyVaultError):
        tokens.challenged('Bearer authorization="https://login/x", resource="https://vault.azure.net"', None)


def test_a_claims_challenge_gets_a_token_with_claims():
    credential = Credential()
    tokens = Tokens(lambda: credential, "kv.vault.azure.net")
    used = tokens.header()
    assert tokens.challenged('Bearer error="insufficient_claims", claims="eyJhIjoxfQ"', used)
    assert credential.asked[-1][1] == {"claims": '{"a":1}'}


class Scripted:
    """A transport that answers from a list and keeps what it was sent."""

    uri = "https://kv.vault.azure.net"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.sent: list[tuple[str, str, bytes | None]] = []

    def send(self, method, path, headers, body):
        self.sent.append((method, path, body))
        return self.replies.pop(0)


def client(transport) -> VaultClient:
    clock = Clock()
    return VaultClient(transport, Credential, clock=clock, sleep=clock.sleep)


def test_a_next_link_to_another_host_is_refused():
    page = {"value": [], "nextLink": "https://evil.vault.azure.net:443/secrets?$skiptoken=x"}
    with pytest.raises(KeyVaultError, match="points to the host evil"):
        list(client(Scripted(Reply(200, {}, page))).secrets())


def test_empty_pages_are_passed_and_links_with_ports_followed():
    first = {"value": [], "nextLink": "https://kv.vault.azure.net:443/secrets?api-version=7.6&$skiptoken=x"}
    second = {"value": [{"id": "https://kv.vault.azure.net/secrets/a", "attributes": {}}], "nextLink": None}
    transport = Scripted(Reply(200, {}, first), Reply(200, {}, second))
    assert [current.name for page in client(transport).secrets() for current in page] == ["a"]
    assert transport.sent[1][1] == "/secrets?api-version=7.6&$skiptoken=x"


def test_no_body_goes_to_a_host_that_has_not_said_what_it_is():
    challenge = Reply(401, {"www-authenticate": 'Bearer resource="https://vault.example.com"'}, {})
    done = Reply(200, {}, {"id": "https://kv.vault.example.com/secrets/a/v1", "attributes": {}})
    transport = Scripted(challenge, done)
    transport.uri = "https://kv.vault.example.com"
    from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Metadata

    client(transport).set("a", "the-value", Metadata(), None)
    assert transport.sent[0][2] == b""
    assert b"the-value" in transport.sent[1][2]


def test_retry_after_is_honoured():
    clock = Clock()
    throttled = Reply(429, {"retry-after": "30"}, {"error": {"code": "Throttled"}})
    transport = Scripted(throttled, Reply(200, {}, {"value": []}))
    start = clock.now
    vault = VaultClient(transport, Credential, clock=clock, sleep=clock.sleep)
    assert list(vault.secrets()) == [[]]
    assert clock.now - start >= 30


@pytest.mark.parametrize(
    "uri", ["http://kv.vault.azure.net", "kv", "https://kv.vault.azure.net/secrets", "https://u@kv"]
)
def test_addresses_that_are_none(uri):
    with pytest.raises(AksPlatformError, match="vault_uri must look like"):
        address({"vault_uri": uri}, False)


def test_an_address_loses_its_slash_and_case():
    assert address({"vault_uri": "https://KV.vault.azure.net/"}, False) == ("https://kv.vault.azure.net", False)


def test_the_failure_table_names_codes_and_request_ids():
    vault = LocalVault(role="21090545-7ca7-4776-b22c-e363652d74d2")
    table = seed(vault, [item("a", value="the-value")], client=vault.client(rbac_wait=0)).table()
    assert "a: created, 403 Forbidden/ForbiddenByRbac, " in table
    assert "setSecret/action" in table
    assert "the-value" not in table
