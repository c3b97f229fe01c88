"""Key Vault: the sandbox against the official client, and keyvault_secrets against the sandbox over the wire."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_task
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_vault import address
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient

ROOT = Path(__file__).resolve().parents[2]
VERSION = "2026-02-01"
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
CERTIFICATES_OFFICER = "a4417e6f-fecd-4de8-b567-7b0420556985"
ROLES = "2022-04-01"


def make_vault(client: Any, name: str, role: str | None = OFFICER, **properties: Any) -> str:
    """Make a vault with a role for the operator; returns its id."""
    group = client.group("rg-keyvault")
    path = f"{group}/providers/Microsoft.KeyVault/vaults/{name}"
    body = {
        "location": "westeurope",
        "properties": {
            "tenantId": client.env["ARM_TENANT_ID"],
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            **properties,
        },
    }
    answer = client.arm("PUT", path, VERSION, body)
    assert answer.status in {200, 201}, answer.body
    if role:
        grant(client, answer.json["id"], role)
    return str(answer.json["id"])


def grant(client: Any, scope: str, role: str) -> None:
    body = {
        "properties": {
            "roleDefinitionId": f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "principalId": client.env["AKSOPS_PRINCIPAL_ID"],
            "principalType": "ServicePrincipal",
        }
    }
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    assert client.arm("PUT", path, ROLES, body).status in {200, 201}


@pytest.fixture
def environment(client, monkeypatch) -> dict[str, str]:
    """The sandbox's variables in this process, so that clients find their way."""
    for name, value in client.env.items():
        monkeypatch.setenv(name, value)
    return dict(client.env)


@pytest.fixture
def vault(client, environment) -> str:
    """The name of a fresh vault."""
    name = f"kv-{uuid.uuid4().hex[:12]}"
    make_vault(client, name)
    return name


def official(env: dict[str, str], vault: str) -> SecretClient:
    credential = ClientSecretCredential(env["ARM_TENANT_ID"], env["ARM_CLIENT_ID"], env["ARM_CLIENT_SECRET"])
    return SecretClient(f"https://{vault}.vault.azure.net", credential, retry_total=3)


