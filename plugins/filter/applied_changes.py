# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter that tells what a task has changed from what a controller wrote meanwhile."""

from __future__ import annotations

DOCUMENTATION = r"""
name: applied_changes
short_description: Find the objects that a task of kubernetes.core.k8s has really changed
version_added: 0.1.0
description:
  - M(kubernetes.core.k8s) compares an object as it was read before with what the server answers, so that a status that
    a controller writes in between counts as a change of the task.
  - This filter takes the result of a task that ran with C(diff=true), and leaves out what only controllers and the API
    server write, which is the status, the operation in progress, Argo CD's requests to look again and the bookkeeping
    of versions.
positional: _input
options:
  _input:
    description: The registered result.
    type: dict
    required: true
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Apply an application
  kubernetes.core.k8s:
    apply: true
    definition: "{{ objects }}"
  diff: true
  register: applied
  changed_when: applied | aksops.platform.applied_changes | length > 0
"""

RETURN = r"""
_value:
  description: Kind and name of each changed object.
  type: list
  elements: str
"""

import typing as t

#: Written by controllers (the operation is Argo CD's), and by the API server at each write.
THEIRS = {"status", "operation"}
BOOKKEEPING = {"generation", "managedFields", "resourceVersion"}
#: Set by a webhook or a person who wants Argo CD to look again, and removed by Argo CD once it has.
REQUESTS = {"argocd.argoproj.io/refresh", "argocd.argoproj.io/hydrate"}


def applied_changes(applied: t.Mapping[str, t.Any]) -> list[str]:
    """Return C(Kind/name) of each object with a change of its own."""
    result = applied.get("result") or {}
    items = result.get("results", [applied])
    return [_name(item) for item in items if item.get("changed") and _counts(item)]


def _counts(item: t.Mapping[str, t.Any]) -> bool:
    diff = item.get("diff")
    if not diff:
        return True
    sides = [diff.get("before") or {}, diff.get("after") or {}]
    fields = {name for side in sides for name in side} - THEIRS
    metadata = [side.get("metadata") or {} for side in sides]
    kept = {name for side in metadata for name in side} - BOOKKEEPING - {"annotations"}
    annotations = {name for side in metadata for name in side.get("annotations") or {}} - REQUESTS
    return bool(fields - {"metadata"} or kept or annotations)


def _name(item: t.Mapping[str, t.Any]) -> str:
    shown = item.get("result") or {}
    return f"{shown.get('kind', '')}/{(shown.get('metadata') or {}).get('name', '')}"


class FilterModule:
    """Filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"applied_changes": applied_changes}
