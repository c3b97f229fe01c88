# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a cluster's policies would not hold: what is assigned against what should be. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import datetime
import re
import typing as t

Resource = t.Mapping[str, t.Any]


def addon_problem(cluster: Resource | None, cluster_id: str) -> str:
    """Return a sentence where the cluster's Azure Policy add-on is not on, else an empty text."""
    name = cluster_id.rstrip("/").rsplit("/", 1)[-1]
    if cluster is None:
        return f"there is no cluster {name}"
    profiles = (cluster.get("properties") or {}).get("addonProfiles") or {}
    on = any(key.lower() == "azurepolicy" and (value or {}).get("enabled") for key, value in profiles.items())
    return "" if on else f"the Azure Policy add-on of cluster {name} is not enabled, so that no assignment counts in it"


def assignment_problems(wanted: Resource, found: Resource | None, cluster_id: str) -> list[str]:
    """Return one sentence for each way in which an assignment is not the wanted one."""
    name = wanted["id"].rsplit("/", 1)[-1]
    if found is None:
        return [f"assignment {name} is missing"]
    properties = found.get("properties") or {}
    lines = []
    definition = str(properties.get("policyDefinitionId") or "")
    if definition.lower() != str(wanted["definition_id"]).lower():
        lines.append(f"assignment {name} assigns {definition}, and should assign {wanted['definition_id']}")
    mode = properties.get("enforcementMode") or "Default"
    expected = "Default" if wanted.get("enforce", True) else "DoNotEnforce"
    if str(mode).lower() != expected.lower():
        lines.append(f"assignment {name} has the enforcement mode {mode}, and should have {expected}")
    if any(f"{cluster_id.lower()}/".startswith(f"{scope.lower()}/") for scope in properties.get("notScopes") or []):
        lines.append(f"assignment {name} leaves the cluster out by its notScopes")
    held = {key: (entry or {}).get("value") for key, entry in (properties.get("parameters") or {}).items()}
    asked = dict(wanted.get("parameters") or {})
    for key in sorted({*held, *asked}):
        if not _same(held.get(key), asked.get(key)):
            lines.append(f"assignment {name} has {key} {_shown(held, key)}, and should have {_shown(asked, key)}")
    for entry in ("overrides", "resourceSelectors"):
        if properties.get(entry):
            lines.append(f"assignment {name} has {entry}, and should have none")
    return lines


def exemption_problems(
    found: t.Iterable[Resource],
    assignments: t.Iterable[str],
    wanted: t.Iterable[str],
    now: datetime.datetime,
) -> list[str]:
    """Return one sentence for each exemption of these assignments that has ended, or that nobody has asked for.

    :param wanted: ids of the exemptions that may be there.
    """
    ours = {item.lower() for item in assignments}
    known = {item.lower() for item in wanted}
    lines = []
    for item in found:
        properties = item.get("properties") or {}
        target = str(properties.get("policyAssignmentId") or "")
        if target.lower() not in ours:
            continue
        what = f"exemption {item.get('name')} of assignment {target.rsplit('/', 1)[-1]}"
        end = properties.get("expiresOn")
        if end and moment(end) <= now:
            lines.append(f"{what} ended at {end} and is still there")
        elif str(item.get("id")).lower() not in known:
            lasts = f"until {end}" if end else "for ever"
            lines.append(f"{what} takes the cluster out of it {lasts}, and is not listed")
    return lines


def compliance(summary: Resource, assignments: t.Iterable[str]) -> tuple[dict[str, int], list[str]]:
    """Return the non-compliant policies of each assignment by its name, and the names that have no state yet."""
    states: dict[str, int] = {}
    for part in summary.get("value") or []:
        for item in part.get("policyAssignments") or []:
            count = (item.get("results") or {}).get("nonCompliantPolicies")
            states[str(item.get("policyAssignmentId")).lower()] = int(count or 0)
    names = {item.lower(): item.rsplit("/", 1)[-1] for item in assignments}
    found = {name: states[key] for key, name in names.items() if key in states}
    return found, sorted(name for key, name in names.items() if key not in states)


def moment(text: str) -> datetime.datetime:
    """Return a time that ARM wrote; one without a zone is UTC."""
    # Seven digits of a second are one more than Python takes.
    plain = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    found = datetime.datetime.fromisoformat(plain)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _same(left: t.Any, right: t.Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return sorted(map(str, left)) == sorted(map(str, right))
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    return left == right


def _shown(values: Resource, key: str) -> str:
    return repr(values[key]) if key in values else "no value of its own"
