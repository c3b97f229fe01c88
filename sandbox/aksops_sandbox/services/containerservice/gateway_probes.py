"""Health probes as AGIC makes them: from the pods' own probes, which annotations override."""

from __future__ import annotations

from typing import Any

from .gateway_annotations import Annotations
from .gateway_cluster import Manifest

_MOST_FAILURES = 20


def default(protocol: str) -> Manifest:
    """The probe of backends that have none of their own."""
    return {
        "protocol": protocol,
        "host": "localhost",
        "path": "/",
        "interval": 30,
        "timeout": 30,
        "unhealthyThreshold": 3,
        "match": {},
        "pickHostNameFromBackendHttpSettings": False,
        "minServers": 0,
    }


def probe(
    options: Annotations, *, hosts: tuple[str, ...], path: str, secure: bool, pod: Manifest | None, ports: set[int]
) -> Manifest:
    """The probe of one backend.

    Args:
        hosts: names of its listener; the first without a wildcard is asked for.
        path: the Ingress's.
        secure: whether the backend's port is 443.
        pod: one of the service's pods.
        ports: container ports that the service leads to.
    """
    found = default("Https" if secure else "Http")
    plain = next((host for host in hosts if not set(host) & set("*?")), None)
    found["host"] = options.text("backend-hostname") or plain or found["host"]
    found["path"] = options.text("backend-path-prefix") or path or found["path"]
    found |= _of_container(pod, ports) if pod else {}
    found["protocol"] = options.protocol(found["protocol"])
    found["host"] = options.text("health-probe-hostname") or found["host"]
    found["path"] = (options.text("health-probe-path") or found["path"]).rstrip("*")
    port = options.positive("health-probe-port")
    if port is not None and port < 65536:
        found["port"] = port
    if codes := options.items("health-probe-status-codes"):
        found["match"] = {"statusCodes": codes}
    for field, name in (
        ("interval", "health-probe-interval"),
        ("timeout", "health-probe-timeout"),
        ("unhealthyThreshold", "health-probe-unhealthy-threshold"),
    ):
        found[field] = options.positive(name, found[field])
    return found


def _of_container(pod: Manifest, ports: set[int]) -> dict[str, Any]:
    """What the readiness probe, else the liveness probe, of the container behind the service says."""
    container = next(
        (
            item
            for item in pod["spec"]["containers"]
            if any(port["containerPort"] in ports for port in item.get("ports") or [])
        ),
        None,
    )
    wanted = next(
        (
            item
            for name in ("readinessProbe", "livenessProbe")
            if (item := (container or {}).get(name)) and item.get("httpGet")
        ),
        None,
    )
    if container is None or wanted is None:
        return {}
    asked = wanted["httpGet"]
    named = {port.get("name"): port["containerPort"] for port in container["ports"]}
    port = asked["port"] if isinstance(asked["port"], int) else named.get(asked["port"], 0)
    values = {
        "host": asked.get("host"),
        "path": asked.get("path"),
        "port": port,
        "protocol": "Https" if asked.get("scheme") == "HTTPS" or port == 443 else "Http",
        "interval": wanted.get("periodSeconds"),
        "timeout": wanted.get("timeoutSeconds"),
        "unhealthyThreshold": min(wanted.get("failureThreshold") or 0, _MOST_FAILURES),
    }
    return {name: value for name, value in values.items() if value}
