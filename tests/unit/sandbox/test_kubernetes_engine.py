"""AKS' parts that need no control plane: data actions, certificates, nodes, defaults, refusals, mounts."""

from __future__ import annotations

import base64
import ssl

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import authorization
from aksops_sandbox.engines.kubernetes.pki import ClusterPki
from aksops_sandbox.services.containerservice import (
    addons,
    components,
    defaults,
    nodes,
    secrets_store,
    validation,
    workload_identity,
)
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

CLUSTER_ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/one"
USER = "0a1b2c3d-0000-4000-8000-000000000001"
GROUP = "0a1b2c3d-0000-4000-8000-000000000002"
PREFIX = "Microsoft.ContainerService/managedClusters"


def cluster(**properties):
    resource = Resource(CLUSTER_ID, "one", PREFIX, "westeurope", {}, {"dnsPrefix": "one", **properties})
    resource.body["identity"] = {"type": "SystemAssigned"}
    defaults.cluster(resource, None)
    return resource


def pool(name="system", **properties):
    resource = Resource(f"{CLUSTER_ID}/agentPools/{name}", name, f"{PREFIX}/agentPools", properties=properties)
    defaults.pool(resource.properties, cluster().properties)
    return resource


@pytest.mark.parametrize(
    ("attributes", "action"),
    [
        ({"verb": "list", "resource": "pods"}, "pods/read"),
        ({"verb": "patch", "group": "apps", "resource": "deployments"}, "apps/deployments/write"),
        ({"verb": "deletecollection", "resource": "secrets"}, "secrets/delete"),
        ({"verb": "create", "resource": "pods", "subresource": "exec"}, "pods/exec/action"),
        ({"verb": "impersonate", "resource": "users"}, "users/impersonate/action"),
        ({"verb": "*", "group": "*", "resource": "*"}, "*/*/*/action"),
    ],
)
def test_requests_become_data_actions(attributes, action):
    assert authorization.data_action({"resourceAttributes": attributes}) == f"{PREFIX}/{action}"


def test_paths_become_data_actions_and_namespaces_scopes():
    assert authorization.data_action({"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}) == (
        f"{PREFIX}/healthz/read"
    )
    assert authorization.scope("/c", {"resourceAttributes": {"namespace": "shop"}}) == "/c/namespaces/shop"
    assert authorization.scope("/c", {"nonResourceAttributes": {"path": "/"}}) == "/c"


class Rbac:
    """Allows one principal and remembers who was asked about."""

    def __init__(self, allowed):
        self.allowed_one = allowed
        self.asked = []

    def allowed(self, principal_oid, action, scope, data=False):
        assert data
        self.asked.append(principal_oid)
        return principal_oid == self.allowed_one


@pytest.mark.parametrize(
    ("user", "allowed", "asked"),
    [
        (USER, False, [USER, GROUP]),
        ("system:serviceaccount:kube-system:coredns", False, []),
        ("masterclient", False, []),
    ],
)
def test_only_entra_principals_are_looked_up(user, allowed, asked):
    rbac = Rbac("nobody")
    spec = {"user": user, "groups": [GROUP, "system:authenticated"], "resourceAttributes": {"verb": "get"}}
    assert authorization.review(rbac, CLUSTER_ID, spec)[0] is allowed
    assert rbac.asked == asked


def test_a_groups_assignment_counts():
    spec = {"user": USER, "groups": [GROUP], "resourceAttributes": {"verb": "get", "resource": "pods"}}
    assert authorization.review(Rbac(GROUP), CLUSTER_ID, spec)[0] is True


def test_certificates_pass_strict_verification(tmp_path):
    pki = ClusterPki(tmp_path)
    pair = pki.server("apiserver", ["one.hcp.westeurope.azmk8s.io", "127.0.0.1"])
    authority = x509.load_pem_x509_certificate(pki.authority.certificate.read_bytes())
    leaf = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    verifier = x509.verification.PolicyBuilder().store(x509.verification.Store([authority]))
    chain = verifier.build_server_verifier(x509.DNSName("one.hcp.westeurope.azmk8s.io")).verify(leaf, [])
    assert chain[-1] == authority
    ssl.create_default_context(cafile=pki.authority.certificate).load_cert_chain(pair.certificate, pair.key)
    assert pair.key.stat().st_mode & 0o077 == 0
    assert pki.server("apiserver", ["127.0.0.1"]).certificate.read_bytes() == pair.certificate.read_bytes()
    before = pair.certificate.read_bytes()
    assert pki.server("apiserver", ["other.example"]).certificate.read_bytes() != before


def test_the_key_set_is_the_service_account_keys(tmp_path):
    pki = ClusterPki(tmp_path)
    key = serialization.load_pem_private_key(pki.service_account_key().read_bytes(), None)
    (entry,) = pki.jwks()["keys"]
    modulus = int.from_bytes(base64.urlsafe_b64decode(entry["n"] + "=="), "big")
    assert modulus == key.public_key().public_numbers().n
    assert ClusterPki(tmp_path).jwks() == pki.jwks()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Standard_D4ds_v5", (4, 16)),
        ("Standard_E8as_v6", (8, 64)),
        ("Standard_F16s_v2", (16, 32)),
        ("Standard_B2ms", (2, 8)),
        ("Unknown", (4, 16)),
    ],
)
def test_sizes_come_from_the_names_of_machines(name, expected):
    assert nodes.size(name) == expected


