"""What a role would refuse later is found before anything is written, and a secret is not shown for it."""

from __future__ import annotations

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.aksops.platform.plugins.lookup.argument_problems import LookupModule


def look(*roles, **variables):
    templar = Templar(loader=DataLoader(), variables=variables)
    return LookupModule(loader=DataLoader(), templar=templar).run(list(roles), variables)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"secrets_items": [{"nam": "a", "value": "Hidden-Value-1"}]},
            ["There is no secrets_items.nam"],
        ),
        ({"secrets_items": [{"value": "Hidden-Value-1"}]}, ["name", "secrets_items"]),
        ({"secrets_items": [{"name": "a", "state": "gone", "value": "Hidden-Value-1"}]}, ["state", "present, absent"]),
        ({"secrets_items": "Hidden-Value-1"}, ["secrets_items"]),
        ({"postgresql_databases_list": [{"name": "a", "ownr": "b"}]}, ["ownr", "postgresql_databases_list"]),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(variables, words):
    found = look("secrets", "postgresql_databases", **variables)
    assert all(word in " ".join(found) for word in words)
    assert "Hidden-Value-1" not in " ".join(found)


def test_what_is_right_or_not_known_yet_or_of_another_role_is_left_alone():
    right = {"secrets_items": [{"name": "a", "value_env": trust_as_template("{{ prefix }}_A")}], "prefix": "MY"}
    later = {"postgresql_databases_list": [{"name": "a", "roles": trust_as_template("{{ platform.roles }}")}]}
    assert look("secrets", "postgresql_databases", **right, **later, argocd_state=7) == []
