"""What kubectl, Helm and controllers that are not ours find in a cluster of the sandbox: workloads live as on AKS."""

from __future__ import annotations

import subprocess
import time
import uuid

import pytest
from aksops_sandbox.tools import Tools
from support.aks import AKS, CLUSTER_ADMIN, Cluster, assign, definition

PUBLIC_IPS = "/resourceGroups/MC_work_work_westeurope/providers/Microsoft.Network/publicIPAddresses"


@pytest.fixture(scope="module")
def cluster(client):
    path = client.group("work") + "/providers/Microsoft.ContainerService/managedClusters/work"
    answer = client.arm("PUT", path, AKS, definition(dnsPrefix="work"))
    assert answer.status == 200, answer.body
    found = Cluster(client, path)
    assign(client, path, CLUSTER_ADMIN, client.env["AKSOPS_PRINCIPAL_ID"])
    yield found
    assert client.arm("DELETE", path, AKS).status == 202


@pytest.fixture
def space(cluster, tmp_path):
    """kubectl in a namespace of its own, as a function of its arguments; it fails where kubectl does."""
    name = f"t{uuid.uuid4().hex[:8]}"

    def run(*argv, stdin=None, code=0):
        found, text = cluster.kubectl(tmp_path, "-n", name, *argv, stdin=stdin)
        assert found == code, text
        return text

    run("create", "namespace", name)
    run.name = name
    run.json = lambda *argv: cluster.json(tmp_path, "-n", name, *argv)
    yield run
    run("delete", "namespace", name, "--timeout=50s")


def eventually(check, seconds=30.0):
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.3)
    return found


def test_jobs_and_pods_that_run_once_complete(space):
    space("create", "job", "once", "--image=busybox:1", "--", "true")
    space("wait", "--for=condition=complete", "job/once", "--timeout=40s")
    space("create", "cronjob", "nightly", "--image=busybox:1", "--schedule=0 3 * * *", "--", "true")
    space("create", "job", "now", "--from=cronjob/nightly")
    space("wait", "--for=condition=complete", "job/now", "--timeout=40s")
    space("run", "bare", "--image=busybox:1", "--restart=Never", "--", "true")
    space("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/bare", "--timeout=40s")
    conditions = {item["type"]: item["status"] for item in space.json("get", "pod", "bare")["status"]["conditions"]}
    assert (conditions["Ready"], conditions["PodScheduled"]) == ("False", "True")


STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "postgres:17", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1500Mi}}}
"""
SHARED = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteMany], storageClassName: %s, resources: {requests: {storage: 5Gi}}}
"""


