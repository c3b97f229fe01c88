# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that finds misspelt variables, which Ansible would ignore."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
short_description: Find variables that look like this collection's and are not
version_added: 0.1.0
description:
  - Ansible ignores variables that nothing reads. This filter compares names that begin like this collection's variables
    (the name of a role and C(_), C(platform_) or C(destroy_)) with the argument specifications of all roles and
    playbooks of the collection, and returns a sentence for each name that none of them has.
  - A name with a misspelt beginning is found where it is very near a known one.
positional: _input
options:
  _input:
    description: Names of variables.
    type: list
    elements: str
    required: true
  ignore:
    description: Regular expressions of names that are somebody else's.
    type: list
    elements: str
    default: []
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Show misspelt variables
  ansible.builtin.debug:
    msg: "{{ query('ansible.builtin.varnames', '.+') | aksops.platform.unknown_variables }}"
"""

RETURN = r"""
_value:
  description: One sentence for each unknown name.
  type: list
  elements: str
"""

import functools
import pathlib
import re
import typing as t

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.aksops.platform.plugins.module_utils._preflight_variables import unknown

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _specs(path: pathlib.Path) -> dict[str, t.Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) or {}
    return content.get("argument_specs") or {}


@functools.cache
def known_variables(root: pathlib.Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of all variables of the collection at C(root), and the beginnings that are its own.

    Variables are options of the argument specifications of roles and playbooks, and what the playbooks' own group_vars
    set.
    """
    names: set[str] = set()
    for path in [*root.glob("roles/*/meta/argument_specs.yml"), *root.glob("playbooks/*.meta.yml")]:
        for entry in _specs(path).values():
            names |= set((entry or {}).get("options") or {})
    for path in root.glob("playbooks/group_vars/**/*.yml"):
        names |= set(yaml.load(path.read_text(encoding="utf-8"), Loader=Loader) or {})
    roles = {path.parent.parent.name for path in root.glob("roles/*/meta/argument_specs.yml")}
    return frozenset(names), frozenset(f"{name}_" for name in {*roles, "platform", "destroy"})


def unknown_variables(names: t.Iterable[str], ignore: t.Sequence[str] = ()) -> list[str]:
    """Return a sentence for each name that looks like this collection's and is not."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise AnsibleFilterError("unknown_variables needs a list of names of variables.")
    known, prefixes = known_variables(pathlib.Path(__file__).resolve().parents[2])
    others = [re.compile(item) for item in ignore]
    return unknown([name for name in names if not any(item.fullmatch(name) for item in others)], known, prefixes)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unknown_variables": unknown_variables}
