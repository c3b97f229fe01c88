"""Connections go by the proxy and trust the CA bundle that the environment names."""

from __future__ import annotations

import pytest
import requests
from ansible_collections.aksops.platform.plugins.module_utils import _https
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError


def test_a_proxy_that_asks_who_comes():
    assert _https.proxy_headers("me", "p%40ss") == {"Proxy-Authorization": "Basic bWU6cEBzcw=="}
    assert _https.proxy_headers(None, None) == {}


def test_a_missing_ca_bundle_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(AksPlatformError, match=r"nowhere.pem, named by REQUESTS_CA_BUNDLE, cannot be read"):
        _https.ssl_context()


def test_only_https_is_fetched():
    with pytest.raises(OSError, match="not https"):
        _https.fetch("http://token.example.com", {})


@pytest.mark.parametrize("proxies", [{}, {"https": "http://proxy.example:8080"}], ids=["direct", "proxy"])
def test_the_sdk_reads_the_ca_bundle_once(proxies):
    transport = _https.sdk_transport(connection_timeout=10, read_timeout=120)
    adapter = transport.session.get_adapter("https://management.azure.com")
    asked = requests.Request("GET", "https://management.azure.com/subscriptions").prepare()
    pool = adapter.get_connection_with_tls_context(asked, "/a/bundle.pem", proxies=proxies)
    adapter.cert_verify(pool, asked.url, "/a/bundle.pem", None)
    assert pool.conn_kw["ssl_context"] is _https.ssl_context()
    assert (pool.cert_reqs, pool.ca_certs) == ("CERT_REQUIRED", None)
