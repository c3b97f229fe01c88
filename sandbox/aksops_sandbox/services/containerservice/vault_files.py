"""What the Secrets Store CSI driver and its Azure provider write: files of objects of a vault, and Secrets of those."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

_CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_PEM, _SUBJECT = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
TLS = "kubernetes.io/tls"


class ContentError(Exception):
    """An object cannot be written as it is asked for; the message is the provider's."""


def content(kind: str, answer: dict[str, Any], entry: dict[str, str]) -> bytes:
    """The file of one object.

    Args:
        kind: secret, key or cert.
        answer: what the vault answered.
        entry: the object in the SecretProviderClass; objectFormat and objectEncoding count for secrets.
    """
    if kind == "cert":
        certificate = x509.load_der_x509_certificate(base64.b64decode(answer["cer"]))
        return certificate.public_bytes(_PEM)
    if kind == "key":
        return _public(answer["key"]).public_bytes(_PEM, _SUBJECT)
    value = str(answer.get("value") or "")
    if answer.get("kid") and answer.get("contentType") == "application/x-pkcs12":
        # The secret of a certificate: PEM unless the class wants the archive itself.
        return base64.b64decode(value) if entry.get("objectFormat", "pem").lower() == "pfx" else _unpacked(value)
    return _decoded(value, entry.get("objectEncoding") or "utf-8")


def secret_value(secret_type: str, key: str, file: bytes) -> bytes:
    """The value of one key of a synced Secret: in one of type TLS the part that the key is for."""
    if secret_type != TLS or key not in ("tls.crt", "tls.key"):
        return file
    blocks = [block + b"-----END" + end for block, end in _blocks(file)]
    if key == "tls.key":
        found = [block for block in blocks if b"PRIVATE KEY" in block]
    else:
        found = [block for block in blocks if b"BEGIN CERTIFICATE" in block]
    if not found:
        raise ContentError(f"failed to get {key} from the mounted file: it holds no such PEM block")
    return b"\n".join(found) + b"\n"


def _blocks(file: bytes) -> list[tuple[bytes, bytes]]:
    """PEM blocks: (up to the mark of the end, the rest of its line)."""
    found = []
    for part in file.split(b"-----BEGIN")[1:]:
        body, mark, tail = part.partition(b"-----END")
        if mark:
            found.append((b"-----BEGIN" + body, tail.splitlines()[0] if tail else b""))
    return found


def _unpacked(value: str) -> bytes:
    try:
        key, certificate, chain = pkcs12.load_key_and_certificates(base64.b64decode(value), None)
    except ValueError as error:
        raise ContentError(f"failed to decode PKCS#12: {error}") from None
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
