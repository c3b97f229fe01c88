"""What the roles argocd and workload make of their variables."""

from __future__ import annotations

import pytest
from support.manifests import Role

URL = "https://dev.azure.com/shop/platform/_git/platform"


def test_the_policy_of_argocd_has_one_rule_a_line():
    sso = {"tenant_id": "t", "application_id": "a", "admin_groups": ["g-1", "g-2"], "reader_groups": ["g-3"]}
    role = Role("argocd", argocd_sso=sso, argocd_rbac_policy="p, role:dev, applications, sync, shop/*, allow\n")
    assert role.value("__argocd_values_all.configs.rbac['policy.csv']").splitlines() == [
        'g, "g-1", role:admin',
        'g, "g-2", role:admin',
        'g, "g-3", role:readonly',
        "p, role:dev, applications, sync, shop/*, allow",
    ]
    assert Role("argocd").value("__argocd_policy").strip() == ""


def test_every_component_is_wanted_in_the_mirrored_image():
    role = Role("argocd", argocd_registry="cr.example", argocd_notifications=True, argocd_high_availability=False)
    found = {item["name"]: item.get("image", "") for item in role.value("__argocd_components")}
    assert found.pop("argocd-redis") == ""
    assert "argocd-notifications-controller" in found
    assert all(image.startswith("cr.example/argoproj/argocd:v3") for image in found.values())


def test_removal_takes_what_argocd_holds_outside_its_namespace_and_keeps_its_kinds():
    kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a"}}
    outside = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "b"}}
    inside = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "namespace": "argocd"}}
    seen = {"applications": [{"name": "argocd", "resources": [kind, outside, inside]}, {"name": "shop"}]}
    assert Role("argocd", __argocd_before=seen).value("__argocd_outside") == [outside]
    role = Role("argocd", __argocd_before=seen, argocd_keep_crds=False)
    assert role.value("__argocd_outside") == [kind, outside]
    assert role.value("__argocd_others") == ["shop"]


def workload(**given):
    return Role("workload", workload_repository_url=URL, **given)


def test_a_chart_gets_nothing_empty():
    """Argo CD leaves it out when it writes the application back, and a second run would add it again."""
    assert set(workload(workload_value_files=[]).value("__workload_source.helm")) == {"releaseName"}


def test_a_chart_gets_the_platforms_facts_beside_its_values():
    given = workload(workload_platform={"host": "a"}, workload_values={"replicas": 3})
    assert given.value("__workload_source.helm.valuesObject") == {"platform": {"host": "a"}, "replicas": 3}


def test_what_is_no_chart_gets_no_section_for_helm():
    role = workload(workload_is_chart=False, workload_platform={"host": "a"})
    assert set(role.value("__workload_source")) == {"repoURL", "path", "targetRevision"}


def applied(phase="Succeeded", sync="Synced", revision="main"):
    status = {"operationState": {"phase": phase}}
    status["sync"] = {"status": sync, "comparedTo": {"source": {"targetRevision": revision}}}
    application = {"kind": "Application", "spec": {"source": {"targetRevision": "main"}}, "status": status}
    return {"result": {"results": [{"result": {"kind": "Namespace"}}, {"result": application}]}}


@pytest.mark.parametrize(
    ("seen", "follows", "asks"),
    [
        (applied(), True, False),
        (applied(), False, False),
        (applied("Failed"), True, True),
        (applied(sync="OutOfSync"), True, False),
        (applied(sync="OutOfSync"), False, True),
        (applied(revision="v1"), False, True),
        ({"result": {"results": [{"result": {"kind": "Application", "spec": {"source": {}}}}]}}, False, True),
        ({"result": {"results": [{"result": {"kind": "Application", "spec": {"source": {}}}}]}}, True, False),
    ],
)
def test_a_run_asks_for_a_sync_where_argocd_makes_none_by_itself(seen, follows, asks):
    role = workload(workload_auto_sync=follows, __workload_applied=seen)
    assert role.value("__workload_needs_sync") is asks
