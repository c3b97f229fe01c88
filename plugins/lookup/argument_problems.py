# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup that compares variables with the argument specifications of roles that run later."""

from __future__ import annotations

DOCUMENTATION = r"""
name: argument_problems
short_description: Find wrong values of the variables of roles that run later
version_added: 0.1.0
description:
  - Ansible compares a role's variables with its argument specification when the role begins, which may be long after
    the first write. This lookup compares what is set already, and returns a sentence for each value that is wrong.
  - A variable that cannot be read yet, since it refers to what an earlier stage will find, is left to its role.
options:
  _terms:
    description: Names of roles of this collection.
    type: list
    elements: str
    required: true
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Show what the role secrets would refuse
  ansible.builtin.debug:
    msg: "{{ query('aksops.platform.argument_problems', 'secrets') }}"
"""

RETURN = r"""
_raw:
  description: One sentence for each wrong value. Values that a specification marks as secret are masked.
  type: list
  elements: str
"""

import copy
import functools
import pathlib
import typing as t

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.lookup import LookupBase

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def options_of(role: str) -> dict[str, t.Any]:
    """Return the options of a role's main entry point."""
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    return t.cast("dict[str, t.Any]", content["argument_specs"]["main"].get("options") or {})


def problems(name: str, option: t.Mapping[str, t.Any], value: t.Any) -> list[str]:
    """Return what is wrong with one variable."""
    result = ArgumentSpecValidator({name: dict(option)}).validate({name: copy.deepcopy(value)})
    texts = remove_values(result.error_messages, result._no_log_values)
    return [_sentence(name, text) for text in texts]


def _sentence(name: str, text: str) -> str:
    # Of a name that it does not know, Ansible says no more than the name.
    if text.startswith(f"{name}.") and "Supported parameters" in text:
        return f"There is no {text}"
    return text if name in text else f"{name}: {text}"


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[str], variables: t.Any = None, **kwargs: t.Any) -> list[str]:
        found = []
        for role in terms:
            for name, option in options_of(role).items():
                if name not in (variables or {}):
                    continue
                try:
                    value = self._templar.template(variables[name])
                except AnsibleError:  # it refers to what is not known yet
                    continue
                found += problems(name, option, value)
        return found
