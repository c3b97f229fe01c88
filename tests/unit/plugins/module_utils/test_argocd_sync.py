"""A sync is asked for only of an application at rest, and never joins an operation under way."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _argocd_sync as argocd_sync
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

WISH = {"sync": {"prune": True}}


class Cluster:
    """An API server with one application; each step of `story` happens before the next request."""

    def __init__(self, *story):
        self.application = {"metadata": {"resourceVersion": "1"}}
        self.story = list(story)
        self.written = []
        self.ended = 0
        self.asked = []
        self.pods = {}

    def call(self, path, body=None, *, merge=False):
        if "/pods" in path:
            self.asked.append(path)
            return 200, self.pods
        assert path == "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop"
        if self.story:
            step = self.story.pop(0)
            if isinstance(step, int):
                return step, {"message": "no"}
            self.application.update(step)
        if body is None:
            return 200, dict(self.application)
        assert merge
        if body.get("status") == {"operationState": {"phase": "Terminating"}}:
            assert body["metadata"]["resourceVersion"] == self.application["metadata"]["resourceVersion"]
            self.ended += 1
            self.application["operation"] = None
            return 200, {}
        # Or Argo CD would merge the request into the state of its last operation.
        assert body["status"] == {"operationState": None}
        if body["metadata"]["resourceVersion"] != self.application["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        self.written.append(body["operation"])
        return 200, {}


def ask(cluster, timeout=10, **more):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    clock = {"clock": lambda: now[0], "sleep": sleep}
    return argocd_sync.ask(cluster, "argocd", "shop", WISH, timeout=timeout, interval=1, **clock, **more)


@pytest.mark.parametrize(
    "story",
    [
        (),
        ({"operation": {"sync": {}}}, {"operation": None}),
        # Another operation begins between the look and the write, and ends.
        ({}, {"operation": {"sync": {}}, "metadata": {"resourceVersion": "2"}}, {}, {"operation": None}),
    ],
    ids=["at rest", "busy", "raced"],
)
def test_it_is_asked_for_once_nothing_else_is_under_way(story):
    cluster = Cluster(*story)
    ask(cluster)
    assert cluster.written == [WISH]
    assert not cluster.application.get("operation")


def test_an_operation_that_waits_to_try_again_is_ended_and_one_at_work_is_not():
    waiting = {"operation": {"sync": {}}, "status": {"operationState": {"phase": "Running", "finishedAt": "now"}}}
    cluster = Cluster(waiting)
    ask(cluster)
    assert (cluster.ended, cluster.written) == (1, [WISH])
    at_work = {"operation": {"sync": {}}, "status": {"operationState": {"phase": "Running"}}}
    cluster = Cluster(at_work, {"operation": None})
    ask(cluster)
    assert (cluster.ended, cluster.written) == (0, [WISH])


def test_the_end_of_patience_and_refusals_are_told():
    with pytest.raises(AksPlatformError, match=r"shop to be at rest .* another operation"):
        ask(Cluster({"operation": {"sync": {}}}), timeout=3)
    with pytest.raises(AksPlatformError, match=r"read the application shop in argocd .HTTP 404.: no"):
        ask(Cluster(404))
    with pytest.raises(AksPlatformError, match=r"ask for a sync of the application shop in argocd .HTTP 403.: no"):
        ask(Cluster({}, 403))


def outdated(*resources):
    """A sync of Argo CD's own that holds to another source than the application names."""
    tried = {"source": {"path": "old"}, "resources": list(resources)}
    state = {"phase": "Running", "operation": {"initiatedBy": {"automated": True}}, "syncResult": tried}
    return {"spec": {"source": {"path": "new"}}, "operation": {"sync": {}}, "status": {"operationState": state}}


def hook(kind, phase="Running"):
    return {"kind": kind, "name": "migrate", "namespace": "shop", "hookType": "PreSync", "hookPhase": phase}


@pytest.mark.parametrize(
    ("resources", "pods", "ends"),
    [
        ([{"kind": "Deployment", "name": "shop", "hookPhase": "Running"}], {}, True),
        ([hook("Job", "Succeeded")], {"items": [{"status": {"phase": "Running"}}]}, True),
        ([hook("Job")], {"items": [{"status": {"phase": "Pending"}}]}, True),
        ([hook("Job")], {"items": []}, True),
        ([hook("Job")], {"items": [{"status": {"phase": "Running"}}]}, False),
        ([hook("Pod")], {"status": {"phase": "Pending"}}, True),
        ([hook("Pod")], {"status": {"phase": "Running"}}, False),
        ([hook("Workflow")], {}, False),
    ],
    ids=["health", "done", "held", "none", "at work", "held pod", "pod at work", "unknown kind"],
)
def test_a_sync_of_what_is_wanted_no_more_is_ended_unless_a_hook_is_at_work(resources, pods, ends):
    cluster = Cluster(outdated(*resources), {}, {"operation": None, "status": {}})
    cluster.pods = pods
    ask(cluster)
    assert (cluster.ended, cluster.written) == (int(ends), [WISH])
    assert all("/namespaces/shop/pods" in path for path in cluster.asked)


def test_a_sync_of_what_is_wanted_that_is_under_way_is_as_good_where_the_caller_says_so():
    under_way = outdated({"kind": "Deployment", "name": "shop", "hookPhase": "Running"})
    under_way["spec"] = {"source": {"path": "old"}}
    under_way["status"]["operationState"]["message"] = "waiting for healthy state of apps/Deployment/shop"
    cluster = Cluster(under_way)
    assert not ask(cluster, joins=True)
    assert (cluster.ended, cluster.written) == (0, [])
    with pytest.raises(AksPlatformError, match=r"under way \(waiting for healthy state of apps/Deployment/shop"):
        ask(Cluster(under_way))
    under_way["status"]["operationState"]["finishedAt"] = "now"
    cluster = Cluster(under_way)
    assert ask(cluster, joins=True)
    assert (cluster.ended, cluster.written) == (1, [WISH])
