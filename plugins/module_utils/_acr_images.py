# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copying images into a container registry, and asking what it holds.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.aksops.platform.plugins.module_utils import _acr_images_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._acr_endpoint import Endpoint, EndpointError
from ansible_collections.aksops.platform.plugins.module_utils._acr_images_plan import Image, Step
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress

API_VERSION = "2025-11-01"
ROLE_ASSIGNMENTS = "2022-04-01"
WORKERS = 4


class State(t.NamedTuple):
    """What is known of a registry. C(held) is None where its endpoint did not answer; C(reason) says why."""

    login_server: str
    records: dict[str, str]
    held: dict[str, str | None] | None
    reason: str


def read(
    arm: ArmClient,
    registry_id: str,
    wanted: t.Sequence[Image],
    endpoint_of: t.Callable[[str], Endpoint] | None,
) -> State:
    """Return what the registry holds of the wanted images.

    :param endpoint_of: gives the client of the registry's own endpoint by its login server; None leaves it unasked.
    :raises AksPlatformError: there is no such registry, or it may not be read.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        first = pool.submit(arm.get, registry_id, API_VERSION)
        second = pool.submit(arm.list, f"{registry_id}/scopeMaps", API_VERSION)
        registry, records = first.result(), plan.recorded(second.result())
    if registry is None:
        raise AksPlatformError(f"There is no container registry {registry_id}.")
    server = str((registry.get("properties") or {}).get("loginServer") or "")
    if endpoint_of is None:
        return State(server, records, None, "the registry's endpoint was not asked")
    try:
        return State(server, records, _held(endpoint_of(server), wanted), "")
    except EndpointError as error:
        return State(server, records, None, str(error))


def _held(endpoint: Endpoint, wanted: t.Sequence[Image]) -> dict[str, str | None]:
    endpoint.sign_in()
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        tasks = {image.name: pool.submit(endpoint.digest, image.repository, image.tag) for image in wanted}
        return {name: task.result() for name, task in tasks.items()}


def write(
    arm: ArmClient,
    registry_id: str,
    steps: t.Sequence[Step],
    sources: t.Mapping[str, t.Mapping[str, t.Any]],
    *,
    endpoint: Endpoint | None = None,
    progress: Progress | None = None,
) -> None:
    """Carry out the steps, a few side by side. What was copied is written down at once, so a killed run loses nothing.

    :raises AksPlatformError: names every image that failed.
    """

    def carry_out(step: Step) -> str:
        image, record = step.image, f"{registry_id}/scopeMaps/{step.image.record}"
        try:
            if step.action == "delete":
                if endpoint is not None and step.before:
                    endpoint.delete(image.repository, step.before)
                arm.delete(record, API_VERSION)
                return ""
            if step.action == "import":
                if progress:
                    progress(f"copying {image.source}")
                arm.post(
                    f"{registry_id}/importImage", API_VERSION, plan.import_body(image, sources.get(image.registry))
                )
            arm.put(record, API_VERSION, plan.record_body(image))
        except ArmError as error:
            return f"{image.source}: {error.code}: {error.message}"
        except EndpointError as error:
            return f"{image.name}: {error}"
        return ""

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        failures = [text for text in pool.map(carry_out, [s for s in steps if s.action != "none"]) if text]
    if failures:
        name = registry_id.rsplit("/", 1)[-1]
        raise AksPlatformError(f"{len(failures)} images of {name} failed: {'; '.join(failures)}.", failures=failures)


def without_pull(arm: ArmClient, registry_id: str, principals: t.Iterable[str]) -> list[str]:
    """Return the principals (object ids) that no role lets pull from the registry."""
    missing = []
    for principal in principals:
        query = f"?$filter=principalId%20eq%20'{principal}'"
        path = f"{registry_id}/providers/Microsoft.Authorization/roleAssignments{query}"
        if not plan.may_pull(arm.list(path, ROLE_ASSIGNMENTS), registry_id):
            missing.append(principal)
    return missing
