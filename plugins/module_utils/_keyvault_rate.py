# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""The pace of requests: a token bucket under the documented limits, and back-off."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

# The service allows 300 writes and 4,000 other requests in 10 s. Its clock starts when the first request arrives, which
# takes longest because it opens the connection; a third of a second's worth less keeps the last ones from being early.
WRITE_BURST, WRITE_RATE = 290, 30.0
READ_BURST, READ_RATE = 3870, 400.0


class TokenBucket:
    """`burst` requests at once, refilled at `rate` a second, shared by all threads.

    A 429 means that somebody else draws on the same limit: `penalize` empties the bucket and holds everybody back.

    Args:
        burst: capacity, in requests.
        rate: refill, in requests a second.
        clock, sleep: replaced in tests.
    """

    def __init__(
        self,
        burst: float,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._level = burst
        self._seen = clock()
        self._closed_until = 0.0
        self._lock = threading.Lock()
        self.waited = 0.0

    def take(self) -> None:
        """Take one token; blocks until it is there."""
        while True:
            with self._lock:
                now = self._clock()
                self._refill(now)
                if now < self._closed_until:
                    pause = self._closed_until - now
                elif self._level >= 1:
                    self._level -= 1
                    return
                else:
                    pause = (1 - self._level) / self._rate
                self.waited += pause
            self._sleep(pause)

    def _refill(self, now: float) -> None:
        self._level = min(self._burst, self._level + max(0.0, now - self._seen) * self._rate)
        self._seen = now

    def penalize(self, seconds: float) -> None:
        """Hold every request back for `seconds`; afterwards only what was refilled since is allowed."""
        with self._lock:
            now = self._clock()
            self._level = 0.0
            self._seen = now
            self._closed_until = max(self._closed_until, now + seconds)


def backoff(attempt: int, base: float, ceiling: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait before try `attempt` + 1: doubled each time, up to `ceiling`, the last half at random."""
    full = min(ceiling, base * 2 ** min(attempt, 16))
    return full * (0.5 + jitter() / 2)
