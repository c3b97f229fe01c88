from __future__ import annotations

import base64
import json
import socket
from pathlib import Path

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_project as project
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_run as runs
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._terraform_plan import Lock

SECRET = "s3cret-of-the-client"
GROUP = "/subscriptions/s/resourceGroups/rg-aksops-test"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults"
BACKEND = {
    "resource_group_name": "rg-state",
    "storage_account_name": "st",
    "container_name": "tfstate",
    "key": "test.tfstate",
}
ENVIRON = {
    "ARM_TENANT_ID": "t",
    "ARM_CLIENT_ID": "c",
    "ARM_CLIENT_SECRET": SECRET,
    "ARM_SUBSCRIPTION_ID": "s",
}


class Arm:
    """An ARM client that knows some resources."""

    def __init__(self, **resources):
        self.resources = resources

    def get(self, path, api_version):
        return self.resources.get(path.rpartition("/")[2])


class Blob:
    """A state blob with a lease or without."""

    def __init__(self, leased=False, who=None):
        self.leased = leased
        self.who = who
        self.broken = False

    def lock_metadata(self):
        lock = {"ID": "1", "Who": self.who, "Created": "yesterday", "Operation": "Apply"}
        return self.leased, base64.b64encode(json.dumps(lock).encode()).decode() if self.who else ""

    def break_lease(self):
        self.broken = True


@pytest.fixture
def params(tmp_path):
    source = tmp_path / "root"
    source.mkdir()
    (source / "main.tf").write_text("# root")
    return {
        "path": str(tmp_path / "cache" / "test"),
        "source": str(source),
        "variables": {"location": "westeurope"},
        "ephemeral_variables": {"password": "ephemeral-value"},
        "backend": BACKEND,
        "binary": "terraform",
        "parallelism": 30,
        "destroy": False,
        "orphan_timeout": 1,
        "active_from": "",
    }


def prepare(params, blob=None, arm=None, check_mode=False, run=None):
    def unasked(*_):
        raise AssertionError("nothing may be asked here")

    return runs.prepare(
        params,
        ENVIRON,
        arm=(lambda: arm) if arm else unasked,
        blob=(lambda: blob) if blob else unasked,
        run=run or unasked,
        check_mode=check_mode,
    )


