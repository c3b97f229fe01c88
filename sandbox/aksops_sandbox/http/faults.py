"""Fault injection: latency, throttling, server errors, connection resets, lost answers and time-outs, by rule."""

from __future__ import annotations

import fnmatch
import random
import threading
from dataclasses import asdict, dataclass
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request

KINDS = ("latency", "status", "reset", "lost", "timeout")


@dataclass
class Rule:
    """One fault.

    Args:
        kind: `latency` (adds `milliseconds`), `status` (answers `status`), `reset` (drops the connection before the
            request is carried out), `lost` (drops it after), `timeout` (says nothing for `milliseconds`, then drops).
        host, path, method: shell patterns; '*' matches everything.
        rate: share of the matching requests that are hit, 0 to 1.
        count: how many requests are hit before the rule ends; 0 is no limit.
        retry_after: seconds sent as `Retry-After` with a status; None sends none, as Key Vault does.
    """

    kind: str
    host: str = "*"
    path: str = "*"
    method: str = "*"
    rate: float = 1.0
    milliseconds: int = 0
    status: int = 503
    count: int = 0
    retry_after: int | None = None
    hits: int = 0

    def matches(self, request: Request) -> bool:
        return (
            fnmatch.fnmatch(request.host, self.host)
            and fnmatch.fnmatch(request.path, self.path)
            and fnmatch.fnmatch(request.method, self.method)
        )


class Faults:
    """The rules in force. A seed makes the choice of hit requests repeatable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._random = random.Random()

    def add(self, rule: dict[str, Any]) -> None:
        """Add a rule. Raises AzureError 400 where it is not one."""
        try:
            made = Rule(**rule)
        except TypeError as error:
            raise AzureError(400, "InvalidFault", f"A fault rule has unknown fields: {error}.") from None
        if made.kind not in KINDS:
            raise AzureError(400, "InvalidFault", f"A fault's kind is one of {', '.join(KINDS)}, not '{made.kind}'.")
        with self._lock:
            self._rules.append(made)

    def seed(self, value: int) -> None:
        with self._lock:
            self._random = random.Random(value)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def list(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def draw(self, request: Request) -> list[Rule]:
        """The rules that hit this request: any number of latencies and at most one other."""
        hit: list[Rule] = []
        with self._lock:
            for rule in self._rules:
                if not rule.matches(request) or (rule.count and rule.hits >= rule.count):
                    continue
                if rule.kind != "latency" and any(other.kind != "latency" for other in hit):
                    continue
                if self._random.random() < rule.rate:
                    rule.hits += 1
                    hit.append(rule)
        return hit
