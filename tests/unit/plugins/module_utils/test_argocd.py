"""Where Argo CD stands: what is good, what is wrong, and when waiting is given up."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _argocd as argocd
from ansible_collections.aksops.platform.plugins.module_utils import _argocd_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOURCE = {"repoURL": "https://charts.example", "chart": "argo-cd", "targetRevision": "10.1.1"}
SHOP = [{"name": "shop", "revision": None}]


def application(**status):
    good = {
        "sync": {"status": "Synced", "revision": "10.1.1", "comparedTo": {"source": dict(SOURCE)}},
        "health": {"status": "Healthy"},
        "operationState": {"phase": "Succeeded", "syncResult": {"source": dict(SOURCE)}},
    }
    spec = {"project": "shop", "source": dict(SOURCE)}
    return {"metadata": {"name": "shop"}, "spec": spec, "status": {**good, **status}}


def judged(item, revision=None, patience=None):
    return plan.judge([item], [{"name": "shop", "revision": revision}], now=NOW, patience=patience)


def failed(message="it was refused", **more):
    return {"phase": "Failed", "message": message, "syncResult": {"source": dict(SOURCE)}, **more}


def test_a_synced_and_healthy_application_is_good():
    assert judged(application(), "10.1.1") == ([], False, [])


def test_an_application_that_is_not_there_is_named():
    assert plan.judge([], SHOP, now=NOW).problems == ["the application shop is not there"]
    assert not plan.judge([], SHOP, now=NOW).hopeless


def test_another_version_than_the_wanted_one_is_wrong():
    assert (
        judged(application(), "10.2.0")
        .problems[0]
        .startswith("the application shop (chart argo-cd 10.1.1, wanted 10.2.0) is Synced and Healthy")
    )


@pytest.mark.parametrize("phase", ["Running", "Terminating"])
def test_an_operation_that_runs_is_waited_for(phase):
    verdict = judged(application(operationState={"phase": phase, "message": "waiting for hooks"}))
    assert verdict.problems[0].endswith(f"Healthy, its sync is {phase}: waiting for hooks")
    assert not verdict.hopeless


def test_a_verdict_about_what_was_asked_for_before_counts_for_nothing():
    item = application(operationState=failed())
    item["spec"]["source"] = {**SOURCE, "targetRevision": "10.2.0"}
    assert judged(item).problems
    assert not judged(item).hopeless


def test_a_failed_sync_of_what_is_wanted_is_hopeless_unless_another_is_asked_for():
    item = application(operationState=failed())
    item["status"]["sync"]["status"] = "OutOfSync"
    assert judged(item).hopeless
    assert not judged({**item, "operation": {"sync": {}}}).hopeless
    before = failed(syncResult={"source": {**SOURCE, "targetRevision": "9.0.0"}})
    assert not judged(application(operationState=before, health={"status": "Degraded"})).hopeless


def test_an_error_stands_for_a_while_before_waiting_is_given_up():
    since = (NOW - timedelta(seconds=20)).isoformat().replace("+00:00", "Z")
    error = {"type": "ComparisonError", "message": "no such branch", "lastTransitionTime": since}
    item = application(conditions=[error], health={"status": "Unknown"})
    assert "no such branch" in judged(item).problems[0]
    assert not judged(item).hopeless
    assert not judged(item, patience=30).hopeless
    assert judged(item, patience=10).hopeless
    at_work = {"phase": "Running", "message": "waiting for hooks"}
    asked = {**application(conditions=[error], operationState=at_work), "operation": {"sync": {}}}
    assert not judged(asked, patience=10).hopeless
    asked["status"]["operationState"] = {**at_work, "finishedAt": since, "message": "Retrying attempt #2"}
    assert judged(asked, patience=10).hopeless
    warning = application(conditions=[{**error, "type": "OrphanedResourceWarning"}], health={"status": "Unknown"})
    assert not judged(warning, patience=10).hopeless


OLD = {**SOURCE, "targetRevision": "9.0.0"}


def under_way(*, source=OLD, revision="10.1.1", by=None, seconds=40, **more):
    """An application whose sync has waited for some seconds."""
    state = {
        "phase": "Running",
        "message": "waiting for healthy state of apps/Deployment/shop",
        "startedAt": (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z"),
        "operation": {"initiatedBy": by or {"automated": True}},
        "syncResult": {"source": dict(source), "revision": revision},
    }
    return application(operationState={**state, **more}, health={"status": "Progressing"})


@pytest.mark.parametrize(
    ("item", "outdated"),
    [
        (under_way(), True),
        (under_way(by={"username": "aksops.platform"}), True),
        (under_way(source=SOURCE, revision="10.1.0"), True),
        (under_way(finishedAt="2026-11-25T11:59:30Z"), True),
        (under_way(source=SOURCE), False),
        (under_way(seconds=20), False),
        (under_way(by={"username": "olga"}), False),
        (under_way(syncResult={}), False),
        (under_way(phase="Terminating"), False),
    ],
    ids=["source", "ours", "revision", "retry", "wanted", "recent", "theirs", "begun", "ending"],
)
def test_a_sync_of_what_is_wanted_no_more_ends_the_waiting(item, outdated):
    verdict = judged(item, patience=30)
    assert (verdict.outdated, verdict.hopeless) == (["shop"] if outdated else [], outdated)
    assert judged(item).outdated == []


def test_what_was_refused_and_what_is_not_healthy_is_said_once():
    refused = {"kind": "Role", "name": "shop", "status": "SyncFailed", "message": "not permitted in project"}
    hook = {"kind": "Job", "name": "migrate", "hookPhase": "Failed", "message": "exit code 1"}
    operation = failed("not permitted in project")
    operation["syncResult"] = {"source": dict(SOURCE), "resources": [refused, hook]}
    sick = {"kind": "Deployment", "name": "api", "health": {"status": "Degraded", "message": "1 of 3"}}
    text = judged(application(operationState=operation, resources=[sick], health={"status": "Degraded"})).problems[0]
    assert text.endswith(
        "its sync is Failed: not permitted in project; Role shop was refused: not permitted in project; "
        "Job migrate has failed: exit code 1; Deployment api is Degraded: 1 of 3"
    )


def test_an_application_of_several_sources_is_judged_by_all():
    item = application()
    sources = [dict(SOURCE), {"repoURL": "https://git.example", "path": "values", "targetRevision": "main"}]
    item["spec"] = {"project": "shop", "sources": sources}
    item["status"]["sync"]["comparedTo"] = {"sources": copy.deepcopy(sources)}
    assert judged(item) == ([], False, [])
    item["status"]["sync"]["comparedTo"]["sources"].pop()
    assert "chart argo-cd 10.1.1, path values main" in judged(item).problems[0]


def test_the_facts_name_what_a_wanted_application_manages():
    resources = [
        {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "shop", "name": "api"},
        {"version": "v1", "kind": "Namespace", "name": "shop"},
    ]
    found = plan.facts(application(resources=resources), with_resources=True)
    assert found["resources"] == [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "shop"}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
    ]
    assert "resources" not in plan.facts(application(), with_resources=False)


def pod(name="server-1", image="argocd:1", ready="True", component="argocd-server", **status):
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": component}},
        "spec": {"containers": [{"image": image}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}], **status},
    }


def test_a_component_needs_one_ready_pod_of_its_image():
    component = [{"name": "argocd-server", "image": "argocd:1"}]
    assert plan.missing([pod()], component) == []
    assert plan.missing([], component) == ["argocd-server: no pod"]
    assert plan.missing([pod(image="argocd:0")], component) == ["argocd-server: server-1 runs argocd:0"]
    assert plan.missing([pod(ready="False")], component) == ["argocd-server: server-1 is Running, not ready"]
    assert plan.missing([pod(image="argocd:0"), pod("server-2")], component) == []
    assert plan.missing([pod(image="argocd:0")], [{"name": "argocd-server", "image": None}]) == []
    leaving = pod()
    leaving["metadata"]["deletionTimestamp"] = "2026-11-25T12:00:00Z"
    assert plan.missing([leaving], component) == ["argocd-server: no pod"]


def test_pods_that_wait_are_explained():
    event = {"metadata": {"creationTimestamp": "1"}, "involvedObject": {"name": "b"}, "message": "no such secret"}
    pulls = {"state": {"waiting": {"reason": "ErrImagePull", "message": "manifest not found"}}}
    crashes = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
    lines = plan.held(
        [
            pod("a", phase="Pending", containerStatuses=[pulls]),
            pod("b", phase="Pending"),
            pod("c", phase="Pending"),
            pod("d", containerStatuses=[crashes]),
            pod("e"),
        ],
        [event],
    )
    assert lines == [
        "Pod a waits (ErrImagePull): manifest not found",
        "Pod b waits (Pending): no such secret",
        "Pod c waits (Pending): it has no node yet",
        "Pod d waits (CrashLoopBackOff): back-off 10s",
    ]


class Api:
    """Answers one list of applications after the other; the last one for ever."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    def call(self, path):
        if not path.endswith("/applications"):
            return 200, {"items": []}
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, AksPlatformError):
            raise answer
        return (200, {"items": answer}) if isinstance(answer, list) else answer