def test_nodes_look_as_on_aks():
    one = cluster()
    found = nodes.manifests(one, pool(count=4, availabilityZones=["1", "2", "3"], nodeTaints=["a=b:NoSchedule"]), 0)
    names = [item["metadata"]["name"] for item in found]
    assert names == [f"aks-system-{defaults.number_of(CLUSTER_ID)}-vmss00000{index}" for index in range(4)]
    zones = [item["metadata"]["labels"]["topology.kubernetes.io/zone"] for item in found]
    assert zones == ["westeurope-1", "westeurope-2", "westeurope-3", "westeurope-1"]
    assert found[0]["spec"]["taints"] == [{"key": "a", "value": "b", "effect": "NoSchedule"}]
    assert len({item["status"]["addresses"][0]["address"] for item in found}) == 4
    stopped = pool(count=2, powerState={"code": "Stopped"})
    assert nodes.manifests(one, stopped, 0) == []


@given(st.integers(0, 36**6 - 1))
def test_the_eleventh_node_counts_in_base_36(number):
    assert int(nodes._base36(number), 36) == number


def test_defaults_fill_what_azure_fills():
    properties = cluster(networkProfile={"networkPluginMode": "overlay", "networkDataplane": "cilium"}).properties
    assert properties["nodeResourceGroup"] == "MC_rg_one_westeurope"
    assert properties["networkProfile"]["networkPolicy"] == "cilium"
    assert properties["networkProfile"]["podCidrs"] == ["10.244.0.0/16"]
    assert properties["currentKubernetesVersion"].count(".") == 2
    assert pool().properties["maxPods"] == 30
    scaled = pool(enableAutoScaling=True, minCount=2, maxCount=5)
    assert scaled.properties["count"] == 2


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"count": 0, "mode": "System"}, "InvalidParameter"),
        ({"enableAutoScaling": True, "minCount": 4, "maxCount": 2}, "InvalidParameter"),
        ({"minCount": 1, "maxCount": 2}, "InvalidParameter"),
        ({"maxPods": 300}, "InvalidParameter"),
        ({"nodeTaints": ["a=b:Never"]}, "InvalidParameter"),
        ({"vmSize": "Standard_D4s_v6", "osDiskType": "Ephemeral"}, "VMTemporaryDiskTooSmall"),
    ],
)
def test_bad_pools_are_refused(properties, code):
    with pytest.raises(AzureError) as refusal:
        validation.pool(pool(**properties).properties, "system")
    assert refusal.value.code == code


@pytest.mark.parametrize("version", ["1.29", "1.36.99", "1.37", "", "latest"])
def test_versions_that_are_not_offered_are_refused(version):
    with pytest.raises(AzureError, match="not supported in this region"):
        validation.version(version, "one")


def test_every_component_has_a_path_and_a_selector_that_fits():
    from aksops_sandbox.engines.kubernetes.client import path_of

    one = cluster(securityProfile={"workloadIdentity": {"enabled": True}})
    manifests = [*components.system(one), *components.managed_prometheus()]
    for addon in addons.ADDONS:
        manifests += addon.manifests(one, {})
    paths = [path_of(item) for item in manifests]
    assert len(paths) == len(set(paths))
    for item in manifests:
        if item["kind"] in ("Deployment", "DaemonSet"):
            wanted = item["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= item["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(("text", "expected"), [("2m", 120.0), ("30s", 30.0), ("1h", 3600.0), ("2", None), ("m", None)])
def test_intervals(text, expected):
    assert addons.seconds(text) == expected


def a_pod(**change):
    spec = {"nodeName": "n", "volumes": [{"name": "s", "csi": {"driver": secrets_store.DRIVER}}, {"name": "t"}]}
    return {"metadata": {"name": "p", **change.pop("metadata", {})}, "spec": {**spec, **change}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (a_pod(), True),
        (a_pod(nodeName=None), False),
        (a_pod(volumes=[{"name": "x", "emptyDir": {}}]), False),
        (a_pod(volumes=None), False),
        (a_pod(metadata={"deletionTimestamp": "now"}), False),
        (a_pod(metadata={"annotations": {secrets_store.MOUNTED: "true"}}), False),
    ],
)
def test_pods_that_wait_for_a_mount(pod, expected):
    assert secrets_store.waits(pod) is expected


def apply_patch(pod, operations):
    """JSON patch, `add` only."""
    for operation in operations:
        *steps, last = operation["path"].strip("/").split("/")
        place = pod
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if last == "-":
            place.append(operation["value"])
        else:
            place[last] = operation["value"]


@pytest.mark.parametrize("env", [None, [], [{"name": "AZURE_TENANT_ID", "value": "mine"}]])
def test_workload_identity_is_patched_in_once(env):
    container = {"name": "c"} if env is None else {"name": "c", "env": list(env)}
    pod = {"spec": {"containers": [container], "initContainers": [{"name": "i", "volumeMounts": []}]}}
    apply_patch(pod, workload_identity.patch(pod, "tenant", "client"))
    values = {item["name"]: item["value"] for item in pod["spec"]["containers"][0]["env"]}
    assert values["AZURE_TENANT_ID"] == ("mine" if env else "tenant")
    assert values["AZURE_CLIENT_ID"] == "client"
    assert pod["spec"]["initContainers"][0]["volumeMounts"][0]["mountPath"] == workload_identity.TOKEN_FOLDER
    assert pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] == (
        workload_identity.AUDIENCE
    )
    assert workload_identity.patch(pod, "tenant", "client") == []
