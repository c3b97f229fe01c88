from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _admission_plan as plan

PSA = 'pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged'
GATEKEEPER = (
    'admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy-k8sazurev2noprivilege-1a] Privileged'
)


@pytest.mark.parametrize(
    ("status", "message", "outcome", "enforcer"),
    [
        (201, "", "admitted", ""),
        (403, PSA, "refused", "pod_security"),
        (403, GATEKEEPER, "refused", "azure_policy"),
        (403, "User x cannot create resource pods", "failed", ""),
        (404, 'namespaces "shop" not found', "failed", ""),
        (403, 'admission webhook "other.example" denied the request: no', "refused", "other"),
        (422, "ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no", "refused", "other"),
    ],
)
def test_verdict(status, message, outcome, enforcer):
    got = plan.verdict(status, {"message": message})
    assert (got["outcome"], got["enforcer"]) == (outcome, enforcer)


def probe(**over):
    return {"name": "a probe", "expect": "refused", "by": "any", "message": None, **over}


@pytest.mark.parametrize(
    ("wanted", "status", "message", "words"),
    [
        (probe(), 403, PSA, ""),
        (probe(by="azure_policy"), 403, GATEKEEPER, ""),
        (probe(by="azure_policy"), 403, PSA, "should have been by azure_policy"),
        (probe(message="noprivilege"), 403, GATEKEEPER, ""),
        (probe(message="readonlyroot"), 403, GATEKEEPER, "another reason"),
        (probe(), 201, "", "was admitted"),
        (probe(expect="admitted"), 403, PSA, "was refused by pod_security"),
        (probe(expect="admitted"), 201, "", ""),
        (probe(expect="admitted"), 403, "User x cannot", "could not be tried"),
    ],
)
def test_problem(wanted, status, message, words):
    line = plan.problem(wanted, plan.verdict(status, {"message": message}))
    assert (words in line) if words else line == ""


def test_path_is_a_dry_run():
    manifest = {"kind": "Deployment", "metadata": {"namespace": "shop"}}
    assert plan.path_of(manifest) == "/apis/apps/v1/namespaces/shop/deployments?dryRun=All"
