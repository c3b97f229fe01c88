from __future__ import annotations

import datetime
import re

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._retirements import (
    RETIREMENTS,
    in_inputs,
    in_resources,
    values,
)

TODAY = datetime.date(2026, 11, 23)
CLUSTER = "Microsoft.ContainerService/managedClusters"


@pytest.mark.parametrize(
    ("inputs", "retired"),
    [
        ({"kubernetes": {"version": "1.33"}}, [True]),
        ({"kubernetes": {"version": "1.34"}}, [False]),
        ({"kubernetes": {"version": "1.36"}}, []),
        ({"postgresql": {"version": "13"}}, [True]),
        ({"postgresql": {"version": "18"}}, []),
        ({"kubernetes": {"os_sku": "AzureLinux"}}, [True]),
        ({"kubernetes": {"os_sku": "AzureLinux3"}}, []),
        ({"redis": {"kind": "cache"}}, []),
        ({}, []),
        ({"kubernetes": "text"}, []),
    ],
)
def test_what_retired_stops_and_what_soon_retires_warns(inputs, retired):
    assert [notice.retired for notice in in_inputs(inputs, TODAY)] == retired


@pytest.mark.parametrize(
    ("today", "retired"),
    [("2026-12-31", []), ("2027-01-02", []), ("2027-10-20", [False]), ("2028-09-30", [False]), ("2028-10-01", [True])],
)
def test_the_warning_starts_a_year_before_and_ends_after_the_day(today, retired):
    found = in_inputs({"redis": {"kind": "cache"}}, datetime.date.fromisoformat(today))
    assert [notice.retired for notice in found] == retired


def test_a_sentence_names_variable_value_date_and_what_to_use():
    notice = in_inputs({"kubernetes": {"version": "1.34"}}, TODAY, "infrastructure_")[0]
    assert notice.text == (
        "infrastructure_kubernetes.version is 1.34: Kubernetes 1.34 retires on 2026-11-30, in 7 days; "
        "use Kubernetes 1.36."
    )


def test_a_users_own_row_may_look_into_every_pool():
    row = {
        "what": "The v2 sizes",
        "date": "2026-01-01",
        "input": "kubernetes.user_pools.*.vm_size",
        "pattern": r"Standard_.*_v2",
        "instead": "v5",
    }
    inputs = {
        "kubernetes": {"user_pools": {"old": {"vm_size": "Standard_D2_v2"}, "new": {"vm_size": "Standard_D2_v5"}}}
    }
    found = in_inputs(inputs, TODAY, "", [row])
    assert [notice.text.split(" ", 1)[0] for notice in found] == ["kubernetes.user_pools.old.vm_size"]


def test_existing_resources_are_found_by_type_and_property():
    found = in_resources(
        [
            {"id": "/a", "name": "a", "type": CLUSTER.lower(), "properties": {"kubernetesVersion": "1.33.4"}},
            {"id": "/b", "name": "b", "type": CLUSTER, "properties": {"networkProfile": {"networkPlugin": "kubenet"}}},
            {
                "id": "/c",
                "name": "c",
                "type": "Microsoft.Network/applicationGateways",
                "properties": {"sku": {"tier": "WAF"}},
            },
            {
                "id": "/d",
                "name": "d",
                "type": "Microsoft.Network/applicationGateways",
                "properties": {"sku": {"tier": "WAF_v2"}},
            },
            {"id": "/e", "name": "e", "type": "Microsoft.Cache/redis"},
        ],
        TODAY,
    )
    assert [(where, notice.retired) for where, notice in found] == [("/a", True), ("/c", True)]
    assert [
        where
        for where, _ in in_resources(
            [{"id": "/e", "name": "e", "type": "Microsoft.Cache/redis"}], datetime.date(2028, 9, 1)
        )
    ] == ["/e"]


@pytest.mark.parametrize("row", RETIREMENTS, ids=lambda row: row["what"])
def test_every_row_is_whole(row):
    assert {"what", "date", "pattern", "instead"} <= set(row)
    assert "input" in row or {"resource", "property"} <= set(row)
    datetime.date.fromisoformat(row["date"])
    re.compile(row["pattern"])


def test_values_follow_a_path_with_stars():
    tree = {"a": {"x": {"n": 1}, "y": {"n": 2}, "z": 3}}
    assert values(tree, "a.*.n") == [("a.x.n", 1), ("a.y.n", 2)]
