"""What AGIC makes of Ingress objects: the configuration of an application gateway, as a pure function.

Names follow AGIC's (`fl-`, `pool-`, `bp-`, `pb-`, `rr-`, `url-`, `sslr-`), so that what people look for is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

CLASS = "azure-application-gateway"
_LEGACY_CLASS = "azure/application-gateway"
_PREFIX = "appgw.ingress.kubernetes.io/"
MANAGED = (
    "frontendPorts",
    "backendAddressPools",
    "backendHttpSettingsCollection",
    "probes",
    "httpListeners",
    "redirectConfigurations",
    "requestRoutingRules",
    "urlPathMaps",
)
"""collections that AGIC owns whole"""

Manifest = dict[str, Any]


@dataclass
class Cluster:
    """What AGIC reads. services, endpoints: by (namespace, name)."""

    ingresses: list[Manifest]
    services: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Backend:
    pool: str
    settings: str


def is_ours(ingress: Manifest) -> bool:
    """True for an Ingress of AGIC's class."""
    annotations = ingress["metadata"].get("annotations") or {}
    legacy = annotations.get("kubernetes.io/ingress.class")
    return ingress["spec"].get("ingressClassName") == CLASS or legacy == _LEGACY_CLASS


class _Builder:
    def __init__(self, gateway: Manifest, cluster: Cluster) -> None:
        self._id = gateway["id"]
        self._cluster = cluster
        self._items: dict[str, dict[str, Manifest]] = {name: {} for name in MANAGED}
        self._frontends = gateway["properties"]["frontendIPConfigurations"]
        self._add("backendAddressPools", "defaultaddresspool", {"backendAddresses": []})
        self._probe("defaultprobe-Http", {}, "localhost", 80)
        settings = {"port": 80, "protocol": "Http", "cookieBasedAffinity": "Disabled", "requestTimeout": 30}
        settings["probe"] = self._reference("probes", "defaultprobe-Http")
        self._add("backendHttpSettingsCollection", "defaulthttpsetting", settings)

    def _add(self, collection: str, name: str, properties: Manifest) -> Manifest:
        return self._items[collection].setdefault(name, {"name": name, "properties": properties})

    def _reference(self, collection: str, name: str) -> Manifest:
        return {"id": f"{self._id}/{collection}/{name}"}

    def build(self) -> dict[str, list[Manifest]]:
        for ingress in self._cluster.ingresses:
            self._ingress(ingress)
        if not self._items["httpListeners"]:
            listener = self._listener("", 80, "Http", {}, "")
            self._basic(listener, _Backend("defaultaddresspool", "defaulthttpsetting"))
        for index, rule in enumerate(self._items["requestRoutingRules"].values()):
            rule["properties"]["priority"] = 19000 + 5 * index
        return {name: list(items.values()) for name, items in self._items.items()}

    def _ingress(self, ingress: Manifest) -> None:
        metadata = ingress["metadata"]
        options = {
            key.removeprefix(_PREFIX): value
            for key, value in (metadata.get("annotations") or {}).items()
            if key.startswith(_PREFIX)
        }
        certificate = options.get("appgw-ssl-certificate", "")
        for rule in ingress["spec"].get("rules") or []:
            host = rule.get("host", "")
            paths = (rule.get("http") or {}).get("paths") or []
            backends = [(path, self._backend(ingress, path["backend"], options, host)) for path in paths]
            if certificate:
                listener = self._listener(host, 443, "Https", options, certificate)
                self._route(listener, backends, options)
                if options.get("ssl-redirect") == "true":
                    self._redirect(self._listener(host, 80, "Http", options, ""), listener)
                    continue
            else:
                listener = self._listener(host, 80, "Http", options, "")
                self._route(listener, backends, options)

    def _backend(self, ingress: Manifest, backend: Manifest, options: dict[str, str], host: str) -> _Backend:
        namespace, ingress_name = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
        service = backend["service"]["name"]
        wanted = backend["service"].get("port") or {}
        found = self._cluster.services.get((namespace, service))
        if found is None:
            return _Backend("defaultaddresspool", "defaulthttpsetting")
        ports = found["spec"].get("ports") or []
        port = next(
            (
                item
                for item in ports
                if (wanted.get("name") and item.get("name") == wanted["name"]) or item["port"] == wanted.get("number")
            ),
            None,
        )
        if port is None:
            return _Backend("defaultaddresspool", "defaulthttpsetting")
        number, target = port["port"], port.get("targetPort", port["port"])
        target_number = target if isinstance(target, int) else port.get("resolved", number)
        pool = f"pool-{namespace}-{service}-{number}-bp-{target_number}"
        addresses = [{"ipAddress": address} for address in self._cluster.endpoints.get((namespace, service), [])]
        self._add("backendAddressPools", pool, {"backendAddresses": addresses})
        probe = f"pb-{namespace}-{service}-{number}-{ingress_name}"
        self._probe(probe, options, host or "localhost", target_number)
        name = f"bp-{namespace}-{service}-{number}-{target_number}-{ingress_name}"
        settings = {
            "port": target_number,
            "protocol": _protocol(options),
            "cookieBasedAffinity": "Enabled" if options.get("cookie-based-affinity") == "true" else "Disabled",
            "requestTimeout": int(options.get("request-timeout", "30")),
            "pickHostNameFromBackendAddress": False,
            "probe": self._reference("probes", probe),
        }
        if options.get("connection-draining") == "true":
            timeout = int(options.get("connection-draining-timeout", "30"))
            settings["connectionDraining"] = {"enabled": True, "drainTimeoutInSec": timeout}
        self._add("backendHttpSettingsCollection", name, settings)
        return _Backend(pool, name)

    def _probe(self, name: str, options: dict[str, str], host: str, port: int) -> None:
        properties = {
            "protocol": _protocol(options),
            "host": options.get("health-probe-hostname", host),
            "path": options.get("health-probe-path", "/"),
            "interval": int(options.get("health-probe-interval", "30")),
            "timeout": int(options.get("health-probe-timeout", "30")),
            "unhealthyThreshold": int(options.get("health-probe-unhealthy-threshold", "3")),
            "match": {"statusCodes": options.get("health-probe-status-codes", "200-399").split(",")},
            "pickHostNameFromBackendHttpSettings": False,
            "minServers": 0,
        }
        if "health-probe-port" in options:
            properties["port"] = int(options["health-probe-port"])
        self._add("probes", name, properties)

    def _listener(self, host: str, port: int, protocol: str, options: dict[str, str], certificate: str) -> str:
        self._add("frontendPorts", f"fp-{port}", {"port": port})
        name = f"fl-{_digest(host, str(port))}"
        properties: Manifest = {
            "frontendIPConfiguration": {"id": self._frontend(options)["id"]},
            "frontendPort": self._reference("frontendPorts", f"fp-{port}"),
            "protocol": protocol,
            "requireServerNameIndication": bool(host and certificate),
        }
        if host:
            properties["hostNames"] = [host]
        if certificate:
            properties["sslCertificate"] = self._reference("sslCertificates", certificate)
        self._add("httpListeners", name, properties)
        return name

    def _frontend(self, options: dict[str, str]) -> Manifest:
        private = options.get("use-private-ip") == "true"
        for entry in self._frontends:
            if private != bool(entry["properties"].get("publicIPAddress")):
                return entry
        return self._frontends[0]

    def _route(self, listener: str, backends: list[tuple[Manifest, _Backend]], options: dict[str, str]) -> None:
        policy = options.get("waf-policy-for-path")
        default = _Backend("defaultaddresspool", "defaulthttpsetting")
        rules = []
        for index, (path, backend) in enumerate(backends):
            if path.get("path", "/") in ("/", "/*"):
                default = backend
                if policy:
                    self._items["httpListeners"][listener]["properties"]["firewallPolicy"] = {"id": policy}
                continue
            properties: Manifest = {
                "paths": _paths(path),
                "backendAddressPool": self._reference("backendAddressPools", backend.pool),
                "backendHttpSettings": self._reference("backendHttpSettingsCollection", backend.settings),
            }
            if policy:
                properties["firewallPolicy"] = {"id": policy}
            rules.append({"name": f"pr-{_digest(listener, path['path'])}-{index}", "properties": properties})
        if not rules:
            self._basic(listener, default)
            return
        map_name = listener.replace("fl-", "url-", 1)
        path_map = self._add(
            "urlPathMaps",
            map_name,
            {
                "defaultBackendAddressPool": self._reference("backendAddressPools", default.pool),
                "defaultBackendHttpSettings": self._reference("backendHttpSettingsCollection", default.settings),
                "pathRules": [],
            },
        )
        path_map["properties"]["pathRules"] += rules
        self._rule(listener, {"ruleType": "PathBasedRouting", "urlPathMap": self._reference("urlPathMaps", map_name)})

    def _basic(self, listener: str, backend: _Backend) -> None:
        self._rule(
            listener,
            {
                "ruleType": "Basic",
                "backendAddressPool": self._reference("backendAddressPools", backend.pool),
                "backendHttpSettings": self._reference("backendHttpSettingsCollection", backend.settings),
            },
        )

    def _redirect(self, listener: str, target: str) -> None:
        name = f"sslr-{target}"
        self._add(
            "redirectConfigurations",
            name,
            {
                "redirectType": "Permanent",
                "targetListener": self._reference("httpListeners", target),
                "includePath": True,
                "includeQueryString": True,
            },
        )
        redirect = self._reference("redirectConfigurations", name)
        self._rule(listener, {"ruleType": "Basic", "redirectConfiguration": redirect})

    def _rule(self, listener: str, properties: Manifest) -> None:
        name = listener.replace("fl-", "rr-", 1)
        self._add(
            "requestRoutingRules", name, {"httpListener": self._reference("httpListeners", listener), **properties}
        )


def build(gateway: Manifest, cluster: Cluster) -> dict[str, list[Manifest]]:
    """The collections of MANAGED for a gateway (as ARM shows it) and the Ingress objects of AGIC's class.

    With no Ingress the gateway gets a default listener and rule, as it cannot exist without.
    """
    return _Builder(gateway, cluster).build()


def _protocol(options: dict[str, str]) -> str:
    return "Https" if options.get("backend-protocol", "http").lower() == "https" else "Http"


def _paths(path: Manifest) -> list[str]:
    text = path["path"]
    if path.get("pathType") == "Prefix" and not text.endswith("*"):
        base = text.rstrip("/")
        return [base, f"{base}/*"]
    return [text]


def _digest(*parts: str) -> str:
    return hashlib.md5("|".join(parts).encode(), usedforsecurity=False).hexdigest()
