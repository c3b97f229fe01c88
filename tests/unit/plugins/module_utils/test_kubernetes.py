from __future__ import annotations

import io
import json
import socket
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _kubernetes as kube
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError

TOKEN = "canary-token"


class Reply(io.BytesIO):
    status = 200


def client(answer):
    def opener(url, **kwargs):
        assert kwargs["timeout"] > 0
        got = answer(url.removeprefix("https://api:443"), kwargs)
        if isinstance(got, Exception):
            raise got
        return Reply(json.dumps(got).encode())

    return kube.KubernetesClient("https://api:443", TOKEN, opener=opener)


def refuse(status):
    return HTTPError("u", status, "no", {}, io.BytesIO(b"{}"))


def test_private_cluster_is_explained_at_once():
    reason = URLError(socket.gaierror(-2, "Name or service not known"))
    with pytest.raises(AksPlatformError, match="az aks command invoke") as caught:
        kube.wait_ready(client(lambda _p, _k: reason), timeout=60, interval=0)
    assert TOKEN not in str(caught.value)


def test_refused_token_is_explained():
    with pytest.raises(AksPlatformError, match="Entra integration"):
        kube.wait_ready(client(lambda _p, _k: refuse(401)), timeout=60, interval=0)


def test_ready_after_a_while():
    answers = iter([URLError("refused"), refuse(500), "ok"])
    kube.wait_ready(client(lambda _p, _k: next(answers)), timeout=60, interval=0)


def test_missing_role_is_named():
    with pytest.raises(WaitTimeoutError, match="RBAC Cluster Admin"):
        kube.wait_allowed(client(lambda _p, _k: {"status": {"allowed": False}}), timeout=0, interval=0)


def deployment(name, ready, replicas=1, generation=1):
    return {
        "metadata": {"name": name, "generation": generation},
        "spec": {"replicas": replicas},
        "status": {"readyReplicas": ready, "observedGeneration": 1},
    }


def test_workloads_are_read_by_kind_and_awaited():
    rounds = iter([[], [deployment("ingress-appgw-deployment", 0)], [deployment("ingress-appgw-deployment", 1)]])
    asked = []

    def answer(path, _kwargs):
        asked.append(path)
        return {"items": next(rounds)}

    kube.wait_workloads(client(answer), ["ingress_application_gateway"], timeout=60, interval=0)
    assert asked == ["/apis/apps/v1/namespaces/kube-system/deployments"] * 3


def test_features_without_workloads_ask_nothing():
    kube.wait_workloads(client(lambda _p, _k: pytest.fail("asked")), ["gateway_api"], timeout=0, interval=0)


def test_unready_tells_absent_old_and_unscheduled_apart():
    key = ("kube-system", "deployments", "d")
    daemon = ("kube-system", "daemonsets", "s")
    assert kube.unready({key: None}) == ["deployment kube-system/d is absent"]
    assert kube.unready({key: deployment("d", 1, generation=2)})
    assert kube.unready({key: deployment("d", 1, replicas=2)}) == ["deployment kube-system/d has 1 of 2 pods ready"]
    assert kube.unready({daemon: {"metadata": {}, "status": {"desiredNumberScheduled": 0}}})
    assert not kube.unready({daemon: {"metadata": {}, "status": {"desiredNumberScheduled": 2, "numberReady": 2}}})