def test_a_stateful_set_gets_its_disks_in_the_zones_of_its_pods(space):
    space("apply", "-f", "-", stdin=STATEFUL)
    space("rollout", "status", "statefulset/db", "--timeout=50s")
    claims = space.json("get", "pvc")["items"]
    assert [item["status"]["phase"] for item in claims] == ["Bound", "Bound"]
    assert {item["status"]["capacity"]["storage"] for item in claims} == {"2Gi"}
    volumes = [space.json("get", "pv", item["spec"]["volumeName"]) for item in claims]
    zones = []
    for number, item in enumerate(volumes):
        node = space.json("get", "pod", f"db-{number}")["spec"]["nodeName"]
        labels = space.json("get", "node", node)["metadata"]["labels"]
        (term,) = item["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert term["matchExpressions"][0]["values"] == [labels["topology.kubernetes.io/zone"]]
        zones += term["matchExpressions"][0]["values"]
        assert "/providers/Microsoft.Compute/disks/pvc-" in item["spec"]["csi"]["volumeHandle"]
    assert len(set(zones)) == 2
    change = '{"spec": {"resources": {"requests": {"storage": "8Gi"}}}}'
    space("patch", "pvc", "data-db-0", "-p", change)
    space("wait", "--for=jsonpath={.status.capacity.storage}=8Gi", "pvc/data-db-0", "--timeout=30s")
    space("delete", "statefulset", "db", "--timeout=40s")
    space("delete", "pvc", "--all", "--timeout=40s")
    names = {item["metadata"]["name"] for item in volumes}
    eventually(lambda: not names & {item["metadata"]["name"] for item in space.json("get", "pv")["items"]})


def test_a_disk_is_not_shared_and_a_file_share_is(space):
    space("apply", "-f", "-", stdin=SHARED % "azurefile-csi")
    space("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/shared", "--timeout=30s")
    space("delete", "pvc", "shared", "--timeout=30s")
    space("apply", "-f", "-", stdin=SHARED % "managed-csi")
    space("run", "user", "--image=busybox:1", "--overrides", OVERRIDES)
    eventually(lambda: "MULTI_NODE_MULTI_WRITER" in space("describe", "pvc", "shared"))
    assert space.json("get", "pod", "user")["status"]["phase"] == "Pending"


OVERRIDES = '{"spec": {"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": "shared"}}]}}'


def test_a_service_gets_an_address_of_the_kind_it_asks_for(space, cluster):
    def addresses():
        return [
            item["properties"]["ipAddress"]
            for item in cluster.client.arm("GET", PUBLIC_IPS, "2025-01-01").json["value"]
        ]

    def address():
        entries = space.json("get", "service", "web")["status"]["loadBalancer"].get("ingress") or [{}]
        return entries[0].get("ip", "")

    before = addresses() if cluster.client.arm("GET", PUBLIC_IPS, "2025-01-01").status == 200 else []
    space("create", "service", "loadbalancer", "web", "--tcp=80:8080")
    public = eventually(address)
    assert addresses() == [*before, public]
    space("annotate", "service", "web", "service.beta.kubernetes.io/azure-load-balancer-internal=true")
    eventually(lambda: address().startswith("10.224."))
    assert addresses() == before
    space("annotate", "service", "web", "service.beta.kubernetes.io/azure-load-balancer-internal-")
    eventually(lambda: address() in addresses())
    space("delete", "service", "web", "--timeout=30s")
    assert addresses() == before


GUARDED = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1", ports: [{containerPort: 80}]}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: %s, selector: {matchLabels: {app: web}}}
"""


def test_a_drain_waits_for_the_disruption_budget(space):
    space("apply", "-f", "-", stdin=GUARDED % 2)
    space("rollout", "status", "deployment/web", "--timeout=40s")
    eventually(lambda: space.json("get", "pdb", "web")["status"].get("currentHealthy") == 2)
    node = space.json("get", "pods", "-l", "app=web")["items"][0]["spec"]["nodeName"]
    drain = ("drain", node, "--ignore-daemonsets", "--pod-selector=app=web")
    try:
        text = space(*drain, "--timeout=4s", code=1)
        assert "would violate the pod's disruption budget" in text
        space("apply", "-f", "-", stdin=GUARDED % 1)
        space(*drain, "--timeout=50s")
        space("rollout", "status", "deployment/web", "--timeout=40s")
        pods = space.json("get", "pods", "-l", "app=web")["items"]
        assert node not in {item["spec"]["nodeName"] for item in pods}
    finally:
        space("uncordon", node)


def test_a_pod_that_asks_for_too_much_stays_pending_and_says_why(space):
    requests = '{"spec": {"containers": [{"name": "big", "image": "a", "resources": {"requests": {"cpu": "64"}}}]}}'
    space("run", "big", "--image=a", "--overrides", requests)
    eventually(lambda: "Insufficient cpu" in space("describe", "pod", "big"))
    assert space.json("get", "pod", "big")["status"]["phase"] == "Pending"


def test_server_side_apply_names_who_owns_a_field(space):
    settings = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"key": "%s"}}'
    space("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=settings % "1")
    text = space("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=settings % "2", code=1)
    assert 'conflict with "one": .data.key' in text


def test_helm_installs_tests_upgrades_and_removes_any_chart(space, cluster, tmp_path):
    helm = str(Tools().path("helm"))

    def run(*argv):
        argv = [helm, "--kubeconfig", str(tmp_path / "kubeconfig"), "-n", space.name, *argv]
        done = subprocess.run(
            argv, env={**cluster.client.env, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    chart = tmp_path / "shop"
    run("create", str(chart))
    run("install", "shop", str(chart), "--wait", "--timeout=60s", "--set", "service.type=LoadBalancer")
    assert "Succeeded" in run("test", "shop", "--timeout=60s")
    run("upgrade", "shop", str(chart), "--wait", "--timeout=60s", "--set", "replicaCount=3")
    assert space.json("get", "deployment", "shop")["status"]["readyReplicas"] == 3
    run("rollback", "shop", "1", "--wait", "--timeout=60s")
    run("uninstall", "shop", "--wait", "--timeout=60s")
    assert space.json("get", "deployments,services")["items"] == []
