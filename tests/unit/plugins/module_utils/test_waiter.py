from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WAIT_ARG_SPEC, WaitTimeoutError, poll


class Clock:
    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def test_returns_the_state_once_done_and_tells_progress():
    clock, told = Clock(), []
    states = iter([(False, "Creating"), (False, "Creating"), (True, "Succeeded")])
    got = poll(
        lambda: next(states),
        timeout=60,
        interval=5,
        describe="aks",
        progress=told.append,
        clock=clock,
        sleep=clock.sleep,
    )
    assert got == "Succeeded"
    assert clock.pauses == [5, 5]
    assert told == ["waiting for aks since 0 s: Creating", "waiting for aks since 5 s: Creating"]


def test_timeout_carries_the_last_state_and_asks_once_more_at_the_end():
    clock = Clock()
    with pytest.raises(WaitTimeoutError, match="the cluster after 12 s; its last state was Updating") as caught:
        poll(
            lambda: (False, "Updating"), timeout=12, interval=5, describe="the cluster", clock=clock, sleep=clock.sleep
        )
    assert clock.pauses == [5, 5, 2]
    assert caught.value.details["last_state"] == "Updating"
    assert isinstance(caught.value, TimeoutError)


def test_zero_timeout_still_asks_once():
    assert poll(lambda: (True, 1), timeout=0, interval=1, describe="x") == 1


def test_fragment_and_spec_agree():
    import yaml
    from ansible_collections.aksops.platform.plugins.doc_fragments.wait import ModuleDocFragment

    options = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert {n: {k: o[k] for k in ("type", "default")} for n, o in options.items()} == WAIT_ARG_SPEC
