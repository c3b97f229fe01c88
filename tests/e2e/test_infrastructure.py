"""Terraform's part: what its state holds, who may plan, what stops a run, and what a killed run costs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aksops_sandbox.settings import Home
from support.azure import Answer, Client

pytestmark = pytest.mark.e2e

Bench = Any  # the fixture's class, from conftest.py
ROOT = Path(__file__).resolve().parents[2]
STORAGE = "https://storage.azure.com"
#: Attributes of a state under which azurerm keeps what would be a credential if keys were on.
KEYS = ("access_key", "primary_key", "secondary_key", "shared_key", "connection_string", "password", "client_secret")


@pytest.fixture(scope="module")
def platform(bench: Bench) -> Bench:
    """The infrastructure of the session's sandbox."""
    for name in ("state", "infrastructure"):
        run = bench.playbook(name)
        assert run.code == 0, run.output
    return bench


@pytest.fixture(scope="module")
def client(platform: Bench) -> Client:
    return Client(Home(platform.home))


def state_account(client: Client) -> str:
    subscription = client.env["ARM_SUBSCRIPTION_ID"]
    return "sttfsandbox" + hashlib.sha1(f"{subscription}/aksops/sandbox".encode()).hexdigest()[:6]


@pytest.fixture(scope="module")
def state(client: Client) -> dict[str, Any]:
    """Terraform's state, as whoever may read the blob sees it."""
    url = f"https://{state_account(client)}.blob.core.windows.net/tfstate/sandbox.tfstate"
    answer = client.send(
        "GET", url, headers={"Authorization": f"Bearer {client.token(STORAGE)}", "x-ms-version": "2023-11-03"}
    )
    assert answer.status == 200, answer.body
    return answer.json


def found(state: dict[str, Any], kind: str) -> dict[str, Any]:
    """Attributes of the only resource of a type."""
    instances = [
        instance["attributes"]
        for resource in state["resources"]
        if resource["type"] == kind
        for instance in resource["instances"]
    ]
    assert len(instances) == 1, f"{len(instances)} of {kind}"
    return instances[0]


