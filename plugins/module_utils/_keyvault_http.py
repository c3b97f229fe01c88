# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""One HTTPS connection pool to a vault, without retries: a write goes out exactly when the caller says so.

urllib3 rather than azure-keyvault-secrets: a seeding run is hundreds of small requests, and the SDK's pipeline costs
several times the processor time of the request itself and a quarter of a second to import. urllib3 comes with it.
"""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, missing_library
from ansible_collections.aksops.platform.plugins.module_utils._https import proxy_headers, ssl_context


class LostAnswerError(Exception):
    """The connection broke or timed out: the request may have been carried out, unless `sent` is False."""

    def __init__(self, reason: str, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class Reply:
    """Status, headers (lower-case keys) and parsed JSON body of an answer."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> tuple[str, str, str]:
        """Code, inner code and message of an error body."""
        error = self.body.get("error")
        if not isinstance(error, dict):
            return f"Http{self.status}", "", ""
        inner = error.get("innererror")
        inner_code = str(inner.get("code") or "") if isinstance(inner, dict) else ""
        return str(error.get("code") or f"Http{self.status}"), inner_code, str(error.get("message") or "")


class Transport:
    """Sends requests to one vault through the proxy and with the CA bundle that the environment names.

    Args:
        uri: `https://<vault>.vault.azure.net`.
        connections: kept open at most.
        connect_timeout, read_timeout: seconds.
    """

    def __init__(self, uri: str, connections: int, connect_timeout: float = 10, read_timeout: float = 30) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise missing_library("urllib3", error) from None
        self._urllib3 = urllib3
        self.uri = uri.rstrip("/")
        host = urlsplit(uri).hostname or ""
        options = {
            "maxsize": connections,
            "block": False,
            "retries": False,
            "timeout": urllib3.Timeout(connect=connect_timeout, read=read_timeout),
            # urllib3 leaves this off behind a proxy; a write, sent as head and body, then waits 40 ms in between.
            "socket_options": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            # One context for all connections: urllib3 would read the CA bundle again for each.
            "ssl_context": ssl_context(),
        }
        proxies = getproxies_environment()
        proxy = proxies.get("https") or proxies.get("all")
        if proxy and not proxy_bypass_environment(host):
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            address = f"{parts.scheme}://{parts.hostname}:{parts.port or 8080}"
            credentials = proxy_headers(parts.username, parts.password)
            self._pool: Any = urllib3.ProxyManager(address, proxy_headers=credentials, **options)
        else:
            self._pool = urllib3.PoolManager(**options)

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        """One request, one answer. Raises LostAnswerError where there is none."""
        errors = self._urllib3.exceptions
        try:
            answer = self._pool.urlopen(
                method, self.uri + path, headers=headers, body=body, redirect=False, assert_same_host=False
            )
        except (errors.NewConnectionError, errors.ConnectTimeoutError, errors.NameResolutionError) as error:
            raise LostAnswerError(_reason(error), sent=False) from None
        except errors.ProxyError as error:
            # urllib3 also calls it a proxy's error where an established tunnel breaks after the request went out.
            refused = "Tunnel connection failed" in str(error) or isinstance(
                error.original_error, errors.NewConnectionError
            )
            raise LostAnswerError(f"proxy: {_reason(error)}", sent=not refused) from None
        except errors.SSLError as error:
            if "CERTIFICATE" not in str(error).upper():
                raise LostAnswerError(_reason(error)) from None
            raise AksPlatformError(
                f"The certificate of {self.uri} is not trusted: {_reason(error)}; name the CA bundle of your proxy in "
                "REQUESTS_CA_BUNDLE."
            ) from None
        except errors.HTTPError as error:
            raise LostAnswerError(_reason(error)) from None
        try:
            parsed = json.loads(answer.data) if answer.data else {}
        except ValueError:
            parsed = {}
        return Reply(
            answer.status,
            {name.lower(): text for name, text in answer.headers.items()},
            parsed if isinstance(parsed, dict) else {},
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _reason(error: Exception) -> str:
    """The kind of failure; urllib3's text would repeat the address and object identities."""
    original = getattr(error, "original_error", None) or error
    cause = original.__cause__ or original
    text = str(cause).split(": ", 1)[-1]
    return f"{type(original).__name__} ({text[:160]})"
