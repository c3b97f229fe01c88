from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _terraform_plan as plans


def resource(address, *actions, **more):
    change = {"actions": list(actions), **more.pop("change", {})}
    return {"address": address, "mode": "managed", "change": change, **more}


DOCUMENT = {
    "resource_changes": [
        resource("a.same", "no-op"),
        resource("a.new", "create"),
        resource("a.other", "update"),
        resource("a.taken", "no-op", change={"importing": {"id": "/x"}}),
        resource(
            'a.again["k"]',
            "delete",
            "create",
            action_reason="replace_because_cannot_update",
            change={"replace_paths": [["sku", 0, "name"]]},
        ),
        resource("a.create_first", "create", "delete", action_reason="replace_because_tainted"),
        resource("a.gone", "delete", action_reason="delete_because_no_resource_config"),
        resource("a.left", "forget"),
        {**resource("data.a.look", "read"), "mode": "data"},
    ],
    "output_changes": {"platform": {"actions": ["update"]}, "same": {"actions": ["no-op"]}},
}


def test_a_plan_is_read_verb_by_verb():
    plan = plans.read_plan(DOCUMENT)
    assert [(item.address, item.verb) for item in plan.changes] == [
        ("a.new", "create"),
        ("a.other", "update"),
        ("a.taken", "import"),
        ('a.again["k"]', "replace"),
        ("a.create_first", "replace"),
        ("a.gone", "delete"),
        ("a.left", "forget"),
    ]
    assert plan.outputs == ["platform"]
    assert plan.counts() == {"create": 1, "update": 1, "import": 1, "replace": 2, "delete": 1, "forget": 1}
    assert plans.tally(plan) == "Changes: 8"


def test_an_empty_plan_has_nothing_to_apply():
    plan = plans.read_plan({"resource_changes": [resource("a.same", "no-op")], "output_changes": {}})
    assert not plan.pending
    assert plans.tally(plan) == "No changes"


def test_a_changed_output_alone_is_to_be_applied():
    assert plans.read_plan({"output_changes": {"platform": {"actions": ["create"]}}}).pending


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ([], ['a.again["k"]', "a.create_first", "a.gone", "a.left"]),
        (['a.again["k"]', "a.gone"], ["a.create_first", "a.left"]),
        (["a.again[*]"], ["a.create_first", "a.gone", "a.left"]),
        (["a.*"], []),
        (["*"], []),
        # Brackets and dots stand for themselves, and a part of an address allows nothing.
        (["a.again[k]", "a.gon", "axgone", "a.gone.b"], ['a.again["k"]', "a.create_first", "a.gone", "a.left"]),
    ],
)
def test_only_allowed_addresses_may_be_destroyed(allowed, left):
    assert [item.address for item in plans.refused(plans.read_plan(DOCUMENT), allowed)] == left


def test_a_refusal_lists_addresses_and_reasons():
    text = plans.refusal(plans.refused(plans.read_plan(DOCUMENT), []))
    assert 'a.again["k"]: replace, cannot be changed in place (sku.0.name)' in text
    assert "a.create_first: replace, was left half-made by an earlier run" in text
    assert "infrastructure_allow_destroy" in text
    assert "a.other" not in text


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("...\n\nNo changes. Your infrastructure matches the configuration.\n", True),
        ("\x1b[0m\x1b[1m\x1b[32mNo changes.\x1b[0m Your infrastructure matches", True),
        ("Plan: 1 to add, 0 to change, 0 to destroy.", False),
        ('  + description = "No changes. Really"', False),
        ("", False),
    ],
)
def test_no_changes_is_only_what_terraform_says_itself(text, empty):
    assert plans.nothing_to_do(text) is empty


EXISTS = """
╷
│ Error: A resource with the ID "/subscriptions/s/resourceGroups/rg" already exists - to be managed via \
Terraform this resource needs to be imported into the State. Please see the resource documentation for \
"azurerm_resource_group" for more information.
│
│   with azurerm_resource_group.this,
│   on main.tf line 54, in resource "azurerm_resource_group" "this":
│   54: resource "azurerm_resource_group" "this" {
│
│ A resource with the ID "/subscriptions/s/resourceGroups/rg" already exists - to be
│ managed via Terraform this resource needs to be imported into the State.
╵
╷
│ Error: A resource with the ID "/subscriptions/s/resourceGroups/rg/providers/M.N/ips/i|/x" already exists - to be \
managed via Terraform this resource needs to be imported into the State. Please see the resource documentation.
│
│   with module.a[0].azurerm_role_assignment.this["operator/Key Vault Secrets Officer"],
│   on modules/a/main.tf line 4, in resource "azurerm_role_assignment" "this":
│    4: resource "azurerm_role_assignment" "this" {
│
╵
"""


