"""No module imports an SDK before it needs one: it would be paid for in every task, also where arguments are wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
HEAVY = ("azure", "msal", "kubernetes", "psycopg", "requests", "cryptography", "jinja2")

PROBE = """
import importlib, json, sys
from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()
before = set(sys.modules)
found = {}
for name in sys.argv[3:]:
    importlib.import_module(f"ansible_collections.aksops.platform.plugins.modules.{name}")
    new = {m.partition(".")[0] for m in set(sys.modules) - before} & set(sys.argv[2].split(","))
    if new:
        found[name] = sorted(new)
        break
print(json.dumps(found))
"""


def test_importing_a_module_imports_no_sdk():
    names = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
    path = str(ROOT / "build/collections")
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, path, ",".join(HEAVY), *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert json.loads(answer.stdout) == {}
