"""A sandbox that is bound to a process ends with it, however that ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-m", "aksops_sandbox.cli", "--home"]


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sbx-"))
    folder.chmod(0o711)
    yield folder / "home"
    subprocess.run([*COMMAND, folder / "home", "reset"], check=True, capture_output=True)
    shutil.rmtree(folder)


def run(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, home, *argv], capture_output=True, text=True, timeout=120, check=False)


def test_it_ends_with_its_companion(home):
    companion = subprocess.Popen(["sleep", "300"])
    try:
        assert run(home, "up", "--while", str(companion.pid)).returncode == 0
        assert run(home, "status").returncode == 0
    finally:
        companion.kill()
    companion.wait()
    end = time.monotonic() + 30
    while run(home, "status").returncode != 3:
        assert time.monotonic() < end, "The sandbox runs on, though its companion has ended."
        time.sleep(0.2)


def test_a_companion_that_is_not_there_is_refused(home):
    gone = subprocess.Popen(["true"])
    gone.wait()
    refused = run(home, "up", "--while", str(gone.pid))
    assert refused.returncode == 1
    assert f"no process {gone.pid}" in refused.stderr
    assert not home.exists()
