# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private folder in which Terraform works. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

The folder (0700) holds a copy of the root module, so that the installed collection is never written. Beside the copy:

    platform.auto.tfvars.json    the inputs; they stay, they hold no secrets
    ephemeral.auto.tfvars.json   ephemeral inputs, removed at the end of the run
    credential                   client secret or federated token, removed at the end of the run
    azurerm.tfbackend            where the state is, and the path of that file
    running.json                 that a run is under way, removed at its end: a leftover means that a run was killed
    progress.log                 Terraform's own log of what it has begun; it holds addresses, no values
    .initialised                 digest of what the last `init` was made from
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
import time
import typing as t
from pathlib import Path

from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

INPUTS = "platform.auto.tfvars.json"
EPHEMERAL = "ephemeral.auto.tfvars.json"
CREDENTIAL = "credential"
BACKEND = "azurerm.tfbackend"
RUNNING = "running.json"
INITIALISED = ".initialised"
IMPORTS = "zz_imports.tf"
OVERRIDE = "zz_override.tf"
PLAN = "platform.tfplan"
PROGRESS = "progress.log"
#: Terraform writes this when it could not store its state.
ERRORED = "errored.tfstate"

#: Removed at the end of every run, and at the start of one that follows a killed run.
TRANSIENT = (EPHEMERAL, CREDENTIAL, RUNNING, IMPORTS, PLAN, PROGRESS)

_OWN = {INPUTS, EPHEMERAL, CREDENTIAL, BACKEND, RUNNING, INITIALISED, PLAN, PROGRESS, OVERRIDE, ERRORED}


def write_private(path: Path, text: str) -> None:
    """Write C(text) into a file that only its owner can read, at no moment anybody else."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(temporary, path)


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter.

    :raises AksPlatformError: something else is there, or the folder belongs to another user.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise AksPlatformError(f"{path} is not a folder of the user that runs Ansible: name another work folder.")
    path.chmod(0o700)


def root_files(source: Path) -> dict[str, bytes]:
    """Return the files of a root module and of its local modules, by relative name.

    :raises AksPlatformError: there is no root module.
    """
    found = {
        str(path.relative_to(source)): path.read_bytes()
        for path in sorted(source.rglob("*.tf"))
        if not any(part.startswith(".") or part == "tests" for part in path.relative_to(source).parts)
    }
    if not found:
        raise AksPlatformError(f"{source} holds no Terraform files.")
    return found


def synchronise(files: dict[str, bytes], folder: Path) -> None:
    """Make C(folder) hold exactly C(files) beside what this module keeps there and Terraform's own .terraform."""
    for path in sorted(folder.rglob("*"), reverse=True):
        relative = path.relative_to(folder)
        if relative.parts[0] == ".terraform" or str(relative) in _OWN or relative.parts[0] == ".terraform.lock.hcl":
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif str(relative) not in files:
            path.unlink()
    for name, content in files.items():
        target = folder / name
        if target.is_file() and target.read_bytes() == content:
            continue
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(content)


def digest(files: dict[str, bytes], *more: str) -> str:
    """Return one digest of everything that an `init` depends on."""
    sum_ = hashlib.sha256()
    for name, content in sorted(files.items()):
        sum_.update(f"{name}\0{len(content)}\0".encode())
        sum_.update(content)
    for text in more:
        sum_.update(f"\0{len(text)}\0{text}".encode())
    return sum_.hexdigest()


def initialised(folder: Path, expected: str) -> bool:
    """Whether the last `init` in C(folder) was made from the same root, backend and program."""
    stamp = folder / INITIALISED
    return (
        stamp.is_file()
        and stamp.read_text(encoding="utf-8").strip() == expected
        and (folder / ".terraform" / "providers").is_dir()
        and (folder / ".terraform" / "terraform.tfstate").is_file()
    )


def hcl(settings: dict[str, str | bool | None]) -> str:
    """Return C(name = value) lines of the settings that are set."""
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in settings.items()
        if value not in (None, "")
    )


class Access(t.NamedTuple):
    """How Terraform gets at Azure: variables of its environment (no secrets), settings of the backend, and the text of
    the credential file, if there is one."""

    environment: dict[str, str]
    backend: dict[str, str | bool | None]
    credential: str | None


