from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _arm_plan as plan
from hypothesis import given
from hypothesis import strategies as st

GROUP = "/subscriptions/s/resourceGroups/g"


@pytest.mark.parametrize(
    ("resource_id", "type_"),
    [
        (
            f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/n",
            "Microsoft.Network/virtualNetworks/subnets",
        ),
        (
            "/subscriptions/s/resourceGroups/g/providers/M.C/c/n/providers/Microsoft.Insights/dataCollectionRuleAssociations/a",
            "Microsoft.Insights/dataCollectionRuleAssociations",
        ),
        (GROUP, "Microsoft.Resources/resourceGroups"),
    ],
)
def test_type_of_an_id(resource_id, type_):
    assert plan.resource_type(resource_id) == type_


@pytest.mark.parametrize(
    ("wanted", "current", "paths"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"A": 1}, []),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ["a.b"]),
        ({"a": True}, {"a": "true"}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1.0}, {"a": 1}, []),
        ({"a": []}, {}, []),
        ({"a": {"b": None}}, {}, []),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, []),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ["a"]),
        ({"a": [{"name": "p", "v": 1}, {"name": "Q"}]}, {"a": [{"name": "Q"}, {"name": "p", "v": 2}]}, ["a[p].v"]),
        ({"a": [{"v": 1}]}, {"a": [{"v": 2}]}, ["a[0].v"]),
        ({"i": "/Subscriptions/S/x/"}, {"i": "/subscriptions/s/x"}, []),
        ({"t": "2027-01-31T00:00:00Z"}, {"t": "2027-01-31T00:00:00.0000000+00:00"}, []),
        ({"t": "Hello"}, {"t": "hello"}, ["t"]),
    ],
)
def test_differences(wanted, current, paths):
    assert plan.differences(wanted, current) == paths


def test_ignored_paths_are_not_compared():
    assert plan.differences({"p": {"secret": 1, "v": 1}}, {"p": {"v": 2}}, ["p.secret"]) == ["p.v"]


def test_body_keeps_what_is_not_wanted_and_drops_what_the_service_writes():
    current = {
        "id": "i",
        "etag": "e",
        "tags": {"owner": "x"},
        "properties": {"provisioningState": "Succeeded", "kept": 1, "changed": 1},
    }
    assert plan.body_to_write({"properties": {"changed": 2}}, current) == {
        "tags": {"owner": "x"},
        "properties": {"kept": 1, "changed": 2},
    }


def test_assignment_name_is_stable_and_case_blind():
    name = plan.assignment_name(GROUP, "ROLE", "Principal")
    assert name == plan.assignment_name(GROUP.upper() + "/", "role", "principal")
    assert plan.GUID.fullmatch(name)
    assert name != plan.assignment_name(GROUP, "role", "other")


def test_only_exactly_the_same_assignment_matches():
    def entry(scope, principal="p", role="r"):
        return {"properties": {"scope": scope, "principalId": principal, "roleDefinitionId": f"/x/{role}"}}

    same = entry(GROUP.upper())
    others = [entry("/subscriptions/s"), entry(GROUP + "/x"), entry(GROUP, "q"), entry(GROUP, role="z")]
    assert plan.matching_assignments([*others, same], GROUP, "r", "p") == [same]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "B", "/x/Y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(["location", "properties", "tags"]), VALUES)


@given(wanted=BODIES, current=BODIES)
def test_what_was_written_does_not_differ_and_the_rest_is_kept(wanted, current):
    body = plan.body_to_write(wanted, current)
    assert plan.differences(wanted, body) == []
    assert {k: v for k, v in body.items() if k not in wanted} == {k: v for k, v in current.items() if k not in wanted}
