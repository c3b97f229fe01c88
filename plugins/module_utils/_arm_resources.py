# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a list of ARM resources and role assignments to a wanted state.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

All reads come first and run side by side; writes follow in order, so that a resource may rest on the one before it.
"""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.aksops.platform.plugins.module_utils import _arm_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress

Item = t.Mapping[str, t.Any]

#: Answers that mean "not yet": a principal that Entra has not replicated, an identity that another write holds.
NOT_YET = (
    "PrincipalNotFound",
    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
    "AnotherOperationInProgress",
    "ParentResourceNotReady",
)


class Step(t.NamedTuple):
    """One thing wanted and what it takes: C(action) is none, create, update or delete."""

    id: str
    api_version: str
    action: str
    before: t.Any
    after: t.Any
    body: dict[str, t.Any] | None
    differences: list[str]


def read(
    arm: ArmClient, resources: t.Sequence[Item], role_assignments: t.Sequence[Item], *, check_mode: bool
) -> list[Step]:
    """Compare everything wanted with what is there; only reads.

    :raises AksPlatformError: an item that cannot be meant, or ARM refused a read.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        first = [pool.submit(_read_resource, arm, item) for item in resources]
        second = [pool.submit(_read_assignment, arm, item, check_mode) for item in role_assignments]
        return [*[task.result() for task in first], *[step for task in second for step in task.result()]]


def _read_resource(arm: ArmClient, item: Item) -> Step:
    path = item["id"].rstrip("/")
    version = plan.api_version(path, item.get("api_version"))
    if version is None:
        raise AksPlatformError(f"Which api_version is to be spoken to {path}? This collection knows none for its type.")
    current = arm.get(path, version)
    if item.get("state") == "absent":
        action = "none" if current is None else "delete"
        return Step(path, version, action, None if current is None else "present", None, None, [])
    wanted = item.get("body") or {}
    if current is None:
        return Step(path, version, "create", None, wanted, wanted, [])
    differences = plan.differences(wanted, current, item.get("ignore") or ())
    before = plan.told_part(wanted, current)
    if not differences:
        return Step(path, version, "none", before, before, None, [])
    body = plan.body_to_write(wanted, current)
    return Step(path, version, "update", before, wanted, body, differences)


def _read_assignment(arm: ArmClient, item: Item, check_mode: bool) -> list[Step]:
    scope = item["scope"].rstrip("/")
    principal = item.get("principal_id") or ""
    version = plan.API_VERSIONS["microsoft.authorization/roleassignments"]
    absent = item.get("state") == "absent"
    if not principal:
        if absent:
            return []
        if not check_mode:
            raise AksPlatformError(f"The role {item['role']} at {scope} needs a principal_id.")
        return [Step(f"{scope} ({item['role']})", version, "create", None, {"role": item["role"]}, None, [])]
    role = _role_id(arm, scope, item["role"])
    listed = arm.list(
        f"{scope}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{principal}'", version
    )
    found = plan.matching_assignments(listed, scope, role, principal)
    shown = {"scope": scope, "role": item["role"], "principal_id": principal}
    if absent:
        return [Step(entry["id"], version, "delete", shown, None, None, []) for entry in found]
    name = item.get("name") or plan.assignment_name(scope, role, principal)
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    if found:
        return [Step(found[0]["id"], version, "none", shown, shown, None, [])]
    subscription = "/".join(scope.split("/")[:3])
    body = {
        "properties": {
            "roleDefinitionId": f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "principalId": principal,
            "principalType": item.get("principal_type") or "ServicePrincipal",
        }
    }
    return [Step(path, version, "create", None, shown, body, [])]


def _role_id(arm: ArmClient, scope: str, role: str) -> str:
    text = role.rstrip("/").rsplit("/", 1)[-1]
    if plan.GUID.fullmatch(text):
        return text.lower()
    known = plan.ROLES.get(role.lower())
    if known:
        return known
    subscription = "/".join(scope.split("/")[:3])
    version = plan.API_VERSIONS["microsoft.authorization/roledefinitions"]
    query = "?$filter=" + f"roleName eq '{role}'".replace(" ", "%20")
    found = arm.list(f"{subscription}/providers/Microsoft.Authorization/roleDefinitions{query}", version)
    if len(found) != 1:
        raise AksPlatformError(f"{len(found)} roles are named {role!r}; give the role's GUID.")
    return str(found[0]["name"]).lower()


def write(
    arm: ArmClient,
    steps: t.Sequence[Step],
    *,
    patience: float,
    interval: float = 5,
    progress: Progress | None = None,
    sleep: t.Callable[[float], None] = time.sleep,
) -> list[str]:
    """Carry out C(steps): deletions first, from the last to the first; then the rest in order.

    :param patience: seconds to wait for what is "not yet" (see C(NOT_YET)).
    :returns: warnings: values that the service took and keeps in another form.
    """
    for step in reversed(steps):
        if step.action == "delete":
            arm.delete(step.id, step.api_version)
    warnings = []
    deadline = time.monotonic() + patience
    for step in steps:
        if step.action not in ("create", "update"):
            continue
        after = _put(arm, step, deadline, interval, progress, sleep)
        if step.body is not None and "/roleAssignments/" not in step.id:
            left = [path for path in plan.differences(step.after, after) if path not in ("location",)]
            if after and left:
                warnings.append(f"{step.id}: the service keeps another value at {', '.join(left)}.")
    return warnings


def _put(
    arm: ArmClient,
    step: Step,
    deadline: float,
    interval: float,
    progress: Progress | None,
    sleep: t.Callable[[float], None],
) -> dict[str, t.Any]:
    while True:
        try:
            return arm.put(step.id, step.api_version, step.body)
        except ArmError as error:
            if error.code == "RoleAssignmentExists":
                return {}
            if error.code not in NOT_YET or time.monotonic() >= deadline:
                raise
            if progress:
                progress(f"waiting for {step.id}: {error.code}")
            sleep(interval)
