"""Export and import of protected backups."""

from __future__ import annotations

import json

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_backup as backup
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from keyvault_support import LocalVault


@pytest.fixture
def vault() -> LocalVault:
    vault = LocalVault()
    vault.put("a", "planted-value-a")
    vault.put("a", "planted-value-b")
    vault.put("b", "planted-value-c")
    vault.space.set_managed("tls", "pfx", "application/x-pkcs12", {})
    return vault


def test_export_is_private_complete_and_done_once(vault, tmp_path):
    folder = tmp_path / "backups"
    predicted = backup.export(vault.client(), str(folder), None, 4, True)
    assert predicted["changed"]
    assert not folder.exists()
    result = backup.export(vault.client(), str(folder), None, 4, False)
    assert [row["name"] for row in result["secrets"]] == ["a", "b"]
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert "planted" not in file.read_text()
    assert not backup.export(vault.client(), str(folder), None, 4, False)["changed"]
    vault.clock.sleep(2)
    vault.put("b", "planted-value-d")
    again = backup.export(vault.client(), str(folder), None, 4, False)
    assert [row["action"] for row in again["secrets"]] == ["unchanged", "exported"]


def test_import_restores_all_versions_of_what_is_missing(vault, tmp_path):
    backup.export(vault.client(), str(tmp_path / "x"), None, 4, False)
    policy = vault.plane.policy(vault.store.list()[0])
    vault.remove("a")
    blocked = backup.restore(vault.client(), str(tmp_path / "x"), None, False)
    assert blocked["failures"]
    assert "a: is soft-deleted" in blocked["failures"][0]
    vault.space.purge("a", policy)
    assert backup.restore(vault.client(), str(tmp_path / "x"), None, True)["changed"]
    assert vault.values("a") == []
    result = backup.restore(vault.client(), str(tmp_path / "x"), None, False)
    assert [row["action"] for row in result["secrets"]] == ["imported", "unchanged"]
    assert vault.values("a") == ["planted-value-a", "planted-value-b"]
    assert not backup.restore(vault.client(), str(tmp_path / "x"), None, False)["changed"]


def test_a_damaged_file_is_not_sent(vault, tmp_path):
    backup.export(vault.client(), str(tmp_path / "x"), "^b$", 4, False)
    (tmp_path / "x" / "b.backup").write_text("damaged")
    vault.remove("b")
    vault.space.purge("b", vault.plane.policy(vault.store.list()[0]))
    assert "checksum" in backup.restore(vault.client(), str(tmp_path / "x"), None, False)["failures"][0]


def test_folders_that_do_not_fit(vault, tmp_path):
    with pytest.raises(AksPlatformError, match=r"no manifest.json"):
        backup.restore(vault.client(), str(tmp_path), None, False)
    (tmp_path / "manifest.json").write_text(json.dumps({"vault": "other.vault.azure.net"}))
    with pytest.raises(AksPlatformError, match="holds backups of other"):
        backup.export(vault.client(), str(tmp_path), None, 4, False)
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o755)
    with pytest.raises(AksPlatformError, match="open to other users"):
        backup.export(vault.client(), str(open_folder), None, 4, False)
