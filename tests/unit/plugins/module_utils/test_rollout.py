"""When a restart is due, and when it has ended."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _rollout as rollout
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

KEY = ("shop", "deployments", "api")


def item(reason=None, replicas=2, **status):
    annotations = {rollout.ANNOTATION: reason} if reason else {}
    ready = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, **status}
    template = {"metadata": {"annotations": annotations}}
    return {
        "metadata": {"name": "api", "generation": 3},
        "spec": {"replicas": replicas, "template": template},
        "status": ready,
    }


def test_one_restart_for_one_reason():
    assert rollout.to_restart({KEY: item()}, "promote a b") == [KEY]
    assert rollout.to_restart({KEY: item("promote a b")}, "promote a b") == []
    assert rollout.to_restart({KEY: item("promote a b")}, "roll-back b a") == [KEY]


@pytest.mark.parametrize(
    "status",
    [{"observedGeneration": 2}, {"updatedReplicas": 1}, {"readyReplicas": 1}, {"replicas": 3}, {"updatedReplicas": 0}],
)
def test_a_rollout_ends_when_all_pods_are_new_and_ready(status):
    assert rollout.unfinished({KEY: item()}) == []
    assert "deployment shop/api" in rollout.unfinished({KEY: item(**status)})[0]


class Api:
    def __init__(self, status=200):
        self.status = status
        self.patched = []

    def call(self, path, body=None, timeout=15, *, merge=False):
        if merge:
            self.patched.append((path, body))
            return self.status, {"message": "no"}
        idle = {**item(replicas=0), "metadata": {"name": "idle"}}
        return 200, {"items": [item(), idle] if "deployments" in path else []}


def test_what_is_scaled_to_nothing_is_left_alone():
    api = Api()
    rollouts = rollout.Rollouts(api, ["shop"], "app=api")
    rollouts.restart(rollout.to_restart(rollouts.read(), "why"), "why")
    assert [path for path, _ in api.patched] == ["/apis/apps/v1/namespaces/shop/deployments/api"]


def test_a_refusal_is_one_sentence():
    with pytest.raises(AksPlatformError, match="refuses to restart deployment shop/api \\(HTTP 403\\): no"):
        rollout.Rollouts(Api(403), ["shop"], "").restart([KEY], "why")