def parameters(secrets: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    return {
        "secrets": secrets,
        "concurrency": 16,
        "compare": "value",
        "rbac_wait": 60,
        "request_timeout": 30,
        **options,
    }


def seed(vault: str, secrets: list[dict[str, Any]], **options: Any):
    params = parameters(secrets, **options)
    client = _keyvault_task.client(params, f"https://{vault}.vault.azure.net")
    return _keyvault_task.seed(params, client, check_mode=False)


# The sandbox as the official client sees it.


def test_official_client_lives_through_a_secrets_whole_life(environment, vault):
    secrets = official(environment, vault)
    first = secrets.set_secret("life", "one", tags={"a": "b"}, content_type="text/plain")
    second = secrets.set_secret("life", "two")
    assert secrets.get_secret("life").value == "two"
    assert secrets.get_secret("life", first.properties.version).value == "one"
    assert secrets.get_secret("life").properties.tags in (None, {})
    assert len(list(secrets.list_properties_of_secret_versions("life"))) == 2
    secrets.update_secret_properties("life", enabled=False)
    with pytest.raises(HttpResponseError, match="disabled"):
        secrets.get_secret("life")
    secrets.update_secret_properties("life", second.properties.version, enabled=True)
    blob = secrets.backup_secret("life")
    assert b"two" not in blob
    secrets.begin_delete_secret("life").wait()
    with pytest.raises(ResourceExistsError, match="deleted but recoverable"):
        secrets.set_secret("life", "three")
    secrets.begin_recover_deleted_secret("life").wait()
    assert secrets.get_secret("life").value == "two"
    secrets.begin_delete_secret("life").wait()
    secrets.purge_deleted_secret("life")
    with pytest.raises(ResourceNotFoundError):
        secrets.get_deleted_secret("life")
    assert secrets.restore_secret_backup(blob).version == second.properties.version


def test_official_client_follows_pages(environment, vault):
    seed(vault, [{"name": f"s{number}", "value": f"value-{number}"} for number in range(60)])
    assert len(list(official(environment, vault).list_properties_of_secrets())) == 60


def test_a_certificate_makes_a_managed_secret(client, environment, vault):
    path = f"{client.group('rg-keyvault')}/providers/Microsoft.KeyVault/vaults/{vault}"
    grant(client, f"{client.subscription}{path}", CERTIFICATES_OFFICER)
    body = {"policy": {"issuer": {"name": "Self"}, "x509_props": {"subject": "CN=gateway.example.com"}}}
    url = f"https://{vault}.vault.azure.net/certificates/tls"
    answer = client.bearer("POST", f"{url}/create?api-version=7.6", body, "https://vault.azure.net")
    assert answer.status == 202
    assert (
        client.bearer("GET", f"{url}/pending?api-version=7.6", None, "https://vault.azure.net").json["status"]
        == "completed"
    )
    assert official(environment, vault).get_secret("tls").properties.content_type == "application/x-pkcs12"
    with pytest.raises(AksPlatformError, match="tls: belongs to the certificate"):
        seed(vault, [{"name": "tls", "value": "mine-instead"}])


def test_vaults_are_soft_deleted_recovered_and_purged(client, environment):
    name = f"kv-{uuid.uuid4().hex[:12]}"
    vault_id = make_vault(client, name)
    deleted = f"/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{name}"
    seed(name, [{"name": "kept", "value": "the-value"}])
    assert client.arm("DELETE", vault_id, VERSION).status == 200
    assert client.arm("GET", deleted, VERSION).json["properties"]["vaultId"] == vault_id
    check = client.arm(
        "POST", "/providers/Microsoft.KeyVault/checkNameAvailability", VERSION, {"name": name, "type": "vaults"}
    )
    assert not check.json["nameAvailable"]
    body = {
        "location": "westeurope",
        "properties": {"tenantId": client.env["ARM_TENANT_ID"], "sku": {"family": "A", "name": "standard"}},
    }
    assert client.arm("PUT", vault_id, VERSION, body).status == 409
    body["properties"]["createMode"] = "recover"
    assert client.arm("PUT", vault_id, VERSION, body).status in {200, 201}
    grant(client, vault_id, OFFICER)
    assert official(environment, name).get_secret("kept").value == "the-value"
    client.arm("DELETE", vault_id, VERSION)
    assert client.arm("POST", f"{deleted}/purge", VERSION).status in {200, 202}
    assert client.arm("GET", deleted, VERSION).status == 404


# The module's own client over the wire.


def test_a_vault_by_name_is_found_explained_and_recovered(client, environment):
    name = f"kv-{uuid.uuid4().hex[:12]}"
    vault_id = make_vault(client, name)
    params = {"vault_name": name, "recover_vault": False}
    assert address(params, False) == (f"https://{name}.vault.azure.net", False)
    assert address({**params, "resource_group": "rg-keyvault"}, False)[0] == f"https://{name}.vault.azure.net"
    with pytest.raises(AksPlatformError, match="There is no vault 'kv-nowhere-1'"):
        address({"vault_name": "kv-nowhere-1"}, False)
    client.arm("DELETE", vault_id, VERSION)
    with pytest.raises(AksPlatformError, match=r"is soft-deleted since .* recover_vault: true"):
        address(params, False)
    assert address({**params, "recover_vault": True}, True) == ("", True)
    assert address({**params, "recover_vault": True}, False) == (f"https://{name}.vault.azure.net", True)
    assert client.arm("GET", vault_id, VERSION).status == 200


@pytest.mark.parametrize("trial", range(5))
def test_ten_percent_of_trouble_over_the_wire(environment, vault, faults, trial):
    wanted = [{"name": f"s{number}", "value": f"value-{number}"} for number in range(40)]
    faults.run("fault", "--seed", str(trial))
    for kind, options in {
        "status": ["--status", "503"],
        "reset": [],
        "lost": [],
        "timeout": ["--ms", "200"],
    }.items():
        faults.run("fault", kind, "--host", f"{vault}*", "--rate", "0.025", *options)
    report, _ = seed(vault, wanted)
    faults.run("fault", "clear")
    failed = {outcome.change.name for outcome in report.failures}
    secrets = official(environment, vault)
    for item in wanted:
        if item["name"] not in failed:
            assert secrets.get_secret(item["name"]).value == item["value"]
            assert len(list(secrets.list_properties_of_secret_versions(item["name"]))) == 1
    assert not seed(vault, wanted)[0].failures


def test_a_role_that_has_not_arrived_is_waited_for(client, environment, faults):
    faults.run("fault", "rbac-delay", "--seconds", "4")
    name = f"kv-{uuid.uuid4().hex[:12]}"
    make_vault(client, name)
    report, result = seed(name, [{"name": "a", "value": "the-value"}])
    assert report.summary() == {"created": 1}
    assert result["seconds"]["waited_for_rbac"] >= 2


def test_from_outside_a_private_vault_is_closed(sandbox, client, environment, monkeypatch):
    name = f"kv-{uuid.uuid4().hex[:12]}"
    make_vault(client, name, publicNetworkAccess="Disabled")
    monkeypatch.setenv("HTTPS_PROXY", sandbox.client("outside").env["HTTPS_PROXY"])
    monkeypatch.setenv("https_proxy", sandbox.client("outside").env["HTTPS_PROXY"])
    with pytest.raises(AksPlatformError, match="comes through no private endpoint"):
        seed(name, [{"name": "a", "value": "the-value"}])


def test_values_come_from_azure_and_go_to_azure(client, environment, vault):
    group = f"{client.subscription}{client.group('rg-keyvault-target')}"
    namespace = f"{group}/providers/Microsoft.ServiceBus/namespaces/{vault}"
    body = {"location": "westeurope", "sku": {"name": "Standard"}}
    assert client.arm("PUT", namespace, "2024-01-01", body).status < 300
    rule = f"{namespace}/AuthorizationRules/RootManageSharedAccessKey"
    wanted = [
        {
            "name": "connection",
            "arm_key": {
                "resource_id": rule,
                "action": "listKeys",
                "api_version": "2024-01-01",
                "path": "primaryConnectionString",
            },
        },
        {
            "name": "given",
            "value": "the-value-that-is-given",
            "apply_to": {"resource_id": group, "api_version": "2023-07-01", "path": "tags.given"},
        },
    ]
    report, _ = seed(vault, wanted)
    assert not report.failures, report.table()
    keys = client.arm("POST", f"{rule}/listKeys", "2024-01-01").json
    assert official(environment, vault).get_secret("connection").value == keys["primaryConnectionString"]
    assert client.arm("GET", group, "2023-07-01").json["tags"] == {"given": "the-value-that-is-given"}
    assert not seed(vault, wanted)[0].changed


def test_a_wrong_secret_is_one_sentence_without_it(environment, vault, monkeypatch):
    monkeypatch.setenv("ARM_CLIENT_SECRET", "planted-wrong-secret")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "planted-wrong-secret")
    with pytest.raises(AksPlatformError, match=r"No token for .* by client_secret") as caught:
        seed(vault, [{"name": "a", "value": "the-value"}])
    assert "planted" not in str(caught.value)


