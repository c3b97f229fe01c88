# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container registry's own endpoint: which manifest a tag names, and deleting one.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

An Entra token is exchanged for the registry's refresh token, that for an access token to one repository.
"""

from __future__ import annotations

import json
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence

SCOPE = "https://containerregistry.azure.net/.default"
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)


class EndpointError(AksPlatformError):
    """The endpoint is not reached, or refuses the caller."""


class Endpoint:
    """Requests to one registry.

    :param credential: anything with get_token(*scopes).
    :param opener: in place of Ansible's open_url, for tests.
    """

    def __init__(
        self, server: str, credential: t.Any, *, timeout: float = 10, opener: t.Callable[..., t.Any] | None = None
    ) -> None:
        self._server = server
        self._credential = credential
        self._timeout = timeout
        self._opener = opener
        self._refresh = ""

    def __repr__(self) -> str:
        return f"Endpoint(server={self._server!r})"

    def sign_in(self) -> None:
        """Exchange the caller's Entra token.

        :raises EndpointError: the registry is not reached (private, or closed to this address), or refuses the caller.
        """
        form = {
            "grant_type": "access_token",
            "service": self._server,
            "access_token": self._credential.get_token(SCOPE).token,
        }
        self._refresh = self._form("/oauth2/exchange", form).get("refresh_token", "")

    def digest(self, repository: str, tag: str) -> str | None:
        """Return the digest of the manifest that a tag names, None where there is no such tag.

        :raises EndpointError: refused.
        """
        token = self._token(repository, "pull")
        status, headers, body = self._send("GET", f"/v2/{repository}/manifests/{tag}", token=token)
        if status == 404:
            return None
        if status != 200:
            raise self._refused(status, body)
        return headers.get("docker-content-digest")

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest and all of its tags; absent is fine.

        :raises EndpointError: refused.
        """
        token = self._token(repository, "delete")
        status, _headers, body = self._send("DELETE", f"/v2/{repository}/manifests/{digest}", token=token)
        if status not in (200, 202, 404):
            raise self._refused(status, body)

    def _token(self, repository: str, right: str) -> str:
        form = {
            "grant_type": "refresh_token",
            "service": self._server,
            "scope": f"repository:{repository}:{right}",
            "refresh_token": self._refresh,
        }
        return str(self._form("/oauth2/token", form).get("access_token") or "")

    def _form(self, path: str, form: dict[str, str]) -> dict[str, t.Any]:
        status, _headers, body = self._send("POST", path, form=form)
        if status != 200:
            raise self._refused(status, body)
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise EndpointError(f"{self._server} does not answer as a container registry.")
        return parsed

    def _send(
        self, method: str, path: str, *, form: dict[str, str] | None = None, token: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        opener = self._opener
        if opener is None:
            from ansible.module_utils.urls import open_url

            opener = open_url
        headers = {"Accept": MANIFESTS if token else "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            data = urlencode(form)
        try:
            answer = opener(
                f"https://{self._server}{path}",
                method=method,
                data=data,
                headers=headers,
                timeout=self._timeout,
                http_agent="aksops.platform",
            )
            return answer.status, _lower(answer.headers), answer.read()
        except HTTPError as error:
            return error.code, _lower(error.headers or {}), error.read()
        except (URLError, OSError) as error:
            reason = one_sentence(str(getattr(error, "reason", error)), 200)
            raise EndpointError(f"{self._server} is not reached from here: {reason}") from None

    def _refused(self, status: int, body: bytes) -> EndpointError:
        try:
            first = (json.loads(body).get("errors") or [{}])[0]
            text = f"{first.get('code', '')}: {first.get('message', '')}"
        except (ValueError, AttributeError, IndexError):
            text = body.decode(errors="replace")
        return EndpointError(f"{self._server} refuses (HTTP {status}): {one_sentence(text, 200)}")


def _lower(headers: t.Any) -> dict[str, str]:
    return {key.lower(): value for key, value in headers.items()}
