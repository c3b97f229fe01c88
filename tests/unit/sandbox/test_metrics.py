"""The metrics API: quantities, and what a pod is said to use."""

from __future__ import annotations

import pytest
from aksops_sandbox.engines.metrics import ANNOTATION, cores, pod_metrics, size


@pytest.mark.parametrize(("text", "value"), [("250m", 0.25), ("2", 2.0), ("0.5", 0.5)])
def test_cores(text, value):
    assert cores(text) == value


@pytest.mark.parametrize(("text", "value"), [("128Mi", 128 * 2**20), ("1Gi", 2**30), ("1k", 1000), ("42", 42)])
def test_size(text, value):
    assert size(text) == value


def _pod(annotations=None):
    resources = {"requests": {"cpu": "200m", "memory": "64Mi"}}
    return {
        "metadata": {"name": "a", "namespace": "b", "labels": {"app": "a"}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "resources": resources}, {"name": "sidecar"}]},
    }


def test_a_pod_uses_a_share_of_its_requests():
    metrics = pod_metrics(_pod())
    assert metrics["containers"][0] == {"name": "app", "usage": {"cpu": "60m", "memory": "32768Ki"}}
    assert metrics["containers"][1]["usage"]["cpu"] == "3m"
    assert metrics["metadata"]["labels"] == {"app": "a"}


def test_an_annotation_sets_the_load():
    assert pod_metrics(_pod({ANNOTATION: "1"}))["containers"][0]["usage"]["cpu"] == "1000m"
