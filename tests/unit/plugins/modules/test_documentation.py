"""Every module documents exactly the options that it takes, with the same types, defaults and choices."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
NAMES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
PACKAGE = "ansible_collections.aksops.platform.plugins"


class _StopError(Exception):
    pass


def specification(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """Return the module and what it gives to AnsibleModule."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    seen: dict[str, Any] = {}

    def capture(**kwargs: Any) -> None:
        seen.update(kwargs)
        raise _StopError

    owner = module
    for candidate in [module, *[value for value in vars(module).values() if hasattr(value, "AnsibleModule")]]:
        if hasattr(candidate, "AnsibleModule"):
            owner = candidate
            break
    monkeypatch.setattr(owner, "AnsibleModule", capture)
    with pytest.raises(_StopError):
        module.main()
    return module, seen


def documented(module: Any) -> dict[str, Any]:
    text = yaml.safe_load(module.DOCUMENTATION)
    options = dict(text.get("options") or {})
    for fragment in text.get("extends_documentation_fragment") or []:
        if not fragment.startswith("aksops.platform."):
            continue
        name, _, part = fragment.removeprefix("aksops.platform.").partition(".")
        owner = importlib.import_module(f"{PACKAGE}.doc_fragments.{name}").ModuleDocFragment
        options.update(yaml.safe_load(getattr(owner, part.upper() or "DOCUMENTATION")).get("options") or {})
    return options


def compare(options: dict[str, Any], spec: dict[str, Any], at: str) -> None:
    assert set(options) == set(spec), at
    for name, option in options.items():
        given = spec[name]
        where = f"{at}.{name}"
        assert option.get("description"), where
        assert option.get("type", "str") == given.get("type", "str"), where
        assert option.get("elements") == given.get("elements"), where
        assert option.get("default") == given.get("default"), where
        assert bool(option.get("required")) == bool(given.get("required")), where
        if given.get("choices") is not None:
            assert [str(c) for c in option["choices"]] == [str(c) for c in given["choices"]], where
        if given.get("options"):
            compare(option["suboptions"], given["options"], where)


@pytest.mark.parametrize("name", NAMES)
def test_documentation_and_argument_spec_agree(name, monkeypatch):
    module, seen = specification(name, monkeypatch)
    compare(documented(module), seen["argument_spec"], name)
    assert seen["supports_check_mode"] is True


@pytest.mark.parametrize("name", NAMES)
def test_options_that_sound_secret_say_whether_they_are(name, monkeypatch):
    _, seen = specification(name, monkeypatch)

    def walk(spec: dict[str, Any]) -> None:
        for option, given in spec.items():
            if any(word in option for word in ("secret", "password", "token")) and given.get("type", "str") in (
                "str",
                "path",
            ):
                assert "no_log" in given, option
            walk(given.get("options") or {})

    walk(seen["argument_spec"])


@pytest.mark.parametrize("name", NAMES)
def test_examples_and_returns_are_yaml_and_examples_use_full_names(name):
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    tasks = yaml.safe_load(module.EXAMPLES)
    assert any(f"aksops.platform.{name}" in task for task in tasks)
    assert all(entry.get("description") for entry in yaml.safe_load(module.RETURN).values())
