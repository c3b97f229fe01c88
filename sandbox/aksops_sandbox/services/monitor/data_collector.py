"""The HTTP data collector of Log Analytics: rows signed by a workspace's shared key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.monitor import ingestion
from aksops_sandbox.services.monitor.workspaces import WORKSPACE

HOST = r"[0-9a-f-]{36}\.ods\.opinsights\.azure\.com"


def collect(ctx: Any, request: Request) -> Response:
    """POST https://<customer id>.ods.opinsights.azure.com/api/logs."""
    if request.method != "POST" or request.path.rstrip("/") != "/api/logs":
        raise AzureError(
            501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {request.path}."
        )
    customer = request.host.partition(".")[0]
    found = [item for item in ctx.store.list(type=WORKSPACE) if item.properties["customerId"] == customer]
    if not found:
        raise AzureError(403, "InvalidCustomerId", f"There is no workspace {customer}.")
    workspace = found[0]
    if workspace.properties["features"].get("disableLocalAuth"):
        raise AzureError(403, "LocalAuthDisabled", f"Local authentication is disabled for workspace {customer}.")
    if request.headers.get("authorization", "") not in _signatures(customer, workspace.internal["keys"], request):
        raise AzureError(403, "InvalidAuthorization", "The signature does not match the request.")
    log_type = request.headers.get("log-type", "")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", log_type):
        raise AzureError(400, "InvalidLogType", "The header Log-Type must hold letters, digits and underscores.")
    rows = request.json()
    rows = rows if isinstance(rows, list) else [rows]
    stamp = {"TimeGenerated": shapes.now(), "Type": f"{log_type}_CL"}
    ingestion.append(ctx, workspace.id, f"{log_type}_CL", [{**stamp, **json.loads(json.dumps(row))} for row in rows])
    return Response.empty(200)


def _signatures(customer: str, keys: list[str], request: Request) -> list[str]:
    date = request.headers.get("x-ms-date", "")
    kind = request.headers.get("content-type", "").partition(";")[0]
    text = f"POST\n{len(request.body)}\n{kind}\nx-ms-date:{date}\n/api/logs".encode()
    signatures = []
    for key in keys:
        try:
            secret = base64.b64decode(key, validate=True)
        except binascii.Error:
            continue
        digest = base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
        signatures.append(f"SharedKey {customer}:{digest}")
    return signatures
