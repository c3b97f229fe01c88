"""Every Kubernetes object of this repository, checked by kubeconform and by the API server (server-side dry run).

The schemas are those of the running API server, the custom kinds those of the projects: Argo CD's and the Gateway API's
from their Go modules, the Secrets Store's as the add-on brings them. Pods are judged by the profile `restricted`.
The chart argo-cd is the sandbox's stand-in with the values that the role passes: the public one is not to be had here.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from aksops_sandbox.tools import Tools
from support import manifests, schemas
from support.aks import AKS, CLUSTER_ADMIN, Cluster, assign, definition
from support.inputs import OTLP, PLATFORM, ROLES

CHARTS = manifests.ROOT / "charts"
STAND_IN = manifests.ROOT / "sandbox/aksops_sandbox/charts/argo-cd"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
SECRETS = {"items": [{"name": "a"}, {"name": "b", "type": "key"}, {"name": "c", "type": "cert", "file": "c.pem"}]}
WORKLOADS = {
    "defaults": ([], {}),
    "defaults-secrets": ([], {"secrets": SECRETS, "telemetry": {"otlpEndpoint": "http://otel.monitoring:4318"}}),
    "defaults-fixed": ([], {"autoscaling": {"enabled": False}, "ingress": {"profile": "none"}}),
    "production": (["values-production.yaml"], {}),
    "production-gateway": (["values-production.yaml"], {"ingress": {"profile": "gateway"}}),
}
SOURCES = [
    *(f"workload {name}" for name in WORKLOADS),
    "argo-cd high availability",
    "argo-cd single",
    *(f"role {name}" for name in sorted(manifests.writers())),
    "role azure_monitor native_otlp",
]


def rendered(source: str, folder: Path) -> list[manifests.Object]:
    kind, _, name = source.partition(" ")
    if kind == "workload":
        files, values = WORKLOADS[name]
        return manifests.chart(CHARTS / "reference-workload", {"platform": PLATFORM, **values}, folder, "shop", *files)
    if kind == "argo-cd":
        role = manifests.Role("argocd", **ROLES["argocd"], argocd_high_availability=name != "single")
        return manifests.chart(STAND_IN, role.value("__argocd_values_all"), folder, "argocd")
    name, _, variant = name.partition(" ")
    assert name in ROLES, f"tests/support/inputs.py has no inputs for the role {name}"
    return manifests.Role(name, **{**ROLES[name], **(OTLP if variant else {})}).objects()


class Server:
    """The API server of a cluster: schemas, and dry runs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.known: set[tuple[str, str]] = set()

    def kubectl(self, *argv: str, objects: list[manifests.Object] | None = None) -> tuple[int, str]:
        stdin = None if objects is None else yaml.safe_dump_all(objects)
        return self.cluster.kubectl(self.folder, *argv, stdin=stdin)

    def learn(self, objects: list[manifests.Object]) -> None:
        """Write the schema of every kind."""
        wanted = {(item["apiVersion"], item["kind"]) for item in objects} - self.known
        for version in sorted({version for version, _ in wanted}):
            deadline = time.monotonic() + 30
            while True:
                code, text = self.kubectl("get", "--raw", f"/openapi/v3/{schemas.group_path(version)}")
                document = json.loads(text) if code == 0 else {}
                missing = {pair for pair in wanted if pair[0] == version} - set(schemas.kinds(document))
                if not missing or time.monotonic() > deadline:
                    break
                time.sleep(1)  # a new kind is described some moments after its definition
            assert not missing, f"the API server does not know {missing}"
            for pair in (pair for pair in wanted if pair[0] == version):
                schemas.write(self.folder, document, *pair)
                self.known.add(pair)

    def conforms(self, objects: list[manifests.Object]) -> tuple[int, str]:
        argv = [str(Tools().path("kubeconform")), "-strict", "-summary", "-schema-location"]
        done = subprocess.run(
            [*argv, str(self.folder / schemas.LOCATION)],
            input=yaml.safe_dump_all(objects),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def dry_run(self, objects: list[manifests.Object], namespace: str) -> tuple[int, str]:
        """A dry run of all; `namespace` is that of objects which name none."""
        spaces: dict[str, list[manifests.Object]] = {}
        for item in objects:
            spaces.setdefault(item["metadata"].get("namespace") or namespace, []).append(item)
        argv = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", "-n"]
        answers = [self.kubectl(*argv, space, objects=items) for space, items in spaces.items()]
        return max(code for code, _ in answers), "".join(text for _, text in answers)


@pytest.fixture(scope="module")
def server(client, tmp_path_factory):
    Tools().build(["kubeconform", "helm", "argocd"])
    path = client.group("manifests") + "/providers/Microsoft.ContainerService/managedClusters/manifests"
    profiles = {"azureKeyvaultSecretsProvider": {"enabled": True}}
    answer = client.arm("PUT", path, AKS, definition(addonProfiles=profiles))
    assert answer.status == 200, answer.body
    assign(client, path, CLUSTER_ADMIN, client.env["AKSOPS_PRINCIPAL_ID"])
    found = Server(Cluster(client, path), tmp_path_factory.mktemp("manifests"))
    crds = [item for tool in ("argocd", "kubeconform") for item in sorted(Tools().shared(tool, "crds").glob("*.yaml"))]
    objects = [item for file in crds for item in yaml.safe_load_all(file.read_text()) if item]
    objects = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
        for name in ("shop", "argocd")
    ]
    code, text = found.kubectl("apply", "--server-side", "-f", "-", objects=[*objects, *spaces])
    assert code == 0, text
    yield found
    assert client.arm("DELETE", path, AKS).status == 202


@pytest.mark.parametrize("source", SOURCES)
def test_objects_conform_and_the_api_server_takes_them(server, tmp_path, source):
    objects = rendered(source, tmp_path)
    assert objects
    server.learn(objects)
    code, text = server.conforms(objects)
    assert code == 0, text
    assert f"Valid: {len(objects)}" in text, text
    code, text = server.dry_run(objects, "argocd" if source.startswith("argo-cd") else "shop")
    assert code == 0, text
    assert "Warning" not in text, text


@pytest.mark.parametrize("source", [name for name in SOURCES if not name.startswith("role") or "azure_monitor" in name])
def test_every_pod_meets_the_restricted_profile(server, tmp_path, source):
    pods = manifests.pods(rendered(source, tmp_path))
    assert pods
    code, text = server.dry_run(pods, "shop")
    assert code == 0, text


def test_what_is_wrong_is_refused(server, tmp_path):
    objects = rendered("workload production", tmp_path)
    server.learn(objects)
    deployment = next(item for item in objects if item["kind"] == "Deployment")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["replica"] = 3
    code, text = server.conforms([wrong])
    assert (code, "replica" in text) == (1, True)
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["minReadySeconds"] = "ten"
    assert server.conforms([wrong])[0] == 1
    pod = manifests.pods([deployment])[0]
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    code, text = server.dry_run([pod], "shop")
    assert (code, 'violates PodSecurity "restricted' in text) == (1, True)
