"""One sandbox of its own for the contract tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aksops_sandbox.settings import Home
from support.azure import Client


class Sandbox:
    """A running sandbox of the tests."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def run(self, *argv: str) -> str:
        """Run `aksops-sandbox` on it; returns what it printed."""
        command = [sys.executable, "-P", "-m", "aksops_sandbox.cli", "--home", str(self.home.path), *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(self, vantage: str = "inside", account: str = "operator") -> Client:
        return Client(self.home, vantage, account)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox for the whole session, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="sbx-"))
    folder.chmod(0o711)
    running = Sandbox(Home(folder / "home"))
    try:
        running.run("up", "--while", str(os.getpid()))
        yield running
    finally:
        running.run("down")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def client(sandbox: Sandbox) -> Client:
    """The operator, inside the network."""
    return sandbox.client()


@pytest.fixture
def faults(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox, with every fault cleared at the end of the test."""
    yield sandbox
    sandbox.run("fault", "clear")
    sandbox.run("fault", "rbac-delay", "--seconds", "0")
