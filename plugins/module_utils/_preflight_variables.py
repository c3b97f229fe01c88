# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Misspelt names of variables. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._preflight_rules import nearest

#: How near a name with a foreign beginning must be to a known one to be taken for a misspelling of it.
NEAR = 0.9

#: Words of Ansible itself that are near none of ours.
FOREIGN = ("ansible_", "hostvars", "group_names", "groups", "inventory_", "omit", "playbook_dir", "role_")


def unknown(names: t.Iterable[str], known: t.Collection[str], prefixes: t.Collection[str]) -> list[str]:
    """Return a sentence for each name that begins with one of C(prefixes), or nearly is a known one, and is not known.

    A longer prefix wins, so that C(platform_x) of a role C(platform_x) is judged by its own list.
    """
    found = []
    for name in sorted(set(names)):
        if name in known or name.startswith(FOREIGN) or name.startswith("_"):
            continue
        ours = any(name.startswith(prefix) for prefix in prefixes)
        near = nearest(name, known, 0.6 if ours else NEAR)
        if not ours and not near:
            continue
        found.append(
            f"The variable {name} is not known and would be ignored"
            + (f": did you mean {near}?" if near else ": remove it, or look for its name in docs/variables.md.")
        )
    return found
