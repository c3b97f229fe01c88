# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts what runs in a namespace, pod after pod, and waits. FOR INTERNAL COLLECTION USE ONLY."""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll

#: On the pod template, so that a rollout begins where it changes, and none where it says the same already.
ANNOTATION = "aksops.platform/restarted-for"
KINDS = ("deployments", "statefulsets")

Key = tuple[str, str, str]


def to_restart(objects: t.Mapping[Key, t.Mapping[str, t.Any]], reason: str) -> list[Key]:
    """Return those that have not been restarted for this reason."""
    return [key for key, item in sorted(objects.items()) if _annotations(item).get(ANNOTATION) != reason]


def unfinished(objects: t.Mapping[Key, t.Mapping[str, t.Any]]) -> list[str]:
    """Return one sentence for each whose pods are not all of its newest form and ready."""
    lines = []
    for (namespace, kind, name), item in sorted(objects.items()):
        spec, status = item.get("spec") or {}, item.get("status") or {}
        wanted = spec.get("replicas", 1)
        updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
        seen = status.get("observedGeneration", 0) >= (item.get("metadata") or {}).get("generation", 0)
        if not seen or ready < wanted or updated < wanted or status.get("replicas", 0) > wanted:
            lines.append(f"{kind[:-1]} {namespace}/{name}: {updated} of {wanted} pods are new, {ready} ready")
    return lines


def _annotations(item: t.Mapping[str, t.Any]) -> dict[str, str]:
    template = (item.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("annotations") or {}


class Rollouts:
    """Deployments and stateful sets of some namespaces.

    :param client: a KubernetesClient.
    :param selector: labels, as kubectl takes them; '' means all.
    """

    def __init__(self, client: t.Any, namespaces: t.Sequence[str], selector: str) -> None:
        self._client = client
        self._namespaces = namespaces
        self._query = f"?labelSelector={quote(selector)}" if selector else ""

    def read(self) -> dict[Key, dict[str, t.Any]]:
        """Return what runs: (namespace, kind, name) -> object. Those scaled to nothing have nothing to restart."""
        found: dict[Key, dict[str, t.Any]] = {}
        for namespace in sorted(set(self._namespaces)):
            for kind in KINDS:
                status, body = self._client.call(f"/apis/apps/v1/namespaces/{namespace}/{kind}{self._query}")
                if status >= 400:
                    raise AksPlatformError(_refusal(f"read {kind} in {namespace}", status, body))
                for item in body.get("items") or []:
                    if (item.get("spec") or {}).get("replicas", 1) > 0:
                        found[(namespace, kind, item["metadata"]["name"])] = item
        return found

    def restart(self, keys: t.Sequence[Key], reason: str) -> None:
        """Begin a rollout of each."""
        body = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: reason}}}}}
        for namespace, kind, name in keys:
            path = f"/apis/apps/v1/namespaces/{namespace}/{kind}/{name}"
            status, answer = self._client.call(path, body, merge=True)
            if status >= 400 and status != 404:
                raise AksPlatformError(_refusal(f"restart {kind[:-1]} {namespace}/{name}", status, answer))

    def wait(self, *, timeout: float, interval: float, progress: Progress | None = None) -> None:
        """Wait until all pods are new and ready.

        :raises AksPlatformError: they are not in time; the sentence names those that are missing.
        """

        def check() -> tuple[bool, str]:
            lines = unfinished(self.read())
            return not lines, "; ".join(lines) or "ready"

        poll(check, timeout=timeout, interval=interval, describe="the restarted pods", progress=progress)


def _refusal(what: str, status: int, body: t.Any) -> str:
    text = body.get("message") if isinstance(body, dict) else str(body)
    return f"The API server refuses to {what} (HTTP {status}): {one_sentence(str(text), 200)}."
