# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs of one container, by Entra tokens. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Four requests of Blob Storage's REST interface, over the standard library: the SDK takes half a second to import.
"""

from __future__ import annotations

import email.utils
import http.client
import re
import time
import typing as t
import xml.etree.ElementTree as ET
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._https import connect

#: Storage's audience is the same in every cloud.
SCOPE = "https://storage.azure.com/.default"
API_VERSION = "2023-11-03"
RETRIED = (408, 429, 500, 502, 503, 504)
ATTEMPTS = 6


class Reply(t.NamedTuple):
    """An HTTP answer with lower-case header names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Container:
    """One container. Not to be shared between threads.

    :param endpoint: address of the account's blob service.
    :param credential: anything with get_token(*scopes).
    :param sender: C((method, path, headers, body) -> Reply) in place of a connection, for tests.
    """

    def __init__(
        self,
        endpoint: str,
        name: str,
        credential: t.Any,
        *,
        sender: t.Callable[[str, str, dict[str, str], bytes | None], Reply] | None = None,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme != "https" or not parts.hostname or ".blob." not in parts.hostname or parts.path.strip("/"):
            raise AksPlatformError(
                f"{endpoint!r} is not the address of a blob service, such as https://ACCOUNT.blob.core.windows.net/."
            )
        if not re.fullmatch(r"[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]", name):
            raise AksPlatformError(f"{name!r} is no container's name: 3 to 63 lower-case letters, digits and hyphens.")
        self.host = parts.hostname
        self.name = name
        self._port = parts.port or 443
        self._credential = credential
        self._send = sender or self._send_by_connection
        self._sleep = sleep
        self._connection: http.client.HTTPSConnection | None = None

    def url(self, blob: str) -> str:
        """Return a blob's address."""
        return f"https://{self.host}/{self.name}/{quote(blob)}"

    def list(self, prefix: str = "") -> list[str]:
        """Return the names of the blobs that begin with C(prefix)."""
        names: list[str] = []
        marker = ""
        while True:
            query = {"restype": "container", "comp": "list", "prefix": prefix}
            if marker:
                query["marker"] = marker
            reply = self._checked("GET", f"/{self.name}?{urlencode(query)}", "list")
            try:
                root = ET.fromstring(reply.body)
            except ET.ParseError:
                raise AksPlatformError(f"{self.host} did not answer with a list of blobs; check the proxy.") from None
            names += [str(item.text) for item in root.iterfind("./Blobs/Blob/Name")]
            marker = root.findtext("./NextMarker") or ""
            if not marker:
                return names

    def exists(self, blob: str) -> bool:
        """Return whether there is such a blob."""
        return self._checked("HEAD", self._path(blob), "read", allowed=(404,)).status == 200

    def read(self, blob: str) -> bytes:
        """Return a blob's content."""
        return self._checked("GET", self._path(blob), "read").body

    def create(self, blob: str, content: bytes, content_type: str) -> bool:
        """Write a blob that is not there yet and return whether it was written; one that is there is left alone."""
        headers = {"x-ms-blob-type": "BlockBlob", "Content-Type": content_type, "If-None-Match": "*"}
        reply = self._checked("PUT", self._path(blob), "write", headers=headers, body=content, allowed=(409, 412))
        if reply.status == 409 and reply.headers.get("x-ms-error-code", "BlobAlreadyExists") != "BlobAlreadyExists":
            raise self._refused(reply, "write")
        return reply.status == 201

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _path(self, blob: str) -> str:
        return f"/{self.name}/{quote(blob)}"

    def _checked(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Reply:
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(min(8.0, 0.25 * 2**attempt))
            sent = {
                "Authorization": f"Bearer {self._credential.get_token(SCOPE).token}",
                "x-ms-version": API_VERSION,
                "x-ms-date": email.utils.formatdate(usegmt=True),
                **(headers or {}),
            }
            try:
                reply = self._send(method, path, sent, body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = f"{type(error).__name__}: {one_sentence(str(error), 160)}"
                continue
            if reply.status not in RETRIED:
                break
            reason = f"HTTP {reply.status}"
        else:
            raise AksPlatformError(
                f"{self.host} did not answer ({reason}); check the network, the proxy and the CA bundle."
            )
        if reply.status >= 300 and reply.status not in allowed:
            raise self._refused(reply, doing)
        return reply

    def _refused(self, reply: Reply, doing: str) -> AksPlatformError:
        match = re.search(rb"<Code>([^<]+)</Code>", reply.body)
        code = reply.headers.get("x-ms-error-code") or (match[1].decode() if match else f"Http{reply.status}")
        hint = {
            "AuthorizationPermissionMismatch": "the credential needs the role Storage Blob Data Contributor there",
            "AuthorizationFailure": "the account's firewall is closed to this machine: run inside the network",
            "ContainerNotFound": "run playbooks/infrastructure.yml, which makes it",
            "BlobNotFound": "it was deleted meanwhile",
        }.get(code, "see the code in Azure's documentation of blob storage")
        return AksPlatformError(
            f"{self.host} did not {doing} receipts in the container {self.name}: {code} (HTTP {reply.status}); {hint}.",
            code=code,
            status=reply.status,
            request_id=reply.headers.get("x-ms-request-id"),
        )

    def _send_by_connection(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        if self._connection is None:
            self._connection = connect(self.host, self._port)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        lower = {name.lower(): value for name, value in answer.getheaders()}
        if lower.get("connection", "").lower() == "close":
            self.close()
        return Reply(answer.status, lower, content)
