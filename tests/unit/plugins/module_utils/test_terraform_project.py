from __future__ import annotations

import json
import os
import socket
import stat

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_project as project
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

SECRET = "s3cret-of-the-client"
CLIENT = {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c"}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_private_files_are_private(tmp_path):
    target = tmp_path / "credential"
    target.write_text("old")
    target.chmod(0o644)
    project.write_private(target, "new")
    assert target.read_text() == "new"
    assert mode(target) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["credential"]


def test_a_private_folder_is_closed_to_others(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir(mode=0o755)
    project.private_folder(folder)
    assert mode(folder) == 0o700


def test_a_link_is_not_a_private_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(AksPlatformError, match="name another work folder"):
        project.private_folder(tmp_path / "link")


def test_root_files_leave_out_tests_and_hidden_folders(tmp_path):
    for name in ("main.tf", "modules/a/main.tf", ".terraform/modules/x.tf", "tests/a.tf", "README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert sorted(project.root_files(tmp_path)) == ["main.tf", "modules/a/main.tf"]


def test_a_folder_without_terraform_is_named(tmp_path):
    with pytest.raises(AksPlatformError, match="holds no Terraform files"):
        project.root_files(tmp_path)


def test_the_copy_follows_the_root_and_keeps_what_is_not_its_own(tmp_path):
    for name in (".terraform/x", "gone.tf", "modules/old/main.tf", project.INPUTS, project.IMPORTS, "errored.tfstate"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("was here")
    project.synchronise({"main.tf": b"a", "modules/new/main.tf": b"b"}, tmp_path)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [".terraform/x", "errored.tfstate", "main.tf", "modules/new/main.tf", project.INPUTS]
    assert not (tmp_path / "modules/old").exists()


def test_an_unchanged_file_is_not_written_again(tmp_path):
    project.synchronise({"main.tf": b"a"}, tmp_path)
    os.utime(tmp_path / "main.tf", (1, 1))
    project.synchronise({"main.tf": b"a"}, tmp_path)
    assert (tmp_path / "main.tf").stat().st_mtime == 1


def test_the_digest_sees_every_input():
    base = project.digest({"a": b"1", "b": b"2"}, "backend", "terraform")
    assert base == project.digest({"b": b"2", "a": b"1"}, "backend", "terraform")
    others = [
        project.digest({"a": b"1", "b": b"3"}, "backend", "terraform"),
        project.digest({"a": b"1"}, "backend", "terraform"),
        project.digest({"a": b"1", "c": b"2"}, "backend", "terraform"),
        project.digest({"a": b"1", "b": b"2"}, "backendterraform", ""),
        project.digest({"a": b"1", "b": b"2"}, "backend", "tofu"),
    ]
    assert len({base, *others}) == 6


def test_init_is_needed_until_its_stamp_and_its_work_are_there(tmp_path):
    assert not project.initialised(tmp_path, "d")
    (tmp_path / project.INITIALISED).write_text("d")
    assert not project.initialised(tmp_path, "d")
    (tmp_path / ".terraform/providers").mkdir(parents=True)
    (tmp_path / ".terraform/terraform.tfstate").write_text("{}")
    assert project.initialised(tmp_path, "d")
    assert not project.initialised(tmp_path, "other")


@pytest.mark.parametrize(
    ("environ", "on", "backend"),
    [
        (
            {**CLIENT, "ARM_CLIENT_SECRET": SECRET},
            {"ARM_CLIENT_SECRET_FILE_PATH": "{credential}"},
            {"client_secret_file_path": "{credential}"},
        ),
        (
            {"AZURE_TENANT": "t", "AZURE_CLIENT_ID": "c", "AZURE_SECRET": SECRET},
            {"ARM_CLIENT_SECRET_FILE_PATH": "{credential}"},
            {"client_secret_file_path": "{credential}"},
        ),
        (
            {**CLIENT, "AZURE_FEDERATED_TOKEN_FILE": "/token"},
            {"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN_FILE_PATH": "/token"},
            {"use_oidc": True, "oidc_token_file_path": "/token"},
        ),
        (
            {**CLIENT, "AZURE_FEDERATED_TOKEN": SECRET},
            {"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN_FILE_PATH": "{credential}"},
            {"use_oidc": True, "oidc_token_file_path": "{credential}"},
        ),
        (
            {**CLIENT, "ARM_OIDC_REQUEST_URL": "https://x", "ARM_OIDC_REQUEST_TOKEN": SECRET},
            {"ARM_USE_OIDC": "true"},
            {"use_oidc": True},
        ),
        ({"ARM_USE_MSI": "true"}, {"ARM_USE_MSI": "true"}, {"use_msi": True}),
    ],
)
def test_credentials_reach_terraform_by_file(tmp_path, environ, on, backend):
    access = project.access({}, environ, tmp_path)
    path = str(tmp_path / project.CREDENTIAL)
    for name, value in on.items():
        assert access.environment[name] == value.format(credential=path)
    for name, value in backend.items():
        assert access.backend[name] == (value.format(credential=path) if isinstance(value, str) else value)
    assert SECRET not in json.dumps([access.environment, access.backend])
    holds = SECRET if "{credential}" in json.dumps(on) else None
    assert access.credential == holds
    # What the shell of the user exports is taken away, so that nothing but the chosen credential is used.
    assert access.environment["ARM_CLIENT_SECRET"] == ""


def test_a_certificates_password_cannot_go_by_file(tmp_path):
    certificate = tmp_path / "c.pem"
    certificate.write_text("x")
    params = {"client_certificate_path": str(certificate), "client_certificate_password": SECRET}
    with pytest.raises(AksPlatformError, match="ARM_CLIENT_CERTIFICATE_PASSWORD") as caught:
        project.access(params, CLIENT, tmp_path)
    assert SECRET not in str(caught.value)


def test_backend_settings_are_quoted():
    assert project.hcl({"a": 'x"y', "b": True, "c": None, "d": ""}) == 'a = "x\\"y"\nb = true\n'


def test_a_killed_run_is_known_by_its_note(tmp_path):
    assert project.was_interrupted(tmp_path) is None
    project.mark_running(tmp_path)
    assert project.was_interrupted(tmp_path)["host"] == socket.gethostname()
    (tmp_path / project.RUNNING).write_text("{half")
    assert project.was_interrupted(tmp_path) == {}


def test_cleaning_names_what_it_removed(tmp_path):
    for name in (project.EPHEMERAL, project.CREDENTIAL, project.INPUTS):
        (tmp_path / name).write_text("x")
    assert project.clean(tmp_path) == [project.EPHEMERAL, project.CREDENTIAL]
    assert [path.name for path in tmp_path.iterdir()] == [project.INPUTS]


def test_secrets_of_a_folder(tmp_path):
    (tmp_path / project.CREDENTIAL).write_text(f"{SECRET}\n")
    (tmp_path / project.EPHEMERAL).write_text(json.dumps({"a": "one", "b": {"c": ["two", 3]}}))
    assert project.secrets_of(tmp_path) == {SECRET, "one", "two"}


def processes(folder, *entries):
    """Build a /proc of (pid, parent, command line, program, working folder)."""
    (folder / "self").mkdir(parents=True)
    for pid, parent, command, program, cwd in entries:
        entry = folder / str(pid)
        entry.mkdir()
        (entry / "comm").write_text(f"{program}\n")
        (entry / "status").write_text(f"Name:\tx\nPPid:\t{parent}\n")
        (entry / "cmdline").write_bytes(command.replace(" ", "\0").encode())
        if cwd:
            (entry / "cwd").symlink_to(cwd)
    return folder


BACKEND = {"storage_account_name": "st", "container_name": "tfstate", "key": "k"}


def test_terraform_is_at_work_where_it_uses_the_same_state(tmp_path):
    mine, other, fresh = tmp_path / "mine", tmp_path / "other", tmp_path / "fresh"
    for folder, key in ((mine, "k"), (other, "else")):
        (folder / ".terraform").mkdir(parents=True)
        config = {"backend": {"config": {**BACKEND, "key": key}}}
        (folder / ".terraform/terraform.tfstate").write_text(json.dumps(config))
    fresh.mkdir()
    proc = processes(
        tmp_path / "proc",
        (10, 1, "terraform apply", "terraform", mine),
        (11, 1, "tofu plan", "tofu", other),
        (12, 1, "terraform init", "terraform", fresh),
        (13, 1, "vim terraform", "vim", mine),
    )
    assert project.terraform_at_work(BACKEND, proc) == [10]
    assert project.terraform_in(mine, proc) == [10]


def test_a_system_that_does_not_tell_is_not_taken_for_an_idle_one(tmp_path):
    assert project.terraform_at_work(BACKEND, tmp_path / "none") is None


def test_the_conductor_is_the_topmost_ansible(tmp_path):
    proc = processes(
        tmp_path / "proc",
        (2, 1, "bash", "bash", None),
        (3, 2, "python ansible-playbook site.yml", "python", None),
        (4, 3, "python ansible-playbook site.yml", "python", None),
        (5, 4, "python", "python", None),
    )
    assert project.controller(5, proc) == 3
    assert project.controller(2, proc) == 0


def test_a_living_run_of_this_host_is_conducted_elsewhere(tmp_path):
    proc = processes(tmp_path / "proc", (3, 1, "ansible-playbook", "python", None), (4, 1, "sleep", "sleep", None))
    own = {"host": socket.gethostname()}
    assert project.conducted_elsewhere({**own, "controller": 3}, proc) == 3
    assert project.conducted_elsewhere({**own, "controller": 4}, proc) == 0  # the number serves another program now
    assert project.conducted_elsewhere({**own, "controller": 99}, proc) == 0
    assert project.conducted_elsewhere({"host": "elsewhere", "controller": 3}, proc) == 0
    assert project.conducted_elsewhere({}, proc) == 0
