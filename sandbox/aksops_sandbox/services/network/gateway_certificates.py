"""Certificates that an application gateway takes from Key Vault: read at each write, as one of its identities."""

from __future__ import annotations

import json
import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request

_SECRET = re.compile(
    r"^https://(?P<host>[a-z0-9-]{3,24}\.vault\.azure\.net)(:443)?/secrets/(?P<name>[0-9a-z-]+)(/(?P<version>[0-9a-f]{32})?)?$",
    re.I,
)
_AUDIENCE = "https://vault.azure.net"
_PFX = "application/x-pkcs12"


def check(ctx: Any, gateway: Resource) -> None:
    """Raise AzureError 400 ApplicationGatewayKeyVaultSecretException where a certificate cannot be had."""
    details = []
    for entry in gateway.properties["sslCertificates"]:
        secret = entry["properties"].get("keyVaultSecretId")
        if secret and (detail := _problem(ctx, gateway, str(secret))):
            details.append(detail)
    if details:
        message = (
            "Problem occured while accessing and validating KeyVault Secrets associated with Application Gateway "
            f"'{gateway.id}'. See details below:"
        )
        raise AzureError(400, "ApplicationGatewayKeyVaultSecretException", message, details=details)


def _problem(ctx: Any, gateway: Resource, secret: str) -> dict[str, str] | None:
    found = _SECRET.match(secret)
    if found is None:
        message = f"The KeyVault Secret Id '{secret}' of Application Gateway '{gateway.id}' is not valid."
        return {"code": "ApplicationGatewaySslCertificateInvalidKeyVaultSecretId", "message": message}
    answers = [_read(ctx, identity, found) for identity in _identities(ctx, gateway)]
    status, content = min(answers, key=lambda answer: answer[0], default=(403, {}))
    if status == 404:
        message = f"The KeyVault Secret '{secret}' of Application Gateway '{gateway.id}' was not found."
        return {"code": "ApplicationGatewayKeyVaultSecretNotFound", "message": message}
    if status != 200:
        message = (
            f"Access denied for KeyVault Secret '{secret}' for Application Gateway '{gateway.id}'. Make sure that "
            "Identity assigned to Application Gateway has access to the KeyVault associated with secret."
        )
        return {"code": "ApplicationGatewayKeyVaultSecretAccessDenied", "message": message}
    if content.get("contentType") != _PFX:
        message = f"The KeyVault Secret '{secret}' of Application Gateway '{gateway.id}' is no PFX certificate."
        return {"code": "ApplicationGatewayKeyVaultSecretInvalid", "message": message}
    return None


def _identities(ctx: Any, gateway: Resource) -> list[Resource]:
    assigned = (gateway.body.get("identity") or {}).get("userAssignedIdentities") or {}
    return [found for found in map(ctx.store.get, assigned) if found is not None]


def _read(ctx: Any, identity: Resource, secret: re.Match[str]) -> tuple[int, dict[str, Any]]:
    own = identity.properties
    token = ctx.tokens.issue(own["principalId"], ctx.principals.tenant_id, _AUDIENCE, own["clientId"])
    request = Request(
        method="GET",
        host=secret["host"].lower(),
        port=443,
        path=f"/secrets/{secret['name']}/{secret['version'] or ''}",
        query={"api-version": "7.6"},
        headers={"authorization": f"Bearer {token}", "user-agent": "application-gateway"},
        body=b"",
    )
    answer = ctx.router.handle(request)
    return answer.status, json.loads(answer.body or b"{}")
