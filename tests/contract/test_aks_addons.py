"""aks_addons and arm_resources against the sandbox: one write, nobody's write lost, second run silent."""

from __future__ import annotations

import json
import threading

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _aks, _arm, _arm_resources, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _aks_addons_plan as addons
from ansible_collections.aksops.platform.plugins.module_utils import _kubernetes as kube
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

pytestmark = pytest.mark.contract


@pytest.fixture
def environment(client, monkeypatch):
    """The process in the sandbox's environment, as a task's."""
    for name, value in client.env.items():
        monkeypatch.setenv(name, value)
    return client.env


@pytest.fixture(scope="module")
def cluster_id(client):
    """A small cluster with Azure RBAC that the caller administers."""
    path = client.group("addons") + "/providers/Microsoft.ContainerService/managedClusters/addons"
    pool = {"name": "system", "mode": "System", "count": 1, "vmSize": "Standard_D4ds_v5"}
    body = {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "tags": {"owner": "contract"},
        "properties": {
            "dnsPrefix": "addons",
            "kubernetesVersion": "1.36",
            "disableLocalAccounts": True,
            "aadProfile": {"managed": True, "enableAzureRBAC": True},
            "agentPoolProfiles": [pool],
        },
    }
    assert client.arm("PUT", path, _aks.API_VERSION, body).status in (200, 201)
    yield f"{client.subscription}{path}"
    client.arm("DELETE", path, _aks.API_VERSION)


def arm(environment):
    return _arm.client({}, environment, timeout=120)


def apply(environment, cluster_id, wish, **options):
    settings = {"check_mode": False, "timeout": 120, "interval": 0.2, **options}
    return _aks.apply_addons(arm(environment), cluster_id, wish, **settings)


def writes(sandbox, since=0):
    lines = [json.loads(line) for line in sandbox.run("ledger").splitlines()]
    return [line for line in lines if line["method"] in ("PUT", "PATCH", "DELETE") and line["serial"] > since]


def last_serial(sandbox):
    return max(json.loads(line)["serial"] for line in sandbox.run("ledger").splitlines())


def test_many_features_in_one_put_and_the_second_run_writes_nothing(environment, sandbox, cluster_id):
    wish = {
        "keyvault_secrets_provider": {"enabled": True, "rotation": True, "rotation_interval": "30s"},
        "azure_policy": {"enabled": True},
        "managed_prometheus": {"enabled": True},
        "gateway_api": {"enabled": True},
        "app_routing": {"enabled": True, "istio": True},
    }
    promised = apply(environment, cluster_id, wish, check_mode=True)[0]
    before = last_serial(sandbox)
    plan, cluster = apply(environment, cluster_id, wish)
    assert plan == promised
    assert len(writes(sandbox, before)) == 1
    assert cluster["tags"] == {"owner": "contract"}
    assert addons.describe(cluster)["azure_policy"]["identity"]["object_id"]
    before = last_serial(sandbox)
    assert apply(environment, cluster_id, wish)[0].changes == []
    assert writes(sandbox, before) == []


def test_two_writers_at_once_lose_nothing(environment, cluster_id):
    wishes = [
        {"keyvault_secrets_provider": {"enabled": True, "rotation": True, "rotation_interval": "45s"}},
        {"azure_policy": {"enabled": False}},
        {"gateway_api": {"enabled": True}, "app_routing": {"enabled": False}},
    ]
    errors = []

    def write(wish):
        try:
            apply(environment, cluster_id, wish)
        except AksPlatformError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(wish,)) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    cluster = arm(environment).get(cluster_id, _aks.API_VERSION)
    for wish in wishes:
        assert addons.plan(cluster, wish).changes == []


def test_what_a_writer_with_an_older_version_drops_is_healed(environment, client, cluster_id):
    wish = {"gateway_api": {"enabled": True}}
    apply(environment, cluster_id, wish)
    older = client.arm("GET", cluster_id, "2025-10-01").json
    assert "gatewayAPI" not in (older["properties"].get("ingressProfile") or {})
    assert client.arm("PUT", cluster_id, "2025-10-01", older).status == 200
    plan, cluster = apply(environment, cluster_id, wish)
    assert plan.changes == ["gateway_api.enabled: off -> on"]
    assert addons.feature_state(cluster, "gateway_api")["enabled"]


def test_throttling_and_server_errors_are_survived(environment, faults, cluster_id):
    faults.run(
        "fault", "status", "--host", "management.azure.com", "--status", "429", "--rate", "0.3", "--retry-after", "1"
    )
    wish = {"azure_policy": {"enabled": True}}
    assert apply(environment, cluster_id, wish)[0].changes
    assert apply(environment, cluster_id, wish)[0].changes == []


def test_the_door_opens_and_its_token_is_shown_nowhere(environment, cluster_id, client, tmp_path):
    credential = _auth.credential({}, environment)
    scope = [{"scope": cluster_id, "role": "Azure Kubernetes Service RBAC Cluster Admin"}]
    roles = [{**scope[0], "principal_id": client.env["AKSOPS_PRINCIPAL_ID"]}]
    steps = _arm_resources.read(arm(environment), [], roles, check_mode=False)
    _arm_resources.write(arm(environment), steps, patience=10)
    found = _aks.door(arm(environment), cluster_id)
    token = credential.get_token(_aks.KUBERNETES_SCOPE)
    with _aks.ca_file(found.ca_cert, str(tmp_path / "ca.pem")) as ca_path:
        kubernetes = kube.KubernetesClient(found.host, token.token, ca_path)
        kube.wait_ready(kubernetes, timeout=30, interval=0.5)
        kube.wait_allowed(kubernetes, timeout=30, interval=0.5)
        kube.wait_workloads(kubernetes, ["keyvault_secrets_provider"], timeout=60, interval=0.5)
    assert token.token not in repr(token) + repr(credential) + repr(kubernetes)


def test_role_assignments_are_stable_and_leave_without_a_trace(environment, sandbox, client, cluster_id):
    roles = [{"scope": cluster_id, "role": "Reader", "principal_id": "99999999-9999-4999-8999-999999999999"}]
    for expected in ("create", "none"):
        steps = _arm_resources.read(arm(environment), [], roles, check_mode=False)
        assert [step.action for step in steps] == [expected]
        _arm_resources.write(arm(environment), steps, patience=10, interval=0.2)
    gone = [{**roles[0], "state": "absent"}]
    steps = _arm_resources.read(arm(environment), [], gone, check_mode=False)
    _arm_resources.write(arm(environment), steps, patience=10)
    assert _arm_resources.read(arm(environment), [], gone, check_mode=False) == []
