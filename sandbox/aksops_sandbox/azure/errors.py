"""The one exception of the emulated services, rendered as Azure renders its errors."""

from __future__ import annotations

from typing import Any


class AzureError(Exception):
    """An answer that refuses a request.

    Args:
        status: HTTP status code.
        code: Azure's error code, for example `ResourceNotFound`.
        message: one sentence for the caller.
        headers: additional response headers.
        inner: optional `innererror` object (Key Vault's style).
        details: optional list of further errors.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        inner: dict[str, Any] | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.inner = inner
        self.details = details

    def body(self) -> dict[str, Any]:
        """The error as ARM and Key Vault send it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner is not None:
            error["innererror"] = self.inner
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}


def not_found(resource_id: str) -> AzureError:
    """404 for a resource that does not exist, in ARM's words."""
    parts = resource_id.strip("/").split("/")
    group = parts[3] if len(parts) > 3 and parts[2].lower() == "resourcegroups" else ""
    short = resource_id.split("/providers/")[-1]
    suffix = f" under resource group '{group}'" if group else ""
    return AzureError(404, "ResourceNotFound", f"The Resource '{short}'{suffix} was not found.")


def bad_request(code: str, message: str) -> AzureError:
    """400 with a service's own code."""
    return AzureError(400, code, message)
