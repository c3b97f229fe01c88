"""The request ledger: what every client asked, without headers and bodies (they may hold secrets)."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from aksops_sandbox.http.message import Request


class Ledger:
    """Keeps the newest entries in memory and all of them as JSON lines.

    Args:
        path: the file to append to.
        limit: entries kept in memory.
    """

    def __init__(self, path: Path, limit: int = 200_000) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=limit)
        self._file = path.open("a", encoding="utf-8")
        self._serial = 0

    def record(self, request: Request, status: int, started: float, fault: str | None = None) -> None:
        """Add one answered request; `started` is time.time(); status 0 means no answer was sent."""
        with self._lock:
            self._serial += 1
            entry = {
                "serial": self._serial,
                "time": round(started, 6),
                "ms": round((time.time() - started) * 1000, 2),
                "method": request.method,
                "host": request.host,
                "path": request.path,
                "api_version": request.api_version,
                "status": status,
                "vantage": request.vantage,
                "principal": request.principal.object_id if request.principal else None,
                "agent": request.headers.get("user-agent", "")[:120],
                "fault": fault,
            }
            self._entries.append(entry)
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def query(
        self, *, since: int = 0, method: str = "", host: str = "", path: str = "", limit: int = 10_000
    ) -> list[dict[str, Any]]:
        """Entries after a serial number whose method is one of a comma-separated list and whose host and path contain
        the texts given (without case), the newest `limit` of them."""
        methods = {item.strip().upper() for item in method.split(",") if item.strip()}
        with self._lock:
            entries = list(self._entries)
        found = [
            entry
            for entry in entries
            if entry["serial"] > since
            and (not methods or entry["method"] in methods)
            and host.lower() in entry["host"].lower()
            and path.lower() in entry["path"].lower()
        ]
        return found[-limit:]
