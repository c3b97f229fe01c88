# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""Protected backups of secrets in a private folder with a manifest. The texts are Key Vault's own, encrypted by it."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import KeyVaultError, VaultClient
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Current

MANIFEST = "manifest.json"


def export(vault: VaultClient, folder: str, match: str | None, concurrency: int, check_mode: bool) -> dict[str, Any]:
    """Back up every secret that matches and is no certificate's; unchanged ones are not asked for again.

    A folder that holds backups of another vault is refused.
    """
    path = Path(folder).expanduser()
    held = _manifest(path) if (path / MANIFEST).exists() else {}
    if held and held.get("vault") != vault.host:
        raise AksPlatformError(f"{path} holds backups of {held.get('vault')}, not of {vault.host}; use another folder.")
    entries: dict[str, Any] = dict(held.get("secrets") or {})
    pattern = re.compile(match) if match else None
    found = [item for page in vault.secrets() for item in page]
    wanted = [item for item in found if not item.managed and (pattern is None or pattern.search(item.name))]
    due = [item for item in wanted if not _is_fresh(path, entries.get(item.name), item)]
    rows = [{"name": item.name, "action": "exported" if item in due else "unchanged"} for item in wanted]
    failures: list[str] = []
    if due and not check_mode:
        _private_folder(path)

        def one(item: Current) -> tuple[Current, str | KeyVaultError]:
            try:
                return item, vault.backup(item.name)
            except KeyVaultError as error:
                return item, error

        with ThreadPoolExecutor(max_workers=concurrency) as pool:
            for item, answer in pool.map(one, due):
                if isinstance(answer, KeyVaultError):
                    failures.append(f"{item.name}: {answer}")
                    continue
                entries[item.name] = _keep(path, item, answer)
        _write_private(path / MANIFEST, _dump(vault.host, entries))
    return {"changed": bool(due), "secrets": rows, "failures": failures}


def restore(vault: VaultClient, folder: str, match: str | None, check_mode: bool) -> dict[str, Any]:
    """Restore what the vault does not have. What is there stays; what is soft-deleted is named as a failure."""
    path = Path(folder).expanduser()
    if not (path / MANIFEST).exists():
        raise AksPlatformError(f"{path} has no {MANIFEST}: it is no folder of exported secrets.")
    pattern = re.compile(match) if match else None
    present = {item.name.lower() for page in vault.secrets() for item in page}
    gone = {item.name.lower() for item in vault.deleted()}
    rows, failures = [], []
    for name, entry in sorted((_manifest(path).get("secrets") or {}).items()):
        if pattern is not None and not pattern.search(name):
            continue
        if name.lower() in present:
            rows.append({"name": name, "action": "unchanged"})
            continue
        if name.lower() in gone:
            failures.append(f"{name}: is soft-deleted in {vault.host}; recover it there, its versions are still in it")
            continue
        rows.append({"name": name, "action": "imported"})
        try:
            blob = _read(path, name, entry)
            if not check_mode:
                vault.restore(name, blob)
        except AksPlatformError as error:
            rows.pop()
            failures.append(f"{name}: {error}")
    return {"changed": any(row["action"] == "imported" for row in rows), "secrets": rows, "failures": failures}


def _is_fresh(path: Path, entry: Any, item: Current) -> bool:
    if not isinstance(entry, dict) or entry.get("updated") != item.updated:
        return False
    file = path / str(entry.get("file"))
    return file.exists() and _digest(file.read_text(encoding="ascii")) == entry.get("sha256")


def _keep(path: Path, item: Current, blob: str) -> dict[str, Any]:
    file = f"{item.name}.backup"
    _write_private(path / file, blob)
    return {"file": file, "sha256": _digest(blob), "updated": item.updated}


def _read(path: Path, name: str, entry: dict[str, Any]) -> str:
    file = path / os.path.basename(str(entry.get("file")))
    try:
        blob = file.read_text(encoding="ascii")
    except OSError as error:
        raise AksPlatformError(f"{file} cannot be read: {error.strerror}") from None
    if _digest(blob) != entry.get("sha256"):
        raise AksPlatformError(f"{file} is not what was exported (its checksum differs)")
    return blob


def _digest(blob: str) -> str:
    """Of the encrypted text, which says nothing about the value."""
    return hashlib.sha256(blob.encode()).hexdigest()


def _manifest(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AksPlatformError(f"{path / MANIFEST} cannot be read: {type(error).__name__}") from None
    return content if isinstance(content, dict) else {}


def _dump(host: str, entries: dict[str, Any]) -> str:
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"vault": host, "exported": moment, "secrets": entries}, indent=2, sort_keys=True) + "\n"


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        raise AksPlatformError(f"{path} is open to other users; chmod 700 it first.")


def _write_private(path: Path, content: str) -> None:
    """Write beside the target and move it there, so that a kill leaves the old or the new file."""
    partial = path.with_name(f".{path.name}.part")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    partial.replace(path)
