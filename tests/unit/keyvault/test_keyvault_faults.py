"""Faults and kills: the vault ends as wanted or the secret is named, and no version is ever written twice."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from keyvault_support import Faults, KilledError, LocalVault, generate, item, seed

TRIALS = 200


def prepared() -> LocalVault:
    vault = LocalVault()
    for number in range(10):
        vault.put(f"changed-{number}", f"old-{number}", tags={"foreign": "1"})
    for number in range(5):
        vault.put(f"same-{number}", f"same-{number}")
        vault.put(f"gone-{number}", f"gone-{number}")
        vault.remove(f"gone-{number}")
    vault.put("unwanted", "the-value", tags={"aksops-owner": "me"})
    return vault


SECRETS = [
    *(item(f"new-{number}", value=f"new-{number}", tags={"n": str(number)}) for number in range(15)),
    *(item(f"changed-{number}", value=f"changed-{number}") for number in range(10)),
    *(item(f"same-{number}", value=f"same-{number}", content_type="text/plain") for number in range(5)),
    *(item(f"gone-{number}", value=f"back-{number}") for number in range(5)),
    item("key", generate=generate()),
    item("url", template="x://${secret:key}@${secret:changed-1}"),
]
OPTIONS = {"owner": "me", "prune": {"max": 5}}


def check_versions(vault: LocalVault) -> None:
    """No two versions in a row with the same value, and never more than the one that was wanted."""
    for wanted in SECRETS:
        values = vault.values(wanted["name"])
        assert all(one != two for one, two in itertools.pairwise(values)), wanted["name"]
        assert len(values) <= (2 if wanted["name"].startswith(("changed", "gone")) else 1), wanted["name"]


def check_wanted(vault: LocalVault, failed: set[str]) -> None:
    for wanted in SECRETS:
        if wanted["name"] in failed:
            continue
        values = vault.values(wanted["name"])
        if "value" in wanted:
            assert values[-1] == wanted["value"]
        for name, text in wanted.get("tags", {}).items():
            assert vault.newest(wanted["name"])["tags"][name] == text
    if not failed:
        assert vault.values("url") == [f"x://{vault.values('key')[0]}@changed-1"]


@pytest.mark.parametrize("seed_number", range(TRIALS))
def test_ten_percent_of_trouble(seed_number):
    vault = prepared()
    vault.faults = Faults(0.10, seed_number)
    try:
        report = seed(vault, SECRETS, **OPTIONS)
    except AksPlatformError:  # the list itself never came through: nothing was written
        failed = {wanted["name"] for wanted in SECRETS}
    else:
        failed = {outcome.change.name for outcome in report.failures}
    vault.faults = Faults()
    check_wanted(vault, failed)
    check_versions(vault)
    again = seed(vault, SECRETS, **OPTIONS)
    assert not again.failures
    check_wanted(vault, set())
    check_versions(vault)
    assert not seed(vault, SECRETS, **OPTIONS).changed


def test_half_of_all_requests_in_trouble_still_names_every_failure():
    vault = prepared()
    vault.faults = Faults(0.7, 1)
    client = vault.client(attempts=3)
    try:
        report = seed(vault, SECRETS, client=client, **OPTIONS)
        failed = {outcome.change.name for outcome in report.failures}
    except AksPlatformError:
        failed = {wanted["name"] for wanted in SECRETS}
    assert failed
    vault.faults = Faults()
    check_wanted(vault, failed)
    check_versions(vault)


@pytest.mark.parametrize("kill_at", range(1, 130, 3))
def test_killed_at_any_request_the_next_run_converges(kill_at):
    vault = prepared()
    vault.faults = Faults(kill_at=kill_at)
    with contextlib.suppress(KilledError):
        seed(vault, SECRETS, **OPTIONS)
    vault.faults = Faults()
    vault.clock.sleep(5)
    assert not seed(vault, SECRETS, **OPTIONS).failures
    check_wanted(vault, set())
    check_versions(vault)
    assert vault.values("unwanted") == []
    assert not seed(vault, SECRETS, **OPTIONS).changed
