"""What AGIC reads of a cluster, and the names that it gives to parts of a gateway."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

CLASS = "azure-application-gateway"
_LEGACY_CLASS = "azure/application-gateway"
_LONGEST = 80

Manifest = dict[str, Any]
Key = tuple[str, str]
"""(namespace, name)"""


@dataclass
class Cluster:
    """What AGIC reads.

    By (namespace, name): services; endpoints, as subsets; probed, a pod that the service selects; certificates, PFX in
    base64 of a TLS Secret; rewrites, AzureApplicationGatewayRewrite.
    """

    ingresses: list[Manifest]
    services: dict[Key, Manifest] = field(default_factory=dict)
    endpoints: dict[Key, list[Manifest]] = field(default_factory=dict)
    probed: dict[Key, Manifest] = field(default_factory=dict)
    certificates: dict[Key, str] = field(default_factory=dict)
    rewrites: dict[Key, Manifest] = field(default_factory=dict)


@dataclass(frozen=True)
class Complaint:
    """An Event on an Ingress."""

    ingress: Manifest
    reason: str
    message: str


@dataclass(frozen=True)
class Listener:
    """What tells one listener from another."""

    port: int
    hosts: tuple[str, ...] = ()
    frontend: str = "Public"

    @property
    def digest(self) -> str:
        """AGIC's own: MD5 of this form, which has room for five hosts."""
        hosts = [*self.hosts, "", "", "", "", ""][:5]
        form = {"FrontendPort": self.port, "HostNames": hosts, "FrontendType": self.frontend}
        text = json.dumps(form, separators=(",", ":"))
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def is_ours(ingress: Manifest) -> bool:
    """True for an Ingress of AGIC's class; the older annotation decides where it is given."""
    spec = ingress["spec"]
    legacy = (ingress["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class")
    of_class = legacy == _LEGACY_CLASS if legacy else spec.get("ingressClassName") == CLASS
    return of_class and (not spec.get("rules") or any(rule.get("http") for rule in spec["rules"]))


def backends(ingress: Manifest) -> list[Manifest]:
    """Every backend that an Ingress names."""
    spec = ingress["spec"]
    found = [spec["defaultBackend"]] if spec.get("defaultBackend") else []
    for rule in spec.get("rules") or []:
        found += [entry["backend"] for entry in (rule.get("http") or {}).get("paths") or []]
    return found


def certificate_name(namespace: str, secret: str) -> str:
    """Name on the gateway of the certificate of a TLS Secret."""
    return f"cert-{namespace}-{secret}"


def limited(name: str) -> str:
    """A name of at most the 80 characters that a gateway takes."""
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{name[: _LONGEST - len(digest) - 1]}-{digest}"
