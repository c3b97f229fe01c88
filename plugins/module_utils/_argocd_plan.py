# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where Argo CD stands, judged from lists of Kubernetes objects. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t
from datetime import datetime

from ansible_collections.aksops.platform.plugins.module_utils._errors import one_sentence

Object = t.Mapping[str, t.Any]

#: Who asks for the syncs of this collection.
REQUESTER = "aksops.platform"
#: Characters of one message of Argo CD: it quotes whole commands before it says what they failed with.
_LONGEST = 2000


class Verdict(t.NamedTuple):
    """What is not as it should be, one sentence each, and whether waiting longer would not help.

    C(outdated): names of applications whose operation has held to what is wanted no more for too long.
    """

    problems: list[str]
    hopeless: bool
    outdated: list[str]


def facts(application: Object, *, with_resources: bool) -> dict[str, t.Any]:
    """Return what an application is and how it does; C(with_resources) adds the objects that it manages."""
    status = _dict(application, "status")
    result: dict[str, t.Any] = {
        "name": application["metadata"]["name"],
        "project": _dict(application, "spec").get("project"),
        "sync": _dict(status, "sync").get("status") or "Unknown",
        "health": _dict(status, "health").get("status") or "Unknown",
        "operation": _dict(status, "operationState").get("phase") or "none",
        "revision": _dict(status, "sync").get("revision") or ", ".join(_dict(status, "sync").get("revisions") or []),
    }
    if with_resources:
        result["resources"] = [_reference(item) for item in status.get("resources") or []]
    return result


def judge(
    applications: t.Iterable[Object], wanted: t.Iterable[Object], *, now: datetime, patience: float | None = None
) -> Verdict:
    """Compare the applications with those that must be Synced and Healthy.

    :param wanted: each with its name, and the revision that its source must name where that matters.
    :param patience: seconds that an error of Argo CD, or an operation of what is wanted no more, may stand before
        waiting is given up; None never gives up.
    """
    found = {item["metadata"]["name"]: item for item in applications}
    problems: list[str] = []
    outdated: list[str] = []
    hopeless = False
    for item in wanted:
        application = found.get(item["name"])
        if application is None:
            problems.append(f"the application {item['name']} is not there")
        elif not _done(application, item.get("revision")):
            problems.append(_sentence(application, item.get("revision")))
            hopeless = hopeless or _hopeless(application, now, patience)
            if is_outdated(application) and _stands(_operation(application).get("startedAt"), now, patience):
                outdated.append(item["name"])
    return Verdict(problems, hopeless or bool(outdated), outdated)


def waits_to_retry(application: Object) -> bool:
    """Whether the operation under way has failed and waits for its next attempt.

    Argo CD calls it Running all the same, and notes when the last attempt ended.
    """
    state = _operation(application)
    return state.get("phase") == "Running" and bool(state.get("finishedAt"))


def is_outdated(application: Object) -> bool:
    """Whether the operation under way is of a source or a revision that is wanted no more.

    Argo CD syncs nothing else before it has ended, and it ends only once what it has made is healthy: a pod whose image
    does not exist holds up its own repair. Operations that somebody else asked for are theirs.
    """
    by = _dict(_dict(_operation(application), "operation"), "initiatedBy")
    is_ours = bool(by.get("automated")) or by.get("username") == REQUESTER
    return is_ours and _tries_what_is_wanted(application) is False


def is_wanted(application: Object) -> bool:
    """Whether the operation under way is at work on the source and the revision that are wanted now."""
    return _tries_what_is_wanted(application) is True and not waits_to_retry(application)


def _tries_what_is_wanted(application: Object) -> bool | None:
    """Compare the operation under way with what is wanted; None where there is none, or nothing is known of it yet."""
    state = _operation(application)
    tried = _dict(state, "syncResult")
    source = _sources(tried)
    if state.get("phase") != "Running" or source is None:
        return None
    if source != _sources(_dict(application, "spec")):
        return False
    seen, tries = _revision(_dict(_dict(application, "status"), "sync")), _revision(tried)
    return not (_is_current(application) and seen and tries and seen != tries)


def waits_for(application: Object) -> str:
    """Return what the operation under way says that it waits for, to be put behind a sentence; empty if nothing."""
    message = _operation(application).get("message")
    return f" ({one_sentence(str(message), 300).rstrip('.')})" if message else ""


def running_hooks(application: Object) -> list[Object]:
    """Return the hooks that the operation under way waits for, as it lists them."""
    listed = _dict(_operation(application), "syncResult").get("resources") or []
    return [item for item in listed if item.get("hookType") and item.get("hookPhase") == "Running"]


