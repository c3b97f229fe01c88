"""What is missing is named in one sentence, on a machine whose PATH holds only what a test puts there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
USED = ("bash", "dirname", "env", "head", "sed", "sort")
VERSIONS = {
    "git": "git version 2.43.0",
    "go": "go1.26.6",
    "node": "v22.4.1",
    "npm": "10.8.0",
}


@pytest.fixture
def path(tmp_path):
    """A PATH that has everything; a test takes away or replaces."""
    for name in USED:
        (tmp_path / name).symlink_to(shutil.which(name))
    for name, text in VERSIONS.items():
        program(tmp_path, name, f"echo '{text}'")
    program(tmp_path, "python3.13", f'exec "{os.path.realpath(sys.executable)}" "$@"')
    return tmp_path


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
    (folder / name).chmod(0o755)


def run(path: Path, script: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Without HOME, as services and containers start programs."""
    return subprocess.run(
        [str(path / "bash"), str(SCRIPTS / script), *argv],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_machine_that_has_all_passes(path):
    assert run(path, "check-prerequisites").returncode == 0


@pytest.mark.parametrize(
    ("name", "script", "said"),
    [
        ("git", None, "git 2.30 or newer is needed (found: none)"),
        ("go", None, "Go 1.26.6 or newer is needed (found: none): see https://go.dev"),
        ("go", "echo go1.26.5", "Go 1.26.6 or newer is needed (found: 1.26.5)"),
        ("go", "exit 3", "Go 1.26.6 or newer is needed (found: none)"),
        ("node", "echo v18.20.1", "Node 20 or newer is needed (found: 18.20.1)"),
        ("npm", None, "npm 9.0 or newer is needed (found: none)"),
        ("python3.13", None, "No Python 3.11 or newer was found"),
        ("python3.13", "exit 1", "No Python 3.11 or newer was found"),
    ],
)
def test_what_is_missing_or_too_old_is_one_sentence(path, name, script, said):
    (path / name).unlink()
    if script:
        program(path, name, script)
    done = run(path, "check-prerequisites")
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("broken", ["ensurepip", "ssl"])
def test_a_python_that_cannot_make_environments_is_named_with_what_it_lacks(path, broken):
    start = f"import sys; sys.modules['{broken}'] = None; code = sys.argv.pop(1); exec(code)"
    program(
        path, "python3.13", f'code=$2; shift 2; exec "{os.path.realpath(sys.executable)}" -c "{start}" "$code" "$@"'
    )
    done = run(path, "find-python")
    assert done.returncode == 1
    assert f"python3.13 lacks {broken} (" in done.stderr


def test_a_python_without_a_version_in_its_name_will_do(path):
    (path / "python3.13").rename(path / "python3")
    assert run(path, "find-python").stdout.strip() == str(path / "python3")
    asked = run(path, "find-python", "3.9")
    assert (asked.returncode, asked.stdout) == (1, "")
