# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAuth 2 client credentials of Entra by one request. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

The two kinds of credential that automation uses (a client's secret, a federated token) are one POST of a form.
Importing azure-identity for it takes 0.3 s of processor time in every task, which is more than most tasks need
themselves. Every other kind of credential is left to azure-identity.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
import time
import typing as t
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

TIMEOUT = 30
ATTEMPTS = 5
RETRIED = (408, 429, 500, 502, 503, 504)


class TokenError(Exception):
    """Entra refused, or did not answer. The message holds Entra's own words, never what was sent."""


class Token(t.NamedTuple):
    """The token and its expiry in seconds since the epoch."""

    token: str
    expires_on: int

    def __repr__(self) -> str:
        return f"Token(expires_on={self.expires_on})"


class ClientCredentials:
    """A TokenCredential for one application.

    :param proof: gives the form's fields that prove who asks: C(client_secret), or C(client_assertion) with its type.
    """

    def __init__(self, authority: str, tenant: str, client: str, proof: t.Callable[[], dict[str, str]]) -> None:
        self._authority = authority
        self._tenant = tenant
        self._client = client
        self._proof = proof
        self._tokens: dict[tuple[str, ...], Token] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"ClientCredentials(client={self._client!r})"

    def get_token(self, *scopes: str, claims: str | None = None, **_options: t.Any) -> Token:
        """Return a token, kept until five minutes before its end.

        :param claims: a claims challenge; it is never answered from what is kept.
        :raises TokenError: no token.
        """
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept is not None and claims is None and kept.expires_on - time.time() > 300:
                return kept
            form = {"grant_type": "client_credentials", "client_id": self._client, "scope": " ".join(scopes)}
            if claims:
                form["claims"] = claims
            token = self._ask(urlencode({**form, **self._proof()}))
            self._tokens[scopes] = token
            return token

    def _ask(self, body: str) -> Token:
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(min(8.0, 0.5 * 2**attempt))
            try:
                status, content = self._post(body)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise TokenError(
                        f"the certificate of {self._authority} is not trusted: {error.verify_message}"
                    ) from None
                reason = f"{self._authority} did not answer ({type(error).__name__}: {error})"
                continue
            if status == 200 and content.get("access_token"):
                return Token(str(content["access_token"]), int(time.time()) + int(content.get("expires_in", 3600)))
            lines = str(content.get("error_description") or content.get("error") or "").splitlines()
            reason = f"{lines[0] if lines else 'no reason given'} (HTTP {status})"
            if status not in RETRIED:
                break
        raise TokenError(reason)

    def _post(self, body: str) -> tuple[int, dict[str, t.Any]]:
        connection = connect(self._authority)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            connection.request("POST", f"/{self._tenant}/oauth2/v2.0/token", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            content = json.loads(text)
        except ValueError:
            content = {}
        return answer.status, content if isinstance(content, dict) else {}


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
    """Return a context that trusts the CA bundle which the environment names, as the Azure SDKs do, else certifi's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name)
        if path:
            try:
                return ssl.create_default_context(cafile=path)
            except OSError as error:
                reason = error.strerror or str(error)
                raise AksPlatformError(f"The CA bundle {path}, named by {name}, cannot be read: {reason}.") from None
    try:
        import certifi
    except ImportError:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())
