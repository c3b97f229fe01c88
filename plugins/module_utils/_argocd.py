# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a cluster where Argo CD stands, once or until it is where it should be.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t
from contextlib import suppress
from datetime import UTC, datetime

from ansible_collections.aksops.platform.plugins.module_utils import _argocd_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    fail_from,
    one_sentence,
)
from ansible_collections.aksops.platform.plugins.module_utils._kubeconfig import client
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KUBERNETES_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, WaitTimeoutError, poll

ARG_SPEC: dict[str, t.Any] = {
    "kubernetes": KUBERNETES_ARG_SPEC,
    "namespace": {"type": "str", "default": "argocd"},
    "applications": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "revision": {"type": "str"}},
    },
    "components": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "image": {"type": "str"}},
    },
    "explain_namespaces": {"type": "list", "elements": "str", "default": []},
    "wait": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 600},
    "wait_sleep": {"type": "int", "default": 5},
    "error_patience": {"type": "int"},
}


class UnansweredError(AksPlatformError):
    """The API server gave no answer that says anything; the next one may."""


class Reader:
    """Argo CD's objects of one namespace.

    :param client: a KubernetesClient, or what answers like one.
    """

    def __init__(self, client: t.Any, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def applications(self) -> list[dict[str, t.Any]] | None:
        """Return the applications, None where the cluster does not know the kind."""
        return self._list(f"/apis/argoproj.io/v1alpha1/namespaces/{self._namespace}/applications", "applications")

    def pods(self, namespace: str = "") -> list[dict[str, t.Any]]:
        """Return the pods of a namespace, Argo CD's own unless another is named."""
        return self._list(f"/api/v1/namespaces/{namespace or self._namespace}/pods", "pods") or []

    def held(self, namespaces: t.Iterable[str]) -> list[str]:
        """Return why pods do not start, as far as the caller may know it."""
        lines = []
        for namespace in namespaces:
            try:
                events = self._list(f"/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning", "events")
                lines += plan.held(self.pods(namespace), events or [])
            except AksPlatformError as error:
                lines.append(str(error).rstrip("."))
        return lines

    def _list(self, path: str, what: str) -> list[dict[str, t.Any]] | None:
        try:
            status, body = self._client.call(path)
        except AksPlatformError as error:
            raise UnansweredError(str(error)) from None
        if status == 404:
            return None
        if status in (401, 403):
            raise AksPlatformError(
                f"The caller may not list {what} in {path.split('/namespaces/')[1].split('/')[0]} (HTTP {status})."
            )
        if status != 200:
            raise UnansweredError(
                f"The API server does not list {what} (HTTP {status}): {one_sentence(str(body), 200)}."
            )
        return body.get("items") or []


def look(reader: Reader, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return where the applications and components stand now."""
    found = reader.applications()
    wanted = params["applications"]
    verdict = plan.judge(found or [], wanted, now=datetime.now(UTC), patience=params["error_patience"])
    components = params["components"]
    asked = {item["name"] for item in wanted}
    return {
        "installed": found is not None,
        "applications": [plan.facts(item, with_resources=item["metadata"]["name"] in asked) for item in found or []],
        "problems": verdict.problems,
        "missing": plan.missing(reader.pods(), components) if components else [],
        "hopeless": verdict.hopeless,
        "outdated": verdict.outdated,
    }


def wait(reader: Reader, params: t.Mapping[str, t.Any], progress: Progress | None, **clock: t.Any) -> dict[str, t.Any]:
    """Look until nothing is wrong any more, waiting cannot help, or the time is over; return the last look."""
    last: dict[str, t.Any] = {}

    def check() -> tuple[bool, str]:
        try:
            last.update(look(reader, params))
        except UnansweredError as error:
            # A server that restarts is no verdict; the next look says more.
            last.update({"problems": [str(error).rstrip(".")], "hopeless": False, "outdated": []})
        wrong = [*last["problems"], *last.get("missing", [])]
        return not wrong or last["hopeless"], "; ".join(wrong)

    limits = {"timeout": params["wait_timeout"], "interval": params["wait_sleep"]}
    # Where the time is over, what is still wrong is the answer.
    with suppress(WaitTimeoutError):
        poll(check, describe="Argo CD", progress=progress, **limits, **clock)
    return {"installed": False, "applications": [], "missing": [], **last}


def run(module: t.Any) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    reader = Reader(client(params["kubernetes"]), params["namespace"])
    result = wait(reader, params, module.debug) if params["wait"] else look(reader, params)
    wrong = bool(result["problems"] or result["missing"])
    return {**result, "held": reader.held(params["explain_namespaces"]) if wrong and params["wait"] else []}


def guarded(module: t.Any) -> None:
    """Carry out the task and end the module with its result or its error."""
    try:
        result = run(module)
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=False, **result)
