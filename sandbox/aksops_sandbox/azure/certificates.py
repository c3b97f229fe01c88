"""The sandbox's certificate authority. Every certificate passes Python 3.13's strict verification (RFC 5280)."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


class Certificates:
    """A private CA in a folder, and leaves of it made on demand.

    Args:
        folder: where `ca.pem`, `ca.key` and the leaves lie (private).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.ca_path = folder / "ca.pem"
        key_path = folder / "ca.key"
        if not (self.ca_path.exists() and key_path.exists()):
            self._make_authority(key_path)
        self._key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        self._certificate = x509.load_pem_x509_certificate(self.ca_path.read_bytes())

    def _make_authority(self, key_path: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aksops sandbox CA")])
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
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_private(key_path, _key_bytes(key))
        self.ca_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def leaf(self, names: list[str]) -> tuple[Path, Path]:
        """Certificate and key files for DNS names and addresses; the first name is the file's name."""
        stem = names[0].replace("*", "_").replace(":", "_")
        certificate_path, key_path = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        with self._lock:
            if certificate_path.exists() and key_path.exists() and self._covers(certificate_path, names):
                return certificate_path, key_path
            key = ec.generate_private_key(ec.SECP256R1())
            now = datetime.datetime.now(datetime.UTC)
            authority = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            certificate = (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
                .issuer_name(self._certificate.subject)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - _DAY)
                .not_valid_after(now + 800 * _DAY)
                .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(ca=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False
                )
                .sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
            )
            _write_private(key_path, _key_bytes(key))
            chain = certificate.public_bytes(serialization.Encoding.PEM) + self.ca_path.read_bytes()
            certificate_path.write_bytes(chain)
            return certificate_path, key_path

    @staticmethod
    def _covers(path: Path, names: list[str]) -> bool:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC) + 30 * _DAY:
            return False
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(item.value) for item in held} >= set(names)

    def server_context(self, host: str) -> ssl.SSLContext:
        """A TLS server context for one host name, kept in memory."""
        context = self._contexts.get(host)
        if context is None:
            certificate, key = self.leaf([host])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[host] = context
        return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
