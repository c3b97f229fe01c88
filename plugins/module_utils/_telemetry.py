# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a span, a metric and a log to Application Insights as a service does, and finding them again.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import json
import typing as t
from datetime import UTC, datetime
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, WaitTimeoutError, poll

INGESTION_SCOPE = "https://monitor.azure.com/.default"
QUERY_ENDPOINT = "https://api.loganalytics.io"
QUERY_SCOPE = f"{QUERY_ENDPOINT}/.default"

#: what is sent -> the table of the workspace where it must appear
TABLES = {"span": "AppRequests", "metric": "AppMetrics", "log": "AppTraces"}

Post = t.Callable[[str, str, t.Any], tuple[int, t.Any]]


class SenderRefusedError(AksPlatformError):
    """The sender has no role, or none that the service knows of yet."""


class Target(t.NamedTuple):
    """Where telemetry goes: key and ingestion address of a component, its workspace, whether keys are accepted."""

    key: str
    endpoint: str
    workspace_id: str
    local_authentication: bool


def target(component: t.Mapping[str, t.Any]) -> Target:
    """Return where the component's telemetry goes.

    :raises AksPlatformError: it has no connection string or no workspace (classic components).
    """
    properties = component.get("properties") or {}
    parts = dict(item.split("=", 1) for item in str(properties.get("ConnectionString") or "").split(";") if "=" in item)
    if not {"InstrumentationKey", "IngestionEndpoint"} <= set(parts):
        raise AksPlatformError(f"The component {component.get('name')} has no connection string.")
    if not properties.get("WorkspaceResourceId"):
        raise AksPlatformError(f"The component {component.get('name')} is classic; move it to a workspace.")
    if urlsplit(parts["IngestionEndpoint"]).scheme != "https":
        raise AksPlatformError(f"The component {component.get('name')} takes telemetry without TLS.")
    return Target(
        parts["InstrumentationKey"],
        parts["IngestionEndpoint"].rstrip("/"),
        str(properties["WorkspaceResourceId"]),
        not properties.get("DisableLocalAuth"),
    )


def items(key: str, operation: str, role: str, moment: datetime | None = None) -> list[dict[str, t.Any]]:
    """Return a span, a metric and a log of one operation, in the words of the Breeze protocol."""
    when = (moment or datetime.now(UTC)).isoformat().replace("+00:00", "Z")
    tags = {"ai.operation.id": operation, "ai.cloud.role": role, "ai.internal.sdkVersion": "aksops.platform"}
    short = key.replace("-", "")
    data = {
        "Request": {
            "ver": 2,
            "id": operation[:16],
            "name": "aksops verify",
            "duration": "00:00:00.0010000",
            "responseCode": "200",
            "success": True,
        },
        "Metric": {"ver": 2, "metrics": [{"name": "aksops_verify", "value": 1, "count": 1}]},
        "Message": {"ver": 2, "message": "aksops.platform verifies that telemetry arrives", "severityLevel": 1},
    }
    return [
        {
            "name": f"Microsoft.ApplicationInsights.{short}.{kind}",
            "time": when,
            "iKey": key,
            "tags": tags,
            "data": {"baseType": f"{kind}Data", "baseData": base},
        }
        for kind, base in data.items()
    ]


def send(post: Post, where: Target, token: str, content: list[dict[str, t.Any]]) -> None:
    """Send items; raise where not all were accepted.

    :raises AksPlatformError: refused; a missing role and a closed network are named.
    """
    status, answer = post(f"{where.endpoint}/v2.1/track", token, content)
    if status == 200:
        return
    errors = answer.get("errors") if isinstance(answer, dict) else None
    reason = one_sentence("; ".join(str(e.get("message")) for e in errors) if errors else str(answer), 300)
    if status in (401, 403):
        raise SenderRefusedError(
            f"Application Insights refuses telemetry (HTTP {status}): {reason}; the sender needs the role Monitoring "
            "Metrics Publisher on the component, and a private link where ingestion from public networks is off."
        )
    raise AksPlatformError(f"Application Insights took not all telemetry (HTTP {status}): {reason}")


def patiently(
    attempt: t.Callable[[], None], *, patience: float, interval: float, progress: Progress | None = None
) -> None:
    """Send, again and again while the sender is refused: a role just given takes minutes to be known.

    :raises SenderRefusedError: still refused after C(patience) seconds.
    """
    refused: list[SenderRefusedError] = []

    def sent() -> tuple[bool, str]:
        try:
            attempt()
        except SenderRefusedError as error:
            refused.append(error)
            return False, str(error)
        return True, ""

    try:
        poll(sent, timeout=patience, interval=interval, describe="the sender's role", progress=progress)
    except WaitTimeoutError:
        raise refused[-1] from None


def missing(
    post: Post,
    workspace: str,
    token: str,
    operation: str,
    tables: t.Mapping[str, str] | None = None,
    column: str = "OperationId",
) -> list[str]:
    """Return what of the operation has not arrived: span, metric, log.

    :param workspace: customer id of the workspace.
    :param tables: where to look for what, by default the tables of Application Insights.
    :param column: column with the operation's id.
    :raises AksPlatformError: the caller may not query.
    """
    absent = []
    for what, table in (TABLES if tables is None else tables).items():
        query = {"query": f"{table} | where {column} == '{operation}' | take 1", "timespan": "PT1H"}
        status, answer = post(f"{QUERY_ENDPOINT}/v1/workspaces/{workspace}/query", token, query)
        if status == 400:
            # A table that has never had a row does not exist yet.
            absent.append(what)
            continue
        if status != 200:
            detail = one_sentence(str(answer), 300)
            raise AksPlatformError(
                f"The workspace does not answer queries (HTTP {status}): {detail}; "
                "the caller needs Log Analytics Reader."
            )
        results = answer.get("tables") or []
        if not results or not results[0].get("rows"):
            absent.append(what)
    return absent


def post_json(url: str, token: str, body: t.Any, timeout: float = 30) -> tuple[int, t.Any]:
    """POST JSON with a bearer token; return status and parsed answer.

    :raises AksPlatformError: the address was not reached.
    """
    return _post(url, token, json.dumps(body).encode(), "application/json", timeout)


def post_protobuf(url: str, token: str, body: bytes, timeout: float = 30) -> tuple[int, t.Any]:
    """POST a protobuf message with a bearer token; return status and parsed answer.

    :raises AksPlatformError: the address was not reached.
    """
    return _post(url, token, body, "application/x-protobuf", timeout)


def _post(url: str, token: str, body: bytes, kind: str, timeout: float) -> tuple[int, t.Any]:
    from ansible.module_utils.urls import open_url

    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": "application/json"}
    try:
        answer = open_url(url, method="POST", data=body, headers=headers, timeout=timeout)
        return answer.status, _parsed(answer.read())
    except HTTPError as error:
        return error.code, _parsed(error.read())
    except (URLError, OSError) as error:
        reason = one_sentence(str(getattr(error, "reason", error)), 200)
        raise AksPlatformError(f"{urlsplit(url).hostname} is not reached: {reason}.") from None


def _parsed(raw: bytes) -> t.Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
