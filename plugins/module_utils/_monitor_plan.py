# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the data of Azure Monitor from arriving, and its alerts from being heard. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _arm_plan

Resource = dict[str, t.Any]

_ASSOCIATION = "microsoft.insights/datacollectionruleassociations"
_KINDS = {
    "microsoft.alertsmanagement/prometheusrulegroups": "Prometheus rule group",
    "microsoft.insights/actiongroups": "action group",
    "microsoft.insights/components": "Application Insights component",
    _ASSOCIATION: "association",
    "microsoft.insights/datacollectionendpoints": "data collection endpoint",
    "microsoft.insights/datacollectionrules": "data collection rule",
    "microsoft.insights/metricalerts": "metric alert",
    "microsoft.insights/scheduledqueryrules": "log alert",
    "microsoft.insights/workbooks": "workbook",
    "microsoft.monitor/accounts": "Azure Monitor workspace",
}
_TARGETS = ("dataCollectionRuleId", "dataCollectionEndpointId")


def kind(resource_id: str) -> str:
    """Return the type of a resource as of our lower-case keys."""
    return _arm_plan.resource_type(resource_id).lower()


def label(resource_id: str) -> str:
    """Return what a sentence calls a resource."""
    name = resource_id.rstrip("/").rsplit("/", 1)[-1]
    return f"the {_KINDS.get(kind(resource_id), _arm_plan.resource_type(resource_id))} {name}"


def bound_to(association: Resource | None) -> str:
    """Return the id of the rule or endpoint that an association binds its resource to, empty for none."""
    properties = (association or {}).get("properties") or {}
    return next((str(properties[name]) for name in _TARGETS if properties.get(name)), "")


def problems(wanted: t.Sequence[Resource], found: t.Mapping[str, Resource | None]) -> list[str]:
    """Return one sentence for each finding.

    :param wanted: resources with C(id), C(body) and C(ignore), as they should be.
    :param found: those that were asked for by id in lower case, None for one that does not exist; targets of
        associations too.
    """
    lines: list[str] = []
    for item in wanted:
        current = found.get(item["id"].lower())
        if current is None:
            lines.append(f"{label(item['id'])} is missing{_consequence(item['id'], found)}")
            continue
        judge = _JUDGES.get(kind(item["id"]))
        told, is_told = (item.get("body") or {}).get("properties") or {}, current.get("properties") or {}
        if judge:
            lines += [f"{label(item['id'])} {text}" for text in judge(told, is_told, found)]
    return lines


def _consequence(resource_id: str, found: t.Mapping[str, Resource | None]) -> str:
    if kind(resource_id) == _ASSOCIATION:
        return ", so that the cluster is not bound to its data collection rule or endpoint"
    bound = [key for key, item in found.items() if kind(key) == _ASSOCIATION and _same(bound_to(item), resource_id)]
    if not bound:
        return ""
    names = ", ".join(sorted((found[key] or {}).get("name") or key.rsplit("/", 1)[-1] for key in bound))
    return f", although the association {names} binds the cluster to it"


def _association(wanted: Resource, current: Resource, found: t.Mapping[str, Resource | None]) -> t.Iterator[str]:
    should, is_bound = (bound_to({"properties": item}) for item in (wanted, current))
    if not _same(should, is_bound):
        gone = ", which does not exist" if is_bound and found.get(is_bound.lower(), {}) is None else ""
        yield f"binds the cluster to {label(is_bound) if is_bound else 'nothing'}{gone}, and should to {label(should)}"


