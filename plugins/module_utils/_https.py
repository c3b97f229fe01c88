# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections by the proxy and the CA bundle that the environment names.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import functools
import http.client
import os
import ssl
import typing as t
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

TIMEOUT = 30


def connect(host: str, port: int = 443) -> http.client.HTTPSConnection:
    """Return a connection to a host, through the proxy that the environment names for it."""
    proxies = getproxies_environment()
    proxy = proxies.get("https") or proxies.get("all")
    context = ssl_context()
    if not proxy or proxy_bypass_environment(host):
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=context)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 8080, timeout=TIMEOUT, context=context)
    connection.set_tunnel(host, port, proxy_headers(parts.username, parts.password))
    return connection


def fetch(url: str, headers: dict[str, str]) -> bytes:
    """Return the body at an https address.

    :raises OSError: no connection, or another answer than 200.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise OSError("the address is not https")
    connection = connect(parts.hostname, parts.port or 443)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"HTTP {answer.status}")
    return content


def proxy_headers(user: str | None, password: str | None) -> dict[str, str]:
    """Return the header for a proxy that asks who comes (none without a user)."""
    if not user:
        return {}
    import base64
    from urllib.parse import unquote

    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def ssl_context() -> ssl.SSLContext:
    """Return a context that trusts the CA bundle which the environment names, as the Azure SDKs do, else certifi's.

    :raises AksPlatformError: the named bundle cannot be read.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name)
        if path:
            try:
                return _context(path)
            except OSError as error:
                reason = error.strerror or str(error)
                raise AksPlatformError(f"The CA bundle {path}, named by {name}, cannot be read: {reason}.") from None
    try:
        import certifi
    except ImportError:
        return _context(None)
    return _context(certifi.where())


@functools.cache
def _context(path: str | None) -> ssl.SSLContext:
    """Read a bundle once: 150 authorities take some 30 ms of processor time."""
    return ssl.create_default_context(cafile=path)


def sdk_transport(*, connection_timeout: float, read_timeout: float) -> t.Any:
    """Return a transport for azure-core's pipelines in which all connections share one SSL context.

    requests has each new connection read the whole CA bundle again, and a client that asks several questions at a time
    has as many connections.

    :param connection_timeout: seconds until a host that does not answer is given up.
    :param read_timeout: seconds of silence until an answer is given up.
    """
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    context = ssl_context()

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: t.Any, **options: t.Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=context)

        def proxy_manager_for(self, proxy: str, **options: t.Any) -> t.Any:
            return super().proxy_manager_for(proxy, **options, ssl_context=context)

        # Both are how requests names the bundle, by its release: the context holds it already.
        def build_connection_pool_key_attributes(self, *args: t.Any, **options: t.Any) -> t.Any:
            host, pool = super().build_connection_pool_key_attributes(*args, **options)
            return host, {name: value for name, value in pool.items() if name not in ("ca_certs", "ca_cert_dir")}

        def cert_verify(self, conn: t.Any, url: t.Any, verify: t.Any, cert: t.Any) -> None:
            conn.cert_reqs = "CERT_REQUIRED"

    session = requests.Session()
    # The pipeline tries again by its own policy.
    session.mount("https://", Adapter(max_retries=0))
    return RequestsTransport(
        session=session, session_owner=True, connection_timeout=connection_timeout, read_timeout=read_timeout
    )
