"""The reference chart as helm renders it: what a production team relies on, and what the schema refuses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from aksops_sandbox.tools import Tools

CHART = Path(__file__).parents[3] / "charts" / "reference-workload"
HELM = Tools().locate("helm") or shutil.which("helm")
FACTS: dict[str, Any] = {
    "environment": "test",
    "registry": "crtest.azurecr.io",
    "clientId": "22222222-2222-2222-2222-222222222222",
    "tenantId": "11111111-1111-1111-1111-111111111111",
    "keyVault": "kv-test",
    "host": "shop.example",
}

pytestmark = pytest.mark.skipif(HELM is None, reason="helm is not built: make tools")


def run(tmp_path: Path, values: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    argv = [str(HELM), "template", "reference", str(CHART), "-n", "reference"]
    argv += ["-f", str(CHART / "values-production.yaml"), "-f", str(file), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env={"HOME": str(tmp_path), "PATH": ""})


def render(tmp_path: Path, values: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    done = run(tmp_path, {"platform": FACTS, **(values or {})})
    assert done.returncode == 0, done.stderr
    return {item["kind"]: item for item in yaml.safe_load_all(done.stdout) if item}


def test_pods_meet_the_restricted_profile(tmp_path):
    pod = render(tmp_path)["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)


def test_a_leaving_pod_serves_on_while_it_is_drained(tmp_path):
    objects = render(tmp_path)
    spec = objects["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    notes = objects["Ingress"]["metadata"]["annotations"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert sleep >= 40
    assert pod["terminationGracePeriodSeconds"] > sleep
    assert notes["appgw.ingress.kubernetes.io/connection-draining"] == "true"
    assert int(notes["appgw.ingress.kubernetes.io/connection-draining-timeout"]) >= sleep


def test_a_draining_time_below_the_pods_is_refused(tmp_path):
    done = run(tmp_path, {"platform": FACTS, "preStopSeconds": 61})
    assert "drainingTimeoutSeconds must not be less" in done.stderr


def test_the_image_comes_from_the_platforms_registry_by_digest(tmp_path):
    image = render(tmp_path)["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"]
    registry, rest = image.split("/", 1)
    assert registry == "crtest.azurecr.io"
    assert "@sha256:" in rest


def test_secrets_are_files_read_with_the_workloads_identity(tmp_path):
    objects = render(tmp_path)
    parameters = objects["SecretProviderClass"]["spec"]["parameters"]
    entries = [yaml.safe_load(entry) for entry in yaml.safe_load(parameters["objects"])["array"]]
    assert parameters["clientID"] == FACTS["clientId"]
    assert (
        objects["ServiceAccount"]["metadata"]["annotations"]["azure.workload.identity/client-id"] == FACTS["clientId"]
    )
    assert objects["Deployment"]["spec"]["template"]["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert {entry["objectAlias"] for entry in entries} == {"api-key", "session-key"}
    assert "Secret" not in objects


def test_a_changed_setting_is_a_new_pod_template(tmp_path):
    def checksum(values: dict[str, Any]) -> str:
        template = render(tmp_path, values)["Deployment"]["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/settings"]

    assert checksum({}) == checksum({})
    assert checksum({}) != checksum({"settings": {"FEATURE": "on"}})


def test_the_metadata_service_is_never_reachable(tmp_path):
    for ranges in ([], ["10.40.18.0/24"]):
        policy = render(tmp_path, {"platform": {**FACTS, "serviceRanges": ranges}})["NetworkPolicy"]
        blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule["to"] if "ipBlock" in to]
        wide = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
        assert wide
        assert all("169.254.169.254/32" in block["except"] for block in wide)


def test_pods_run_as_the_service_account_that_the_identity_trusts(tmp_path):
    objects = render(tmp_path, {"platform": {**FACTS, "serviceAccount": "web-sa"}})
    assert objects["ServiceAccount"]["metadata"]["name"] == "web-sa"
    assert objects["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == "web-sa"


@pytest.mark.parametrize(("profile", "kind"), [("agic", "Ingress"), ("gateway", "HTTPRoute")])
def test_each_ingress_profile_has_its_own_object(tmp_path, profile, kind):
    objects = render(tmp_path, {"ingress": {"profile": profile}})
    assert {"Ingress", "HTTPRoute"} & set(objects) == {kind}


def test_the_host_is_sent_to_https_only_with_a_certificate(tmp_path):
    redirect = "appgw.ingress.kubernetes.io/ssl-redirect"
    assert redirect not in render(tmp_path)["Ingress"]["metadata"]["annotations"]
    certified = render(tmp_path, {"platform": {**FACTS, "certificate": "shop"}})
    assert certified["Ingress"]["metadata"]["annotations"][redirect] == "true"


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"image": {"digest": "latest"}},
        {"platform": {**FACTS, "clientId": "not-a-guid"}},
        {"platform": {**FACTS, "password": "x"}},
        {"ingress": {"profile": "nginx"}},
        {"secrets": {"items": [{"name": "bad name"}]}},
        {"user": 0},
    ],
)
def test_the_schema_refuses(tmp_path, wrong):
    done = run(tmp_path, {"platform": FACTS, **wrong})
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


def test_a_fact_that_secrets_need_is_asked_for_by_name(tmp_path):
    done = run(tmp_path, {"platform": {key: value for key, value in FACTS.items() if key != "keyVault"}})
    assert "platform.keyVault is needed" in done.stderr
