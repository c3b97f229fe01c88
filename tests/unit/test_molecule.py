"""Every scenario that plays a role of the cluster goes through all the steps, and its sandbox ends with the test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "molecule"
ROLES = ["agic", "argocd", "azure_monitor", "azure_policy", "images", "secrets_store_csi", "workload"]
WHICH_TEST = SCENARIOS / "shared/molecule_test.py"
STEPS = ["prepare", "converge", "verify", "side_effect", "cleanup"]


@pytest.mark.parametrize("role", ROLES)
def test_the_role_has_a_scenario_with_every_step(role):
    for step in STEPS:
        plays = yaml.safe_load((SCENARIOS / role / f"{step}.yml").read_text())
        assert plays, f"{role}/{step}.yml does nothing"


@pytest.mark.parametrize("role", ROLES)
def test_the_scenario_ends_with_the_role_absent(role):
    assert f"{role}_state: absent" in (SCENARIOS / role / "side_effect.yml").read_text()


def test_idempotence_is_a_step_of_all():
    steps = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text())["scenario"]["test_sequence"]
    assert steps.index("converge") < steps.index("idempotence") < steps.index("verify")


def of_a_test(*argv: str) -> str:
    """What a play would be told that a process with these arguments has started; 'the test' for that process's id."""
    asks = f"import subprocess, sys; print(subprocess.check_output([sys.executable, {str(WHICH_TEST)!r}], text=True))"
    command = subprocess.Popen([sys.executable, "-c", asks, *argv], stdout=subprocess.PIPE, text=True)
    said = command.communicate()[0].strip()
    return "the test" if said == str(command.pid) else said


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["molecule", "test", "--all"], "the test"),
        (["/venv/bin/molecule", "test", "-s", "agic"], "the test"),
        (["molecule", "converge"], ""),
        (["molecule", "test", "--destroy=never"], ""),
        (["molecule", "test", "--destroy", "never"], ""),
        (["sh", "-c", "cd here && molecule test"], ""),
    ],
)
def test_a_sandbox_is_bound_to_the_test_that_started_it(argv, answer):
    assert of_a_test(*argv) == answer
