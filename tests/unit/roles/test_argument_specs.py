"""Every role: its argument spec, its defaults, its tasks and its README speak of the same variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
NAMES = sorted(path.parent.parent.name for path in ROLES.glob("*/meta/argument_specs.yml"))


class _Loader(yaml.SafeLoader):
    """Reads Ansible's own tags as plain values."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), _Loader) or {} if path.exists() else {}


def options(role: str) -> dict[str, Any]:
    return load(ROLES / role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options") or {}


def texts(role: str, *folders: str) -> str:
    paths = [path for folder in folders for path in (ROLES / role / folder).rglob("*") if path.is_file()]
    return "\n".join(path.read_text() for path in sorted(paths))


def test_there_are_roles():
    assert len(NAMES) >= 4


@pytest.mark.parametrize("role", NAMES)
def test_defaults_are_those_of_the_spec(role):
    spec, defaults = options(role), load(ROLES / role / "defaults/main.yml")
    assert not set(defaults) - set(spec), "defaults that the spec does not describe"
    for name, option in spec.items():
        if name in defaults and "default" in option:
            assert option["default"] == defaults[name], name
        elif "default" in option:
            pytest.fail(f"{name} has a default in the spec only")


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_has_the_roles_prefix_and_is_described(role):
    for name, option in options(role).items():
        assert name.startswith(f"{role}_"), name
        assert option.get("description"), name
        assert option.get("type"), name


@pytest.mark.parametrize("role", NAMES)
def test_every_described_variable_is_used_and_every_used_one_is_described(role):
    spec = set(options(role))
    content = texts(role, "tasks", "templates", "vars", "handlers")
    words = set(re.findall(rf"(?<![\w.]){role}_\w+", content))
    assert not spec - words, "described, and used nowhere"
    private = set(load(ROLES / role / "vars/main.yml"))
    other_roles = {word for word in words for name in NAMES if name != role and word.startswith(f"{name}_")}
    registered = set(re.findall(r"(?:register|set_fact):\s*\n?\s*(\w+)", content))
    facts = set(re.findall(rf"^\s+({role}_\w+):", content, re.MULTILINE))
    unknown = words - spec - private - other_roles - registered - facts
    assert not unknown, "used, and described nowhere"


@pytest.mark.parametrize("role", NAMES)
def test_each_role_has_a_readme_that_shows_it(role):
    readme = (ROLES / role / "README.md").read_text()
    assert f"aksops.platform.{role}" in readme
    for word in set(re.findall(rf"(?<![\w.]){role}_\w+", readme)):
        assert word in options(role) or word.endswith("_result"), word
