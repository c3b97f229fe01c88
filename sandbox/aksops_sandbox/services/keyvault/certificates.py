"""Self-signed certificates of a vault, each with the managed secret that holds its key."""

from __future__ import annotations

import base64
import datetime
import hashlib
from collections.abc import MutableMapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.services.keyvault.render import identifier
from aksops_sandbox.services.keyvault.secrets import Policy, SecretSpace, check_name

PFX, PEM = "application/x-pkcs12", "application/x-pem-file"


class CertificateSpace:
    """The certificates of one vault. Rows hold the public part; the private key lies in the managed secret."""

    def __init__(self, rows: MutableMapping[str, Any], vault: str, secrets: SecretSpace) -> None:
        self.rows = rows
        self.vault = vault
        self.secrets = secrets

    def _key(self, name: str) -> str:
        return f"{self.vault}/{name.lower()}"

    def _row(self, name: str, *, gone: bool = False) -> dict[str, Any]:
        row = self.rows.get(self._key(name))
        if row is None or bool(row.get("deleted")) != gone:
            raise AzureError(
                404, "CertificateNotFound", f"A certificate with (name/id) {name} was not found in this key vault."
            )
        return dict(row)

    def create(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A new self-signed version by the policy."""
        check_name(name)
        policy = body.get("policy") or {}
        issuer = (policy.get("issuer") or {}).get("name", "Self")
        if issuer != "Self":
            raise AzureError(400, "BadParameter", f"The issuer '{issuer}' is not configured; only 'Self' is here.")
        subject = (policy.get("x509_props") or {}).get("subject")
        if not subject:
            raise AzureError(400, "BadParameter", "Policy is missing a subject (x509_props.subject).")
        before = self.rows.get(self._key(name)) or {"name": name, "versions": []}
        if before.get("deleted"):
            raise AzureError(
                409,
                "Conflict",
                f"Certificate {name} is currently in a deleted but recoverable state, and its name cannot be reused.",
                inner={"code": "ObjectIsDeletedButRecoverable"},
            )
        key, certificate = _self_signed(policy)
        content_type = (policy.get("secret_props") or {}).get("contentType") or PFX
        tags = body.get("tags") or {}
        not_before = int(certificate.not_valid_before_utc.timestamp())
        expires = int(certificate.not_valid_after_utc.timestamp())
        found = self.secrets.set_managed(
            name,
            _secret_value(name, key, certificate, content_type),
            content_type,
            {"tags": tags, "nbf": not_before, "exp": expires},
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        version = {
            "version": found["version"]["version"],
            "cer": base64.b64encode(der).decode(),
            "x5t": base64.urlsafe_b64encode(hashlib.sha1(der, usedforsecurity=False).digest()).decode().rstrip("="),
            "created": found["version"]["created"],
            "nbf": not_before,
            "exp": expires,
            "tags": tags,
        }
        row = {**before, "policy": policy, "versions": [*before["versions"], version]}
        self.rows[self._key(name)] = row
        return row

    def get(self, name: str, version: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
        row = self._row(name)
        for found in reversed(row["versions"]):
            if not version or found["version"] == version.lower():
                return row, found
        raise AzureError(404, "CertificateNotFound", f"A certificate with (name/id) {name}/{version} was not found.")

    def list(self) -> list[dict[str, Any]]:
        rows = [row for key, row in sorted(self.rows.items()) if key.startswith(f"{self.vault}/")]
        return [row for row in rows if not row.get("deleted")]

    def delete(self, name: str, policy: Policy) -> dict[str, Any]:
        """Soft-delete a certificate and its managed secret."""
        row = self._row(name)
        held = self.secrets.find(name)
        if held is not None and not held.get("deleted"):
            held = self.secrets.discard(held, policy)["row"]
        row["deleted"] = (held or {}).get("deleted") or {}
        self.rows[self._key(name)] = row
        return row

    def get_deleted(self, name: str) -> dict[str, Any]:
        return self._row(name, gone=True)

    def recover(self, name: str, policy: Policy) -> dict[str, Any]:
        row = self._row(name, gone=True)
        self.secrets.recover(name, policy)
        del row["deleted"]
        self.rows[self._key(name)] = row
        return row

    def purge(self, name: str, policy: Policy) -> None:
        self._row(name, gone=True)
        self.secrets.purge(name, policy)
        del self.rows[self._key(name)]

    def erase(self) -> None:
        for key in [key for key in self.rows if key.startswith(f"{self.vault}/")]:
            del self.rows[key]


def render(host: str, row: dict[str, Any], version: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """The certificate bundle."""
    name, number = row["name"], version["version"]
    return {
        "id": identifier(host, "certificates", name, number),
        "kid": identifier(host, "keys", name, number),
        "sid": identifier(host, "secrets", name, number),
        "x5t": version["x5t"],
        "cer": version["cer"],
        "attributes": {
            "enabled": True,
            "nbf": version["nbf"],
            "exp": version["exp"],
            "created": version["created"],
            "updated": version["created"],
            "recoveryLevel": policy.recovery_level,
            "recoverableDays": policy.retention_days,
        },
        "tags": version["tags"],
        "policy": render_policy(host, row),
    }


def render_policy(host: str, row: dict[str, Any]) -> dict[str, Any]:
    """The policy with the defaults that the service adds."""
    policy = row["policy"]
    properties = policy.get("x509_props") or {}
    return {
        "id": identifier(host, "certificates", row["name"]) + "/policy",
        "key_props": {"exportable": True, "kty": "RSA", "key_size": 2048, "reuse_key": False}
        | (policy.get("key_props") or {}),
        "secret_props": {"contentType": (policy.get("secret_props") or {}).get("contentType") or PFX},
        "x509_props": {"ekus": [], "key_usage": [], "validity_months": 12, "basic_constraints": {"ca": False}}
        | properties,
        "lifetime_actions": policy.get("lifetime_actions") or [],
        "issuer": {"name": "Self"} | (policy.get("issuer") or {}),
        "attributes": {
            "enabled": True,
            "created": row["versions"][0]["created"],
            "updated": row["versions"][-1]["created"],
        },
    }


def operation(host: str, row: dict[str, Any], status: str) -> dict[str, Any]:
    """The pending operation of a creation; it is complete as soon as it is asked for again."""
    base = identifier(host, "certificates", row["name"])
    content: dict[str, Any] = {
        "id": f"{base}/pending",
        "issuer": {"name": "Self"},
        "cancellation_requested": False,
        "status": status,
        "request_id": row["versions"][-1]["version"],
    }
    if status == "completed":
        content["target"] = base
    return content


def _self_signed(policy: dict[str, Any]) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    properties = policy.get("x509_props") or {}
    size = int((policy.get("key_props") or {}).get("key_size") or 2048)
    key = rsa.generate_private_key(public_exponent=65537, key_size=size)
    name = x509.Name.from_rfc4514_string(str(properties["subject"]))
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    months = int(properties.get("validity_months") or 12)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=10))
        .not_valid_after(now + datetime.timedelta(days=round(months * 30.44)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    names = (properties.get("sans") or {}).get("dns_names") or []
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(item) for item in names]), False)
    return key, builder.sign(key, hashes.SHA256())


def _secret_value(name: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate, content_type: str) -> str:
    none = serialization.NoEncryption()
    if content_type == PEM:
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)
        return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
    bundle = pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, None, none)
    return base64.b64encode(bundle).decode()
