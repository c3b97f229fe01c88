# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Argo CD to sync an application. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from ansible_collections.aksops.platform.plugins.module_utils import _argocd_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll

JOINED = "a sync of what is wanted is under way"


def ask(
    client: t.Any,
    namespace: str,
    name: str,
    operation: t.Mapping[str, t.Any],
    *,
    joins: bool = False,
    timeout: float,
    interval: float,
    progress: Progress | None = None,
    **clock: t.Any,
) -> bool:
    """Write the request once the application is at rest; return whether it was written.

    A request that joins an operation under way is merged with it and ends with it. So the write names the version that
    was seen at rest, and is tried again where Argo CD has written in between. An operation of which nothing is at work
    is ended, as the button Terminate does: one that has failed and waits to try again, and one that waits for the
    health of what is wanted no more. It holds to the revision and source that it began with, so that what has been
    mended since would wait, for minutes or for ever.

    :param client: a KubernetesClient.
    :param joins: whether an operation that is at work on what is wanted now is as good as another.
    :raises AksPlatformError: there is no such application, the caller may not write it, or the time is over.
    """
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{name}"

    def check() -> tuple[bool, str]:
        status, application = client.call(path)
        if status != 200:
            raise _refused(f"read the application {name} in {namespace}", status, application)
        version = application["metadata"]["resourceVersion"]
        if application.get("operation"):
            if joins and plan.is_wanted(application):
                return True, JOINED
            if not _is_idle(client, application):
                return False, f"another operation is under way{plan.waits_for(application)}"
            end = {"metadata": {"resourceVersion": version}, "status": {"operationState": {"phase": "Terminating"}}}
            status, answer = client.call(path, end, merge=True)
            if status not in (200, 409):
                raise _refused(f"end the operation of the application {name} in {namespace}", status, answer)
            return False, "an operation of which nothing is at work is being ended"
        # Argo CD merges what it is asked for into the state of its last operation where there is one, so that a sync
        # of a few objects would stay one of those few. Its own API server removes that state with each request, too.
        body = {
            "metadata": {"resourceVersion": version},
            "operation": dict(operation),
            "status": {"operationState": None},
        }
        status, answer = client.call(path, body, merge=True)
        if status == 409:
            return False, "Argo CD has just written it"
        if status != 200:
            raise _refused(f"ask for a sync of the application {name} in {namespace}", status, answer)
        return True, "asked"

    last = poll(
        check,
        timeout=timeout,
        interval=interval,
        describe=f"the application {name} to be at rest",
        progress=progress,
        **clock,
    )
    return last != JOINED


def _is_idle(client: t.Any, application: t.Mapping[str, t.Any]) -> bool:
    """Whether an operation can be ended without breaking off work, such as a job that changes a database."""
    if plan.waits_to_retry(application):
        return True
    hooks = plan.running_hooks(application)
    return plan.is_outdated(application) and not any(_is_at_work(client, hook) for hook in hooks)


def _is_at_work(client: t.Any, hook: t.Mapping[str, t.Any]) -> bool:
    """Whether a hook has a pod that has started; one of another kind than a job or a pod may always."""
    pods = f"/api/v1/namespaces/{hook.get('namespace')}/pods"
    name = quote(str(hook.get("name")))
    if hook.get("kind") == "Job":
        status, found = client.call(f"{pods}?labelSelector=job-name%3D{name}")
        listed = (found.get("items") or []) if status == 200 else [{}]
    elif hook.get("kind") == "Pod":
        status, found = client.call(f"{pods}/{name}")
        listed = [] if status == 404 else [found]
    else:
        return True
    return any((pod.get("status") or {}).get("phase") != "Pending" for pod in listed)


def _refused(what: str, status: int, answer: t.Any) -> AksPlatformError:
    said = answer.get("message") if isinstance(answer, dict) else answer
    return AksPlatformError(f"The API server did not let the caller {what} (HTTP {status}): {one_sentence(said, 300)}.")