def keys_of(state: dict[str, Any]) -> set[tuple[str, str]]:
    """(type, attribute) of everything in the state that looks like a credential."""
    seen = set()

    def walk(kind: str, name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(kind, key, item)
        elif isinstance(value, list):
            for item in value:
                walk(kind, name, item)
        elif isinstance(value, str) and value and any(word in name for word in KEYS):
            seen.add((kind, name))

    for resource in state["resources"]:
        for instance in resource["instances"]:
            walk(resource["type"], "", instance["attributes"])
    return seen


def signature(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()


def test_every_key_in_state_is_known_to_the_tests_below(state: dict[str, Any]) -> None:
    """A new kind of key in state needs a test of its own that proves it useless."""
    assert {kind for kind, _ in keys_of(state)} == {
        "azurerm_application_insights",
        "azurerm_log_analytics_workspace",
        "azurerm_servicebus_namespace",
        "azurerm_storage_account",
    }


def test_no_credential_of_the_run_is_in_state(state: dict[str, Any], client: Client) -> None:
    text = json.dumps(state)
    assert client.env["ARM_CLIENT_SECRET"] not in text
    cluster = found(state, "azurerm_kubernetes_cluster")
    assert cluster["kube_admin_config"] == []
    for item in cluster["kube_config"]:
        assert (item["client_key"], item["password"]) == ("", "")
    assert "token:" not in cluster["kube_config_raw"]
    server = found(state, "azurerm_postgresql_flexible_server")
    assert not server["administrator_password"]
    assert not server["administrator_password_wo"]


@pytest.mark.parametrize("which", ["primary_access_key", "secondary_access_key"])
def test_storage_refuses_its_keys(state: dict[str, Any], client: Client, which: str) -> None:
    account = found(state, "azurerm_storage_account")
    headers = {"x-ms-date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()), "x-ms-version": "2023-11-03"}
    canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "GET" + "\n" * 12 + canonical + f"/{account['name']}/\ncomp:list"
    headers["Authorization"] = f"SharedKey {account['name']}:{signature(account[which], text)}"
    answer = client.send("GET", f"https://{account['name']}.blob.core.windows.net/?comp=list", headers=headers)
    assert answer.status == 403
    assert b"KeyBasedAuthenticationNotPermitted" in answer.body


@pytest.mark.parametrize("which", ["default_primary_key", "default_secondary_key"])
def test_service_bus_refuses_its_keys(state: dict[str, Any], client: Client, which: str) -> None:
    namespace = found(state, "azurerm_servicebus_namespace")
    uri = f"https://{namespace['name']}.servicebus.windows.net/orders"
    scope, expiry = urllib.parse.quote_plus(uri), int(time.time()) + 600
    digest = hmac.new(namespace[which].encode(), f"{scope}\n{expiry}".encode(), hashlib.sha256).digest()
    sig = urllib.parse.quote_plus(base64.b64encode(digest))
    token = f"SharedAccessSignature sr={scope}&sig={sig}&se={expiry}&skn=RootManageSharedAccessKey"
    answer = client.send("POST", f"{uri}/messages", b"{}", {"Authorization": token})
    assert answer.status == 401
    assert b"disabled" in answer.body


@pytest.mark.parametrize("which", ["primary_shared_key", "secondary_shared_key"])
def test_log_analytics_refuses_its_keys(state: dict[str, Any], client: Client, which: str) -> None:
    workspace = found(state, "azurerm_log_analytics_workspace")
    customer, body = workspace["workspace_id"], b'[{"a": 1}]'
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    text = f"POST\n{len(body)}\napplication/json\nx-ms-date:{date}\n/api/logs"
    headers = {
        "Authorization": f"SharedKey {customer}:{signature(workspace[which], text)}",
        "Content-Type": "application/json",
        "Log-Type": "Leaked",
        "x-ms-date": date,
    }
    url = f"https://{customer}.ods.opinsights.azure.com/api/logs?api-version=2016-04-01"
    answer = client.send("POST", url, body, headers)
    assert answer.status == 403
    assert b"LocalAuthDisabled" in answer.body


def test_application_insights_refuses_its_key(state: dict[str, Any], client: Client) -> None:
    component = found(state, "azurerm_application_insights")
    parts = dict(part.split("=", 1) for part in component["connection_string"].split(";") if part)
    item = {
        "iKey": component["instrumentation_key"],
        "name": "x",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": {"baseType": "MessageData", "baseData": {"message": "leaked", "ver": 2}},
    }
    answer = client.send("POST", f"{parts['IngestionEndpoint'].rstrip('/')}/v2.1/track", [item])
    assert answer.status == 401
    assert "Local authentication is disabled" in answer.json["errors"][0]["message"]


def test_the_cluster_gives_no_local_account(state: dict[str, Any], client: Client) -> None:
    cluster = found(state, "azurerm_kubernetes_cluster")["id"]
    answer: Answer = client.send(
        "POST",
        f"https://management.azure.com{cluster}/listClusterAdminCredential?api-version=2025-10-01",
        b"",
        {"Authorization": f"Bearer {client.token('https://management.azure.com')}"},
    )
    assert answer.status == 400
    assert b"local account" in answer.body.lower()


def test_a_run_leaves_no_secret_on_disk(platform: Bench, client: Client) -> None:
    secret = client.env["ARM_CLIENT_SECRET"].encode()
    assert [str(path) for path in platform.work.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
    folders = list(platform.work.rglob("platform.auto.tfvars.json"))
    assert len(folders) == 1
    assert folders[0].parent.stat().st_mode & 0o777 == 0o700


def test_nothing_secret_is_said_at_the_highest_verbosity(platform: Bench, client: Client) -> None:
    run = platform.playbook("infrastructure", "-vvv", "--diff")
    assert run.code == 0, run.output
    assert run.recap("changed") == 0
    assert client.env["ARM_CLIENT_SECRET"] not in run.output


def test_the_plan_is_empty_for_whoever_makes_it(platform: Bench, tmp_path: Path) -> None:
    said = tmp_path / "said"
    for account in ("operator", "second"):
        run = platform.playbook("plan", "-e", f"infrastructure_plan_file={said}", account=account)
        assert run.code == 0, run.output
        assert said.read_text() == "No changes\n"


def test_a_plan_that_replaces_anything_stops_before_any_write(platform: Bench) -> None:
    since = platform.mark()
    run = platform.playbook("infrastructure", "-e", '{"infrastructure_storage": {"replication_type": "GZRS"}}')
    assert run.code != 0
    assert 'terraform_data.decided_at_creation["storage_redundancy"]: replace' in run.output
    assert "infrastructure_allow_destroy" in run.output
    assert platform.writes(since) == []


def test_what_a_failed_apply_has_marked_is_kept_where_it_is_whole(platform: Bench, client: Client) -> None:
    url = f"https://{state_account(client)}.blob.core.windows.net/tfstate/sandbox.tfstate"
    headers = {"Authorization": f"Bearer {client.token(STORAGE)}", "x-ms-version": "2023-11-03"}
    marked = client.send("GET", url, headers=headers).json
    (vault,) = (item for item in marked["resources"] if item["type"] == "azurerm_key_vault")
    vault["instances"][0]["status"] = "tainted"
    marked["serial"] += 1
    assert client.send("PUT", url, marked, {**headers, "x-ms-blob-type": "BlockBlob"}).status == 201
    dry = platform.playbook("infrastructure", "--check")
    assert dry.code == 0, dry.output[-3000:]
    since = platform.mark()
    run = platform.playbook("infrastructure")
    assert run.code == 0, run.output[-3000:]
    assert "kept module.key_vault.azurerm_key_vault.this" in run.output
    assert run.recap("changed") == 0
    assert platform.writes(since) == []


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"infrastructure_kubernetes": {"version": "1.34"}}, "1.34"),
        ({"infrastructure_kubernetes": {"verzion": "1.36"}}, "verzion"),
        ({"infrastructure_name_prefix": "Not_a_Name"}, "infrastructure_name_prefix"),
        ({"infrastructure_kubernetes": {"pod_cidr": "10.40.0.0/14"}}, "must not overlap"),
        ({"infrastructure_service_bus": {"capacity": 3}}, "capacity"),
    ],
)
def test_bad_input_is_one_error_before_any_write(platform: Bench, extra: dict[str, Any], words: str) -> None:
    since = platform.mark()
    run = platform.playbook("infrastructure", "-e", json.dumps(extra))
    assert run.code != 0
    assert words in run.output
    assert run.recap("failed") == 1
    assert platform.writes(since) == []


