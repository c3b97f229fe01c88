from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aksops.platform.plugins.filter.unknown_variables import FilterModule, known_variables
from ansible_collections.aksops.platform.plugins.module_utils._preflight_variables import unknown

ROOT = Path(__file__).resolve().parents[4]
KNOWN = {"platform_location", "infrastructure_network", "agic_state"}
PREFIXES = {"platform_", "infrastructure_", "agic_"}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("infrastructure_netwrok", "infrastructure_network"),
        ("plaform_location", "platform_location"),
        ("agic_stat", "agic_state"),
        ("Platform_location", "platform_location"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest(name, near):
    assert unknown([name], KNOWN, PREFIXES) == [
        f"The variable {name} is not known and would be ignored: did you mean {near}?"
    ]


@pytest.mark.parametrize(
    "name", ["ansible_host", "my_location", "location", "_platform_locaton", "__agic_stat", *sorted(KNOWN)]
)
def test_other_peoples_variables_and_known_ones_are_left_alone(name):
    assert unknown([name], KNOWN, PREFIXES) == []


def test_a_variable_near_to_nothing_is_still_unknown():
    assert "remove it" in unknown(["agic_xyzzyplugh"], KNOWN, PREFIXES)[0]


def test_the_filter_knows_the_variables_of_roles_playbooks_and_inventories():
    known, prefixes = known_variables(ROOT)
    assert {"infrastructure_network", "preflight_inputs", "platform_location", "infrastructure_backend"} <= known
    assert {"infrastructure_", "platform_", "destroy_", "preflight_"} <= prefixes


def test_the_inventories_of_this_repository_hold_no_unknown_variable():
    import yaml

    names = {
        name
        for path in (ROOT / "inventories").glob("*/*_vars/**/*.yml")
        for name in yaml.safe_load(path.read_text()) or {}
    }
    assert len(names) > 10
    assert FilterModule().filters()["unknown_variables"](names) == []


def test_names_can_be_ignored():
    check = FilterModule().filters()["unknown_variables"]
    assert len(check(["platform_of_mine", "platform_yours"])) == 2
    assert check(["platform_of_mine"], ignore=["platform_of_.*"]) == []


@pytest.mark.parametrize("value", ["platform_x", [1]])
def test_anything_but_names_is_refused(value):
    with pytest.raises(AnsibleFilterError):
        FilterModule().filters()["unknown_variables"](value)
