# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be known before the first write, asked side by side and reported at once.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import (
    _names,
    _preflight_azure,
    _preflight_inputs,
    _preflight_reach,
    _retirements,
)
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._preflight_azure import Answers, Findings, Question

WORKERS = 8

#: key -> (type below the resource group, name's key, version): what is read to learn its addresses.
EXISTING = {
    "vault": ("Microsoft.KeyVault/vaults", "key_vault", "2023-07-01"),
    "api_server": ("Microsoft.ContainerService/managedClusters", "cluster", "2025-10-01"),
    "postgresql": ("Microsoft.DBforPostgreSQL/flexibleServers", "postgresql", "2025-08-01"),
}


class Settings(t.NamedTuple):
    """What the caller wants checked.

    C(prefix) and C(names) say how variables are called in sentences (key -> name where it is not prefix + key);
    C(state_account) is C({resource_group, name}) of Terraform's state, or {}.
    """

    inputs: dict[str, t.Any]
    prefix: str = ""
    names: dict[str, str] = {}
    problems: tuple[str, ...] = ()
    state_account: dict[str, t.Any] = {}
    retirements: tuple[dict[str, t.Any], ...] = ()
    probe: bool = True
    today: datetime.date | None = None


class Report(t.NamedTuple):
    """What was found, and facts that the caller may show."""

    problems: list[str]
    warnings: list[str]
    facts: dict[str, t.Any]


def inputs_only(settings: Settings) -> Findings:
    """Judge the inputs by themselves."""
    findings = Findings()
    findings.problems += settings.problems
    findings.problems += _preflight_inputs.check(settings.inputs, settings.prefix)
    today = settings.today or datetime.date.today()
    rows = (*_retirements.RETIREMENTS, *settings.retirements)
    whole = _preflight_inputs.effective(settings.inputs)
    for notice in _retirements.in_inputs(whole, today, settings.prefix, rows):
        (findings.problems if notice.retired else findings.warnings).append(notice.text)
    return findings


def run(settings: Settings, client: t.Callable[[], t.Any], credential: t.Callable[[], t.Any]) -> Report:
    """Check the inputs, then ask Azure what the inputs allow to be asked.

    :param client: makes the ArmClient; an AksPlatformError it raises is a finding.
    :param credential: makes the credential for the data planes.
    """
    findings = inputs_only(settings)
    facts: dict[str, t.Any] = {}
    inputs = _preflight_inputs.effective(settings.inputs)
    usable = [
        key
        for key in ("subscription_id", "environment", "name_prefix", "location", "access")
        if not _preflight_inputs.violations(_preflight_inputs.SCHEMA[key], settings.inputs.get(key), key)
    ]
    try:
        arm = client()
        if "subscription_id" in usable:
            subscription = arm.get(f"/subscriptions/{inputs['subscription_id']}", "2022-12-01") or {}
            facts["subscription"] = subscription.get("displayName")
            _preflight_azure.judge_subscription(subscription, str(inputs["tenant_id"] or ""), findings)
            named = "environment" in usable and "name_prefix" in usable
            names = _names.names(inputs) if named else None
            _azure(settings, inputs, names, arm, credential, findings, facts)
    except ArmError as error:
        where = inputs["subscription_id"]
        findings.problems.append(f"The subscription {where} does not answer as it should: {_hint(error)}")
    except AksPlatformError as error:
        findings.problems.append(str(error))
    return Report(
        [_renamed(text, settings) for text in findings.problems],
        [_renamed(text, settings) for text in findings.warnings],
        facts,
    )


def _hint(error: ArmError) -> str:
    if error.code in ("SubscriptionNotFound", "InvalidSubscriptionId", "AuthorizationFailed"):
        return f"{error.code}; check the subscription's id, and that the credential has a role in it."
    if error.code in ("InvalidAuthenticationTokenTenant", "InvalidAuthenticationToken"):
        return f"{error.code}; the credential is of another tenant than the subscription: check tenant_id."
    return str(error)


def _renamed(text: str, settings: Settings) -> str:
    for key, name in settings.names.items():
        text = re.sub(rf"(?<!\w){re.escape(settings.prefix + key)}(?!\w)", name, text)
    return text


