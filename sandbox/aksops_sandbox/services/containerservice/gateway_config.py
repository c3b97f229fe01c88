"""What AGIC makes of Ingress objects: the configuration of an application gateway, as a pure function.

Names, defaults and rules follow AGIC's source (pkg/appgw), so that what people look for on a gateway is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .gateway_annotations import Annotations
from .gateway_backends import POOL, SETTINGS, Backend, Backends
from .gateway_cluster import Cluster, Complaint, Listener, Manifest, certificate_name, limited

PASSWORD = "msazure"
"""of the PFX files that AGIC uploads"""
REWRITES = "rewriteRuleSets"
_OWN_REWRITE = "crd-"
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
    REWRITES,
)
"""collections that AGIC writes whole"""
#: Where priorities begin: of listeners with host names, and of those without; and the step.
_WITH_HOSTS, _WITHOUT_HOSTS, _STEP, _LAST = 19000, 19500, 5, 20000


@dataclass
class _Config:
    """One listener's settings. redirect: HTTPS that HTTP is sent to."""

    protocol: str
    certificate: str = ""
    profile: str = ""
    firewall: str = ""
    redirect: bool = False


@dataclass
class _PathMap:
    """Where a listener sends requests. rules: path -> path rule."""

    default: Backend = field(default_factory=Backend)
    redirect: Manifest | None = None
    rewrite: Manifest | None = None
    rules: dict[str, Manifest] = field(default_factory=dict)


def is_catch_all(path: Manifest) -> bool:
    """True for a path that takes what no other takes, whatever its type says."""
    return path.get("path", "") in ("", "/", "/*")


def _gateway_path(path: Manifest) -> str:
    text, kind = str(path["path"]), path.get("pathType")
    if kind == "Exact":
        return text.removesuffix("*")
    return text + "*" if kind == "Prefix" and not text.endswith("*") else text


def _rules(ingress: Manifest) -> Iterator[tuple[int, Manifest]]:
    for index, rule in enumerate(ingress["spec"].get("rules") or []):
        if rule.get("http"):
            yield index, rule


