"""What an application gateway says of certificates that it cannot have from Key Vault."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Response
from aksops_sandbox.services.network import gateway_certificates

IDENTITY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
SECRET = "https://kv-shop.vault.azure.net/secrets/shop"


def gateway(secret=SECRET, identities=(IDENTITY,)):
    certificate = {"name": "shop", "properties": {"keyVaultSecretId": secret}}
    return SimpleNamespace(
        id="/gw",
        body={"identity": {"userAssignedIdentities": {key: {} for key in identities}}},
        properties={"sslCertificates": [certificate, {"name": "uploaded", "properties": {}}]},
    )


def sandbox(status=200, content=None):
    asked = []

    def handle(request):
        asked.append(request)
        return Response(status, {}, json.dumps(content or {"contentType": "application/x-pkcs12"}).encode())

    identity = SimpleNamespace(properties={"principalId": "p", "clientId": "c"})
    return SimpleNamespace(
        asked=asked,
        store=SimpleNamespace(get=lambda _: identity),
        tokens=SimpleNamespace(issue=lambda *_: "token"),
        principals=SimpleNamespace(tenant_id="t"),
        router=SimpleNamespace(handle=handle),
    )


def test_a_readable_certificate_is_read_as_the_gateways_identity():
    ctx = sandbox()
    gateway_certificates.check(ctx, gateway())
    assert [request.path for request in ctx.asked] == ["/secrets/shop/"]
    assert ctx.asked[0].host == "kv-shop.vault.azure.net"


@pytest.mark.parametrize(
    ("ctx", "item", "code"),
    [
        (sandbox(403), gateway(), "ApplicationGatewayKeyVaultSecretAccessDenied"),
        (sandbox(404), gateway(), "ApplicationGatewayKeyVaultSecretNotFound"),
        (sandbox(), gateway(identities=()), "ApplicationGatewayKeyVaultSecretAccessDenied"),
        (sandbox(content={"contentType": "text/plain"}), gateway(), "ApplicationGatewayKeyVaultSecretInvalid"),
        (
            sandbox(),
            gateway(secret="https://example.com/shop"),
            "ApplicationGatewaySslCertificateInvalidKeyVaultSecretId",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(ctx, item, code):
    with pytest.raises(AzureError) as refused:
        gateway_certificates.check(ctx, item)
    assert (refused.value.status, refused.value.code) == (400, "ApplicationGatewayKeyVaultSecretException")
    assert [detail["code"] for detail in refused.value.details] == [code]
