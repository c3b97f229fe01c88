# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making Key Vault certificates by policy, and waiting for their authority.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_certificates_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import KeyVaultError, VaultClient, _path
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_task import client
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_vault import address
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll


class Certificates:
    """The certificates of one vault."""

    def __init__(
        self, vault: VaultClient, *, timeout: float, interval: float, progress: Progress | None = None
    ) -> None:
        self._vault = vault
        self._timeout = timeout
        self._interval = interval
        self._progress = progress

    def ensure(self, wanted: t.Sequence[plan.Item], *, check_mode: bool) -> tuple[list[str], list[dict[str, t.Any]]]:
        """Return the changes in words and what is known of each certificate; nothing is written in check mode.

        :raises AksPlatformError: an input, the vault or an authority refuses.
        """
        wrong = plan.problems(wanted)
        if wrong:
            raise AksPlatformError(" ".join(wrong))
        lines, found = [], []
        for item in wanted:
            name = item["name"]
            bundle = self._get(name)
            reasons = plan.differences(bundle, item)
            if reasons:
                lines.append(f"{name}: {'; '.join(reasons)}")
                if not check_mode:
                    bundle = self._create(name, item)
            found.append(plan.described(name, bundle or {}, self._vault.host))
        return lines, found

    def _get(self, name: str) -> dict[str, t.Any] | None:
        reply = self._vault.read(_path(name, "certificates"), f"read the certificate {name}", missing=True)
        return None if reply.status == 404 else reply.body

    def _create(self, name: str, item: plan.Item) -> dict[str, t.Any]:
        path = _path(name, "certificates", "create")
        content = {"policy": plan.policy(item), "tags": dict(item.get("tags") or {})}
        try:
            self._vault.post(path, content, f"make the certificate {name}")
        except KeyVaultError as error:
            if error.inner != "ObjectIsDeletedButRecoverable":
                raise
            raise AksPlatformError(
                f"The certificate {name} of {self._vault.host} is soft-deleted: recover it (az keyvault certificate "
                "recover) or give another name."
            ) from None

        def check() -> tuple[bool, str]:
            pending = _path(name, "certificates", "pending")
            reply = self._vault.read(pending, f"read the making of the certificate {name}")
            status = str(reply.body.get("status"))
            if status.lower() not in ("inprogress", "completed"):
                reason = (
                    (reply.body.get("error") or {}).get("message") or reply.body.get("status_details") or "no reason"
                )
                raise AksPlatformError(f"The certificate {name} was not made ({status}): {reason}")
            return status.lower() == "completed", status

        poll(
            check,
            timeout=self._timeout,
            interval=self._interval,
            describe=f"the certificate {name}",
            progress=self._progress,
        )
        bundle = self._get(name)
        if bundle is None:
            raise AksPlatformError(f"The certificate {name} is not in {self._vault.host} although it was made.")
        return bundle


def run(module: t.Any) -> dict[str, t.Any]:
    """The module keyvault_certificates."""
    params = {**module.params, "concurrency": 1}
    uri, _ = address({**params, "recover_vault": False}, module.check_mode)
    certificates = Certificates(
        client(params, uri), timeout=params["wait_timeout"], interval=params["wait_sleep"], progress=module.debug
    )
    lines, found = certificates.ensure(params["certificates"], check_mode=module.check_mode)
    result: dict[str, t.Any] = {"changed": bool(lines), "changes": lines, "certificates": found}
    if module._diff:
        result["diff"] = {"before": "", "after": "".join(f"{line}\n" for line in lines)}
    return result
