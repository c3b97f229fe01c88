"""Microsoft.PolicyInsights: compliance, from what the newest audit found in the clusters.

Policies on ARM resources (mode Indexed) are kept and not evaluated: they have no states here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import KubernetesError
from aksops_sandbox.http.message import Request, Response

from . import catalog, constraints
from .agent import Audit

CLUSTER = "Microsoft.ContainerService/managedClusters"
_STATES = r"/providers/Microsoft\.PolicyInsights/policyStates/latest"
_SCOPE = r"(?P<scope>/subscriptions/[^/]+(?:/.+?)?)"
_METADATA = "https://management.azure.com{scope}/providers/Microsoft.PolicyInsights/policyStates/$metadata#latest"
_CONDITION = re.compile(r"(\w+)\s+eq\s+(?:'((?:[^']|'')*)'|(true|false))", re.I)
#: The worse a state, the later: the worst of its policies is a resource's.
_WORDS = ("Exempt", "Compliant", "NonCompliant")
State = dict[str, Any]


def _of_cluster(ctx: Any, cluster: Resource, audit: Audit) -> Iterable[State]:
    """The states of a cluster; none before its first audit."""
    if not audit.time:
        return
    parts = cluster.id.split("/")
    exempt = {item.key: item for item in constraints.exempted(ctx.store, cluster)}
    for key, item in {**audit.constraints, **exempt}.items():
        bad = [] if key in exempt else audit.violations.get(key) or []
        word = "Exempt" if key in exempt else "NonCompliant" if bad else "Compliant"
        assignment_scope = item.assignment.split("/providers/Microsoft.Authorization/policyAssignments/")[0]
        definition = item.definition.rsplit("/", 1)[-1]
        built_in = catalog.definition(definition)
        yield {
            "@odata.id": None,
            "timestamp": audit.time,
            "resourceId": cluster.id.lower(),
            "policyAssignmentId": item.assignment.lower(),
            "policyDefinitionId": item.definition.lower(),
            "isCompliant": not bad,
            "subscriptionId": parts[2],
            "resourceType": CLUSTER,
            "resourceLocation": cluster.location,
            "resourceGroup": parts[4].lower(),
            "policyAssignmentName": item.assignment.rsplit("/", 1)[-1],
            "policyAssignmentScope": assignment_scope.lower(),
            "policyDefinitionName": definition,
            "policyDefinitionAction": item.effect,
            "policyDefinitionCategory": built_in.category,
            "policyDefinitionVersion": built_in.version,
            "policySetDefinitionId": item.initiative.lower(),
            "policySetDefinitionName": item.initiative.rsplit("/", 1)[-1],
            "policyDefinitionReferenceId": item.reference.lower(),
            "policyDefinitionGroupNames": [],
            "complianceState": word,
            "components": [
                {
                    "id": f"{one.namespace}/{one.kind}/{one.name}",
                    "type": one.kind,
                    "name": one.name,
                    "timestamp": audit.time,
                    "complianceState": "NonCompliant",
                    "policyDefinitionAction": item.effect,
                    "reason": one.message,
                }
                for one in bad
            ],
        }


def _at(ctx: Any, request: Request, scope: str, action: str) -> list[State]:
    """The states at and below a scope, which may be an assignment. Raises AzureError 403."""
    ctx.rbac.require(request, f"Microsoft.PolicyInsights/policyStates/{action}/action", scope)
    mark = f"/providers/{constraints.ASSIGNMENT.lower()}/"
    assignment = scope.lower() if mark in scope.lower() else ""
    prefix = assignment.split(mark)[0] if assignment else scope.lower()
    found = []
    for cluster in ctx.store.list(type=CLUSTER):
        agent = ctx.policy_agents.get(cluster.id.lower())
        if agent is None or not f"{cluster.id.lower()}/".startswith(prefix.rstrip("/") + "/"):
            continue
        found += list(_of_cluster(ctx, cluster, agent.audit))
    return [item for item in found if not assignment or item["policyAssignmentId"] == assignment]


def _filtered(request: Request, states: list[State]) -> list[State]:
    text = request.query.get("$filter", "").strip()
    for part in re.split(r"\s+and\s+", text, flags=re.I) if text else []:
        found = _CONDITION.fullmatch(part.strip().strip("()"))
        if found is None or (states and found.group(1) not in states[0]):
            raise bad_request("InvalidFilterInQueryString", f"The sandbox does not know the filter '{part}'.")
        field = found.group(1)
        wanted = found.group(3).lower() == "true" if found.group(3) else found.group(2).replace("''", "'").lower()
        states = [
            item for item in states if (item[field].lower() if isinstance(item[field], str) else item[field]) == wanted
        ]
    return states


def _query(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../policyStates/latest/queryResults."""
    unknown = {"$apply", "$select", "$orderby", "$skiptoken"} & set(request.query)
    if unknown:
        message = f"The sandbox does not answer {', '.join(sorted(unknown))} on policy states."
        raise AzureError(501, "NotImplementedInSandbox", message)
    states = _filtered(request, _at(ctx, request, match["scope"], "queryResults"))
    states = states[: int(request.query.get("$top", len(states)))]
    if "components" not in request.query.get("$expand", "").lower():
        states = [{key: value for key, value in item.items() if key != "components"} for item in states]
    context = _METADATA.format(scope=match["scope"])
    for item in states:
        item["@odata.context"] = f"{context}/$entity"
    return Response.json(200, {"@odata.context": context, "@odata.count": len(states), "value": states})


