"""What the Secrets Store CSI driver and its Azure provider write: files of objects of a vault, and Secrets of those."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from .vault_objects import VaultObject

_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_PEM, _SUBJECT = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
TLS = "kubernetes.io/tls"
_PFX = "application/x-pkcs12"
_CERTIFICATES = ("application/x-pem-file", _PFX)


class ContentError(Exception):
    """An object cannot be written as it is asked for; the message is the provider's."""


def content(item: VaultObject, answer: dict[str, Any]) -> bytes:
    """The file of one object, of what the vault answered; its format and encoding count for secrets."""
    if item.kind == "cert":
        certificate = x509.load_der_x509_certificate(base64.b64decode(answer["cer"]))
        return certificate.public_bytes(_PEM)
    if item.kind == "key":
        return _public(answer["key"]).public_bytes(_PEM, _SUBJECT)
    value = str(answer.get("value") or "")
    if answer.get("kid"):
        # The secret of a certificate: PEM unless the class wants the archive as it is, which is in base64.
        kind = str(answer.get("contentType") or "")
        if kind not in _CERTIFICATES:
            raise ContentError(f"failed to get certificate. unknown content type '{kind}'")
        if kind == _PFX and item.format.lower() != "pfx":
            return _unpacked(_decoded(value, "base64"))
    return _decoded(value, item.encoding.lower() or "utf-8")


def secret_value(secret_type: str, key: str, file: bytes) -> bytes:
    """The value of one key of a synced Secret: in one of type TLS the part that the key is for."""
    if secret_type != TLS:
        return file
    if key not in ("tls.crt", "tls.key"):
        raise ContentError(f"key '{key}' is not supported. Only 'tls.key' and 'tls.crt' are supported")
    found = _part(key, file) or _part(key, _unpacked(file))
    return b"\n".join(block.rstrip() for block in found) + b"\n"


def _part(key: str, file: bytes) -> list[bytes]:
    """The PEM blocks for a key of a Secret of type TLS."""
    blocks = [block + b"-----END" + end for block, end in _blocks(file)]
    if key == "tls.crt":
        return [block for block in blocks if b"BEGIN CERTIFICATE" in block]
    return [_classic(block) for block in blocks if b"PRIVATE KEY" in block][-1:]


def _classic(block: bytes) -> bytes:
    """A private key in the older form of its kind (PKCS #1, SEC 1), which the driver writes."""
    try:
        key = serialization.load_pem_private_key(block, None)
    except (ValueError, TypeError):
        raise ContentError(
            "unknown private key type found while getting key. Only rsa and ecdsa are supported"
        ) from None
    return key.private_bytes(_PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())


def _blocks(file: bytes) -> list[tuple[bytes, bytes]]:
    """PEM blocks: (up to the mark of the end, the rest of its line)."""
    found = []
    for part in file.split(b"-----BEGIN")[1:]:
        body, mark, tail = part.partition(b"-----END")
        if mark:
            found.append((b"-----BEGIN" + body, tail.splitlines()[0] if tail else b""))
    return found


def _unpacked(archive: bytes) -> bytes:
    """The key and the certificates of an archive, as PEM."""
    try:
        key, certificate, chain = pkcs12.load_key_and_certificates(archive, None)
    except ValueError:
        raise ContentError("pkcs12: error reading P12 data: asn1: structure error: tags don't match") from None
    parts = []
    if key is not None:
        none = serialization.NoEncryption()
        parts.append(key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, none))
    parts += [item.public_bytes(_PEM) for item in [certificate, *chain] if item is not None]
    return b"".join(parts)


def _decoded(value: str, encoding: str) -> bytes:
    try:
        if encoding == "utf-8":
            return value.encode()
        if encoding == "base64":
            return base64.b64decode(value, validate=True)
        if encoding == "hex":
            return bytes.fromhex(value)
    except (binascii.Error, ValueError) as error:
        raise ContentError(f"failed to decode the object's value as {encoding}: {error}") from None
    raise ContentError(f"invalid objectEncoding. Should be utf-8, base64, or hex: {encoding}")


def _public(key: dict[str, Any]) -> Any:
    if str(key["kty"]).startswith("RSA"):
        return rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
    return ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), _CURVES[key["crv"]]).public_key()


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