class _Builder:
    def __init__(self, gateway: Manifest, cluster: Cluster) -> None:
        self._id = gateway["id"]
        self._gateway = gateway["properties"]
        self._cluster = cluster
        self._backends = Backends(cluster, self._reference)
        self._listeners: dict[Listener, _Config] = {}
        self._maps: dict[Listener, _PathMap] = {}
        self._priorities: dict[Listener, int | None] = {}
        self._certificates: dict[str, Manifest] = {}
        self.complaints = self._backends.complaints

    def _reference(self, collection: str, name: str) -> Manifest:
        return {"id": f"{self._id}/{collection}/{name}"}

    def build(self) -> dict[str, list[Manifest]]:
        for ingress in self._cluster.ingresses:
            self._upload(ingress)
            for _, rule in _rules(ingress):
                self._listen(ingress, rule)
        if not self._listeners:
            first = next((Annotations(item).text("waf-policy-for-path") for item in self._cluster.ingresses), None)
            self._listeners[self._default_listener()] = _Config("Http", firewall=first or "")
        for ingress in self._cluster.ingresses:
            self._route(ingress)
        self._maps = {key: found for key, found in self._maps.items() if key in self._listeners}
        if not self._maps:
            self._maps[self._default_listener()] = _PathMap()
        return self._written()

    # Listeners -------------------------------------------------------------------------------------------------------

    def _default_listener(self) -> Listener:
        public = any(entry["properties"].get("publicIPAddress") for entry in self._gateway["frontendIPConfigurations"])
        return Listener(80, frontend="Public" if public else "Private")

    @staticmethod
    def _listener(ingress: Manifest, rule: Manifest, protocol: str) -> Listener:
        options = Annotations(ingress)
        port = options.number("override-frontend-port", 0) or 0
        if not 0 < port < 65000:
            port = 443 if protocol == "Https" else 80
        hosts = [rule["host"]] if rule.get("host") else []
        hosts += options.items("hostname-extension")
        frontend = "Private" if options.flag("use-private-ip") else "Public"
        return Listener(port, tuple(dict.fromkeys(hosts))[:5], frontend)

    def _of_rule(self, ingress: Manifest, rule: Manifest) -> dict[Listener, _Config]:
        """HTTPS with a certificate, HTTP without one or to redirect."""
        options = Annotations(ingress)
        # The annotation counts only where no TLS Secret serves the host.
        certificate = self._secret_for(ingress, rule.get("host", "")) or options.text("appgw-ssl-certificate") or ""
        redirect = options.flag("ssl-redirect")
        found = {}
        if certificate:
            profile = options.text("appgw-ssl-profile") or ""
            found[self._listener(ingress, rule, "Https")] = _Config("Https", certificate, profile, redirect=redirect)
        if redirect or not certificate:
            found[self._listener(ingress, rule, "Http")] = _Config("Http")
        return found

    def _listen(self, ingress: Manifest, rule: Manifest) -> None:
        options = Annotations(ingress)
        policy = options.text("waf-policy-for-path") or ""
        priority = options.number("rule-priority")
        for listener, config in self._of_rule(ingress, rule).items():
            if policy and any(is_catch_all(path) for path in rule["http"]["paths"]):
                config.firewall = policy
            self._listeners[listener] = config
            self._priorities[listener] = priority if priority is not None and 1 <= priority <= _LAST else None

    def _secret_for(self, ingress: Manifest, host: str) -> str:
        """The certificate of the Ingress's TLS Secret for a host, or of the one for any host."""
        namespace = ingress["metadata"]["namespace"]
        by_host: dict[str, str] = {}
        for entry in ingress["spec"].get("tls") or []:
            secret = entry.get("secretName")
            if secret and (namespace, secret) in self._cluster.certificates:
                by_host |= dict.fromkeys(entry.get("hosts") or [""], secret)
        secret = by_host.get(host, by_host.get("", ""))
        return certificate_name(namespace, secret) if secret else ""

    def _upload(self, ingress: Manifest) -> None:
        namespace = ingress["metadata"]["namespace"]
        for entry in ingress["spec"].get("tls") or []:
            secret = entry.get("secretName")
            data = self._cluster.certificates.get((namespace, secret))
            if data is not None:
                self._certificates[certificate_name(namespace, secret)] = {"data": data, "password": PASSWORD}
            elif secret:
                text = f"Unable to find the secret associated to secretId: [{namespace}/{secret}]"
                self.complaints.append(Complaint(ingress, "SecretNotFound", text))

    # Routing ---------------------------------------------------------------------------------------------------------

    def _route(self, ingress: Manifest) -> None:
        default = ingress["spec"].get("defaultBackend")
        fallback = self._backends.add(ingress, default) if default else None
        if fallback and not ingress["spec"].get("rules"):
            # AGIC takes the default settings here, and so port 80.
            self._maps[self._default_listener()] = _PathMap(Backend(fallback.named, SETTINGS))
        for index, rule in _rules(ingress):
            for listener, config in self._of_rule(ingress, rule).items():
                self._fill(listener, config, ingress, (index, rule), fallback)

    def _fill(
        self,
        listener: Listener,
        config: _Config,
        ingress: Manifest,
        numbered: tuple[int, Manifest],
        default: Backend | None,
    ) -> None:
        """Add the paths of one rule to a listener's; of two rules for one path the first counts."""
        into = self._maps.setdefault(listener, _PathMap())
        index, rule = numbered
        metadata, policy = ingress["metadata"], Annotations(ingress).text("waf-policy-for-path")
        redirect, rewrite = self._redirect(ingress, listener, config), self._rewrite(ingress)
        for number, path in enumerate(rule["http"]["paths"]):
            backend = self._backends.add(ingress, path["backend"], listener.hosts, path.get("path", ""))
            if is_catch_all(path):
                default = backend
                continue
            target = _gateway_path(path)
            properties: Manifest = {"paths": [target]}
            if policy is not None:
                properties["firewallPolicy"] = {"id": policy}
            if rewrite:
                properties["rewriteRuleSet"] = rewrite
            properties |= {"redirectConfiguration": redirect} if redirect else self._to(backend)
            name = limited(f"pr-{metadata['namespace']}-{metadata['name']}-rule-{index}-path-{number}")
            into.rules.setdefault(target, {"name": name, "properties": properties})
        if redirect:
            into.redirect = redirect
        elif default:
            into.rewrite = rewrite or into.rewrite
            pool = default.pool if default.pool != POOL else into.default.pool
            into.default = Backend(pool, default.settings)

    def _redirect(self, ingress: Manifest, listener: Listener, config: _Config) -> Manifest | None:
        target = Listener(443, listener.hosts, listener.frontend)
        if config.protocol != "Http" or not Annotations(ingress).flag("ssl-redirect"):
            return None
        there = self._listeners.get(target)
        if there is None or there.protocol != "Https" or not there.redirect:
            return None
        return self._reference("redirectConfigurations", f"sslr-fl-{target.digest}")

    def _rewrite(self, ingress: Manifest) -> Manifest | None:
        options = Annotations(ingress)
        given, custom = options.text("rewrite-rule-set"), options.text("rewrite-rule-set-custom-resource")
        if bool(given) == bool(custom):
            return None
        return self._reference(REWRITES, given or f"{_OWN_REWRITE}{ingress['metadata']['namespace']}-{custom}")

    def _to(self, backend: Backend) -> Manifest:
        return {
            "backendAddressPool": self._reference("backendAddressPools", backend.pool),
            "backendHttpSettings": self._reference("backendHttpSettingsCollection", backend.settings),
        }

    # What is written -------------------------------------------------------------------------------------------------

    def _written(self) -> dict[str, list[Manifest]]:
        ports = self._ports()
        listeners = {f"fl-{key.digest}": self._shown(key, config, ports) for key, config in self._listeners.items()}
        redirects = {
            f"sslr-fl-{key.digest}": {
                "redirectType": "Permanent",
                "targetListener": self._reference("httpListeners", f"fl-{key.digest}"),
                "includePath": True,
                "includeQueryString": True,
            }
            for key, config in self._listeners.items()
            if config.protocol == "Https" and config.redirect
        }
        rules, maps = self._as_rules()
        used = repr([rules, maps])
        settings = _used(self._backends.settings, SETTINGS, used)
        kept = {entry["name"]: entry["properties"] for entry in self._gateway.get("sslCertificates") or []}
        found = {
            "frontendPorts": {name: {"port": number} for number, name in ports.items()},
            "backendAddressPools": _used(self._backends.pools, POOL, used),
            "backendHttpSettingsCollection": settings,
            "probes": {
                name: probe
                for name, probe in self._backends.probes.items()
                if not name.startswith("defaultprobe-") or f"/{name}'" in repr(settings)
            },
            "httpListeners": listeners,
            "redirectConfigurations": redirects,
            "requestRoutingRules": rules,
            "urlPathMaps": maps,
            "sslCertificates": kept | self._certificates,
            REWRITES: self._rewrites(),
        }
        return {
            name: [{"name": item, "properties": properties} for item, properties in sorted(entries.items())]
            for name, entries in found.items()
        }

    def _ports(self) -> dict[int, str]:
        """Number -> name; a port that the gateway has keeps its name."""
        have = {entry["properties"]["port"]: entry["name"] for entry in self._gateway.get("frontendPorts") or []}
        return {number: have.get(number, f"fp-{number}") for number in sorted({key.port for key in self._listeners})}

    def _shown(self, key: Listener, config: _Config, ports: dict[int, str]) -> Manifest:
        frontend = next(
            entry
            for entry in self._gateway["frontendIPConfigurations"]
            if bool(entry["properties"].get("publicIPAddress")) is (key.frontend == "Public")
        )
        made: Manifest = {
            "frontendIPConfiguration": {"id": frontend["id"]},
            "frontendPort": self._reference("frontendPorts", ports[key.port]),
            "protocol": config.protocol,
            "hostNames": list(key.hosts),
            "requireServerNameIndication": False,
        }
        if config.certificate:
            made["sslCertificate"] = self._reference("sslCertificates", config.certificate)
        if config.profile:
            made["sslProfile"] = self._reference("sslProfiles", config.profile)
        if config.firewall:
            made["firewallPolicy"] = {"id": config.firewall}
        return made

    def _as_rules(self) -> tuple[dict[str, Manifest], dict[str, Manifest]]:
        """Request routing rules with their priorities, and the path maps of those that have paths."""
        rules, maps = {}, {}
        taken = {priority for priority in self._priorities.values() if priority}
        for key in sorted(self._maps, key=lambda item: item.digest):
            found = self._maps[key]
            rule: Manifest = {"httpListener": self._reference("httpListeners", f"fl-{key.digest}")}
            to = {"redirectConfiguration": found.redirect} if found.redirect else self._to(found.default)
            if found.rules:
                name = f"url-{key.digest}"
                maps[name] = {f"default{part[0].upper()}{part[1:]}": value for part, value in to.items()}
                maps[name] |= {"defaultRewriteRuleSet": found.rewrite} if found.rewrite else {}
                maps[name]["pathRules"] = list(found.rules.values())
                rule |= {"ruleType": "PathBasedRouting", "urlPathMap": self._reference("urlPathMaps", name)}
            else:
                rule |= {"ruleType": "Basic", **to} | ({"rewriteRuleSet": found.rewrite} if found.rewrite else {})
            priority = self._priorities.get(key)
            if priority is None:
                priority = _WITH_HOSTS if key.hosts else _WITHOUT_HOSTS
                while priority in taken and priority < _LAST:
                    priority += _STEP
                taken.add(priority)
            rules[f"rr-{key.digest}"] = {**rule, "priority": priority}
        return rules, maps

    def _rewrites(self) -> dict[str, Manifest]:
        """Rewrite rule sets of others, and those of the custom resources that Ingress objects name."""
        found = {
            entry["name"]: entry["properties"]
            for entry in self._gateway.get(REWRITES) or []
            if not entry["name"].startswith(_OWN_REWRITE)
        }
        for (namespace, name), item in self._cluster.rewrites.items():
            rules = (item.get("spec") or {}).get("rewriteRules") or []
            found[f"{_OWN_REWRITE}{namespace}-{name}"] = {"rewriteRules": [_rewrite_rule(rule) for rule in rules]}
        return found


