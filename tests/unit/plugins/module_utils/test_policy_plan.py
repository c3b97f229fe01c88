"""Why a cluster's policies would not hold."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _policy_plan as plan
from hypothesis import given
from hypothesis import strategies as st

GROUP = "/subscriptions/s/resourceGroups/g"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/shop"
ASSIGNMENT = f"{GROUP}/providers/Microsoft.Authorization/policyAssignments/aks-shop-restricted"
DEFINITION = "/providers/Microsoft.Authorization/policySetDefinitions/42b8ef37-b724-4e24-bbc8-7a7708edfe00"
NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
WANTED = {
    "id": ASSIGNMENT,
    "definition_id": DEFINITION,
    "parameters": {"effect": "Deny", "namespaces": ["shop"], "requiredDropCapabilities": ["ALL"]},
    "enforce": True,
}


def found(**changes):
    """The assignment as ARM shows it."""
    parameters = {name: {"value": value} for name, value in WANTED["parameters"].items()}
    properties = {"policyDefinitionId": DEFINITION, "enforcementMode": "Default", "parameters": parameters}
    return {"id": ASSIGNMENT, "properties": {**properties, **changes}}


def with_parameter(name, value):
    answer = found()
    answer["properties"]["parameters"][name] = {"value": value}
    return answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "is missing"),
        (with_parameter("effect", "Audit"), "has effect 'Audit', and should have 'Deny'"),
        (with_parameter("requiredDropCapabilities", []), "has requiredDropCapabilities [], and should have ['ALL']"),
        (with_parameter("excludedNamespaces", ["shop"]), "has excludedNamespaces ['shop'], and should have no value"),
        (found(enforcementMode="DoNotEnforce"), "has the enforcement mode DoNotEnforce"),
        (found(notScopes=[GROUP.upper()]), "leaves the cluster out by its notScopes"),
        (found(policyDefinitionId=DEFINITION[:-1] + "1"), "and should assign /providers"),
        (found(overrides=[{"kind": "policyEffect", "value": "Audit"}]), "has overrides"),
        (found(resourceSelectors=[{"selectors": []}]), "has resourceSelectors"),
    ],
)
def test_what_softens_an_assignment_is_named(answer, words):
    lines = plan.assignment_problems(WANTED, answer, CLUSTER)
    assert len(lines) == 1
    assert lines[0].startswith("assignment aks-shop-restricted ")
    assert words in lines[0]


def test_case_and_order_do_not_matter():
    answer = with_parameter("effect", "deny")
    answer["properties"]["policyDefinitionId"] = DEFINITION.upper()
    answer["properties"]["notScopes"] = [f"{GROUP}2"]
    assert plan.assignment_problems(WANTED, answer, CLUSTER) == []


@given(st.dictionaries(st.text(min_size=1), st.lists(st.text()) | st.text() | st.booleans()))
def test_an_assignment_as_it_should_be_has_no_problem(parameters):
    wanted = {**WANTED, "parameters": parameters}
    answer = found(parameters={name: {"value": value} for name, value in parameters.items()})
    assert plan.assignment_problems(wanted, answer, CLUSTER) == []


@pytest.mark.parametrize(
    ("profiles", "bad"),
    [
        (None, True),
        ({"azurePolicy": {"enabled": True}}, False),
        ({"azurepolicy": {"enabled": False}}, True),
        ({"omsagent": {"enabled": True}}, True),
    ],
)
def test_a_missing_add_on_is_named(profiles, bad):
    line = plan.addon_problem({"properties": {"addonProfiles": profiles}}, CLUSTER)
    assert bool(line) is bad
    assert ("cluster shop is not enabled" in line) is bad


def exemption(name, expires, assignment=ASSIGNMENT):
    properties = {"policyAssignmentId": assignment, "expiresOn": expires}
    return {"id": f"{CLUSTER}/providers/Microsoft.Authorization/policyExemptions/{name}", "name": name} | {
        "properties": properties
    }


def test_exemptions_that_have_ended_or_that_nobody_lists_are_named():
    items = [
        exemption("listed", "2027-01-31T00:00:00Z"),
        exemption("ended", "2026-11-23T23:59:59.0000000Z"),
        exemption("foreign", None),
        exemption("elsewhere", "2020-01-01T00:00:00Z", f"{ASSIGNMENT}-other"),
    ]
    wanted = [items[0]["id"].upper(), items[1]["id"]]
    lines = plan.exemption_problems(items, [ASSIGNMENT.upper()], wanted, NOW)
    assert [line.split(" of ")[0] for line in lines] == ["exemption ended", "exemption foreign"]
    assert "ended at 2026-11-23" in lines[0]
    assert "for ever" in lines[1]


def test_compliance_waits_for_every_assignment():
    part = {"policyAssignmentId": ASSIGNMENT.lower(), "results": {"nonCompliantPolicies": 2}}
    summary = {"value": [{"policyAssignments": [part]}]}
    assert plan.compliance(summary, [ASSIGNMENT, f"{ASSIGNMENT}-new"]) == (
        {"aks-shop-restricted": 2},
        ["aks-shop-restricted-new"],
    )
