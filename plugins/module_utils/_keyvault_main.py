# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""What the modules keyvault_secrets and keyvault_secrets_info do once their parameters are parsed.

Imported by them only then, so that wrong parameters are reported before any SDK is loaded.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Any

from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_backup, _keyvault_task
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import VaultClient, _current
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Current, format_time
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_vault import address


def forget_program(module: Any) -> None:
    """Remove the file that carries the parameters, values among them, where Ansible had to write one.

    With pipelining there is none. For an asynchronous task, or without pipelining, Ansible writes program and values
    to its temporary folder and removes them at the end, which a killed run never reaches.
    """
    program = sys.orig_argv[1] if len(sys.orig_argv) > 1 else ""
    if os.path.basename(program).startswith("AnsiballZ_keyvault_secrets") and not module._keep_remote_files:
        with contextlib.suppress(OSError):
            os.unlink(program)


def guarded(module: Any, work: Any) -> None:
    """Run `work(module)` and report its errors; an unexpected one shows where it happened but no data."""
    forget_program(module)
    try:
        work(module)
    except AksPlatformError as error:
        fail_from(module, error)
    except Exception as error:
        frames = "".join(traceback.format_tb(error.__traceback__))
        module.fail_json(msg=f"Unexpected {type(error).__name__}; please report it with -vvv.", exception=frames)


def secrets(module: Any) -> None:
    """The module keyvault_secrets."""
    params = module.params
    if params["backup"] and (params["secrets"] or params["prune"]):
        raise AksPlatformError("backup is a task of its own: leave secrets and prune out.")
    if not params["backup"]:
        _keyvault_task.interpret(params, "checked-before-the-first-request")
    uri, recovered = address(params, module.check_mode)
    if not uri:
        names = [{"name": item["name"], "action": "unknown", "changed_fields": []} for item in params["secrets"]]
        module.exit_json(
            changed=True,
            vault_recovered=True,
            secrets=names,
            msg=f"The vault {params['vault_name']} would be recovered first; its secrets are compared after that.",
        )
    vault = _keyvault_task.client(params, uri)
    if params["backup"]:
        _backup(module, vault, recovered)
        return
    report, result = _keyvault_task.seed(params, vault, check_mode=module.check_mode)
    result["vault_recovered"] = recovered
    result["changed"] = result["changed"] or recovered
    if module._diff:
        result["diff"] = report.diff()
    for outcome in report.outcomes:
        if "was not compared" in outcome.change.note:
            module.warn(f"{outcome.change.name}: {outcome.change.note}")
    if report.failures:
        module.fail_json(msg=_keyvault_task.failure(report), **result)
    module.exit_json(**result)


def _backup(module: Any, vault: VaultClient, recovered: bool) -> None:
    options = module.params["backup"]
    if options["mode"] == "export":
        concurrency = module.params["concurrency"]
        result = _keyvault_backup.export(vault, options["path"], options["match"], concurrency, module.check_mode)
    else:
        result = _keyvault_backup.restore(vault, options["path"], options["match"], module.check_mode)
    failures = result.pop("failures")
    result["changed"] = result["changed"] or recovered
    result.update(_keyvault_task.statistics(vault), vault_recovered=recovered, vault_uri=f"https://{vault.host}/")
    if failures:
        module.fail_json(msg=f"{len(failures)} secrets failed: " + "; ".join(failures), **result)
    module.exit_json(**result)


def info(module: Any) -> None:
    """The module keyvault_secrets_info."""
    params = module.params
    uri, _ = address({**params, "recover_vault": False}, True)
    vault = _keyvault_task.client(params, uri)
    names = {name.lower() for name in params["names"]} if params["names"] else None
    found = [item for page in vault.secrets() for item in page if names is None or item.name.lower() in names]
    rows = [_row(item) for item in found]
    if params["versions"]:
        for row in rows:
            pages = vault.pages(f"/secrets/{row['name']}/versions", "versions")
            versions = sorted((_current(item) for page in pages for item in page), key=lambda item: item.created)
            row["versions"] = [{"version": item.version, **_row(item)} for item in versions]
    result: dict[str, Any] = {"secrets": rows}
    if params["deleted"]:
        gone = [item for page in vault.pages("/deletedsecrets", "list_deleted") for item in page]
        result["deleted_secrets"] = [
            {
                **_row(_current(item)),
                "deleted": format_time(item.get("deletedDate")),
                "scheduled_purge": format_time(item.get("scheduledPurgeDate")),
            }
            for item in gone
            if names is None or _current(item).name.lower() in names
        ]
    module.exit_json(changed=False, vault_uri=f"https://{vault.host}/", **result, **_keyvault_task.statistics(vault))


def _row(item: Current) -> dict[str, Any]:
    return {
        "name": item.name,
        **item.metadata.shown(),
        "created": format_time(item.created),
        "updated": format_time(item.updated),
        "managed": item.managed,
    }