def _collection_rule(wanted: Resource, current: Resource, found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if not _same(wanted.get("dataCollectionEndpointId"), current.get("dataCollectionEndpointId")):
        should = wanted.get("dataCollectionEndpointId")
        if should:
            yield f"uses {_name(current.get('dataCollectionEndpointId'))}, and should use {label(should)}"
    targets = _destinations(current)
    for name, (address, _kind) in _destinations(wanted).items():
        is_sent = targets.get(name, ("", ""))[0]
        if not _same(address, is_sent):
            yield f"sends to {_name(is_sent)}, and should send to {_name(address)}"
    carried = _streams(current)
    for destination, streams in _streams(wanted).items():
        lost = sorted(streams - carried.get(destination, set()))
        if lost:
            yield f"does not carry {', '.join(lost)} to {_name(targets.get(destination, ('', ''))[0] or destination)}"


def _destinations(rule: Resource) -> dict[str, tuple[str, str]]:
    """Return name -> (id of the workspace or account, kind) of a rule's destinations."""
    found = {}
    for group, entries in (rule.get("destinations") or {}).items():
        for entry in entries if isinstance(entries, list) else []:
            where = next((value for key, value in entry.items() if key.lower().endswith("resourceid")), "")
            found[str(entry.get("name"))] = (str(where), group)
    return found


def _streams(rule: Resource) -> dict[str, set[str]]:
    """Return destination -> the streams that flow there."""
    found: dict[str, set[str]] = {}
    for flow in rule.get("dataFlows") or []:
        for name in flow.get("destinations") or []:
            found.setdefault(str(name), set()).update(flow.get("streams") or [])
    return found


def _action_group(wanted: Resource, current: Resource, found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if not current.get("enabled", True):
        yield "is disabled, so that no alert is heard"
    receivers = [item for key, value in current.items() if key.endswith("Receivers") for item in value or []]
    if not receivers:
        yield "has no receiver, so that no alert is heard"
        return
    if not [item for item in receivers if item.get("status", "Enabled") != "Disabled"]:
        yield "has only receivers that are disabled, so that no alert is heard"
    for key, field in (("emailReceivers", "emailAddress"), ("webhookReceivers", "serviceUri")):
        there = {str(item.get(field)) for item in current.get(key) or []}
        lost = [str(item[field]) for item in wanted.get(key) or [] if str(item[field]) not in there]
        # An address of a webhook may hold a token.
        shown = ", ".join(lost) if key == "emailReceivers" else f"{len(lost)} of its webhooks"
        if lost:
            yield f"does not tell {shown}"


def _metric_alert(wanted: Resource, current: Resource, found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    told = [_groups(item.get("actions") or []) for item in (wanted, current)]
    yield from _alert(wanted, current, *told)


def _log_alert(wanted: Resource, current: Resource, found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    told = [(item.get("actions") or {}).get("actionGroups") or [] for item in (wanted, current)]
    yield from _alert(wanted, current, *told)


def _alert(wanted: Resource, current: Resource, should: list[str], told: list[str]) -> t.Iterator[str]:
    if not current.get("enabled", True):
        yield "is disabled"
    yield from _untold(should, told)
    compared = ("scopes", "criteria", "evaluationFrequency", "windowSize")
    other = _arm_plan.differences({key: wanted[key] for key in compared if key in wanted}, current)
    if other:
        yield f"asks something else than it should ({', '.join(other)})"


def _rule_group(wanted: Resource, current: Resource, found: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if not current.get("enabled", True):
        yield "is disabled"
    scopes = _arm_plan.differences({"scopes": wanted.get("scopes") or []}, current)
    if scopes:
        yield "asks another workspace or cluster than it should"
    there = {str(item.get("alert")): item for item in current.get("rules") or []}
    for rule in wanted.get("rules") or []:
        name, other = str(rule.get("alert")), there.get(str(rule.get("alert")))
        if other is None:
            yield f"lacks the alert {name}"
            continue
        if not other.get("enabled", True):
            yield f"has the alert {name} disabled"
        if other.get("expression") != rule.get("expression") or other.get("for") != rule.get("for"):
            yield f"asks something else than it should in the alert {name}"
        for text in _untold(_groups(rule.get("actions") or []), _groups(other.get("actions") or [])):
            yield f"{text} of the alert {name}"


def _groups(actions: list[Resource]) -> list[str]:
    return [str(item.get("actionGroupId")) for item in actions]


def _untold(should: list[str], told: list[str]) -> t.Iterator[str]:
    there = {item.lower() for item in told}
    lost = [item.rsplit("/", 1)[-1] for item in should if item.lower() not in there]
    if lost:
        yield f"does not tell the action group {', '.join(lost)}"


def _same(left: t.Any, right: t.Any) -> bool:
    return str(left or "").rstrip("/").lower() == str(right or "").rstrip("/").lower()


def _name(resource_id: t.Any) -> str:
    return str(resource_id or "").rstrip("/").rsplit("/", 1)[-1] or "nothing"


_JUDGES: dict[str, t.Callable[[Resource, Resource, t.Mapping[str, t.Any]], t.Iterator[str]]] = {
    "microsoft.alertsmanagement/prometheusrulegroups": _rule_group,
    "microsoft.insights/actiongroups": _action_group,
    _ASSOCIATION: _association,
    "microsoft.insights/datacollectionrules": _collection_rule,
    "microsoft.insights/metricalerts": _metric_alert,
    "microsoft.insights/scheduledqueryrules": _log_alert,
}
