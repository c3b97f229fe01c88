"""Live metrics: services ask every few seconds whether somebody watches. Nobody does."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.monitor import ingestion

HOST = r"[a-z0-9]+\.livediagnostics\.monitor\.azure\.com"


def ping(ctx: Any, request: Request) -> Response:
    """POST /QuickPulseService.svc/ping?ikey=: 200 and that nobody has subscribed, to those who may send."""
    if request.method != "POST" or request.path.lower() != "/quickpulseservice.svc/ping":
        raise ingestion.unknown(request)
    refused = ingestion.refusal(ctx, request, request.query.get("ikey"), ingestion.bearer(ctx, request))
    if refused is not None:
        raise refused
    return Response.empty(200, {"x-ms-qps-subscribed": "false"})
