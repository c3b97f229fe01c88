"""Host name -> service. Unknown hosts are refused: nothing may reach the real Azure."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from typing import TYPE_CHECKING

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.arm import Arm

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox
    from aksops_sandbox.services.base import HostHandler


class DroppedError(Exception):
    """The connection is to be closed without an answer (fault injection)."""


class Router:
    """Finds the service of a request and writes every answer into the ledger."""

    def __init__(self, ctx: Sandbox) -> None:
        self._ctx = ctx
        ctx.router = self
        self._hosts: list[tuple[re.Pattern[str], HostHandler]] = [
            (re.compile(r"management\.azure\.com"), Arm(ctx).handle)
        ]
        for service in ctx.services:
            self._hosts += [(re.compile(pattern, re.I), handler) for pattern, handler in service.hosts]

    def knows(self, host: str) -> bool:
        """True where a service answers for the host."""
        return self._find(host) is not None

    def _find(self, host: str) -> HostHandler | None:
        for pattern, handler in self._hosts:
            if pattern.fullmatch(host):
                return handler
        return None

    def handle(self, request: Request) -> Response:
        """Answer a request. Raises DroppedError where a fault says so."""
        started = time.time()
        status, fault = 0, None
        request.id = request.headers.get("x-ms-client-request-id") or str(uuid.uuid4())
        try:
            rules = self._ctx.faults.draw(request)
            for rule in rules:
                fault = rule.kind
                if rule.kind == "latency":
                    time.sleep(rule.milliseconds / 1000)
                elif rule.kind == "timeout":
                    time.sleep(rule.milliseconds / 1000)
                    raise DroppedError
                elif rule.kind == "reset":
                    raise DroppedError
                elif rule.kind == "status":
                    response = _injected(rule.status, rule.retry_after)
                    status = response.status
                    return self._finish(request, response)
            response = self._answer(request)
            if any(rule.kind == "lost" for rule in rules):
                raise DroppedError
            status = response.status
            return self._finish(request, response)
        finally:
            self._ctx.ledger.record(request, status, started, fault)

    def _answer(self, request: Request) -> Response:
        try:
            handler = self._find(request.host)
            if handler is None:
                raise AzureError(403, "HostRefused", f"The sandbox has no service at '{request.host}'.")
            return handler(self._ctx, request)
        except AzureError as error:
            return Response.json(error.status, error.body(), {"x-ms-error-code": error.code, **error.headers})
        except Exception as error:  # a fault of ours must reach the client as an answer, not as a dead connection
            traceback.print_exc()
            message = f"The sandbox failed on {request.method} {request.path}: {type(error).__name__}: {error}"
            return Response.json(501, {"error": {"code": "SandboxError", "message": message}})

    @staticmethod
    def _finish(request: Request, response: Response) -> Response:
        response.headers.setdefault("x-ms-request-id", str(uuid.uuid4()))
        response.headers.setdefault("x-ms-correlation-request-id", request.id)
        if "go-azure-sdk" in request.headers.get("user-agent", "").lower() or request.is_go_client:
            response.headers.setdefault("X-Go-Azure-Sdk-Skip-Polling-Delay", "true")
        return response


def _injected(status: int, retry_after: int | None) -> Response:
    codes = {429: "TooManyRequests", 503: "ServiceUnavailable", 500: "InternalServerError", 504: "GatewayTimeout"}
    code = codes.get(status, "InjectedFault")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"error": {"code": code, "message": f"{code}: injected by a fault rule of the sandbox."}}
    return Response.json(status, body, headers)
