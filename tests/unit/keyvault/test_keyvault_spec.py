"""The modules' documentation, their argument specs and the role's specification say the same."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aksops.platform.plugins.doc_fragments.keyvault import ModuleDocFragment
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_spec as spec

ROOT = Path(__file__).resolve().parents[3]
MODULES = "ansible_collections.aksops.platform.plugins.modules"


def compare(documented: dict[str, Any], specified: dict[str, Any], where: str) -> None:
    assert documented.keys() == specified.keys(), where
    for name, option in documented.items():
        wanted = specified[name]
        for field in ("type", "default", "choices", "elements"):
            assert option.get(field) == wanted.get(field), f"{where}.{name}.{field}"
        assert bool(option.get("required")) == bool(wanted.get("required")), f"{where}.{name}.required"
        inner = option.get("suboptions") or option.get("options")
        assert bool(inner) == bool(wanted.get("options")), f"{where}.{name}"
        if inner:
            compare(inner, wanted["options"], f"{where}.{name}")


@pytest.mark.parametrize(
    ("name", "specified"),
    [("keyvault_secrets", spec.SECRETS_ARG_SPEC), ("keyvault_secrets_info", spec.INFO_ARG_SPEC)],
)
def test_documentation_is_the_argument_spec(name, specified):
    module = importlib.import_module(f"{MODULES}.{name}")
    documentation = yaml.safe_load(module.DOCUMENTATION)
    compare(documentation["options"], specified, name)
    assert yaml.safe_load(module.EXAMPLES)
    assert yaml.safe_load(module.RETURN)


def test_the_fragment_is_the_vaults_argument_spec():
    compare(yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"], spec.VAULT_ARG_SPEC, "fragment")


def test_the_roles_items_are_the_modules_secrets():
    options = yaml.safe_load((ROOT / "roles/secrets/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    items = options["options"]["secrets_items"]["options"]
    compare(items, spec.SECRETS_ARG_SPEC["secrets"]["options"], "secrets_items")
    assert items["value"]["no_log"] is True


def test_the_roles_defaults_are_its_specification():
    options = yaml.safe_load((ROOT / "roles/secrets/meta/argument_specs.yml").read_text())["argument_specs"]["main"]
    specified = {name: option["default"] for name, option in options["options"].items() if "default" in option}
    assert yaml.safe_load((ROOT / "roles/secrets/defaults/main.yml").read_text()) == specified
    readme = (ROOT / "roles/secrets/README.md").read_text()
    assert [name for name in options["options"] if f"`{name}`" not in readme] == []


def test_importing_the_spec_imports_no_sdk():
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import importlib; "
        "importlib.import_module('ansible_collections.aksops.platform.plugins.modules.keyvault_secrets'); "
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'azure', 'msal', 'requests', 'urllib3', 'cryptography'}))"
    )
    path = str(ROOT / "build" / "collections")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