def access(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], folder: Path) -> Access:
    """Return how Terraform authenticates, from the options and variables that all modules of this collection read.

    Secrets go into a file, because a task's environment is printed at -vvv and a command line is seen by every process.

    :raises AksPlatformError: the chosen kind of credential cannot be handed to Terraform by file.
    """
    source = _auth.credential(params, environ).source

    def setting(name: str) -> str | None:
        return _auth._setting(params, environ, name)

    tenant, client = setting("tenant_id"), setting("client_id")
    path = str(folder / CREDENTIAL)
    # Empty values take away what Terraform would inherit and use beside, or instead of, the chosen credential.
    environment = {
        "ARM_CLIENT_SECRET": "",
        "ARM_CLIENT_SECRET_FILE_PATH": "",
        "ARM_OIDC_TOKEN": "",
        "ARM_OIDC_TOKEN_FILE_PATH": "",
        "ARM_CLIENT_CERTIFICATE_PATH": "",
        "ARM_USE_OIDC": "false",
        "ARM_USE_MSI": "false",
        "ARM_USE_CLI": "false",
        "ARM_TENANT_ID": tenant or "",
        "ARM_CLIENT_ID": client or "",
    }
    backend: dict[str, str | bool | None] = {"tenant_id": tenant, "client_id": client}
    text: str | None = None

    if source == "client_secret":
        text = setting("client_secret")
        if not text and (given := setting("client_secret_file")):
            text = Path(given).read_text(encoding="utf-8").strip()
        environment["ARM_CLIENT_SECRET_FILE_PATH"] = path
        backend["client_secret_file_path"] = path
    elif source == "certificate":
        if params.get("client_certificate_password"):
            raise AksPlatformError(
                "Terraform takes the password of a client certificate from ARM_CLIENT_CERTIFICATE_PASSWORD only; "
                "set it there instead of in client_certificate_password, or use a certificate without a password."
            )
        environment["ARM_CLIENT_CERTIFICATE_PATH"] = setting("client_certificate_path") or ""
        backend["client_certificate_path"] = setting("client_certificate_path")
    elif source == "workload_identity":
        environment["ARM_USE_OIDC"] = "true"
        backend["use_oidc"] = True
        given = setting("federated_token_file")
        if not given and (text := setting("federated_token")):
            given = path
        if given:
            environment["ARM_OIDC_TOKEN_FILE_PATH"] = given
            backend["oidc_token_file_path"] = given
    elif source == "managed_identity":
        environment["ARM_USE_MSI"] = "true"
        backend["use_msi"] = True
    else:
        environment["ARM_USE_CLI"] = "true"
        environment["ARM_CLIENT_ID"] = ""
        backend["client_id"] = None
    return Access(environment, backend, text)


def mark_running(folder: Path) -> None:
    """Note that a run is under way in C(folder), and which process conducts it."""
    note = {
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "controller": controller(),
    }
    write_private(folder / RUNNING, json.dumps(note))


def _process(pid: int, processes: Path) -> tuple[int, str]:
    """Return the parent and the command line of a process; (0, "") when it is gone."""
    try:
        status = (processes / str(pid) / "status").read_text(encoding="utf-8")
        command = (processes / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return 0, ""
    parent = next((line.split()[1] for line in status.splitlines() if line.startswith("PPid:")), "0")
    return int(parent), command


def controller(pid: int | None = None, processes: Path = Path("/proc")) -> int:
    """Return the process of ansible-playbook above this one: the topmost ancestor that is Ansible; 0 where unknown."""
    found, current = 0, os.getpid() if pid is None else pid
    while current > 1:
        parent, command = _process(current, processes)
        if "ansible" in command:
            found = current
        current = parent
    return found


def conducted_elsewhere(note: dict[str, t.Any], processes: Path = Path("/proc")) -> int:
    """Return the process of another run, still alive on this host, that C(note) tells of; 0 where there is none."""
    other = note.get("controller")
    if note.get("host") != socket.gethostname() or not isinstance(other, int) or other in (0, controller()):
        return 0
    return other if "ansible" in _process(other, processes)[1] else 0


def was_interrupted(folder: Path) -> dict[str, t.Any] | None:
    """Return what a run that never came to its end noted, None where the last run ended by itself."""
    try:
        value = json.loads((folder / RUNNING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def clean(folder: Path, names: t.Iterable[str] = TRANSIENT) -> list[str]:
    """Remove what must not outlive a run and return the names of the files that were there."""
    removed = []
    for name in names:
        try:
            (folder / name).unlink()
            removed.append(name)
        except FileNotFoundError:
            continue
    return removed


def remove(folder: Path) -> None:
    """Remove a private folder with all that it holds."""
    shutil.rmtree(folder, ignore_errors=True)


def secrets_of(folder: Path) -> set[str]:
    """Return the values in C(folder) that no message may show."""
    found: set[str] = set()

    def collect(value: t.Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)
        elif isinstance(value, str):
            found.add(value)

    with contextlib.suppress(OSError):
        found.add((folder / CREDENTIAL).read_text(encoding="utf-8").strip())
    with contextlib.suppress(OSError, ValueError):
        collect(json.loads((folder / EPHEMERAL).read_text(encoding="utf-8")))
    return found


def terraform_in(folder: Path, processes: Path = Path("/proc")) -> list[int]:
    """Return the processes of this user that run Terraform in C(folder); none where the system does not tell."""
    found = []
    for pid, entry in _terraforms(processes):
        with contextlib.suppress(OSError):
            if (entry / "cwd").resolve() == folder.resolve():
                found.append(pid)
    return found


def _terraforms(processes: Path) -> t.Iterator[tuple[int, Path]]:
    for entry in processes.iterdir() if processes.is_dir() else ():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text(encoding="utf-8").strip() in ("terraform", "tofu"):
                yield int(entry.name), entry


def terraform_at_work(backend: dict[str, t.Any], processes: Path = Path("/proc")) -> list[int] | None:
    """Return the processes of this machine that run Terraform on the state that C(backend) names.

    A process whose folder cannot be looked into counts too. None means that this system does not tell (no /proc).
    """
    if not (processes / "self").exists():
        return None
    found = []
    for pid, entry in _terraforms(processes):
        try:
            state = json.loads((entry / "cwd" / ".terraform" / "terraform.tfstate").read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            found.append(pid)
            continue
        config = (state.get("backend") or {}).get("config") or {}
        if all(config.get(key) == backend.get(key) for key in ("storage_account_name", "container_name", "key")):
            found.append(pid)
    return found
