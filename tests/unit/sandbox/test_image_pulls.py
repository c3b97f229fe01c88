"""Pods whose image a registry of the sandbox does not hand out are held, as a kubelet would hold them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from aksops_sandbox.http.message import Response
from aksops_sandbox.services.containerservice import image_pulls
from aksops_sandbox.services.containerservice.image_pulls import PULLED, ImagePulls
from aksops_sandbox.services.registry import REGISTRY

DIGEST = "sha256:" + "a" * 64


def pod(*images, annotations=None, node="n"):
    return {
        "metadata": {"name": "p", "namespace": "shop", "uid": "u", "annotations": annotations},
        "spec": {"nodeName": node, "containers": [{"name": f"c{i}", "image": x} for i, x in enumerate(images)]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    }


class Client:
    """Keeps what is written."""

    def __init__(self):
        self.merged, self.events = {}, []

    def merge(self, target, change):
        self.merged[target] = change

    def get(self, _target):
        return None

    def create(self, _target, body):
        self.events.append(body)


def player(status=200, code=""):
    """A player whose registry crshop answers with a status; what was asked is in `asked`."""
    asked = []

    def handle(request):
        asked.append(request)
        return Response.json(status, {"errors": [{"code": code, "message": "denied"}]} if code else {})

    cluster = SimpleNamespace(properties={"identityProfile": {"kubeletidentity": {"objectId": "k", "clientId": "c"}}})
    ctx = SimpleNamespace(
        store=SimpleNamespace(
            peek=lambda **wanted: [SimpleNamespace(name="crshop")] if wanted == {"type": REGISTRY} else []
        ),
        require_resource=lambda _: cluster,
        tokens=SimpleNamespace(issue=lambda *parts: f"token of {parts[0]}"),
        principals=SimpleNamespace(tenant_id="t"),
        router=SimpleNamespace(handle=handle),
    )
    return ImagePulls(ctx, "cluster", Client()), asked


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod("crshop.azurecr.io/a/b:1"), True),
        (pod("quay.io/a/b:1"), False),
        (pod("crshop.azurecr.io/a/b:1", annotations={PULLED: "true"}), False),
        (pod("crshop.azurecr.io/a/b:1", node=None), False),
    ],
)
def test_which_pods_wait(found, expected):
    assert player()[0].waits(found) is expected


def test_the_kubelets_identity_asks_for_the_digest():
    pulls, asked = player()
    assert pulls.attempt(pod(f"crshop.azurecr.io/a/b:1@{DIGEST}"), 0)
    assert (asked[0].path, asked[0].headers["authorization"]) == (f"/v2/a/b/manifests/{DIGEST}", "Bearer token of k")
    assert pulls._client.merged["/api/v1/namespaces/shop/pods/p"]["metadata"]["annotations"] == {PULLED: "true"}


@pytest.mark.parametrize(
    ("status", "tries", "reason", "says"),
    [
        (404, 0, "ErrImagePull", "not found"),
        (404, 1, "ImagePullBackOff", "Back-off"),
        (403, 1, "ImagePullBackOff", "403: denied"),
    ],
)
def test_a_pod_is_held_with_the_reason(status, tries, reason, says):
    pulls, _ = player(status, "DENIED")
    assert not pulls.attempt(pod("crshop.azurecr.io/a/b:1", "quay.io/x:1"), tries)
    written = pulls._client.merged["/api/v1/namespaces/shop/pods/p/status"]["status"]
    first, second = (item["state"]["waiting"] for item in written["containerStatuses"])
    assert first["reason"] == reason
    assert says in first["message"]
    assert second == {"reason": "ContainerCreating"}
    assert written["conditions"][0]["type"] == "PodScheduled"
    assert "Failed to pull image" in pulls._client.events[0]["message"]
    assert json.dumps(written)


def test_a_registry_of_elsewhere_cannot_be_asked():
    pulls, asked = player(404)
    assert pulls.attempt(pod("crother.azurecr.io/a/b:1"), 0)
    assert not asked


def test_what_is_no_reference_is_held_where_the_registry_is_known():
    pulls, asked = player()
    assert pulls.attempt(pod("crother.azurecr.io/a/b@sha256:0"), 0)
    assert not pulls.attempt(pod("crshop.azurecr.io/a/b@sha256:0"), 0)
    assert "invalid reference format" in pulls._client.events[0]["message"]
    assert not asked


def test_images_are_named_once():
    both = pod("crshop.azurecr.io/a:1", "crshop.azurecr.io/a:1")
    assert image_pulls.images(both) == ["crshop.azurecr.io/a:1"]
