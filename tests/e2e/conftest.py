"""Whole playbooks against a sandbox of their own, as a person would run them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITES = "PUT,PATCH,DELETE"


@dataclass
class Run:
    """One finished ansible-playbook."""

    code: int
    output: str

    def recap(self, name: str) -> int:
        """A number of the play recap, such as `changed`, summed over the hosts."""
        return sum(int(number) for number in re.findall(rf"\b{name}=(\d+)", self.output.split("PLAY RECAP")[-1]))

    @property
    def changed_tasks(self) -> list[str]:
        """Names of the tasks that reported a change."""
        names, current = [], ""
        for line in self.output.splitlines():
            if match := re.match(r"TASK \[(.+)\] \*", line):
                current = match.group(1)
            elif line.startswith("changed:"):
                names.append(current)
        return names


class Bench:
    """A sandbox with the environment of `aksops-sandbox exec`, and private folders for everything a run writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"

    def sandbox(self, *argv: str, timeout: int = 300) -> str:
        """Run `aksops-sandbox`; returns what it printed."""
        done = subprocess.run(
            ["aksops-sandbox", "--home", str(self.home), *argv],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, *argv: str, account: str = "operator", vantage: str = "inside") -> list[str]:
        """A command line that runs in the sandbox's environment."""
        return [
            *("aksops-sandbox", "--home", str(self.home), "exec", "--account", account, "--vantage", vantage, "--"),
            *argv,
        ]

    def playbook(
        self,
        name: str,
        *argv: str,
        timeout: int = 900,
        env: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        inventory: str = "inventories/sandbox",
        **who: str,
    ) -> Run:
        """Run a playbook of ours; `prefix` stands before ansible-playbook."""
        process = self.start(name, *argv, env=env, prefix=prefix, inventory=inventory, **who)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            self.kill(process)
        return Run(process.returncode, output)

    def start(
        self,
        name: str,
        *argv: str,
        env: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        inventory: str = "inventories/sandbox",
        **who: str,
    ) -> subprocess.Popen[str]:
        """Start a playbook in a process group of its own."""
        playbook = ("ansible-playbook", "-i", inventory, f"playbooks/{name}.yml")
        return subprocess.Popen(
            self.command(*prefix, *playbook, *argv, **who),
            cwd=ROOT,
            env={**os.environ, **self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def kill(process: subprocess.Popen[str]) -> None:
        """SIGKILL for the whole process group, and nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """Stop the sandbox, and what killed runs have left: Ansible's workers have sessions of their own."""
        self.sandbox("down")
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if str(self.home).encode() in environ.read_bytes():
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that keep a run's own files inside the test's folder."""
        return {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "XDG_STATE_HOME": str(self.work),
            "AKSOPS_WORK_DIR": str(self.work),
        }

    def mark(self) -> int:
        """The ledger's newest serial number."""
        return int(self.sandbox("ledger", "--last"))

    def ledger(self, since: int, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Requests after a mark."""
        text = self.sandbox("ledger", "--since", str(since), "--method", method, "--path", path, "--limit", "100000")
        return [json.loads(line) for line in text.splitlines()]

    def writes(self, since: int) -> list[str]:
        """Writes to Azure after a mark, but for Terraform's lease of its state."""
        return [
            f"{entry['method']} {entry['host']}{entry['path']}"
            for entry in self.ledger(since, WRITES)
            if "blob.core.windows.net" not in entry["host"]
        ]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A sandbox for each file of tests; AKSOPS_KEEP keeps its folder for a look."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    folder.chmod(0o711)
    made = Bench(folder)
    made.work.mkdir()
    try:
        made.sandbox("up", "--while", str(os.getpid()))
        yield made
    finally:
        made.end()
        if not os.environ.get("AKSOPS_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
