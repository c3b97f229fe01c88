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
import ssl
import threading
import time
import typing as t
from urllib.parse import urlencode

from ansible_collections.aksops.platform.plugins.module_utils._https import connect

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