# Whole playbooks: nothing planted is ever seen, and a kill does no harm.

PLANTED = {
    "value": "planted-alpha-4f1d",
    "numeric": "835519602217",
    "file": "planted-beta-90ab",
    "old": "planted-gamma-77c2",
    "key": "planted-delta-fingerprint-key",
    "environment": "planted-epsilon-3e3e",
    "async": "planted-zeta-51aa",
    "killed": "planted-eta-0b6c",
}


class Watch(threading.Thread):
    """Looks at the arguments and environments of all processes below one, again and again."""

    def __init__(self, pid: int, forbidden: list[str]) -> None:
        super().__init__(daemon=True)
        self._pid, self._forbidden, self._end = pid, [text.encode() for text in forbidden], threading.Event()
        self.found: set[str] = set()
        self.start()

    def run(self) -> None:
        while not self._end.wait(0.15):
            for pid in self._below(self._pid):
                for kind in ("cmdline", "environ"):
                    try:
                        content = Path(f"/proc/{pid}/{kind}").read_bytes()
                    except OSError:
                        continue
                    self.found |= {f"{kind}: {text.decode()}" for text in self._forbidden if text in content}

    def _below(self, pid: int) -> list[int]:
        try:
            children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return [pid]
        return [pid, *(lower for child in children for lower in self._below(child))]

    def stop(self) -> set[str]:
        self._end.set()
        self.join()
        return self.found