def _results(states: list[State], scope: str) -> dict[str, Any]:
    by_badness = sorted(states, key=lambda item: _WORDS.index(item["complianceState"]))
    resources = {item["resourceId"]: item["complianceState"] for item in by_badness}
    policies = {_policy(item): item["complianceState"] for item in by_badness}
    return {
        "queryResultsUri": f"https://management.azure.com{scope}/providers/Microsoft.PolicyInsights/policyStates/"
        "latest/queryResults?api-version=2024-10-01&$filter=IsCompliant eq false",
        "nonCompliantResources": list(resources.values()).count("NonCompliant"),
        "nonCompliantPolicies": list(policies.values()).count("NonCompliant"),
        "resourceDetails": _details(resources),
        "policyDetails": _details(policies),
        "policyGroupDetails": [],
    }


def _policy(state: State) -> tuple[str, str, str]:
    return state["policyAssignmentId"], state["policyDefinitionId"], state["policyDefinitionReferenceId"]


def _details(judged: dict[Any, str]) -> list[dict[str, Any]]:
    counts = {word: list(judged.values()).count(word) for word in reversed(_WORDS)}
    return [{"complianceState": word.lower(), "count": count} for word, count in counts.items() if count]


def _summarize(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../policyStates/latest/summarize."""
    scope = match["scope"]
    states = _filtered(request, _at(ctx, request, scope, "summarize"))
    assignments = []
    for assignment in sorted({item["policyAssignmentId"] for item in states}):
        own = [item for item in states if item["policyAssignmentId"] == assignment]
        definitions = [
            {
                "policyDefinitionId": definition,
                "policyDefinitionReferenceId": reference,
                "policyDefinitionGroupNames": [],
                "effect": next(item["policyDefinitionAction"] for item in own if _policy(item)[1:] == pair),
                "results": _results([item for item in own if _policy(item)[1:] == pair], scope),
            }
            for pair in sorted({_policy(item)[1:] for item in own})
            for definition, reference in [pair]
        ]
        assignments.append(
            {
                "policyAssignmentId": assignment,
                "policySetDefinitionId": own[0]["policySetDefinitionId"],
                "results": _results(own, scope),
                "policyDefinitions": definitions,
                "policyGroups": [],
            }
        )
    summary = {
        "@odata.id": None,
        "@odata.context": _METADATA.format(scope=scope) + "/$entity",
        "results": _results(states, scope),
        "policyAssignments": assignments,
    }
    return Response.json(200, {"@odata.context": _METADATA.format(scope=scope), "@odata.count": 1, "value": [summary]})


def _trigger(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../policyStates/latest/triggerEvaluation on a subscription or resource group: 202 and a place to ask."""
    scope = match["scope"]
    ctx.rbac.require(request, "Microsoft.PolicyInsights/policyStates/triggerEvaluation/action", scope)
    agents = [
        agent for cluster, agent in dict(ctx.policy_agents).items() if f"{cluster}/".startswith(f"{scope.lower()}/")
    ]

    def work() -> None:
        for agent in agents:
            try:
                agent.evaluate()
            except (OSError, KubernetesError) as error:
                raise AzureError(500, "EvaluationFailed", f"A cluster did not answer: {error}") from None

    subscription = ctx.subscription_of(f"{scope}/")
    path = ctx.operations.start(subscription, "Microsoft.PolicyInsights", ctx.location, scope, work)
    headers = ctx.operations.headers(path, request)
    headers.pop("Azure-AsyncOperation")
    return Response.empty(202, headers)


ROUTES = [
    ("POST", rf"{_SCOPE}{_STATES}/queryResults", _query),
    ("POST", rf"{_SCOPE}{_STATES}/summarize", _summarize),
    (
        "POST",
        rf"(?P<scope>/subscriptions/[^/]+(?:/resourceGroups/[^/]+)?){_STATES}/triggerEvaluation",
        _trigger,
    ),
]
