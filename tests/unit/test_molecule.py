"""Every scenario that plays a role of the cluster goes through all the steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = ROOT / "molecule"
ROLES = ["agic", "argocd", "azure_monitor", "azure_policy", "images", "secrets_store_csi", "workload"]
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
