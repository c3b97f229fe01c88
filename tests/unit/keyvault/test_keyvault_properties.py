"""Properties of the plan, over vaults and wishes that hypothesis thinks up."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from keyvault_support import LocalVault, actions, generate, item, seed

NAMES = ["alpha", "beta", "gamma", "delta"]
values = st.sampled_from(["value-one", "value-two", "value-three"])
tags = st.dictionaries(st.sampled_from(["team", "kind"]), st.sampled_from(["x", "y"]), max_size=2)
times = st.sampled_from([None, 1_900_000_000, 1_950_000_000])
held = st.fixed_dictionaries(
    {
        "value": values,
        "tags": tags,
        "contentType": st.sampled_from([None, "text/plain"]),
        "enabled": st.sampled_from([True, True, True, False]),
        "exp": times,
        "gone": st.sampled_from([False, False, True]),
        "owner": st.sampled_from([None, None, "me"]),
    }
)
vaults = st.dictionaries(st.sampled_from([*NAMES, "stray"]), held, max_size=5)


@st.composite
def wishes(draw: Any) -> list[dict[str, Any]]:
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        options: dict[str, Any] = {}
        if draw(st.integers(0, 4)) == 0:
            options["state"] = "absent"
            options["purge"] = draw(st.booleans())
        else:
            source = draw(st.sampled_from(["value", "value", "generate", "template"]))
            if source == "value":
                options["value"] = draw(values)
            elif source == "generate":
                options["generate"] = generate()
            else:
                options["template"] = "made of ${secret:anchor}"
            if draw(st.integers(0, 3)) == 0:
                options["apply_to"] = {"resource_id": "/subscriptions/x", "api_version": "1", "path": "p"}
            options["compare"] = draw(st.sampled_from(["value", "value", "fingerprint", "exists"]))
        options["tags"] = draw(st.one_of(st.none(), tags))
        options["content_type"] = draw(st.sampled_from([None, None, "", "application/json"]))
        options["enabled"] = draw(st.sampled_from([None, None, True, False]))
        options["expires"] = draw(st.sampled_from([None, None, "never", "2030-03-17T17:46:40Z"]))
        options["disable_previous_after"] = draw(st.sampled_from([None, None, "1d"]))
        found.append(item(name.upper() if draw(st.booleans()) else name, **options))
    return found


def build(content: dict[str, dict[str, Any]]) -> LocalVault:
    vault = LocalVault()
    vault.put("anchor", "the-anchor")
    for name, fields in content.items():
        own = {"aksops-owner": fields["owner"]} if fields["owner"] else {}
        attributes = {"enabled": fields["enabled"], "exp": fields["exp"]}
        vault.put(
            name,
            fields["value"],
            tags={**fields["tags"], **own},
            contentType=fields["contentType"],
            attributes=attributes,
        )
        if fields["gone"]:
            vault.remove(name)
    vault.clock.sleep(5)
    return vault


OPTIONS = {
    "fingerprint_key": "k" * 32,
    "owner": "me",
    "prune": {"max": 9},
    "apply_value": lambda target, value: None,
}


@settings(max_examples=300)
@given(content=vaults, wanted=wishes(), purge_tags=st.booleans())
def test_planning_again_is_empty_and_check_mode_predicts(content, wanted, purge_tags):
    vault = build(content)
    options = {**OPTIONS, "purge_tags": purge_tags}
    predicted = seed(vault, wanted, check_mode=True, **options)
    assert vault.writes() == 0
    real = seed(vault, wanted, **options)
    assert not real.failures
    assert predicted.changed == real.changed
    compared_later = {outcome.change.name for outcome in predicted.outcomes if outcome.change.recheck}
    for name, action in actions(predicted).items():
        if name in compared_later:
            assert actions(real)[name] in (action, "new_version")
            assert (action == "unchanged") == (actions(real)[name] == "unchanged")
        else:
            assert actions(real)[name] == action
    writes = vault.writes()
    vault.clock.sleep(5)
    again = seed(vault, wanted, **options)
    assert not again.changed, actions(again)
    assert vault.writes() == writes


@settings(max_examples=100)
@given(content=vaults, wanted=wishes())
def test_what_nobody_asked_for_stays(content, wanted):
    vault = build(content)
    options = {name: value for name, value in OPTIONS.items() if name != "prune"}
    named = {wish["name"].lower() for wish in wanted}
    before = {name: vault.space.find(name) for name in content if name not in named}
    seed(vault, wanted, **options)
    assert {name: vault.space.find(name) for name in before} == before


@settings(max_examples=100)
@given(content=vaults, wanted=wishes())
def test_nothing_that_is_shown_holds_a_value(content, wanted):
    vault = build(content)
    report = seed(vault, wanted, **OPTIONS)
    shown = repr([outcome.row() for outcome in report.outcomes]) + repr(report.diff()) + repr(report) + report.table()
    for secret in ["value-one", "value-two", "value-three", "the-anchor"]:
        assert secret not in shown
