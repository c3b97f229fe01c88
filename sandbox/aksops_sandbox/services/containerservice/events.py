"""Events as components write them: one for each object and message, counted up when it happens again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from aksops_sandbox.engines.kubernetes import Client
from aksops_sandbox.engines.kubernetes.client import path


def warn(client: Client, item: dict[str, Any], reason: str, message: str, component: str) -> None:
    """Record a Warning on a pod, or on an object that says its kind."""
    record(client, item, ("Warning", reason), message, component)


def record(client: Client, item: dict[str, Any], what: tuple[str, str], message: str, component: str) -> None:
    """Record an event. what: its type and its reason."""
    metadata = item["metadata"]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    mark = hashlib.sha256(f"{metadata['uid']}|{message}".encode()).hexdigest()[:16]
    name = f"{metadata['name']}.{mark}"
    target = path("v1", "events", metadata["namespace"])
    before = client.get(f"{target}/{name}")
    if before is not None:
        client.merge(f"{target}/{name}", {"count": int(before.get("count") or 1) + 1, "lastTimestamp": now})
        return
    client.create(
        target,
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": item.get("kind") or "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": what[0],
            "reason": what[1],
            "message": message[:1024],
            "source": {"component": component, "host": item["spec"].get("nodeName", "")},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        },
    )
