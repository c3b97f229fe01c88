# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask Argo CD to sync an application. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._argocd_plan import waits_to_retry
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll


def ask(
    client: t.Any,
    namespace: str,
    name: str,
    operation: t.Mapping[str, t.Any],
    *,
    timeout: float,
    interval: float,
    progress: Progress | None = None,
    **clock: t.Any,
) -> None:
    """Write the request once the application is at rest.

    A request that joins an operation under way is merged with it and ends with it. So the write names the version that
    was seen at rest, and is tried again where Argo CD has written in between. An operation that has failed and waits to
    try again is ended, as the button Terminate does: nothing of it is at work, and it holds to the revision and source
    that it began with, so that what has been mended since would wait for minutes and then not be tried.

    :param client: a KubernetesClient.
    :raises AksPlatformError: there is no such application, the caller may not write it, or the time is over.
    """
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{name}"

    def check() -> tuple[bool, str]:
        status, application = client.call(path)
        if status != 200:
            raise _refused(f"read the application {name} in {namespace}", status, application)
        version = application["metadata"]["resourceVersion"]
        if application.get("operation"):
            if not waits_to_retry(application):
                return False, "another operation is under way"
            end = {"metadata": {"resourceVersion": version}, "status": {"operationState": {"phase": "Terminating"}}}
            status, answer = client.call(path, end, merge=True)
            if status not in (200, 409):
                raise _refused(f"end the operation of the application {name} in {namespace}", status, answer)
            return False, "an operation that waited to try again is being ended"
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

    poll(
        check,
        timeout=timeout,
        interval=interval,
        describe=f"the application {name} to be at rest",
        progress=progress,
        **clock,
    )


def _refused(what: str, status: int, answer: t.Any) -> AksPlatformError:
    said = answer.get("message") if isinstance(answer, dict) else answer
    return AksPlatformError(f"The API server did not let the caller {what} (HTTP {status}): {one_sentence(said, 300)}.")
