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
_CERTIFICATE = "cert-"
PASSWORD = "msazure"
"""of the PFX files that AGIC uploads"""
MANAGED = (
    "frontendPorts",
    "backendAddressPools",
    "backendHttpSettingsCollection",
    "probes",
    "httpListeners",
    "redirectConfigurations",
    "requestRoutingRules",
    "urlPathMaps",
    "sslCertificates",
)
"""collections that AGIC writes whole"""

Manifest = dict[str, Any]


@dataclass
class Cluster:
    """What AGIC reads. services, endpoints: by (namespace, name); certificates too: PFX in base64 of a TLS Secret."""

    ingresses: list[Manifest]
    services: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    certificates: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Complaint:
    """An Event on an Ingress. ignored: the Ingress is left out of the gateway whole."""

    ingress: Manifest
    reason: str
    message: str
    ignored: bool


@dataclass(frozen=True)
class _Backend:
    pool: str
    settings: str


def is_ours(ingress: Manifest) -> bool:
    """True for an Ingress of AGIC's class."""
    annotations = ingress["metadata"].get("annotations") or {}
    legacy = annotations.get("kubernetes.io/ingress.class")
    return ingress["spec"].get("ingressClassName") == CLASS or legacy == _LEGACY_CLASS


def complaints(gateway: Manifest, cluster: Cluster) -> list[Complaint]:
    """What AGIC says of Ingress objects that it cannot carry out, in its words."""
    installed = {entry["name"] for entry in gateway["properties"].get("sslCertificates") or []}
    name = gateway["id"].rsplit("/", 1)[-1]
    found = []
    for ingress in cluster.ingresses:
        metadata, options = ingress["metadata"], _options(ingress)
        label = f"{metadata['namespace']}/{metadata['name']}"
        certificate = options.get("appgw-ssl-certificate")
        if certificate is not None and certificate not in installed:
            message = (
                f"ignoring Ingress {label} as it requires Application Gateway {name} to have pre-installed ssl "
                f"certificate '{certificate}'"
            )
            found.append(Complaint(ingress, "NoPreInstalledSslCertificate", message, True))
        elif options.get("ssl-redirect") == "true" and certificate is None and not _secrets(ingress):
            message = (
                f"ignoring Ingress {label} as it has an invalid spec. It is annotated with ssl-redirect: true but is "
                "missing a TLS secret or 'appgw.ingress.kubernetes.io/appgw-ssl-certificate' annotation. Please add a "
                "TLS secret/annotation or remove ssl-redirect annotation"
            )
            found.append(Complaint(ingress, "RedirectWithNoTLS", message, True))
        for secret in _secrets(ingress):
            if (metadata["namespace"], secret) not in cluster.certificates:
                message = f"Unable to find the secret associated to secretId: [{metadata['namespace']}/{secret}]"
                found.append(Complaint(ingress, "SecretNotFound", message, False))
    return found


def certificate_name(namespace: str, secret: str) -> str:
    """Name on the gateway of the certificate of a TLS Secret."""
    return f"{_CERTIFICATE}{namespace}-{secret}"


def _options(ingress: Manifest) -> dict[str, str]:
    annotations = ingress["metadata"].get("annotations") or {}
    return {key.removeprefix(_PREFIX): value for key, value in annotations.items() if key.startswith(_PREFIX)}


def _secrets(ingress: Manifest) -> list[str]:
    return [entry["secretName"] for entry in ingress["spec"].get("tls") or [] if entry.get("secretName")]


class _Builder:
    def __init__(self, gateway: Manifest, cluster: Cluster) -> None:
        self._id = gateway["id"]
        self._cluster = cluster
        self._items: dict[str, dict[str, Manifest]] = {name: {} for name in MANAGED}
        # Certificates of others stay; those of TLS Secrets come back below as long as an Ingress names them.
        self._items["sslCertificates"] = {
            entry["name"]: entry
            for entry in gateway["properties"].get("sslCertificates") or []
            if not entry["name"].startswith(_CERTIFICATE)
        }
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
        options = _options(ingress)
        annotated = options.get("appgw-ssl-certificate", "")
        for rule in ingress["spec"].get("rules") or []:
            host = rule.get("host", "")
            paths = (rule.get("http") or {}).get("paths") or []
            # The annotation counts only where no TLS Secret serves the host.
            certificate = self._uploaded(ingress, host) or annotated
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

    def _uploaded(self, ingress: Manifest, host: str) -> str:
        """The certificate that AGIC makes of the Ingress's TLS Secret for a host, or of the one for any host."""
        namespace = ingress["metadata"]["namespace"]
        by_host: dict[str, str] = {}
        for entry in ingress["spec"].get("tls") or []:
            secret = entry.get("secretName")
            if secret and (namespace, secret) in self._cluster.certificates:
                by_host |= dict.fromkeys(entry.get("hosts") or [""], secret)
        secret = by_host.get(host, by_host.get("", ""))
        if not secret:
            return ""
        name = certificate_name(namespace, secret)
        data = {"data": self._cluster.certificates[namespace, secret], "password": PASSWORD}
        self._add("sslCertificates", name, data)
        return name

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