def descendants(root: int) -> list[int]:
    rows = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    parents = dict(zip(map(int, rows[::2]), map(int, rows[1::2]), strict=True))
    wanted = {root}
    while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
        wanted |= more
    return sorted(wanted, reverse=True)


@pytest.fixture
def fresh(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A sandbox with a home for the state and nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    folder.chmod(0o711)
    made = type(bench)(folder)
    made.work.mkdir()
    try:
        made.sandbox("up", "--while", str(os.getpid()))
        yield made
    finally:
        made.end()


def test_check_mode_on_an_empty_subscription_writes_nothing(fresh: Bench) -> None:
    since = fresh.mark()
    for name in ("state", "infrastructure"):
        run = fresh.playbook(name, "--check", "--diff")
        assert run.code == 0, run.output
        assert run.recap("changed") == 1, run.changed_tasks
    assert fresh.writes(since) == []
    assert [path for path in fresh.work.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("whole", [True, False], ids=["with its Terraform", "its process group only"])
def test_a_killed_apply_converges(fresh: Bench, whole: bool) -> None:
    """SIGKILL while resources are being made. Ansible's tasks have sessions of their own, so Terraform may live on."""
    run = fresh.playbook("state")
    assert run.code == 0, run.output
    log = fresh.folder / "killed.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            fresh.command("ansible-playbook", "-i", "inventories/sandbox", "playbooks/infrastructure.yml"),
            cwd=ROOT,
            env={**os.environ, **fresh.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 300
        while not fresh.ledger(0, "PUT", "/resourceGroups/rg-aksops-sandbox/providers/Microsoft.KeyVault"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        victims = descendants(process.pid) if whole else []
        os.killpg(process.pid, signal.SIGKILL)
        for pid in victims:
            if pid != process.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        process.wait()
    run = fresh.playbook("infrastructure")
    assert run.code == 0, run.output
    assert "did not come to its end" in run.output
    again = fresh.playbook("infrastructure")
    assert again.code == 0, again.output
    assert again.recap("changed") == 0