def gather(arm: t.Any, questions: t.Sequence[Question]) -> dict[str, t.Any]:
    """Ask side by side; an answer may be an AksPlatformError. Never more than C(WORKERS) at once."""

    def ask(question: Question) -> t.Any:
        try:
            if question.body is not None:
                return arm.post(question.path, question.api_version, question.body)
            if question.single:
                return arm.get(question.path, question.api_version)
            return arm.list(question.path, question.api_version)
        except AksPlatformError as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return dict(zip([item.key for item in questions], pool.map(ask, questions), strict=True))


def _azure(
    settings: Settings,
    inputs: dict[str, t.Any],
    names: dict[str, str] | None,
    arm: t.Any,
    credential: t.Callable[[], t.Any],
    findings: Findings,
    facts: dict[str, t.Any],
) -> None:
    """Ask in two rounds: what is, then what that leaves open. Without C(names) only what does not depend on them."""
    base, location = f"/subscriptions/{inputs['subscription_id']}", inputs["location"]
    region = _is_text(location)
    capacity = _preflight_azure.capacity_questions(base, location) if region else []
    questions = [
        *_preflight_azure.first_questions(base),
        _preflight_azure.rights_question(base),
        *[item for item in capacity if item.key in ("kubernetes", "postgresql")],
    ]
    if names:
        questions += _preflight_azure.group_questions(base, names["resource_group"])
    if names and settings.state_account:
        questions.append(_state_question(base, settings))
    raw = gather(arm, questions)
    answers = Answers(raw, findings)
    resources = answers.get("resources") or []

    def exists(kind: str, name: str) -> bool:
        return names is not None and _has(resources, kind, names[name])

    cluster_exists = exists("Microsoft.ContainerService/managedClusters", "cluster")
    # What is there has its share of the quota already.
    open_questions = set() if cluster_exists else {"usages", "skus"}
    if not exists("Microsoft.DBforPostgreSQL/flexibleServers", "postgresql"):
        open_questions.add("postgresql_usages")
    more = [item for item in capacity if item.key in open_questions]
    scope = base
    if names:
        more += _named_questions(settings, inputs, names, base, raw, resources)
        if answers.get("group") is not None:
            scope = f"{base}/resourceGroups/{names['resource_group']}"
            more.append(_preflight_azure.rights_question(scope))
        facts.update(exists=answers.get("group") is not None, names=names, resources=len(resources))
    raw.update(gather(arm, more))

    _preflight_azure.judge_providers(answers, findings)
    _preflight_azure.judge_rights(answers, scope, _preflight_azure.RIGHTS, findings)
    if region:
        _judge_region(answers, inputs, settings.prefix, cluster_exists, findings, facts)
    if names:
        group = f"{base}/resourceGroups/{names['resource_group']}"
        _preflight_azure.judge_names(answers, names, group, [item.key for item in more], findings)
        _judge_state_name(answers, settings, findings)
        _reach(arm, raw, credential, findings, facts)


def _is_text(value: t.Any) -> bool:
    return not _preflight_inputs.violations(_preflight_inputs.SCHEMA["location"], value, "location")


def _named_questions(
    settings: Settings,
    inputs: dict[str, t.Any],
    names: dict[str, str],
    base: str,
    raw: dict[str, t.Any],
    resources: list[dict[str, t.Any]],
) -> list[Question]:
    """What can be asked when the first round has told what exists already."""
    more = []
    if _is_text(inputs["location"]):
        more += _preflight_azure.name_questions(base, inputs["location"], names, resources)
    state_name = settings.state_account.get("name")
    if state_name and raw.get("state_account") is None:
        more.append(_state_name_question(base, str(state_name)))
    if settings.probe and inputs["access"] == "inside":
        group = f"{base}/resourceGroups/{names['resource_group']}"
        more += [
            Question(f"body:{key}", f"{group}/providers/{kind}/{names[name]}", version, single=True)
            for key, (kind, name, version) in EXISTING.items()
            if _has(resources, kind, names[name])
        ]
        if state_name and not _lists_nobody(raw.get("state_account")):
            raw["body:storage"] = raw.get("state_account")
    return more


