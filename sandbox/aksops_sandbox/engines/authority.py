"""A private certificate authority in a folder; Python 3.13 (strict, RFC 5280) and Go accept what it issues."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_RENEW_BEFORE = 30 * _DAY


class Authority:
    """One authority, made once and kept; its leaves are valid for two years and renewed in their last month.

    Args:
        certificate: PEM file of the authority's certificate; its folder exists and is private.
        key: PEM file of its private key, mode 0600.
        name: common name of the authority.
    """

    def __init__(self, certificate: Path, key: Path, name: str) -> None:
        self.certificate_path = certificate
        if not (certificate.exists() and key.exists()):
            _make(certificate, key, name)
        self._key = serialization.load_pem_private_key(key.read_bytes(), None)
        self._certificate = x509.load_pem_x509_certificate(certificate.read_bytes())

    def issue(
        self,
        certificate: Path,
        key: Path,
        common_name: str,
        names: Sequence[str] = (),
        *,
        organization: str | None = None,
        client: bool = False,
        chain: bool = False,
    ) -> None:
        """Make a leaf and its key, unless these files hold one that is valid for long enough and for all `names`.

        Args:
            names: DNS names and addresses of a server; none for a client.
            client: whether it may also prove a client.
            chain: whether the authority's certificate follows the leaf's in the file.
        """
        if certificate.exists() and key.exists() and _still_good(certificate, names):
            return
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]
        if organization:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if names else []
        if client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        leaf_key = ec.generate_private_key(ec.SECP256R1())
        authority = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _builder(x509.Name(attributes), self._certificate.subject, leaf_key, ca=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        made = builder.sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        write_private(key, pem(leaf_key))
        content = made.public_bytes(serialization.Encoding.PEM)
        certificate.write_bytes(content + self.certificate_path.read_bytes() if chain else content)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _make(certificate: Path, key: Path, name: str) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signed = _builder(subject, subject, made, ca=True).sign(made, hashes.SHA256())
    write_private(key, pem(made))
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
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
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + (3650 if ca else 730) * _DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _still_good(path: Path, names: Sequence[str]) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC) + _RENEW_BEFORE:
        return False
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not names
    return {str(item.value) for item in held} >= set(names)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
