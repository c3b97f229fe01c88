"""The typed resource store: in memory for reading, written through to SQLite so that state survives a kill."""

from __future__ import annotations

import copy
import json
import sqlite3
import threading
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Resource:
    """One ARM resource. `body` holds top-level fields beside the common ones (sku, identity, kind, zones ...).

    `internal` is never rendered: passwords, keys, engine bookkeeping.
    """

    id: str
    name: str
    type: str
    location: str | None = None
    tags: dict[str, str] | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    internal: dict[str, Any] = field(default_factory=dict)

    def copy(self) -> Resource:
        return copy.deepcopy(self)


class Table(MutableMapping[str, Any]):
    """A persistent mapping from text to JSON values, for data planes. Assign a value again after changing it."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._rows: dict[str, Any] = {key: json.loads(value) for key, value in store.load(name)}

    def __getitem__(self, key: str) -> Any:
        return self._rows[key]

    def __setitem__(self, key: str, value: Any) -> None:
        with self._store.lock:
            self._store.write(self._name, key, json.dumps(value))
            self._rows[key] = value

    def __delitem__(self, key: str) -> None:
        with self._store.lock:
            del self._rows[key]
            self._store.erase(self._name, key)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._rows))

    def __len__(self) -> int:
        return len(self._rows)


class Store:
    """Resources by id (compared without case) and named tables.

    Args:
        path: the SQLite file; made where it is missing.
    """

    _RESOURCES = "resources"

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS entries (space TEXT, key TEXT, value TEXT, PRIMARY KEY (space, key))"
        )
        self._tables: dict[str, Table] = {}
        self._resources: dict[str, Resource] = {
            key: Resource(**json.loads(value)) for key, value in self.load(self._RESOURCES)
        }
        self._by_type: dict[str, dict[str, Resource]] = {}
        for key, resource in self._resources.items():
            self._by_type.setdefault(resource.type.lower(), {})[key] = resource

    def load(self, space: str) -> list[tuple[str, str]]:
        with self.lock:
            rows = self._database.execute("SELECT key, value FROM entries WHERE space = ? ORDER BY rowid", (space,))
            return rows.fetchall()

    def write(self, space: str, key: str, value: str) -> None:
        self._database.execute(
            "INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (space, key) DO UPDATE SET value = excluded.value",
            (space, key, value),
        )

    def erase(self, space: str, key: str) -> None:
        self._database.execute("DELETE FROM entries WHERE space = ? AND key = ?", (space, key))

    def get(self, resource_id: str) -> Resource | None:
        """A copy of the resource, or None."""
        with self.lock:
            found = self._resources.get(resource_id.lower().rstrip("/"))
            return found.copy() if found else None

    def put(self, resource: Resource) -> None:
        """Store a resource, new or changed."""
        with self.lock:
            key = resource.id.lower()
            self.write(self._RESOURCES, key, json.dumps(vars(resource)))
            self._resources[key] = stored = resource.copy()
            self._by_type.setdefault(resource.type.lower(), {})[key] = stored

    def delete(self, resource_id: str) -> bool:
        """Forget a resource (not its children). True where it was there."""
        with self.lock:
            key = resource_id.lower().rstrip("/")
            found = self._resources.pop(key, None)
            if found is None:
                return False
            self._by_type[found.type.lower()].pop(key, None)
            self.erase(self._RESOURCES, key)
            return True

    def list(self, type: str | None = None, prefix: str | None = None) -> list[Resource]:
        """Copies of the resources of one type and/or below one id (the id itself is not below itself)."""
        return [resource.copy() for resource in self.peek(type, prefix)]

    def peek(self, type: str | None = None, prefix: str | None = None) -> list[Resource]:
        """Like `list`, without copies: for readers on a hot path that change nothing."""
        below = prefix.lower().rstrip("/") + "/" if prefix else ""
        with self.lock:
            rows = self._resources if type is None else self._by_type.get(type.lower(), {})
            return [resource for key, resource in rows.items() if key.startswith(below)]

    def table(self, name: str) -> Table:
        """The persistent table of that name, made where it is missing."""
        with self.lock:
            if name not in self._tables:
                self._tables[name] = Table(self, name)
            return self._tables[name]

    def close(self) -> None:
        with self.lock:
            self._database.close()
