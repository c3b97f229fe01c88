"""The door that a kubeconfig opens, against a server that shows what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _kubeconfig
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status = 404 if "missing" in self.path else 200
        body = json.dumps({"path": self.path, "as": self.headers.get("Authorization")}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def kubeconfig(server, tmp_path, monkeypatch):
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "planted"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "config"
    file.write_text(json.dumps(content))
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(file))
    for name in ("K8S_AUTH_CONTEXT", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_it_asks_the_cluster_of_the_kubeconfig_with_its_token(kubeconfig):
    client = _kubeconfig.client(None)
    query = "/api/v1/namespaces/shop/events?fieldSelector=type%3DWarning"
    assert client.call(query) == (200, {"path": query, "as": "Bearer planted"})
    assert client.call("/missing")[0] == 404


def test_a_given_door_comes_first(kubeconfig):
    door = {"host": "https://a.example", "token": "t", "ca_path": None}
    assert "a.example" in repr(_kubeconfig.client(door))


def test_without_any_door_it_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(AksPlatformError, match="give host, ca_path and token, or a kubeconfig"):
        _kubeconfig.client(None)


def test_a_context_that_is_not_there_is_named(kubeconfig, monkeypatch):
    monkeypatch.setenv("K8S_AUTH_CONTEXT", "other")
    with pytest.raises(AksPlatformError, match="other"):
        _kubeconfig.client(None)


def test_a_server_that_does_not_answer_is_an_error_of_ours(kubeconfig, server, monkeypatch, tmp_path):
    file = tmp_path / "config"
    file.write_text(file.read_text().replace(server, "http://127.0.0.1:9"))
    with pytest.raises(AksPlatformError, match="not reached"):
        _kubeconfig.client(None).call("/readyz")