def test_a_folder_is_prepared_without_a_request_and_without_a_secret_outside_its_file(params):
    result = prepare(params)
    folder = Path(result["path"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / project.CREDENTIAL).read_text() == SECRET
    assert json.loads((folder / project.EPHEMERAL).read_text()) == {"password": "ephemeral-value"}
    for name in (project.CREDENTIAL, project.EPHEMERAL, project.INPUTS, project.BACKEND):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    backend = (folder / project.BACKEND).read_text()
    assert 'key = "test.tfstate"' in backend
    assert f'client_secret_file_path = "{folder / project.CREDENTIAL}"' in backend
    assert SECRET not in json.dumps(result)
    assert SECRET not in backend
    assert result["init_required"] is True
    assert result["local_state"] is False


def test_a_plan_destroys_only_when_asked(params):
    assert prepare(params)["environment"]["TF_CLI_ARGS_plan"] == "-parallelism=30"
    runs.finish(params)
    assert prepare({**params, "destroy": True})["environment"]["TF_CLI_ARGS_plan"] == "-parallelism=30 -destroy"


def test_init_is_needed_once(params):
    first = prepare(params)
    folder = Path(first["path"])
    (folder / ".terraform/providers").mkdir(parents=True)
    (folder / ".terraform/terraform.tfstate").write_text("{}")
    project.write_private(folder / project.INITIALISED, first["init_digest"])
    runs.finish(params)
    assert prepare(params)["init_required"] is False
    runs.finish(params)
    (Path(params["source"]) / "main.tf").write_text("# changed")
    assert prepare(params)["init_required"] is True


def initialised(params):
    first = prepare(params)
    folder = Path(first["path"])
    (folder / ".terraform/providers").mkdir(parents=True)
    (folder / ".terraform/terraform.tfstate").write_text("{}")
    project.write_private(folder / project.INITIALISED, first["init_digest"])
    runs.finish(params)
    return folder


def test_a_state_that_could_not_be_stored_is_stored_first(params):
    file = initialised(params) / project.ERRORED
    file.write_text("the state")
    commands = []

    def run(command):
        commands.append(command)
        return 0, "", ""

    assert "could not store" in prepare(params, run=run)["notes"][0]
    assert commands == [["terraform", "state", "push", "errored.tfstate"]]
    assert not file.exists()


def test_a_state_that_still_cannot_be_stored_is_kept_and_named(params):
    file = initialised(params) / project.ERRORED
    file.write_text("the state")
    with pytest.raises(AksPlatformError, match=r"errored\.tfstate; it cannot be stored now either: no network"):
        prepare(params, run=lambda command: (1, "", "Error: no network\n"))
    assert file.read_text() == "the state"


def test_check_mode_stores_no_state(params):
    (initialised(params) / project.ERRORED).write_text("the state")
    prepare(params, arm=Arm(tfstate={"id": "x"}), check_mode=True)


def test_the_end_of_a_run_removes_what_is_secret_and_keeps_the_rest(params):
    folder = Path(prepare(params)["path"])
    (folder / project.PLAN).write_text("plan")
    removed = runs.finish(params)["removed"]
    assert set(removed) == {project.EPHEMERAL, project.CREDENTIAL, project.RUNNING, project.PLAN}
    assert runs.finish(params)["removed"] == []
    left = " ".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert SECRET not in left
    assert "ephemeral-value" not in left


def test_check_mode_without_a_state_works_on_an_empty_local_one(params):
    result = prepare(params, arm=Arm(), check_mode=True)
    assert result["local_state"] is True
    assert result["backend_files"] == []
    assert result["path"].endswith("test.check")
    assert 'backend "local"' in (Path(result["path"]) / project.OVERRIDE).read_text()
    runs.finish(params)
    assert not Path(result["path"]).exists()


def test_check_mode_with_a_state_uses_it(params):
    result = prepare(params, arm=Arm(tfstate={"id": "x"}), check_mode=True)
    assert result["local_state"] is False
    assert not (Path(result["path"]) / project.OVERRIDE).exists()


def killed(params, controller=0):
    """Leave what a killed run leaves."""
    folder = Path(prepare(params)["path"])
    note = json.loads((folder / project.RUNNING).read_text())
    project.write_private(folder / project.RUNNING, json.dumps({**note, "controller": controller}))
    return folder


def test_after_a_killed_run_its_lock_is_broken_and_its_files_are_removed(params):
    killed(params)
    blob = Blob(leased=True, who=f"root@{socket.gethostname()}")
    result = prepare(params, blob)
    assert blob.broken
    assert any("broke the lock" in note for note in result["notes"])
    assert any(project.EPHEMERAL in note for note in result["notes"])


def test_a_lock_without_a_name_is_ours_if_our_run_was_killed(params):
    killed(params)
    blob = Blob(leased=True)
    prepare(params, blob)
    assert blob.broken


def test_without_a_lease_there_is_nothing_to_break(params):
    killed(params)
    blob = Blob()
    prepare(params, blob)
    assert not blob.broken


def test_the_lock_of_another_host_is_left_alone_and_named(params):
    killed(params)
    blob = Blob(leased=True, who="ci@elsewhere")
    with pytest.raises(AksPlatformError, match="ci@elsewhere since yesterday"):
        prepare(params, blob)
    assert not blob.broken


def test_a_lock_without_a_name_is_left_alone_without_a_killed_run():
    blob = Blob(leased=True)
    with pytest.raises(AksPlatformError, match="somebody who left no name"):
        runs.release_lock(Lock("", "", "", ""), BACKEND, lambda: blob)
    assert not blob.broken


@pytest.mark.parametrize(("alive", "words"), [([4711], "process 4711"), (None, "does not tell")])
def test_the_lock_of_a_living_run_is_left_alone(monkeypatch, alive, words):
    monkeypatch.setattr(project, "terraform_at_work", lambda backend: alive)
    blob = Blob(leased=True, who=f"root@{socket.gethostname()}")
    with pytest.raises(AksPlatformError, match=words):
        runs.release_lock(None, BACKEND, lambda: blob)
    assert not blob.broken


def test_a_terraform_that_outlived_its_run_is_waited_for(params, monkeypatch):
    killed(params)
    alive = [[4711], [4711], [4711], []]
    monkeypatch.setattr(project, "terraform_in", lambda folder: alive.pop(0) if alive else [])
    result = prepare({**params, "orphan_timeout": 5}, Blob())
    assert any("process 4711" in note for note in result["notes"])


def test_a_run_that_is_still_conducted_is_not_disturbed(params, monkeypatch):
    folder = killed(params)
    monkeypatch.setattr(project, "conducted_elsewhere", lambda note: 4711)
    with pytest.raises(AksPlatformError, match="Another run \\(process 4711\\)"):
        prepare(params)
    assert (folder / project.CREDENTIAL).exists()


# -- judging and mending ----------------------------------------------------------------------------------------------


@pytest.fixture
def judged(tmp_path):
    return {
        "path": str(tmp_path),
        "plan_file": str(tmp_path / project.PLAN),
        "binary": "terraform",
        "output": "",
        "error": "",
        "init_digest": "digest",
        "allow_destroy": [],
        "describe": True,
        "resource_groups": [GROUP],
        "owner_tags": {"aksops-environment": "test"},
        "backend": BACKEND,
    }


def shows(document, text="the plan"):
    def run(command):
        return (0, json.dumps(document), "") if "-json" in command else (0, text, "")

    return run


def plan_of(*actions):
    return {"resource_changes": [{"address": "a.b", "mode": "managed", "change": {"actions": list(actions)}}]}


class Resources:
    """An ARM that lists the provisioning states of a resource group."""

    def __init__(self, **states):
        self.items = [{"id": f"{VAULT}/{name}", "provisioningState": state} for name, state in states.items()]

    def list(self, path, api_version):
        assert path == f"{GROUP}/resources?$expand=provisioningState"
        return self.items


def judge(params, run, check_mode=False, **states):
    return runs.judge_plan(params, run, arm=lambda: Resources(**states), check_mode=check_mode)


def tainted(identifier):
    change = {"actions": ["delete", "create"], "before": {"id": identifier}}
    item = {"address": "a.b", "mode": "managed", "action_reason": "replace_because_tainted", "change": change}
    return {"resource_changes": [item]}


@pytest.mark.parametrize("part", ["", "/children/one"])
def test_what_is_only_marked_by_a_failed_apply_is_kept(judged, part):
    commands = []

    def run(command):
        commands.append(command)
        return shows(tainted(f"{VAULT}/kv{part}"))(command)

    verdict = judge(judged, run, kv="Succeeded")
    assert (verdict["retry"], verdict["pending"]) == (True, False)
    assert "a.b" in verdict["notes"][0]
    assert commands[-1] == ["terraform", "untaint", "a.b"]


def test_in_check_mode_the_mark_stays_and_is_no_refusal(judged):
    commands = []

    def run(command):
        commands.append(command)
        return shows(tainted(f"{VAULT}/kv"))(command)

    verdict = judge(judged, run, check_mode=True, kv="Succeeded")
    assert not verdict["retry"]
    assert not verdict["pending"]
    assert "would keep a.b" in verdict["notes"][0]
    assert not [command for command in commands if "untaint" in command]


@pytest.mark.parametrize(
    ("identifier", "state"),
    [(f"{VAULT}/kv", "Failed"), (f"{VAULT}/other", "Succeeded"), ("/subscriptions/s/resourceGroups/x/y", "Succeeded")],
)
def test_what_is_half_made_gone_or_not_ours_is_refused(judged, identifier, state):
    with pytest.raises(AksPlatformError, match=r"a\.b: replace, was left half-made by an earlier run"):
        judge(judged, shows(tainted(identifier)), kv=state)


def test_an_empty_plan_is_not_even_read(judged):
    def run(command):
        raise AssertionError(command)

    verdict = judge({**judged, "output": "No changes. Your infrastructure matches."}, run)
    assert verdict["pending"] is False
    assert (Path(judged["path"]) / project.INITIALISED).read_text() == "digest"


def test_a_plan_that_creates_goes_on_and_its_text_is_redacted(judged):
    project.write_private(Path(judged["path"]) / project.CREDENTIAL, SECRET)
    verdict = judge(judged, shows(plan_of("create"), f"text with {SECRET}"))
    assert verdict["pending"] is True
    assert verdict["resources"] == [{"address": "a.b", "action": "create"}]
    assert verdict["text"] == "text with (redacted)"


def test_a_plan_that_destroys_stops_the_run(judged):
    with pytest.raises(AksPlatformError, match=r"a\.b: replace") as caught:
        judge(judged, shows(plan_of("delete", "create")))
    assert caught.value.details["refused"] == [{"address": "a.b", "verb": "replace", "reason": ""}]
    assert judge({**judged, "allow_destroy": ["a.b"]}, shows(plan_of("delete", "create")))["pending"]


def test_a_plan_that_cannot_be_read_is_said(judged):
    with pytest.raises(AksPlatformError, match="cannot read its own plan: no such file"):
        judge(judged, lambda command: (1, "", "no such file"))


def exists(address, identifier):
    return (
        f'Error: A resource with the ID "{identifier}" already exists - to be managed via Terraform this resource '
        f"needs to be imported into the State.\n\n  with {address},\n  on main.tf line 1\n\n"
    )


OURS = {"tags": {"aksops-environment": "test"}}


def recover(judged, error, group=OURS, blob=None, run=None):
    arm = Arm(**{"rg-aksops-test": group})
    return runs.recover({**judged, "error": error}, arm=lambda: arm, blob=lambda: blob, run=run)


def test_what_exists_is_taken_over_and_planned_again(judged):
    written = Path(judged["path"]) / project.IMPORTS
    assert recover(judged, exists("a.b", GROUP))["retry"] is True
    assert recover(judged, exists('a.c["k"]', f"{GROUP}/providers/x"))["retry"] is True
    assert written.read_text().count("import {") == 2


def test_what_was_taken_over_and_still_fails_is_an_error(judged):
    recover(judged, exists("a.b", GROUP))
    with pytest.raises(AksPlatformError, match="already exists"):
        recover(judged, exists("a.b", GROUP))


def test_what_exists_elsewhere_is_not_taken_over(judged):
    with pytest.raises(AksPlatformError, match="already exists"):
        recover(judged, exists("a.b", "/subscriptions/s/resourceGroups/rg-of-somebody/providers/x"))
    assert not (Path(judged["path"]) / project.IMPORTS).exists()


@pytest.mark.parametrize("tags", [{}, None, {"aksops-environment": "other"}])
def test_a_foreign_group_of_the_same_name_is_not_taken_over(judged, tags):
    with pytest.raises(AksPlatformError, match="does not carry this environment's tag aksops-environment"):
        recover(judged, exists("a.b", GROUP), group={"tags": tags})
    assert not (Path(judged["path"]) / project.IMPORTS).exists()


def test_any_other_failure_is_passed_on_without_secrets(judged):
    project.write_private(Path(judged["path"]) / project.CREDENTIAL, SECRET)
    with pytest.raises(AksPlatformError) as caught:
        recover(judged, f"╷\n│ Error: quota exceeded {SECRET}\n╵\n")
    assert str(caught.value) == "quota exceeded (redacted)"


def test_a_state_that_an_apply_could_not_store_is_stored_and_planned_again(judged):
    (Path(judged["path"]) / project.ERRORED).write_text("the state")
    assert recover(judged, "Error: Failed to save state\n", run=lambda command: (0, "", ""))["retry"] is True


def test_a_lock_found_by_a_plan_is_broken_if_it_is_ours(judged, monkeypatch):
    monkeypatch.setattr(project, "terraform_at_work", lambda backend: [])
    blob = Blob(leased=True, who=f"root@{socket.gethostname()}")
    text = "Error: Error acquiring the state lock\n\n  Who: root@x\n"
    assert recover(judged, text, blob=blob)["retry"] is True
    assert blob.broken


class PromotedBlob(Blob):
    """A state that still holds the server that a promotion has replaced."""

    def resources(self):
        server = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/old"
        kind = "azurerm_postgresql_flexible_server"
        instance = {"attributes": {"id": server, "name": "old"}}
        return [
            {"mode": "managed", "module": "module.postgresql", "type": kind, "name": "this", "instances": [instance]}
        ]


def promoted_arm(active="new"):
    return Arm(rg={"tags": {"aksops-postgresql-active": active}}, new={}, tfstate={})


def test_the_state_follows_a_promotion(params):
    commands = []

    def run(command):
        commands.append(command)
        return 0, "", ""

    params["active_from"] = "/subscriptions/s/resourceGroups/rg"
    result = prepare(params, PromotedBlob(), promoted_arm(), run=run)
    folder = Path(result["path"])
    assert [command[1] for command in commands] == ["init", "state"]
    assert commands[-1][2:] == ["rm", "module.postgresql"]
    assert not [word for command in commands for word in command if SECRET in word]
    imports = (folder / project.IMPORTS).read_text()
    assert "to = module.postgresql.azurerm_postgresql_flexible_server.this" in imports
    assert "flexibleServers/new" in imports
    assert json.loads((folder / project.INPUTS).read_text())["postgresql"] == {"name": "new"}
    assert "forgot old" in result["notes"][0]


def test_a_state_that_holds_the_server_in_use_is_left_alone(params):
    params["active_from"] = "/subscriptions/s/resourceGroups/rg"
    result = prepare(params, PromotedBlob(), promoted_arm("old"))
    assert result["notes"] == []
    assert not (Path(result["path"]) / project.IMPORTS).exists()


@pytest.mark.parametrize(
    ("check_mode", "active", "words"), [(True, "new", "without check mode"), (False, "gone", "not exist")]
)
def test_a_state_that_cannot_follow_is_one_sentence(params, check_mode, active, words):
    params["active_from"] = "/subscriptions/s/resourceGroups/rg"
    with pytest.raises(AksPlatformError, match=words):
        prepare(params, PromotedBlob(), promoted_arm(active), check_mode=check_mode)
