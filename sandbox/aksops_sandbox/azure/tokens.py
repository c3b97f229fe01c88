"""Entra access tokens: RS256 JSON web tokens in the v1 form, which every client and Azurite accept."""

from __future__ import annotations

import base64
import hashlib
import os
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aksops_sandbox.azure.errors import AzureError


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Tokens:
    """Issues and verifies the tokens of the sandbox's tenant.

    Args:
        key_path: private key file, made where it is missing.
        tenant_id: the one tenant of the sandbox.
    """

    def __init__(self, key_path: Path, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.issuer = f"https://sts.windows.net/{tenant_id}/"
        if not key_path.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            content = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                file.write(content)
        self._key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        public = self._key.public_key()
        self._public = public
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.key_id = _unpadded(hashlib.sha256(der).digest()[:20])

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        numbers = self._public.public_numbers()  # type: ignore[union-attr]
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        exponent = numbers.e.to_bytes(3, "big")
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id}
        return {"keys": [{**key, "n": _unpadded(modulus), "e": _unpadded(exponent), "issuer": self.issuer}]}

    def issue(
        self,
        oid: str,
        tid: str,
        audience: str,
        app_id: str | None = None,
        extra: dict[str, Any] | None = None,
        lifetime: int = 3600,
    ) -> str:
        """A signed token for an object id and audience; `lifetime` in seconds."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now - 5,
            "nbf": now - 5,
            "exp": now + lifetime,
            "oid": oid,
            "sub": oid,
            "tid": tid,
            "idtyp": "app",
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        if app_id:
            claims |= {"appid": app_id, "appidacr": "1"}
        return jwt.encode(claims | (extra or {}), self._key, algorithm="RS256", headers={"kid": self.key_id})  # type: ignore[arg-type]

    def verify(self, token: str, audiences: list[str] | None = None) -> dict[str, Any]:
        """The claims of a valid token. Raises AzureError 401 where it is not one of ours, or not for an audience.

        Audiences compare without a trailing slash; None accepts every audience.
        """
        try:
            claims = jwt.decode(
                token,
                self._public,
                algorithms=["RS256"],
                issuer=self.issuer,
                options={"verify_aud": False},  # type: ignore[arg-type]
            )
        except jwt.ExpiredSignatureError:
            raise AzureError(401, "ExpiredAuthenticationToken", "The access token has expired.") from None
        except jwt.PyJWTError as error:
            raise AzureError(401, "InvalidAuthenticationToken", f"The access token is invalid: {error}.") from None
        if audiences is not None and claims["aud"].rstrip("/") not in {item.rstrip("/") for item in audiences}:
            message = f"The access token is for '{claims['aud']}', not for one of {', '.join(audiences)}."
            raise AzureError(401, "InvalidAuthenticationTokenAudience", message)
        return claims
