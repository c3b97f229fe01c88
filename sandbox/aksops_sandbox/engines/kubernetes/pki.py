"""The certificates of one cluster, in the strict form that Python 3.13 and Go both accept."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_YEARS = 2 * 365
_RENEW_BEFORE = 30 * _DAY


@dataclass(frozen=True)
class KeyPair:
    """Paths of a PEM certificate and its private key."""

    certificate: Path
    key: Path

    def certificate_data(self) -> str:
        """Base64 of the PEM, as a kubeconfig holds it."""
        return base64.b64encode(self.certificate.read_bytes()).decode()

    def key_data(self) -> str:
        return base64.b64encode(self.key.read_bytes()).decode()


class ClusterPki:
    """One certificate authority, its leaves, and the key that signs service-account tokens; made once and kept.

    Args:
        folder: private folder of the cluster's keys.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.authority = KeyPair(folder / "ca.crt", folder / "ca.key")
        if not (self.authority.certificate.exists() and self.authority.key.exists()):
            self._make_authority()
        self._certificate = x509.load_pem_x509_certificate(self.authority.certificate.read_bytes())
        self._key = serialization.load_pem_private_key(self.authority.key.read_bytes(), None)

    def server(self, name: str, names: list[str]) -> KeyPair:
        """A server certificate for host names and addresses; made anew when it does not cover them all."""
        return self._leaf(name, name, None, names, client=name.startswith("etcd"))

    def client(self, name: str, common_name: str, organization: str | None = None) -> KeyPair:
        """A client certificate: Kubernetes takes the common name as user and the organization as group."""
        return self._leaf(name, common_name, organization, [], client=True)

    def service_account_key(self) -> Path:
        """The RSA key that signs service-account tokens."""
        path = self._folder / "service-account.key"
        if not path.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            _write_private(path, _pem(key))
        return path

    def jwks(self) -> dict[str, Any]:
        """Public key set of the service-account issuer; the key id is the one the API server writes into tokens."""
        key = serialization.load_pem_private_key(self.service_account_key().read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        public = key.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        numbers = public.public_numbers()
        return {
            "keys": [
                {
                    "use": "sig",
                    "kty": "RSA",
                    "kid": _unpadded(hashlib.sha256(der).digest()),
                    "alg": "RS256",
                    "n": _unpadded(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")),
                    "e": _unpadded(numbers.e.to_bytes(3, "big")),
                }
            ]
        }

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_private(self.authority.key, _pem(key))
        self.authority.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _leaf(
        self, name: str, common_name: str, organization: str | None, names: list[str], *, client: bool
    ) -> KeyPair:
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        if pair.certificate.exists() and pair.key.exists() and _still_good(pair.certificate, names):
            return pair
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if names else []
        if client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        authority = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _YEARS * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(item) for item in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        _write_private(pair.key, _pem(key))
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return pair


def _still_good(path: Path, names: list[str]) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC) + _RENEW_BEFORE:
        return False
    if not names:
        return True
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return {str(item.value) for item in held} >= set(names)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
