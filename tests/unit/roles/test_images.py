"""What the platform copies into its registry is what its roles and its chart have the cluster pull."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.aksops.platform.plugins.module_utils import _acr_images_plan as plan

ROOT = Path(__file__).resolve().parents[3]
STAGE = yaml.safe_load((ROOT / "playbooks/group_vars/all/images.yml").read_text())


@pytest.fixture(scope="module")
def listed():
    def trusted(value):
        if isinstance(value, dict):
            return {key: trusted(item) for key, item in value.items()}
        return trust_as_template(value) if isinstance(value, str) else value

    variables = {**{name: trusted(value) for name, value in STAGE.items()}, "platform_images": []}
    found = Templar(loader=DataLoader(), variables=variables).template(variables["images_list"])
    return {(image.registry, image.path): image for image in plan.images(found)}


def test_argo_cd_is_described_as_its_role_describes_it():
    defaults = yaml.safe_load((ROOT / "roles/argocd/defaults/main.yml").read_text())
    assert STAGE["argocd_images"] == defaults["argocd_images"]


def test_every_part_of_argo_cd_is_copied_by_digest(listed):
    for image in STAGE["argocd_images"].values():
        copied = listed[image["registry"], image["name"]]
        assert (copied.repository, f"{copied.tag}@{copied.digest}") == (image["name"], image["tag"])


def test_the_reference_workload_is_copied_as_its_chart_pins_it(listed):
    pinned = yaml.safe_load((ROOT / "charts/reference-workload/values.yaml").read_text())["image"]
    copied = listed[pinned["registry"], pinned["repository"]]
    assert (copied.repository, copied.tag, copied.digest) == (pinned["repository"], pinned["tag"], pinned["digest"])


def test_images_are_copied_before_anything_may_deny_them():
    stages = [play["import_playbook"] for play in yaml.safe_load((ROOT / "playbooks/site.yml").read_text())]
    assert stages.index("infrastructure.yml") < stages.index("images.yml") < stages.index("addons.yml")
