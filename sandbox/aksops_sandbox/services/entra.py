"""login.microsoftonline.com and the few routes of graph.microsoft.com that clients ask.

Tokens are issued to the sandbox's accounts by client secret, and to managed identities by federated token, under the
rules of Entra: issuer, subject and audience of the federated credential must match exactly.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING, Any

import jwt

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.arm import authenticate
from aksops_sandbox.services.base import Service
from aksops_sandbox.settings import Account

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_LOGIN = "https://login.microsoftonline.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATED = f"{IDENTITY}/federatedIdentityCredentials"
_EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"


class EntraService(Service):
    """The tenant's token endpoint, discovery documents and directory look-ups."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = [
            (r"login\.(microsoftonline|windows)\.(com|net)", self._login),
            (r"sts\.windows\.net", self._login),
            (r"graph\.microsoft\.com", self._graph),
        ]

    def _login(self, ctx: Sandbox, request: Request) -> Response:
        tenant = ctx.principals.tenant_id
        path = request.path.lower()
        if path.endswith("/.well-known/openid-configuration"):
            return Response.json(200, _configuration(ctx, v2="/v2.0/" in path))
        if path.endswith("/discovery/instance"):
            return Response.json(200, _instances(tenant))
        if path.endswith(("/discovery/keys", "/discovery/v2.0/keys")):
            return Response.json(200, ctx.tokens.jwks())
        if request.method == "POST" and re.fullmatch(r"/[^/]+/oauth2(/v2\.0)?/token", path):
            wanted = path.split("/")[1]
            if wanted not in {tenant.lower(), "organizations", "common"}:
                return _refused(400, "invalid_request", f"AADSTS90002: Tenant '{wanted}' not found.")
            try:
                return self._token(ctx, request)
            except AzureError as error:
                return _refused(error.status, error.code, error.message)
        raise AzureError(501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {path}.")

    def _token(self, ctx: Sandbox, request: Request) -> Response:
        form = dict(urllib.parse.parse_qsl(request.body.decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            kind = form.get("grant_type", "")
            raise AzureError(400, "unsupported_grant_type", f"AADSTS70003: The grant type '{kind}' is not supported.")
        client_id = form.get("client_id", "").lower()
        scope = form.get("scope", "").split()
        audience = form.get("resource") or (scope[0].removesuffix("/.default") if scope else "")
        if not audience:
            raise AzureError(400, "invalid_request", "AADSTS90014: The required field 'scope' is missing.")
        if form.get("client_assertion_type") == _ASSERTION:
            object_id = self._by_assertion(ctx, client_id, form.get("client_assertion", ""))
        else:
            object_id = self._by_secret(ctx, client_id, form.get("client_secret", ""))
        token = ctx.tokens.issue(object_id, ctx.principals.tenant_id, audience, client_id)
        answer = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}
        return Response.json(200, answer, {"Cache-Control": "no-store"})

    @staticmethod
    def _by_secret(ctx: Sandbox, client_id: str, secret: str) -> str:
        account = _account(ctx, client_id)
        if account is None:
            message = f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory."
            raise AzureError(400, "unauthorized_client", message)
        if secret != account.client_secret:
            message = f"AADSTS7000215: Invalid client secret provided for app '{client_id}'."
            raise AzureError(401, "invalid_client", message)
        return account.object_id

    def _by_assertion(self, ctx: Sandbox, client_id: str, assertion: str) -> str:
        identity, credentials = _federation(ctx, client_id)
        try:
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise AzureError(400, "invalid_client", "AADSTS50027: The client assertion is not a JWT.") from None
        self.verify_federated(ctx, claims, assertion, credentials)
        return identity

    @staticmethod
    def verify_federated(ctx: Sandbox, claims: dict[str, Any], token: str, credentials: list[Resource]) -> None:
        """Check an outside token against federated credentials and its issuer's keys. Raises AzureError 400/401."""
        issuer, subject = claims.get("iss", ""), claims.get("sub", "")
        audience = claims.get("aud", "")
        audiences = set(audience if isinstance(audience, list) else [audience])
        for credential in credentials:
            properties = credential.properties
            wanted = set(properties.get("audiences") or [_EXCHANGE_AUDIENCE])
            if (properties["issuer"], properties["subject"]) == (issuer, subject) and wanted & audiences:
                break
        else:
            raise AzureError(
                401,
                "invalid_client",
                "AADSTS700213: No matching federated identity record found for presented assertion subject "
                f"'{subject}', issuer '{issuer}', audience '{', '.join(sorted(audiences))}'.",
            )
        keys = ctx.oidc_issuers.get(issuer)
        if keys is None:
            raise AzureError(
                401, "invalid_client", f"AADSTS50166: Request to External OIDC endpoint '{issuer}' failed."
            )
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key_set = jwt.PyJWKSet.from_dict(keys())
            key = next(item for item in key_set.keys if item.key_id == key_id)
            jwt.decode(token, key.key, algorithms=["RS256", "ES256"], options={"verify_aud": False})
        except (jwt.PyJWTError, StopIteration) as error:
            raise AzureError(
                401, "invalid_client", f"AADSTS700211: The assertion's signature is invalid: {error}"
            ) from None

    def exchange(self, ctx: Sandbox, client_id: str, assertion: str, audience: str) -> str:
        """An access token for a managed identity from a federated token, for the sandbox's own players (CSI driver)."""
        return ctx.tokens.issue(
            self._by_assertion(ctx, client_id.lower(), assertion), ctx.principals.tenant_id, audience, client_id
        )

    def _graph(self, ctx: Sandbox, request: Request) -> Response:
        authenticate(ctx, request, ["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"])
        known = _directory(ctx)
        match = re.fullmatch(r"/(?:v1\.0|beta)/(?:directoryObjects|servicePrincipals)/([0-9a-f-]{36})", request.path)
        if match:
            for entry in known:
                if entry["id"] == match.group(1).lower():
                    return Response.json(200, entry)
            raise AzureError(404, "Request_ResourceNotFound", f"Resource '{match.group(1)}' does not exist.")
        if re.fullmatch(r"/(?:v1\.0|beta)/servicePrincipals", request.path):
            wanted = re.search(r"appId eq '([^']+)'", request.query.get("$filter", ""))
            found = [entry for entry in known if wanted is None or entry["appId"] == wanted.group(1).lower()]
            return Response.json(200, {"value": found})
        raise AzureError(501, "NotImplementedInSandbox", f"The sandbox's Graph does not answer {request.path}.")


def known_principals(ctx: Sandbox) -> set[str]:
    """Object ids of every account and identity in the directory."""
    return {entry["id"] for entry in _directory(ctx)}


def _directory(ctx: Sandbox) -> list[dict[str, Any]]:
    kind = "#microsoft.graph.servicePrincipal"
    entries = [
        {"@odata.type": kind, "id": item.object_id, "appId": item.client_id, "displayName": item.name}
        for item in ctx.principals.accounts
    ]
    for identity in ctx.store.list(type=IDENTITY):
        ids = identity.properties
        entries.append(
            {"@odata.type": kind, "id": ids["principalId"], "appId": ids["clientId"], "displayName": identity.name}
        )
    return entries


def _account(ctx: Sandbox, client_id: str) -> Account | None:
    return next((item for item in ctx.principals.accounts if item.client_id == client_id), None)


def _federation(ctx: Sandbox, client_id: str) -> tuple[str, list[Resource]]:
    """Object id of a managed identity, and its federated credentials."""
    for identity in ctx.store.list(type=IDENTITY):
        if identity.properties.get("clientId", "").lower() == client_id:
            return identity.properties["principalId"], ctx.store.list(type=FEDERATED, prefix=identity.id)
    message = f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory."
    raise AzureError(400, "unauthorized_client", message)


def _configuration(ctx: Sandbox, *, v2: bool) -> dict[str, Any]:
    tenant = ctx.principals.tenant_id
    base = f"{_LOGIN}/{tenant}/oauth2" + ("/v2.0" if v2 else "")
    return {
        "token_endpoint": f"{base}/token",
        "authorization_endpoint": f"{base}/authorize",
        "device_authorization_endpoint": f"{base}/devicecode",
        "jwks_uri": f"{_LOGIN}/{tenant}/discovery/v2.0/keys",
        "issuer": f"{_LOGIN}/{tenant}/v2.0" if v2 else ctx.tokens.issuer,
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    }


def _instances(tenant: str) -> dict[str, Any]:
    aliases = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
    return {
        "tenant_discovery_endpoint": f"{_LOGIN}/{tenant}/v2.0/.well-known/openid-configuration",
        "api-version": "1.1",
        "metadata": [{"preferred_network": aliases[0], "preferred_cache": aliases[1], "aliases": aliases}],
    }


def _refused(status: int, error: str, description: str) -> Response:
    code = re.match(r"AADSTS(\d+)", description)
    body = {"error": error, "error_description": description, "error_codes": [int(code.group(1))] if code else []}
    return Response.json(status, body)
