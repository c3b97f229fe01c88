"""*.blob.core.windows.net: network rules, key policy and RBAC before the request reaches Azurite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.azurite import Azurite
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services.storage import accounts, blobservice

_SERVICE = "Microsoft.Storage/storageAccounts/blobServices"
_CONTAINERS = f"{_SERVICE}/containers"
_BLOBS = f"{_CONTAINERS}/blobs"


def permission(method: str, container: str, blob: str, query: dict[str, str]) -> tuple[str, bool] | None:
    """(action, is it a data action) that a blob request needs; None where any token will do."""
    kind, operation = query.get("restype", ""), query.get("comp", "")
    reading = method in {"GET", "HEAD"}
    if not container:
        if kind == "account":
            return None
        if operation == "userdelegationkey":
            return f"{_SERVICE}/generateUserDelegationKey/action", False
        if kind == "service":
            return f"{_SERVICE}/{'read' if reading else 'write'}", False
        if operation == "list":
            return f"{_CONTAINERS}/read", False
        return (f"{_BLOBS}/delete", True) if operation == "batch" else (f"{_BLOBS}/read", True)
    if kind == "container":
        if operation == "list":
            return f"{_BLOBS}/read", True
        verb = "read" if reading else "delete" if method == "DELETE" else "write"
        return f"{_CONTAINERS}/{verb}", False
    if reading:
        return f"{_BLOBS}/{'tags/read' if operation == 'tags' else 'read'}", True
    if method == "DELETE":
        return f"{_BLOBS}/delete", True
    return f"{_BLOBS}/{'tags/write' if operation == 'tags' else 'write'}", True


class Blobs:
    """The data plane of blobs."""

    def __init__(self, azurite: Callable[[Any], Azurite]) -> None:
        self._azurite = azurite

    def handle(self, ctx: Any, request: Request) -> Response:
        """Answer one request to an account's blob host."""
        try:
            return self._answer(ctx, request)
        except AzureError as error:
            return _refusal(request, error)

    def _answer(self, ctx: Any, request: Request) -> Response:
        name = request.host.split(".")[0].removesuffix("-secondary")
        account = accounts.find(ctx, name)
        if account is None:
            raise AzureError(
                403, "AccountNotFound", f"There is no storage account '{name}': its host name does not exist."
            )
        try:
            ctx.network.check(ctx, request, account)
        except AzureError:
            message = "This request is not authorized to perform this operation."
            raise AzureError(403, "AuthorizationFailure", message) from None
        container, _, blob = request.path.lstrip("/").partition("/")
        if not blob and container and "restype" not in request.query:
            container, blob = "$root", container
        self._authorize(ctx, request, account, container, blob)
        answer = self._azurite(ctx).forward(account.name, request)
        if container and not blob and request.query.get("restype") == "container" and "comp" not in request.query:
            if request.method == "PUT" and answer.status in {201, 409}:
                blobservice.remember(ctx, account, container)
            elif request.method == "DELETE" and answer.status == 202:
                blobservice.forget(ctx, account, container)
        return answer

    def _authorize(self, ctx: Any, request: Request, account: Resource, container: str, blob: str) -> None:
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        shared = scheme.lower() in {"sharedkey", "sharedkeylite"} or (
            "sig" in request.query and "skoid" not in request.query
        )
        if shared:
            if account.properties.get("allowSharedKeyAccess") is False:
                message = "Key based authentication is not permitted on this storage account."
                raise AzureError(403, "KeyBasedAuthenticationNotPermitted", message)
            return  # Azurite checks the signature
        if "sig" in request.query:
            return  # a user delegation SAS, checked by Azurite
        if scheme.lower() != "bearer":
            if account.properties["allowBlobPublicAccess"]:
                return  # Azurite checks the container's public access
            challenge = (
                f"Bearer authorization_uri=https://login.microsoftonline.com/{ctx.tokens.tenant_id}/oauth2/authorize "
                "resource_id=https://storage.azure.com"
            )
            message = "Server failed to authenticate the request. Please refer to the www-authenticate header."
            raise AzureError(401, "NoAuthenticationInformation", message, {"WWW-Authenticate": challenge})
        try:
            claims = ctx.tokens.verify(
                credential.strip(), ["https://storage.azure.com", f"https://{account.name}.blob.core.windows.net"]
            )
        except AzureError as error:
            raise AzureError(401, "InvalidAuthenticationInfo", error.message) from None
        request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
        needed = permission(request.method, container, blob, request.query)
        if needed is None:
            return
        action, data = needed
        scope = f"{account.id}/blobServices/default/containers/{container}" if container else account.id
        if not ctx.rbac.allowed(claims["oid"], action, scope, data):
            message = "This request is not authorized to perform this operation using this permission."
            raise AzureError(403, "AuthorizationPermissionMismatch", message)


def _refusal(request: Request, error: AzureError) -> Response:
    text = f"{error.message}\nRequestId:{request.id}"
    content = f"<Error><Code>{error.code}</Code><Message>{escape(text)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="utf-8"?>{content}'
    headers = {"Content-Type": "application/xml", "x-ms-error-code": error.code, **error.headers}
    return Response(error.status, headers, body.encode())