def _lists_nobody(account: t.Any) -> bool:
    """Whether a run with C(allowlist) left the account so: the stage State, which comes next, opens it through ARM."""
    properties = (account or {}).get("properties") or {}
    rules = properties.get("networkAcls") or {}
    return (
        rules.get("defaultAction") == "Deny"
        and not (rules.get("ipRules") or rules.get("virtualNetworkRules"))
        and not properties.get("privateEndpointConnections")
    )


def _judge_region(
    answers: Answers,
    inputs: dict[str, t.Any],
    prefix: str,
    cluster_exists: bool,
    findings: Findings,
    facts: dict[str, t.Any],
) -> None:
    if not _preflight_azure.judge_location(answers, inputs, prefix, findings):
        return
    if _preflight_inputs.violations(_preflight_inputs.SCHEMA["kubernetes"], inputs["kubernetes"], "kubernetes"):
        return
    facts["kubernetes_versions"] = _preflight_azure.judge_kubernetes(answers, inputs, prefix, findings)
    if not cluster_exists:
        _preflight_azure.judge_sizes(answers, inputs, prefix, findings)
    if not _preflight_inputs.violations(_preflight_inputs.SCHEMA["postgresql"], inputs["postgresql"], "postgresql"):
        _preflight_azure.judge_postgresql(answers, inputs, prefix, findings)


def _has(resources: t.Iterable[t.Mapping[str, t.Any]], kind: str, name: str) -> bool:
    return any(
        str(item.get("type", "")).lower() == kind.lower() and str(item.get("name", "")).lower() == name.lower()
        for item in resources
    )


def _state_question(base: str, settings: Settings) -> Question:
    group, name = settings.state_account["resource_group"], settings.state_account["name"]
    path = f"{base}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    return Question("state_account", path, "2023-05-01", single=True)


def _state_name_question(base: str, name: str) -> Question:
    path = f"{base}/providers/Microsoft.Storage/checkNameAvailability"
    body = {"name": name, "type": "Microsoft.Storage/storageAccounts"}
    return Question("name:state_account", path, "2023-05-01", body=body)


def _judge_state_name(answers: Answers, settings: Settings, findings: Findings) -> None:
    body = answers.get("name:state_account")
    if isinstance(body, dict) and not body.get("nameAvailable", True):
        reason = str(body.get("message") or body.get("reason") or "no reason given").rstrip(".")
        findings.problems.append(
            f"The name {settings.state_account['name']} is not free for the state's storage account: {reason}; change "
            "the host's name or the name prefix."
        )


def _is_named(arm: t.Any, endpoint: _preflight_reach.Endpoint) -> bool:
    """Whether a private endpoint of the service has its names in DNS: one that was just made has none yet."""
    if not endpoint.doors:
        return True
    groups = [Question(door, f"{door}/privateDnsZoneGroups", "2025-01-01") for door in endpoint.doors]
    return any(isinstance(items, list) and items for items in gather(arm, groups).values())


def _reach(
    arm: t.Any, raw: dict[str, t.Any], credential: t.Callable[[], t.Any], findings: Findings, facts: dict[str, t.Any]
) -> None:
    bodies = {key: raw.get(f"body:{key}") for key in (*EXISTING, "storage")}
    found = _preflight_reach.endpoints({key: body for key, body in bodies.items() if isinstance(body, dict)})
    if not found:
        return
    token = credential()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(lambda item: _preflight_reach.try_probe(item, token), found))
    findings.problems += [text for item, text in zip(found, results, strict=True) if text and _is_named(arm, item)]
    reached = [item for item, text in zip(found, results, strict=True) if text is None]
    facts["reached"] = [item.address for item in reached]
    facts["reached_kinds"] = ["state" if item.kind == "storage" else item.kind for item in reached]


def summary(problems: t.Sequence[str]) -> str:
    """Return all problems as one message."""
    head = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n".join([f"{head} to solve before anything is written:", *[f"- {text}" for text in problems]])
