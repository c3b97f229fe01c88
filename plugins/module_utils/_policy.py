# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure Policy holds and says of a cluster. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import datetime
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.aksops.platform.plugins.module_utils import _arm_plan, _policy_plan
from ansible_collections.aksops.platform.plugins.module_utils._aks import API_VERSION
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, WaitTimeoutError, poll

INSIGHTS_VERSION = "2024-10-01"
STATES = "providers/Microsoft.PolicyInsights/policyStates/latest"


def problems(
    arm: ArmClient, cluster_id: str, assignments: t.Sequence[dict[str, t.Any]], exemptions: t.Sequence[str]
) -> list[str]:
    """Return what keeps these assignments from counting in the cluster, one sentence each."""
    below = f"{cluster_id}/providers/Microsoft.Authorization/policyExemptions"
    with ThreadPoolExecutor(max_workers=8) as pool:
        cluster = pool.submit(arm.get, cluster_id, API_VERSION)
        listed = pool.submit(arm.list, below, _arm_plan.api_version(f"{below}/x", None))
        held = [pool.submit(arm.get, item["id"], _arm_plan.api_version(item["id"], None)) for item in assignments]
        missing = _policy_plan.addon_problem(cluster.result(), cluster_id)
        lines = [missing] if missing else []
        for wanted, found in zip(assignments, held, strict=True):
            lines += _policy_plan.assignment_problems(wanted, found.result(), cluster_id)
        ids = [item["id"] for item in assignments]
        now = datetime.datetime.now(datetime.UTC)
        return lines + _policy_plan.exemption_problems(listed.result(), ids, exemptions, now)


def await_compliance(
    arm: ArmClient,
    cluster_id: str,
    assignments: t.Sequence[str],
    *,
    timeout: float,
    interval: float,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Wait until every assignment has a state; returns its number of non-compliant policies.

    :raises AksPlatformError: some have none in time.
    """

    def check() -> tuple[bool, t.Any]:
        answer = arm.post(f"{cluster_id}/{STATES}/summarize", INSIGHTS_VERSION)
        found, awaited = _policy_plan.compliance(answer, assignments)
        return not awaited, found if not awaited else f"no state of {', '.join(awaited)}"

    try:
        return poll(check, timeout=timeout, interval=interval, describe="Azure's compliance report", progress=progress)
    except WaitTimeoutError as error:
        raise AksPlatformError(
            f"Azure's compliance report is not complete after {error.details['waited_seconds']} s: "
            f"{error.details['last_state']}."
        ) from None