def test_what_exists_is_found_by_address():
    assert plans.existing(EXISTS) == {
        "azurerm_resource_group.this": "/subscriptions/s/resourceGroups/rg",
        'module.a[0].azurerm_role_assignment.this["operator/Key Vault Secrets Officer"]': (
            "/subscriptions/s/resourceGroups/rg/providers/M.N/ips/i|/x"
        ),
    }


def test_an_error_of_another_kind_names_nothing_that_exists():
    other = EXISTS.replace("already exists - to be managed via Terraform", "is not allowed")
    assert plans.existing(other.replace("already exists - to be\n│ managed via", "is not")) == {}


@pytest.mark.parametrize(
    ("identifier", "inside"),
    [
        ("/subscriptions/s/resourceGroups/rg", True),
        ("/subscriptions/S/RESOURCEGROUPS/RG/providers/x", True),
        ("/subscriptions/s/resourceGroups/rg-other/providers/x", False),
        ("/subscriptions/other/resourceGroups/rg", False),
        ("/subscriptions/s", False),
    ],
)
def test_only_the_platforms_own_groups_are_its_own(identifier, inside):
    assert plans.within(identifier, ["/subscriptions/s/resourceGroups/rg"]) is inside


def test_import_blocks_cannot_be_templates():
    code = plans.import_blocks({"a.b": "/x/${evil}", 'a.c["d"]': '/y"'})
    assert code == 'import {\n  to = a.b\n  id = "/x/$${evil}"\n}\n\nimport {\n  to = a.c["d"]\n  id = "/y\\""\n}\n'


LOCKED = """
╷
│ Error: Error acquiring the state lock
│
│ Error message: state blob is already locked
│ Lock Info:
│   ID:        0c4e-11
│   Path:      tfstate/sandbox.tfstate
│   Operation: OperationTypeApply
│   Who:       root@builder-1
│   Version:   1.11.4
│   Created:   2026-11-23 06:12:23.704057727 +0000 UTC
│   Info:
╵
"""


def test_a_lock_says_who_and_since_when():
    lock = plans.lock_of(LOCKED)
    assert lock == plans.Lock(
        "0c4e-11", "root@builder-1", "2026-11-23 06:12:23.704057727 +0000 UTC", "OperationTypeApply"
    )
    assert lock.host == "builder-1"


def test_a_lock_without_a_name_is_a_lock():
    lock = plans.lock_of("Error: Error acquiring the state lock\n\nstate blob is already locked\n")
    assert lock == plans.Lock("", "", "", "")


def test_other_errors_are_no_locks():
    assert plans.lock_of(EXISTS) is None


def test_lock_metadata_is_decoded():
    encoded = base64.b64encode(json.dumps({"ID": "1", "Who": "a@b", "Created": "now", "Operation": "x"}).encode())
    assert plans.lock_of_metadata(encoded.decode()) == plans.Lock("1", "a@b", "now", "x")
    assert plans.lock_of_metadata("not base64 of json") is None


def test_errors_are_said_once_with_their_address():
    text = plans.errors(EXISTS)
    lines = text.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("azurerm_resource_group.this: A resource with the ID")
    assert text.count("managed via Terraform") == 2  # the detail that repeats the first summary is left out
    assert "│" not in text
    assert "main.tf" not in text


def test_a_detail_that_says_more_is_kept():
    text = plans.errors(
        'Error: Invalid value for variable\n\n  on main.tf line 1:\n   1: variable "a" {\n\na must be b.\n'
    )
    assert text.startswith("Invalid value for variable")
    assert "a must be b." in text


def test_a_detail_that_repeats_the_summary_is_left_out_without_an_address_too():
    said = 'deleting X (Group: "g"\n│ Name: "n"): refused'
    text = plans.errors(f"╷\n│ Error: {said}\n│ \n│ {said}\n╵\n")
    assert text == 'deleting X (Group: "g" Name: "n"): refused'


def test_text_without_an_error_is_shown_as_it_is():
    assert plans.errors("exec format error\n\n\n\nx") == "exec format error\n\nx"


def test_long_errors_are_cut():
    assert plans.errors("x" * 50, limit=10) == "xxxxxxxxxx\n... (40 characters more)"


def test_secrets_are_redacted_longest_first():
    assert plans.redact("pass-word and pass", ["pass", "pass-word", "", "an"]) == "(redacted) and (redacted)"
