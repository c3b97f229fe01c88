"""The documented limits of a vault as token buckets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Bucket:
    """`capacity` requests at once, refilled at `rate` a second. A refused request takes nothing."""

    def __init__(self, capacity: float, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self.rate = rate
        self._clock = clock
        self._level = capacity
        self._seen = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """True where one more request is allowed now."""
        with self._lock:
            now = self._clock()
            self._level = min(self.capacity, self._level + (now - self._seen) * self.rate)
            self._seen = now
            if self._level < 1:
                return False
            self._level -= 1
            return True


class VaultLimits:
    """Writes (secret set, certificate create): 300 per 10 s. All other transactions: 4000 per 10 s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.writes = Bucket(300, 30, clock)
        self.others = Bucket(4000, 400, clock)

    def take(self, write: bool) -> bool:
        return (self.writes if write else self.others).take()
