"""Backends of Ingress objects as AGIC makes them: a pool of addresses, HTTP settings and a probe for each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import gateway_probes
from .gateway_annotations import Annotations
from .gateway_cluster import Cluster, Complaint, Manifest, limited

POOL = "defaultaddresspool"
SETTINGS = "defaulthttpsetting"
_PROBE = "defaultprobe-"
_NOT_A_PORT = 65536


@dataclass(frozen=True)
class Backend:
    """Names of a backend's pool and settings on the gateway. named: the pool's name, though nothing may be in it."""

    pool: str = POOL
    settings: str = SETTINGS
    named: str = POOL


class Backends:
    """Collects pools, settings and probes.

    Args:
        reference: (collection, name) -> reference to a part of the gateway.
    """

    def __init__(self, cluster: Cluster, reference: Callable[[str, str], Manifest]) -> None:
        self._cluster = cluster
        self._reference = reference
        self.pools: dict[str, Manifest] = {POOL: {"backendAddresses": []}}
        self.probes = {f"{_PROBE}{protocol}": gateway_probes.default(protocol) for protocol in ("Http", "Https")}
        self.settings: dict[str, Manifest] = {
            SETTINGS: {
                "port": 80,
                "protocol": "Http",
                "cookieBasedAffinity": "Disabled",
                "requestTimeout": 30,
                "pickHostNameFromBackendAddress": False,
                "probe": reference("probes", f"{_PROBE}Http"),
            }
        }
        self.complaints: list[Complaint] = []

    def add(
        self, ingress: Manifest, backend: Manifest, hosts: tuple[str, ...] = (), path: str | None = None
    ) -> Backend:
        """Make what one backend of an Ingress needs. path: none for a default backend."""
        options = Annotations(ingress)
        namespace, owner = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
        name, wanted = backend["service"]["name"], backend["service"].get("port") or {}
        shown = str(wanted.get("name") or wanted.get("number") or 0)
        found = self._ports(namespace, name, wanted, shown)
        port = self._one(ingress, found, f"{namespace}/{name}", wanted, shown)
        named = limited(f"pool-{namespace}-{name}-{shown}-bp-{port}")
        pool = self._pool(ingress, (namespace, name), port, named)
        probe = self._probe(ingress, name, shown, hosts, path, port, {target for _, target in found})
        settings = limited(f"bp-{namespace}-{name}-{shown}-{port}-{owner}")
        self.settings.setdefault(settings, self._of(options, f"{namespace}-{name}", port, probe))
        self.complaints += [Complaint(ingress, "InvalidAnnotation", text) for text in options.invalid]
        return Backend(pool, settings, named)

    def _ports(self, namespace: str, name: str, wanted: Manifest, shown: str) -> list[tuple[int, int]]:
        """(port, target port) pairs of a service that an Ingress may mean: by number, name or target port."""
        service = self._cluster.services.get((namespace, name))
        pairs: set[tuple[int, int]] = set()
        for item in (service or {"spec": {}})["spec"].get("ports") or []:
            target = item.get("targetPort", item["port"])
            if item.get("protocol", "TCP") != "TCP" or shown not in (str(item["port"]), item.get("name"), str(target)):
                continue
            if isinstance(target, int):
                pairs.add((item["port"], target))
                continue
            for subset in self._cluster.endpoints.get((namespace, name)) or []:
                ports = subset.get("ports") or []
                pairs |= {
                    (item["port"], port["port"]) for port in ports if port.get("name", "") == item.get("name", "")
                }
        return sorted(pairs, key=lambda pair: pair[1])

    def _one(self, ingress: Manifest, found: list[tuple[int, int]], service: str, wanted: Manifest, shown: str) -> int:
        """The port of the backends; what hinders its resolution is an event."""
        namespace, name = service.split("/")

        def say(code: str, message: str) -> None:
            self.complaints.append(Complaint(ingress, "PortResolutionError", f'Code="{code}" Message="{message}"'))

        if (namespace, name) not in self._cluster.services:
            say("ErrorServiceNotFound", f"Service not found {service}")
            return int(wanted.get("number") or 80)
        port = found[0][1] if found else int(wanted.get("number") or _NOT_A_PORT)
        if port >= _NOT_A_PORT:
            say(
                "ErrorServiceResolvedToInvalidPort",
                f"service {service} and service port {shown} was resolved to an invalid service-backend port {port}, "
                "defaulting to port 80",
            )
            return 80
        if not found:
            say("ErrorUnableToResolveBackendPortFromServicePort", f"No port matched {service}")
        elif len(found) > 1:
            say(
                "ErrorMultipleServiceBackendPortBinding",
                f"service {service} and service port {shown} has more than one service-backend port binding which is "
                f"not an ideal scenario, choosing the smallest service-backend port {port}. Ports found "
                f"{','.join(str(target) for _, target in found)}.",
            )
        return port

    def _pool(self, ingress: Manifest, service: tuple[str, str], port: int, name: str) -> str:
        """The pool of a service's addresses, ready or not (the gateway's probe decides); the default one for none."""
        subsets = self._cluster.endpoints.get(service)
        if subsets is None:
            text = f'Code="ErrorFetchingEndpoints" Message="Endpoint not found for {"/".join(service)}"'
            self.complaints.append(Complaint(ingress, "EndpointsEmpty", text))
            return POOL
        for subset in subsets:
            if any(item["port"] == port for item in subset.get("ports") or [] if item.get("protocol", "TCP") == "TCP"):
                entries = [*(subset.get("addresses") or []), *(subset.get("notReadyAddresses") or [])]
                addresses = sorted({str(entry["ip"]) for entry in entries})
                self.pools.setdefault(name, {"backendAddresses": [{"ipAddress": address} for address in addresses]})
                return name
            text = f"Backend target port {port} does not have matching endpoint port"
            self.complaints.append(Complaint(ingress, "BackendPortTargetMatch", text))
        return POOL

    def _probe(
        self,
        ingress: Manifest,
        service: str,
        shown: str,
        hosts: tuple[str, ...],
        path: str | None,
        port: int,
        targets: set[int],
    ) -> str:
        namespace, owner = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
        options = Annotations(ingress)
        if path is None or (namespace, service) not in self._cluster.services:
            return f"{_PROBE}{options.protocol('Http')}"
        name = limited(f"pb-{namespace}-{service}-{shown}-{owner}")
        made = gateway_probes.probe(
            options,
            hosts=hosts,
            path=path,
            secure=shown == "443" or port == 443,
            pod=self._cluster.probed.get((namespace, service)),
            ports=targets,
        )
        self.probes.setdefault(name, made)
        return name

    def _of(self, options: Annotations, service: str, port: int, probe: str) -> Manifest:
        """HTTP settings as annotations ask for."""
        settings: dict[str, Any] = {
            "port": port,
            "probe": self._reference("probes", probe),
            "pickHostNameFromBackendAddress": False,
            "cookieBasedAffinity": "Disabled",
        }
        for field, name in (("path", "backend-path-prefix"), ("hostName", "backend-hostname")):
            if (value := options.text(name)) is not None:
                settings[field] = value
        if options.flag("connection-draining", tell=True):
            timeout = options.number("connection-draining-timeout", 30)
            settings["connectionDraining"] = {"enabled": True, "drainTimeoutInSec": timeout}
        if options.flag("cookie-based-affinity", tell=True):
            settings["cookieBasedAffinity"] = "Enabled"
        if options.flag("cookie-based-affinity-distinct-name", tell=True):
            digest = hashlib.md5(service.encode(), usedforsecurity=False).hexdigest()
            settings["affinityCookieName"] = f"appgw-affinity-{digest}"
        settings["requestTimeout"] = options.number("request-timeout", 30, tell=True)
        settings["protocol"] = options.protocol("Https" if port == 443 else "Http", tell=True)
        if (roots := options.text("appgw-trusted-root-certificate")) is not None:
            names = roots.rstrip(",").split(",")
            settings["trustedRootCertificates"] = [self._reference("trustedRootCertificates", name) for name in names]
            if settings["protocol"] == "Https":
                settings["pickHostNameFromBackendAddress"] = not settings.get("hostName")
        return settings
