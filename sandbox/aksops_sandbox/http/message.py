"""Requests and responses as the services see them: whole, decoded and independent of the connection."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aksops_sandbox.azure.errors import AzureError


@dataclass(frozen=True)
class Principal:
    """Who a request comes from, read from its access token."""

    object_id: str
    tenant_id: str
    app_id: str | None = None
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass
class Request:
    """One HTTP request. `headers` has lower-case names; `query` keeps the last value of each name.

    `vantage` says where the client stands: `inside` the virtual network or `outside` it.
    """

    method: str
    host: str
    port: int
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    vantage: str = "inside"
    principal: Principal | None = None
    id: str = ""
    raw_path: str = ""

    def json(self) -> Any:
        """The body as JSON ({} where there is none). Raises AzureError 400 where it is not JSON."""
        if not self.body:
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AzureError(
                400, "InvalidRequestContent", f"The request content was not valid JSON: {error}."
            ) from None

    @property
    def api_version(self) -> str:
        """The `api-version` of the query, in whichever case the client spelled it ('' where there is none)."""
        for name, value in self.query.items():
            if name.lower() == "api-version":
                return value
        return ""

    @property
    def is_go_client(self) -> bool:
        """True for clients that take `Retry-After: 0` as 'at once'; Python pollers take it as absent."""
        agent = self.headers.get("user-agent", "").lower()
        return "go" in agent.split("/")[0] or "terraform" in agent or "hashicorp" in agent


@dataclass
class Response:
    """One HTTP response with a complete body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def json(cls, status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
        """A JSON answer, as every control plane sends it."""
        body = json.dumps(content, separators=(",", ":")).encode()
        return cls(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)

    @classmethod
    def empty(cls, status: int, headers: dict[str, str] | None = None) -> Response:
        """An answer without a body."""
        return cls(status, dict(headers or {}))