def _rewrite_rule(rule: Manifest) -> Manifest:
    actions = rule.get("actions") or {}
    made: Manifest = {
        side: [
            {"headerName": item.get("headerName", ""), "headerValue": item.get("headerValue", "")}
            for item in actions.get(side) or []
        ]
        for side in ("requestHeaderConfigurations", "responseHeaderConfigurations")
    }
    if url := actions.get("urlConfiguration"):
        made["urlConfiguration"] = {
            "modifiedPath": url.get("modifiedPath", ""),
            "modifiedQueryString": url.get("modifiedQueryString", ""),
            "reroute": url.get("reroute", False),
        }
    conditions = [
        {
            "ignoreCase": item.get("ignoreCase", False),
            "negate": item.get("negate", False),
            "variable": item.get("variable", ""),
            "pattern": item.get("pattern", ""),
        }
        for item in rule.get("conditions") or []
    ]
    return {
        "name": rule.get("name", ""),
        "ruleSequence": rule.get("ruleSequence", 0),
        "conditions": conditions,
        "actionSet": made,
    }


def _used(entries: dict[str, Manifest], default: str, where: str) -> dict[str, Manifest]:
    """The entries without a default one that nothing refers to."""
    return {name: entry for name, entry in entries.items() if name != default or f"/{default}'" in where}


def build(gateway: Manifest, cluster: Cluster) -> tuple[dict[str, list[Manifest]], list[Complaint]]:
    """The collections of MANAGED for a gateway (as ARM shows it) and AGIC's Ingress objects, and the events on these.

    With no Ingress the gateway gets a default listener and rule, as it cannot exist without.
    """
    builder = _Builder(gateway, cluster)
    collections = builder.build()
    return collections, _once(builder.complaints)


def _once(complaints: list[Complaint]) -> list[Complaint]:
    """Each event once for each Ingress."""
    seen = {(str(item.ingress["metadata"]), item.reason, item.message): item for item in complaints}
    return list(seen.values())
