"""The action group lists every module, alphabetically, and every module says that it belongs to it."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]


def test_action_group_lists_every_module_alphabetically():
    modules = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py") if path.stem != "__init__")
    group = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]["platform"]
    assert group == modules


def test_every_module_documents_the_action_group():
    for path in (ROOT / "plugins/modules").glob("*.py"):
        assert "aksops.platform.attributes.action_group" in path.read_text(), path.name
