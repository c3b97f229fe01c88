"""management.azure.com: authentication, RBAC and dispatch of a path to a resource type, a route or a 501."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.ids import ResourceId, parse
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import activity

if TYPE_CHECKING:
    from aksops_sandbox.azure.resource_type import ResourceType
    from aksops_sandbox.sandbox import Sandbox
    from aksops_sandbox.services.base import ArmHandler

AUDIENCES = ["https://management.azure.com", "https://management.core.windows.net"]
_OPERATION = re.compile(
    r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/operation(Statuses|Results)/([^/]+)", re.I
)
_IN_GROUP = re.compile(r"(/subscriptions/[^/]+/resourcegroups/([^/]+))/.", re.I)
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview|-privatepreview)?")


def authenticate(ctx: Sandbox, request: Request, audiences: list[str]) -> Principal:
    """The principal of the request's bearer token, also kept on the request. Raises AzureError 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        challenge = f'Bearer authorization_uri="https://login.microsoftonline.com/{ctx.principals.tenant_id}"'
        raise AzureError(
            401,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
            {"WWW-Authenticate": challenge},
        )
    claims = ctx.tokens.verify(token.strip(), audiences)
    request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
    return request.principal


class Arm:
    """The dispatcher. Built once, after every service is registered."""

    def __init__(self, ctx: Sandbox) -> None:
        self._ctx = ctx
        self._routes: list[tuple[str, re.Pattern[str], ArmHandler]] = [
            (method, re.compile(pattern, re.I), handler)
            for service in ctx.services
            for method, pattern, handler in service.arm_routes
        ]

    def handle(self, ctx: Sandbox, request: Request) -> Response:
        """Answer one request to management.azure.com."""
        request.path = re.sub(r"/{2,}", "/", request.path)
        authenticate(ctx, request, AUDIENCES)
        if not _VERSION.fullmatch(request.api_version):
            raise AzureError(
                400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
            )
        self._check_subscription(request)
        try:
            response = self._answer(ctx, request)
        except AzureError as error:
            activity.record(ctx, request, error.status)
            raise
        started = response.headers.get("Azure-AsyncOperation") or response.headers.get("Location") or ""
        polled = _OPERATION.fullmatch(urlsplit(started).path)
        activity.record(ctx, request, response.status, polled.group(2) if polled else "")
        return response

    def _answer(self, ctx: Sandbox, request: Request) -> Response:
        operation = _OPERATION.fullmatch(request.path)
        if operation and request.method == "GET":
            is_result = operation.group(1).lower() == "results"
            return ctx.operations.answer(request, operation.group(2), result=is_result, render=self._render)
        for method, pattern, handler in self._routes:
            if method == request.method and (match := pattern.fullmatch(request.path)):
                self._check_group(request)
                return handler(ctx, request, match)
        rid = parse(request.path)
        if rid is None:
            raise self._unknown(request)
        return self._resource(request, rid)

    def _check_subscription(self, request: Request) -> None:
        parts = request.path.strip("/").split("/")
        if len(parts) < 2 or parts[0].lower() != "subscriptions":
            return
        if parts[1].lower() != self._ctx.principals.subscription_id:
            raise AzureError(404, "SubscriptionNotFound", f"The subscription '{parts[1]}' could not be found.")

    def _check_group(self, request: Request) -> None:
        """ARM looks for the resource group before the resource; for a write the resource type does so itself."""
        group = _IN_GROUP.match(request.path)
        if group and request.method not in {"PUT", "DELETE"} and self._ctx.store.get(group.group(1)) is None:
            raise AzureError(404, "ResourceGroupNotFound", f"Resource group '{group.group(2)}' could not be found.")

    def _render(self, resource_id: str) -> Response:
        resource = self._ctx.store.get(resource_id)
        kind = self._ctx.types.get(resource.type.lower()) if resource else None
        if resource is None or kind is None:
            return Response(200, {"Content-Type": "application/json"})
        return Response.json(200, kind.render(self._ctx, resource))

    def _resource(self, request: Request, rid: ResourceId) -> Response:
        method = request.method
        if method == "POST" and rid.is_collection:
            return self._action(request, rid)
        kind = self._ctx.types.get(rid.type.lower())
        if kind is None:
            raise self._unknown(request)
        self._check_group(request)
        if rid.is_collection:
            if method != "GET":
                raise self._unknown(request)
            self._ctx.rbac.require(request, f"{kind.type}/read", rid.scope)
            return kind.list(self._ctx, request, rid)
        verbs = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
        if method not in verbs:
            raise self._unknown(request)
        self._ctx.rbac.require(request, f"{kind.type}/{verbs[method]}", str(rid))
        return self._verb(kind, method)(self._ctx, request, rid)

    @staticmethod
    def _verb(kind: ResourceType, method: str):
        return {"GET": kind.get, "HEAD": kind.head, "PUT": kind.put, "PATCH": kind.patch, "DELETE": kind.delete}[method]

    def _action(self, request: Request, rid: ResourceId) -> Response:
        name = rid.types[-1]
        target = ResourceId(rid.scope, rid.namespace, rid.types[:-1], rid.names)
        kind = self._ctx.types.get(target.type.lower()) if target.types else None
        if kind is None:
            raise self._unknown(request)
        self._check_group(request)
        self._ctx.rbac.require(request, f"{kind.type}/{name}/action", str(target))
        answer = kind.action(self._ctx, request, target, name)
        if answer is None:
            raise self._unknown(request)
        return answer

    @staticmethod
    def _unknown(request: Request) -> AzureError:
        return AzureError(
            501,
            "NotImplementedInSandbox",
            f"The sandbox does not answer {request.method} {request.path} (api-version {request.api_version}).",
        )
