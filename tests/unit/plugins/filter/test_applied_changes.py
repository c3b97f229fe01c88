"""A status that a controller writes while a task applies is no change of the task."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.filter.applied_changes import applied_changes


def item(before, after, *, changed=True, kind="Application", **more):
    shown = {"kind": kind, "metadata": {"name": "app"}}
    return {"changed": changed, "diff": {"before": before, "after": after}, "result": shown, **more}


VERSIONS = {"resourceVersion": "1", "generation": 2, "managedFields": []}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"status": {"health": "Progressing"}}, {"status": {"health": "Healthy"}}),
        ({"status": {}, "metadata": VERSIONS}, {"status": {"a": 1}, "metadata": VERSIONS}),
        ({"operation": {"sync": {}}, "metadata": VERSIONS}, {"metadata": VERSIONS}),
        ({"metadata": VERSIONS}, {"metadata": VERSIONS}),
        ({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}, {}),
    ],
)
def test_what_others_write_does_not_count(before, after):
    assert applied_changes({"changed": True, "result": {"results": [item(before, after)]}}) == []
    assert applied_changes(item(before, after)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"kind": "Application", "metadata": {"name": "app"}}),
        ({"spec": {"a": 1}}, {"spec": {"a": 2}}),
        ({"status": {"a": 1}, "spec": {"a": 1}}, {"status": {"a": 2}, "spec": {"a": 2}}),
        ({"metadata": {"labels": {"a": "b"}} | VERSIONS}, {"metadata": VERSIONS}),
        ({"data": {"a": "b"}}, {}),
        ({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal", "a": "b"}}}, {}),
    ],
)
def test_what_the_task_writes_counts(before, after):
    assert applied_changes({"result": {"results": [item(before, after)]}}) == ["Application/app"]


def test_without_a_diff_the_module_is_believed():
    result = {"kind": "Namespace", "metadata": {"name": "app"}}
    assert applied_changes({"changed": True, "result": result}) == ["Namespace/app"]
    assert applied_changes({"changed": False, "result": result}) == []
    assert applied_changes({"failed": True, "msg": "no"}) == []
