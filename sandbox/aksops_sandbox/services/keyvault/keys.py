"""The keys of a vault: made, read, listed, soft-deleted. Nothing here signs or decrypts: no private part is kept."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.services.keyvault.certificates import CertificateSpace
from aksops_sandbox.services.keyvault.render import identifier
from aksops_sandbox.services.keyvault.secrets import Policy, check_name

_CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_OPERATIONS = {
    "RSA": ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"],
    "EC": ["sign", "verify"],
}
Found = tuple[dict[str, Any], dict[str, Any]]


class KeySpace:
    """The keys of one vault. A certificate has a key of its own name, which is read here and made there."""

    def __init__(self, rows: MutableMapping[str, Any], vault: str, certificates: CertificateSpace) -> None:
        self._rows = rows
        self._vault = vault
        self._certificates = certificates

    def _key(self, name: str) -> str:
        return f"{self._vault}/{name.lower()}"

    def _row(self, name: str, *, gone: bool = False) -> dict[str, Any]:
        row = self._rows.get(self._key(name))
        if row is None or bool(row.get("deleted")) != gone:
            raise AzureError(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault.")
        return dict(row)

    def create(self, name: str, body: dict[str, Any]) -> Found:
        """A new version."""
        check_name(name)
        row = self._rows.get(self._key(name)) or {"name": name, "versions": []}
        if row.get("deleted"):
            message = f"Key {name} is currently in a deleted but recoverable state, and its name cannot be reused."
            raise AzureError(409, "Conflict", message, inner={"code": "ObjectIsDeletedButRecoverable"})
        settings = body.get("attributes") or {}
        version = {
            "version": uuid.uuid4().hex,
            "key": _make(body),
            "enabled": settings.get("enabled", True),
            "nbf": settings.get("nbf"),
            "exp": settings.get("exp"),
            "created": int(time.time()),
            "tags": body.get("tags") or {},
        }
        row = {**row, "versions": [*row["versions"], version]}
        self._rows[self._key(name)] = row
        return row, version

    def get(self, name: str, version: str = "") -> Found:
        for row in self._of(name):
            for found in reversed(row["versions"]):
                if not version or found["version"] == version.lower():
                    return row, found
        raise AzureError(404, "KeyNotFound", f"A key with (name/id) {name}/{version} was not found in this key vault.")

    def versions(self, name: str) -> list[Found]:
        return [(row, version) for row in self._of(name) for version in row["versions"]]

    def list(self) -> list[Found]:
        own = [row for key, row in sorted(self._rows.items()) if key.startswith(f"{self._vault}/")]
        rows = [row for row in own if not row.get("deleted")] + [_managed(row) for row in self._certificates.list()]
        return [(row, row["versions"][-1]) for row in rows]

    def _of(self, name: str) -> list[dict[str, Any]]:
        row = self._rows.get(self._key(name))
        if row is not None and not row.get("deleted"):
            return [row]
        return [_managed(item) for item in self._certificates.list() if item["name"].lower() == name.lower()]

    def delete(self, name: str, policy: Policy) -> Found:
        row, now = self._row(name), int(time.time())
        row["deleted"] = {"deletedDate": now, "scheduledPurgeDate": now + policy.retention_days * 86400}
        self._rows[self._key(name)] = row
        return row, row["versions"][-1]

    def get_deleted(self, name: str) -> Found:
        row = self._row(name, gone=True)
        return row, row["versions"][-1]

    def recover(self, name: str) -> Found:
        row = self._row(name, gone=True)
        del row["deleted"]
        self._rows[self._key(name)] = row
        return row, row["versions"][-1]

    def purge(self, name: str, policy: Policy) -> None:
        self._row(name, gone=True)
        if policy.purge_protection:
            message = f"Operation purge is not allowed on the key {name}: purge protection is enabled."
            raise AzureError(403, "Forbidden", message)
        del self._rows[self._key(name)]

    def erase(self) -> None:
        for key in [key for key in self._rows if key.startswith(f"{self._vault}/")]:
            del self._rows[key]


def render(host: str, found: Found, policy: Policy) -> dict[str, Any]:
    """The key bundle, and for a deleted key its dates."""
    row, version = found
    shown = {
        "key": {"kid": identifier(host, "keys", row["name"], version["version"]), **version["key"]},
        "attributes": {
            "enabled": version["enabled"],
            **{name: version[name] for name in ("nbf", "exp") if version.get(name) is not None},
            "created": version["created"],
            "updated": version["created"],
            "recoveryLevel": policy.recovery_level,
            "recoverableDays": policy.retention_days,
            "exportable": False,
        },
        "tags": version["tags"],
    }
    if row.get("managed"):
        shown["managed"] = True
    if row.get("deleted"):
        shown["recoveryId"] = identifier(host, "deletedkeys", row["name"])
        shown |= row["deleted"]
    return shown


def item(host: str, found: Found, policy: Policy, *, with_version: bool) -> dict[str, Any]:
    """A list entry: no key material."""
    row, version = found
    content = render(host, found, policy)
    shown = {key: value for key, value in content.items() if key != "key"}
    return {"kid": identifier(host, "keys", row["name"], version["version"] if with_version else ""), **shown}


def _managed(certificate: dict[str, Any]) -> dict[str, Any]:
    """The key that a certificate has, under its name and versions."""
    versions = []
    for version in certificate["versions"]:
        public = x509.load_der_x509_certificate(base64.b64decode(version["cer"])).public_key()
        versions.append({**version, "key": _public(public), "enabled": True})
    return {"name": certificate["name"], "managed": True, "versions": versions}


def _make(body: dict[str, Any]) -> dict[str, Any]:
    kind = str(body.get("kty") or "")
    if kind.removesuffix("-HSM") == "RSA":
        size = int(body.get("key_size") or 2048)
        if size not in (2048, 3072, 4096):
            raise AzureError(400, "BadParameter", f"The key size {size} is not supported: 2048, 3072 or 4096.")
        public = _public(rsa.generate_private_key(public_exponent=65537, key_size=size).public_key())
    elif kind.removesuffix("-HSM") == "EC":
        curve = _CURVES.get(str(body.get("crv") or "P-256"))
        if curve is None:
            raise AzureError(400, "BadParameter", f"The curve {body.get('crv')} is not supported.")
        public = _public(ec.generate_private_key(curve()).public_key())
    else:
        raise AzureError(400, "BadParameter", f"The key type '{kind}' is not supported: RSA or EC.")
    return {**public, "kty": kind, **({"key_ops": body["key_ops"]} if body.get("key_ops") else {})}


def _public(key: Any) -> dict[str, Any]:
    """A public key as JSON Web Key."""
    numbers = key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        return {"kty": "RSA", "key_ops": _OPERATIONS["RSA"], "n": _number(numbers.n), "e": _number(numbers.e)}
    size = (key.curve.key_size + 7) // 8
    name = next(name for name, curve in _CURVES.items() if isinstance(key.curve, curve))
    point = {"x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    return {"kty": "EC", "key_ops": _OPERATIONS["EC"], "crv": name, **point}


def _number(value: int, size: int = 0) -> str:
    raw = value.to_bytes(size or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
