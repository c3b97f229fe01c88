# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Terraform state blob: its lease and its outputs. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import json
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence

SCOPE = "https://storage.azure.com/.default"
API = "2023-11-03"

BACKEND_ARG_SPEC: dict[str, t.Any] = {
    "type": "dict",
    "options": {
        "resource_group_name": {"type": "str", "required": True},
        "storage_account_name": {"type": "str", "required": True},
        "container_name": {"type": "str", "required": True},
        "key": {"type": "str", "required": True, "no_log": False},
    },
}


class StateBlob:
    """One state blob, reached by Entra.

    :param credential: anything with get_token(*scopes).
    :param opener: C(open_url) of Ansible, or a stand-in for tests.
    """

    def __init__(
        self,
        credential: t.Any,
        *,
        account: str,
        container: str,
        key: str,
        suffix: str = "blob.core.windows.net",
        opener: t.Callable[..., t.Any] | None = None,
    ) -> None:
        self._credential = credential
        self._body = b""
        self.url = f"https://{account}.{suffix}/{quote(container)}/{quote(key)}"
        if opener is None:
            from ansible.module_utils.urls import open_url

            opener = open_url
        self._open = opener

    def lock_metadata(self) -> tuple[bool, str]:
        """Return whether the blob is leased, and what Terraform wrote about the lock; (False, "") without a blob."""
        headers = self._request("HEAD", self.url, {})
        if headers is None:
            return False, ""
        return headers.get("x-ms-lease-state") == "leased", headers.get("x-ms-meta-terraformlockid", "")

    def outputs(self) -> dict[str, t.Any]:
        """Return the root outputs that the state holds, by name, without the sensitive ones; {} without a state."""
        headers = self._request("GET", self.url, {})
        if headers is None:
            return {}
        state = json.loads(self._body)
        return {
            name: output.get("value")
            for name, output in (state.get("outputs") or {}).items()
            if not output.get("sensitive")
        }

    def resources(self) -> list[dict[str, t.Any]]:
        """Return the resources that the state holds, as Terraform writes them; [] without a state."""
        if self._request("GET", self.url, {}) is None:
            return []
        return list(json.loads(self._body).get("resources") or [])

    def break_lease(self) -> None:
        """Take the lease away from whoever holds it, at once."""
        self._request("PUT", f"{self.url}?comp=lease", {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"})

    def _request(self, method: str, url: str, headers: dict[str, str]) -> dict[str, str] | None:
        token = self._credential.get_token(SCOPE).token
        try:
            answer = self._open(
                url,
                method=method,
                headers={"Authorization": f"Bearer {token}", "x-ms-version": API, "Content-Length": "0", **headers},
                timeout=30,
            )
        except HTTPError as error:
            if error.code == 404:
                return None
            code = error.headers.get("x-ms-error-code", "") if error.headers else ""
            raise AksPlatformError(
                f"{method} {url.partition('?')[0]}: {code or 'refused'} (HTTP {error.code})."
            ) from None
        except (URLError, OSError) as error:
            raise AksPlatformError(f"{method} {url.partition('?')[0]}: {one_sentence(str(error), 200)}.") from None
        self._body = answer.read() if method == "GET" else b""
        return {name.lower(): value for name, value in answer.headers.items()}


#: cloud -> host suffix of its blob services
SUFFIXES = {
    "AzureCloud": "blob.core.windows.net",
    "AzureUSGovernment": "blob.core.usgovcloudapi.net",
    "AzureChinaCloud": "blob.core.chinacloudapi.cn",
}


def state_blob(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> StateBlob:
    """Return the blob that C(params["backend"]) names, with the credential that options and environment describe."""
    backend = params["backend"]
    return StateBlob(
        _auth.credential(params, environ),
        account=backend["storage_account_name"],
        container=backend["container_name"],
        key=backend["key"],
        suffix=SUFFIXES[params.get("cloud") or "AzureCloud"],
    )