def missing(pods: t.Iterable[Object], components: t.Iterable[Object]) -> list[str]:
    """Return one sentence for each component without a ready pod of its image."""
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    lines = []
    for component in components:
        ready, said = False, []
        for pod in alive:
            if (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") != component["name"]:
                continue
            name, image = pod["metadata"]["name"], pod["spec"]["containers"][0]["image"]
            if component.get("image") and image != component["image"]:
                said.append(f"{name} runs {image}")
            elif _is_ready(pod):
                ready = True
            else:
                said.append(f"{name} is {_dict(pod, 'status').get('phase') or 'Pending'}, not ready")
        if not ready:
            lines.append(f"{component['name']}: {', '.join(said) or 'no pod'}")
    return lines


def held(pods: t.Iterable[Object], events: t.Iterable[Object]) -> list[str]:
    """Return one sentence for each pod that does not start, with what kubelet, driver or scheduler say of it."""
    newest: dict[str, str] = {}
    for event in sorted(events, key=lambda item: str(item["metadata"].get("creationTimestamp") or "")):
        newest[str(_dict(event, "involvedObject").get("name"))] = str(event.get("message") or "")
    lines = []
    for pod in pods:
        status = _dict(pod, "status")
        containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
        waiting = [state for item in containers if (state := _dict(item, "state").get("waiting"))]
        if status.get("phase") != "Pending" and not waiting:
            continue
        name = pod["metadata"]["name"]
        reasons = ", ".join(dict.fromkeys(str(state["reason"]) for state in waiting if state.get("reason")))
        said = [str(state["message"]) for state in waiting if state.get("message")] + [newest.get(name, "")]
        why = next(filter(None, said), "it has no node yet")
        lines.append(f"Pod {name} waits ({reasons or 'Pending'}): {one_sentence(why)}")
    return lines


def _operation(application: Object) -> dict[str, t.Any]:
    """The state of the operation under way, or of the last."""
    return _dict(_dict(application, "status"), "operationState")


def _revision(holder: Object) -> t.Any:
    return holder.get("revisions") or holder.get("revision") or None


def _dict(item: Object, key: str) -> dict[str, t.Any]:
    return item.get(key) or {}


def _reference(item: Object) -> dict[str, t.Any]:
    group, namespace = item.get("group"), item.get("namespace")
    metadata = {"name": item["name"], **({"namespace": namespace} if namespace else {})}
    version = f"{group}/{item['version']}" if group else item["version"]
    return {"apiVersion": version, "kind": item["kind"], "metadata": metadata}


def _sources(holder: Object) -> t.Any:
    """The source or sources, as an application asks for them or a status says it has seen them."""
    return holder.get("sources") or holder.get("source") or None


def _is_current(application: Object) -> bool:
    """Whether Argo CD has compared with what is asked for now, and not with what was asked for before."""
    compared = _dict(_dict(_dict(application, "status"), "sync"), "comparedTo")
    wanted = _sources(_dict(application, "spec"))
    return wanted is not None and _sources(compared) == wanted


def _done(application: Object, revision: str | None) -> bool:
    state = facts(application, with_resources=False)
    return (
        _is_current(application)
        and (state["sync"], state["health"]) == ("Synced", "Healthy")
        and state["operation"] not in ("Running", "Terminating")
        and (not revision or revision in _revisions(application))
    )


def _revisions(application: Object) -> list[str]:
    found = _sources(_dict(application, "spec")) or []
    return [str(item.get("targetRevision") or "HEAD") for item in (found if isinstance(found, list) else [found])]


def _hopeless(application: Object, now: datetime, patience: float | None) -> bool:
    """Whether the sync of what is wanted has failed after its retries, or an error has stood too long."""
    if not _is_current(application) or (application.get("operation") and not waits_to_retry(application)):
        return False
    operation = _operation(application)
    if operation.get("phase") in ("Failed", "Error"):
        # An operation that never came to a result was of what is wanted, as far as anybody knows.
        tried = _sources(_dict(operation, "syncResult"))
        if tried is None or tried == _sources(_dict(application, "spec")):
            return True
    conditions = _dict(application, "status").get("conditions") or []
    errors = [item for item in conditions if str(item.get("type")).endswith("Error")]
    return any(_stands(item.get("lastTransitionTime"), now, patience) for item in errors)


def _stands(since: t.Any, now: datetime, patience: float | None) -> bool:
    """Whether something has stood for longer than there is patience with it."""
    if patience is None or not since:
        return False
    return (now - datetime.fromisoformat(str(since).replace("Z", "+00:00"))).total_seconds() > patience


def _sentence(application: Object, revision: str | None) -> str:
    state = facts(application, with_resources=False)
    found = _sources(_dict(application, "spec")) or []
    shown = [_source(item) for item in (found if isinstance(found, list) else [found])]
    wanted = f", wanted {revision}" if revision else ""
    phase = f", its sync is {state['operation']}" if state["operation"] not in ("none", "Succeeded") else ""
    said = "; ".join(_said(application))
    return (
        f"the application {state['name']} ({', '.join(shown)}{wanted}) is {state['sync']} and {state['health']}{phase}"
        + (f": {said}" if said else "")
    )


def _source(source: Object) -> str:
    what = f"chart {source['chart']}" if source.get("chart") else f"path {source.get('path') or '.'}"
    return f"{what} {source.get('targetRevision') or 'HEAD'}"


def _said(application: Object) -> list[str]:
    """What Argo CD says of it: its conditions, its sync operation, what was refused and what is not healthy."""
    status = _dict(application, "status")
    operation = _dict(status, "operationState")
    lines = [str(item.get("message") or "") for item in status.get("conditions") or []]
    if operation.get("phase") not in (None, "Succeeded"):
        lines.append(str(operation.get("message") or ""))
    for item in _dict(operation, "syncResult").get("resources") or []:
        if item.get("status") == "SyncFailed" or item.get("hookPhase") in ("Failed", "Error"):
            was = "was refused" if item.get("status") == "SyncFailed" else "has failed"
            lines.append(f"{item['kind']} {item['name']} {was}: {item.get('message') or ''}")
    for item in status.get("resources") or []:
        health = _dict(item, "health")
        if health.get("status", "Healthy") not in ("Healthy", "Suspended"):
            why = f": {health['message']}" if health.get("message") else ""
            lines.append(f"{item['kind']} {item['name']} is {health['status']}{why}")
    return list(dict.fromkeys(one_sentence(line, _LONGEST) for line in lines if line))


def _is_ready(pod: Object) -> bool:
    conditions = _dict(pod, "status").get("conditions") or []
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
