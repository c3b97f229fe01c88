"""The certificates and keys of one cluster."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aksops_sandbox.engines.authority import Authority, pem, write_private


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
        self._authority = Authority(self.authority.certificate, self.authority.key, "ca")

    def server(self, name: str, names: list[str]) -> KeyPair:
        """A server certificate for host names and addresses; made anew when it does not cover them all."""
        return self._leaf(name, name, names, client=name.startswith("etcd"))

    def client(self, name: str, common_name: str, organization: str | None = None) -> KeyPair:
        """A client certificate: Kubernetes takes the common name as user and the organization as group."""
        return self._leaf(name, common_name, [], organization=organization, client=True)

    def service_account_key(self) -> Path:
        """The RSA key that signs service-account tokens."""
        path = self._folder / "service-account.key"
        if not path.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            write_private(path, pem(key))
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

    def _leaf(
        self, name: str, common_name: str, names: list[str], *, organization: str | None = None, client: bool
    ) -> KeyPair:
        pair = KeyPair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        self._authority.issue(pair.certificate, pair.key, common_name, names, organization=organization, client=client)
        return pair


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