class Stage:
    """A folder in which ansible-playbook keeps all its temporary files, apart from the inputs."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.inputs = folder / "inputs"
        self.scratch = folder / "scratch"
        for path in (self.inputs, self.scratch):
            path.mkdir()
        (self.inputs / "inventory.yml").write_text(
            "all: {hosts: {localhost: {ansible_connection: local, "
            "ansible_python_interpreter: '{{ ansible_playbook_python }}'}}}\n"
        )
        self.env = {
            **os.environ,
            **env,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(self.scratch / "local"),
            "ANSIBLE_REMOTE_TMP": str(self.scratch / "remote"),
            "ANSIBLE_ASYNC_DIR": str(self.scratch / "async"),
            "TMPDIR": str(self.scratch),
        }

    def start(self, tasks: list[dict[str, Any]], variables: dict[str, Any], *arguments: str) -> subprocess.Popen[str]:
        play = {"hosts": "localhost", "gather_facts": False, "tasks": tasks}
        (self.inputs / "play.json").write_text(json.dumps([play]))
        (self.inputs / "vars.json").write_text(json.dumps(variables))
        inventory, vars_file = self.inputs / "inventory.yml", self.inputs / "vars.json"
        command = ["ansible-playbook", "-i", str(inventory), "-e", f"@{vars_file}", str(self.inputs / "play.json")]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def leftovers(self) -> str:
        """Everything that lies in the scratch folder."""
        return "\n".join(
            path.read_bytes().decode(errors="replace") for path in self.scratch.rglob("*") if path.is_file()
        )


@pytest.fixture
def stage(tmp_path, environment) -> Iterator[Stage]:
    return Stage(tmp_path, environment)


def task(name: str, vault: str, **options: Any) -> dict[str, Any]:
    module = {"vault_uri": f"https://{vault}.vault.azure.net", **options.pop("module")}
    return {"name": name, "aksops.platform.keyvault_secrets": module, "ignore_errors": True, **options}


@pytest.mark.parametrize("check", [False, True])
def test_in_process_and_as_a_module_the_result_is_the_same(client, environment, stage, check):
    names = [f"kv-{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for name in names:
        make_vault(client, name)
        official(environment, name).set_secret("changed", "the-old-value")
    wanted = [
        {"name": "created", "value": "{{ 12345678 }}", "tags": {"number": 1}},
        {"name": "changed", "value": "the-new-value"},
        {"name": "made", "template": "${secret:created}"},
    ]
    tasks = [
        task("here", names[0], module={"secrets": wanted}, register="here", diff=True, check_mode=check),
        task(
            "module",
            names[1],
            module={"secrets": wanted},
            register="module",
            diff=True,
            check_mode=check,
            environment={"PYTHONWARNINGS": "default"},
        ),
        task("wrong here", names[0], module={"secrets": [{"nonsense": 1}]}, register="wrong_here"),
        {
            "ansible.builtin.copy": {
                "dest": str(stage.inputs / "results.json"),
                "content": "{{ [here, module, wrong_here] | to_json }}",
            }
        },
    ]
    output = stage.start(tasks, {}).communicate(timeout=200)[0]
    assert "failed=0" in output, output
    here, module, wrong = json.loads((stage.inputs / "results.json").read_text())
    assert "missing required arguments: name" in wrong["msg"]
    for result in (here, module):
        assert result.pop("vault_uri")
        assert result.pop("seconds")
        for row in result["secrets"]:
            row.pop("version", None)
        result.pop("ansible_facts", None)
    assert here == module
    assert here["summary"] == {"created": 2, "new_version": 1}
    assert here["diff"][0]["after"]["changed"]["value"] == "(differs)" if isinstance(here["diff"], list) else True


def test_nothing_planted_is_ever_seen(environment, vault, stage):
    official(environment, vault).set_secret("changed", PLANTED["old"])
    official(environment, vault).set_secret("removed", PLANTED["old"])
    (stage.inputs / "secret.txt").write_text(PLANTED["file"])
    stage.env["PLANTED_FROM_ENVIRONMENT"] = PLANTED["environment"]
    several = [
        {"name": "created", "value": "{{ planted.value }}", "tags": {"a": "b"}},
        {"name": "number", "value": "{{ planted.numeric | int }}"},
        {"name": "from-file", "value_file": str(stage.inputs / "secret.txt")},
        {"name": "from-environment", "value_env": "PLANTED_FROM_ENVIRONMENT"},
        {"name": "changed", "value": "{{ planted.value }}"},
        {"name": "made", "template": "x-${secret:created}-${secret:changed}"},
        {"name": "removed", "state": "absent"},
    ]
    fingerprints = {"compare": "fingerprint", "fingerprint_key": "{{ planted.key }}"}
    wrong = [{"name": "a", "value": "{{ planted.value }}", "nonsense": True}]
    tasks = [
        task("check", vault, module={"secrets": several}, check_mode=True, diff=True),
        task("create, update, delete", vault, module={"secrets": several}, diff=True, register="result"),
        {"ansible.builtin.debug": {"var": "result"}},
        task("fingerprints", vault, module={"secrets": several, **fingerprints}, diff=True),
        task("bad names", vault, module={"secrets": [{"name": "a_b", "value": "{{ planted.value }}"}]}),
        task("unknown option", vault, module={"secrets": wrong}),
        task("wrong type", vault, module={"secrets": [{"name": "a", "value": {"x": "{{ planted.value }}"}}]}),
        task("nowhere", "kv-not-there-1", module={"secrets": several, "rbac_wait": 0}),
        task(
            "later",
            vault,
            module={"secrets": [{"name": "z", "value": "{{ planted.async }}"}]},
            **{"async": 60, "poll": 1},
        ),
        {
            "name": "by the role",
            "ansible.builtin.include_role": {"name": "aksops.platform.secrets"},
            "vars": {"secrets_vault_uri": f"https://{vault}.vault.azure.net", "secrets_items": several},
        },
    ]
    process = stage.start(tasks, {"planted": PLANTED}, "-vvv")
    watch = Watch(process.pid, [text for name, text in PLANTED.items() if name != "environment"])
    output = process.communicate(timeout=300)[0]
    assert watch.stop() == set()
    assert "created" in output
    assert official(environment, vault).get_secret("made").value == f"x-{PLANTED['value']}-{PLANTED['value']}"
    assert official(environment, vault).get_secret("z").value == PLANTED["async"]
    left = stage.leftovers()
    for text in PLANTED.values():
        assert text not in output, text
        assert text not in left, text


@pytest.mark.parametrize(("moment", "asynchronous"), [(0.2, False), (0.9, False), (1.6, False), (1.0, True)])
def test_a_kill_leaves_nothing_and_the_next_run_finishes(environment, vault, stage, faults, moment, asynchronous):
    count = 60
    faults.run("fault", "latency", "--host", f"{vault}*", "--ms", "400")
    wanted = [{"name": f"s{number}", "value": f"{PLANTED['killed']}-{number}"} for number in range(count)]
    later = {"async": 120, "poll": 1} if asynchronous else {}
    tasks = [task("seed", vault, module={"secrets": "{{ wanted }}"}, **later)]
    process = stage.start(tasks, {"wanted": wanted}, "-vvv")
    seen = Watch(process.pid, [PLANTED["killed"]])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not requests_of(faults, vault):
        time.sleep(0.1)
    time.sleep(moment)
    assert process.poll() is None, process.communicate()[0]
    os.killpg(process.pid, signal.SIGKILL)
    for pid in outlived(stage):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    output = process.communicate()[0]
    assert seen.stop() == set()
    assert PLANTED["killed"] not in output
    assert PLANTED["killed"] not in stage.leftovers()
    faults.run("fault", "clear")
    time.sleep(1)  # what the service already has is still carried out; starting Ansible again takes longer than that
    report, _ = seed(vault, wanted)
    assert not report.failures
    assert not seed(vault, wanted)[0].changed
    secrets = official(environment, vault)
    for number in range(0, count, 7):
        assert len(list(secrets.list_properties_of_secret_versions(f"s{number}"))) == 1


def requests_of(sandbox: Any, vault: str) -> bool:
    """Whether a request to the vault has arrived (from the ledger's file: starting a command would take too long)."""
    return f"{vault}.vault" in (sandbox.home.sub("logs") / "requests.jsonl").read_text()


def outlived(stage: Stage) -> list[int]:
    """Processes that left the group: Ansible's workers, and the wrappers of an asynchronous task."""
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and str(stage.scratch.parent).encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found
