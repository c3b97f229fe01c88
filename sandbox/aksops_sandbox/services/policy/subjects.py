"""Whom a check asks: objects as they are written, the pods that their templates would make, or both.

This is the `source` of a definition. Gatekeeper makes such a pod by an ExpansionTemplate, in the namespace of its
controller and with the labels of the template; the kinds are those that its documentation expands into pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .checks import Check, literal

_CONTROLLERS = {
    "Deployment": ("apps", "deployments"),
    "StatefulSet": ("apps", "statefulsets"),
    "ReplicaSet": ("apps", "replicasets"),
    "DaemonSet": ("apps", "daemonsets"),
    "ReplicationController": ("", "replicationcontrollers"),
    "Job": ("batch", "jobs"),
    "CronJob": ("batch", "cronjobs"),
}
_PODS = ("", "pods")
_TEMPLATE = "(object.kind == 'CronJob' ? object.spec.jobTemplate.spec.template : object.spec.template)"


@dataclass(frozen=True)
class Subject:
    """resources: (API group, resource) pairs, none where nothing can be meant. labels, spec: CEL of what is judged."""

    resources: tuple[tuple[str, str], ...]
    labels: str
    spec: str


def subject(check: Check, source: str) -> Subject:
    """What a check judges under Original, Generated or All. Only pods are generated."""
    generated = tuple(_CONTROLLERS.values()) if _PODS in check.resources else ()
    written = Subject(check.resources, "object.metadata.?labels.orValue({})", "object.spec")
    if source == "Original" or (source == "All" and not generated):
        return written
    made = Subject(generated, f"{_TEMPLATE}.?metadata.?labels.orValue({{}})", f"{_TEMPLATE}.spec")
    if source == "Generated":
        return made
    controller = f"object.kind in {literal(list(_CONTROLLERS))}"
    return Subject(
        written.resources + made.resources,
        f"({controller} ? {made.labels} : {written.labels})",
        f"({controller} ? {made.spec} : {written.spec})",
    )


def label_condition(selector: dict[str, Any], labels: str) -> str:
    """CEL: labels fit a selector, as Kubernetes compares them; empty where every one does."""
    parts = [f"{labels}[?{literal(key)}] == optional.of({literal(value)})" for key, value in _pairs(selector)]
    for item in selector.get("matchExpressions") or []:
        held = f"{literal(item['key'])} in {labels}"
        among = f"{labels}[?{literal(item['key'])}].orValue('') in {literal(item.get('values') or [])}"
        words = {
            "In": f"({held} && {among})",
            "NotIn": f"!({held} && {among})",
            "Exists": f"({held})",
            "DoesNotExist": f"!({held})",
        }
        parts.append(words[item["operator"]])
    return " && ".join(parts)


def _pairs(selector: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((selector.get("matchLabels") or {}).items())
