"""The Terraform root against the provider it pins: format, validation, and its own tests with a mocked Azure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from aksops_sandbox.tools import Tools

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2] / "terraform"


def program() -> str:
    """terraform, or tofu where there is no terraform."""
    path = os.pathsep.join([os.environ["PATH"], *(str(folder) for folder in Tools().bin_folders())])
    found = shutil.which("terraform", path=path) or shutil.which("tofu", path=path)
    assert found, "neither terraform nor tofu is on PATH"
    return found


def run(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(Tools().terraform_config()), "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(
        [program(), *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialised copy of the root, without a backend."""
    folder = tmp_path_factory.mktemp("terraform") / "root"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".terraform*"))
    done = run(folder, "init", "-backend=false", "-input=false", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_code_is_formatted() -> None:
    done = run(ROOT, "fmt", "-check", "-recursive", "-diff", "-no-color")
    assert done.returncode == 0, done.stdout


def test_the_provider_is_pinned_exactly_and_alone() -> None:
    for path in sorted(ROOT.rglob("versions.tf")):
        text = path.read_text()
        assert re.findall(r'source\s+=\s+"([^"]+)"', text) == ["hashicorp/azurerm"], path
        assert re.findall(r'\n\s+version\s+=\s+"([^"]+)"', text) == ["= 5.2.0"], path


def test_every_module_stands_on_its_own(root: Path) -> None:
    done = run(root, "validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "tests").glob("*.tftest.hcl")))
def test_terraforms_own_tests(root: Path, name: str) -> None:
    done = run(root, "test", "-no-color", f"-filter=tests/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Success! [1-9]\d* passed, 0 failed\.$", done.stdout, re.MULTILINE), done.stdout
