# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded waiting on a monotonic clock. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence

WAIT_ARG_SPEC: dict[str, dict[str, t.Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 1800},
    "wait_sleep": {"type": "int", "default": 5},
}

State = t.TypeVar("State")
Progress = t.Callable[[str], None]


class WaitTimeoutError(AksPlatformError, TimeoutError):
    """What was awaited did not come in time; C(details) hold the last state and the seconds waited."""


def poll(
    check: t.Callable[[], tuple[bool, State]],
    *,
    timeout: float,
    interval: float | t.Callable[[State], float],
    describe: str | t.Callable[[State], str],
    progress: Progress | None = None,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> State:
    """Call C(check) until it says done, and return the state it gave then.

    :param check: returns C((done, state)); what it raises is passed on.
    :param timeout: seconds; C(check) is called at least once, and once more when the time is over.
    :param interval: seconds between two calls, or a function of the last state (for Retry-After).
    :param describe: what is awaited, or a function of the last state that says so.
    :param progress: gets one sentence before every sleep.
    :raises WaitTimeoutError: the text carries the last state and the time waited.
    """
    started = clock()
    while True:
        done, state = check()
        if done:
            return state
        waited = clock() - started
        what = describe(state) if callable(describe) else describe
        shown = one_sentence(str(state), 300)
        if waited >= timeout:
            raise WaitTimeoutError(
                f"Gave up waiting for {what} after {waited:.0f} s; its last state was {shown}.",
                last_state=shown,
                waited_seconds=round(waited),
            )
        if progress:
            progress(f"waiting for {what} since {waited:.0f} s: {shown}")
        pause = interval(state) if callable(interval) else interval
        sleep(max(0.0, min(pause, timeout - waited)))
