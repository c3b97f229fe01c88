"""A registry's own endpoint: signing in, tags, deletion, and what is said when it is closed."""

from __future__ import annotations

import io
import json
from email.message import Message
from types import SimpleNamespace
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._acr_endpoint import Endpoint, EndpointError

DIGEST = "sha256:" + "a" * 64


class Registry:
    """Answers as a registry: method and path -> (status, headers, body)."""

    def __init__(self, answers):
        self.answers = {
            ("POST", "/oauth2/exchange"): (200, {}, {"refresh_token": "R"}),
            ("POST", "/oauth2/token"): (200, {}, {"access_token": "T"}),
            **answers,
        }
        self.asked = []

    def __call__(self, url, *, method, data, headers, **_):
        path = url.removeprefix("https://crshop.azurecr.io")
        self.asked.append((method, path, data, headers))
        status, got, body = self.answers[(method, path)]
        raw = json.dumps(body).encode()
        if status >= 400:
            raise HTTPError(url, status, "", Message(), io.BytesIO(raw))
        return SimpleNamespace(status=status, headers=got, read=lambda: raw)


def endpoint(answers, **options):
    credential = SimpleNamespace(get_token=lambda scope: SimpleNamespace(token=f"entra for {scope}"))
    registry = Registry(answers)
    return Endpoint("crshop.azurecr.io", credential, opener=registry, **options), registry


def test_a_tag_names_a_digest_and_an_unknown_tag_names_none():
    found = {"Docker-Content-Digest": DIGEST}
    missing = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such tag"}]}
    client, registry = endpoint(
        {("GET", "/v2/a/b/manifests/1"): (200, found, {}), ("GET", "/v2/a/b/manifests/2"): (404, {}, missing)}
    )
    client.sign_in()
    assert client.digest("a/b", "1") == DIGEST
    assert client.digest("a/b", "2") is None
    assert "scope=repository%3Aa%2Fb%3Apull" in registry.asked[1][2]
    assert "image.index" in registry.asked[2][3]["Accept"]
    assert "R" not in repr(client)


def test_a_refusal_is_told_in_the_registrys_words_without_a_token():
    denied = {"errors": [{"code": "DENIED", "message": "client with IP '203.0.113.9' is not allowed access"}]}
    client, _ = endpoint({("POST", "/oauth2/exchange"): (403, {}, denied)})
    with pytest.raises(EndpointError, match=r"DENIED: client with IP '203.0.113.9'") as caught:
        client.sign_in()
    assert "entra for" not in str(caught.value)


def test_a_registry_that_is_not_reached():
    def closed(*_args, **_options):
        raise URLError("Name or service not known")

    client = Endpoint(
        "crshop.azurecr.io", SimpleNamespace(get_token=lambda _: SimpleNamespace(token="t")), opener=closed
    )
    with pytest.raises(EndpointError, match="is not reached from here: Name or service not known"):
        client.sign_in()


def test_deleting_what_is_gone_is_fine():
    gone = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": ""}]}
    client, registry = endpoint({("DELETE", f"/v2/a/manifests/{DIGEST}"): (404, {}, gone)})
    client.delete("a", DIGEST)
    assert "scope=repository%3Aa%3Adelete" in registry.asked[0][2]