def params(**more):
    given = {"applications": SHOP, "components": [], "wait_timeout": 30, "wait_sleep": 5, "error_patience": None}
    return {**given, **more}


def waited(api, **more):
    time = iter(range(0, 10_000, 5))
    lines = []
    reader = argocd.Reader(api, "argocd")
    result = argocd.wait(reader, params(**more), lines.append, clock=lambda: next(time), sleep=lambda _: None)
    return result, lines


def test_one_look_at_a_cluster_without_the_kind():
    found = argocd.look(argocd.Reader(Api((404, "page not found")), "argocd"), params())
    assert (found["installed"], found["applications"]) == (False, [])
    assert found["problems"] == ["the application shop is not there"]


def test_waiting_shows_where_it_is_and_survives_a_server_that_restarts():
    running = application(operationState={"phase": "Running", "message": "hooks"})
    api = Api(AksPlatformError("The API server is not reached."), (503, "starting"), [running], [application()])
    result, lines = waited(api)
    assert result["problems"] == []
    assert result["installed"]
    assert len(lines) == 3
    assert "not reached" in lines[0]
    assert "its sync is Running: hooks" in lines[2]


def test_waiting_ends_early_where_it_cannot_help_and_in_time_where_it_might():
    api = Api([application(operationState=failed(), health={"status": "Missing"})])
    assert waited(api)[0]["hopeless"]
    assert api.asked == 1
    api = Api([application(health={"status": "Progressing"})])
    result, _ = waited(api)
    assert "Progressing" in result["problems"][0]
    assert 5 <= api.asked <= 9


def test_a_caller_without_rights_is_told_at_once():
    with pytest.raises(AksPlatformError, match=r"may not list applications in argocd \(HTTP 403\)"):
        waited(Api((403, "forbidden")))


def test_the_end_of_a_long_message_is_said():
    said = f"failed to execute `helm template {'--values path ' * 50}`: additional properties 'replica' not allowed"
    item = {
        "metadata": {"name": "shop"},
        "spec": {"source": {"path": "."}},
        "status": {"conditions": [{"type": "ComparisonError", "message": said}]},
    }
    problems = plan.judge([item], [{"name": "shop"}], now=datetime.now(UTC)).problems
    assert "'replica' not allowed" in problems[0]
