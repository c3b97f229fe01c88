# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a span, a metric and a log to Azure Monitor's own OTLP endpoints (preview), as a collector does.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Azure takes OTLP/HTTP as protobuf only. Three small messages need neither protobuf's runtime nor generated code: a
message is a row of fields, each a key (number and wire type) and a value.
"""

from __future__ import annotations

import struct
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._telemetry import SenderRefusedError

#: The version of collection rules that knows direct data sources.
API_VERSION = "2024-03-11"

#: what is sent -> (kind of the rule's data source, path below the rule's address)
SIGNALS = {
    "span": ("otelTraces", "streams/Microsoft-OTLP-Traces/otlp/v1/traces"),
    "metric": ("otelMetrics", "streams/Custom-Metrics-Otel/otlp/v1/metrics"),
    "log": ("otelLogs", "streams/Microsoft-OTLP-Logs/otlp/v1/logs"),
}
#: what is sent -> the table of the workspace where it must appear. Metrics go to an Azure Monitor workspace.
TABLES = {"span": "OTelSpans", "log": "OTelLogs"}

Post = t.Callable[[str, str, bytes], tuple[int, t.Any]]


class Target(t.NamedTuple):
    """Where OTLP goes: an address for each signal, and the workspace that keeps spans and logs."""

    addresses: dict[str, str]
    workspace_id: str


def target(rule: t.Mapping[str, t.Any], endpoint: t.Mapping[str, t.Any]) -> Target:
    """Return where a rule and its endpoint take OTLP.

    :raises AksPlatformError: the rule takes a signal from no direct data source, or sends it nowhere.
    """
    properties, name = rule.get("properties") or {}, rule.get("name")
    ingestion = endpoint.get("properties") or {}
    hosts = {
        "span": (ingestion.get("logsIngestion") or {}).get("endpoint"),
        "metric": (ingestion.get("metricsIngestion") or {}).get("endpoint"),
    }
    hosts["log"] = hosts["span"]
    for what, (source, _path) in SIGNALS.items():
        if not _flows(properties, source):
            raise AksPlatformError(f"The collection rule {name} takes no {what}s by OTLP, or sends them nowhere.")
        if urlsplit(str(hosts[what])).scheme != "https":
            raise AksPlatformError(f"The collection endpoint {endpoint.get('name')} has no address for {what}s.")
    workspaces = (properties.get("destinations") or {}).get("logAnalytics") or []
    if not workspaces:
        raise AksPlatformError(f"The collection rule {name} sends spans and logs to no Log Analytics workspace.")
    base = f"dataCollectionRules/{properties.get('immutableId')}"
    addresses = {what: f"{str(hosts[what]).rstrip('/')}/{base}/{path}" for what, (_source, path) in SIGNALS.items()}
    return Target(addresses, str(workspaces[0].get("workspaceResourceId")))


def _flows(properties: t.Mapping[str, t.Any], source: str) -> bool:
    """Return whether all streams of a kind of direct data source flow to a destination."""
    entries = (properties.get("directDataSources") or {}).get(source) or []
    streams = {stream for entry in entries for stream in entry.get("streams") or []}
    flows = [flow for flow in properties.get("dataFlows") or [] if flow.get("destinations")]
    return bool(streams) and streams <= {stream for flow in flows for stream in flow.get("streams") or []}


def messages(trace: str, service: str, moment: int | None = None) -> dict[str, bytes]:
    """Return a span, a metric and a log of one trace as OTLP messages.

    :param trace: the trace's id, 32 hexadecimal digits.
    :param moment: nanoseconds since 1970, by default now.
    """
    now = time.time_ns() if moment is None else moment
    ids, span = bytes.fromhex(trace), bytes.fromhex(trace[:16])
    start = now - 1_000_000
    scope = _bytes(1, _text(1, "aksops.platform"))
    content = {
        "span": _bytes(1, ids)
        + _bytes(2, span)
        + _text(5, "aksops verify")
        + _integer(6, 2)  # server
        + _fixed(7, start)
        + _fixed(8, now),
        # A sum with delta temporality, which Application Insights' views expect.
        "metric": _text(1, "aksops_verify")
        + _bytes(7, _bytes(1, _fixed(2, start) + _fixed(3, now) + _fixed(6, 1)) + _integer(2, 1) + _integer(3, 1)),
        "log": _fixed(1, now)
        + _integer(2, 9)
        + _text(3, "INFO")
        + _bytes(5, _text(1, "aksops.platform verifies that telemetry arrives"))
        + _bytes(9, ids)
        + _bytes(10, span)
        + _fixed(11, now),
    }
    resource = _bytes(1, _bytes(1, _text(1, "service.name") + _bytes(2, _text(1, service))))
    return {what: _bytes(1, resource + _bytes(2, scope + _bytes(2, item))) for what, item in content.items()}


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<q", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def send(post: Post, where: Target, token: str, content: t.Mapping[str, bytes]) -> None:
    """Send every message to its address; raise at the first that is refused.

    :raises SenderRefusedError: refused for want of a role, or through a closed network.
    :raises AksPlatformError: not taken for another reason.
    """
    for what, body in content.items():
        status, answer = post(where.addresses[what], token, body)
        if 200 <= status < 300:
            continue
        reason = one_sentence(_reason(answer), 300)
        if status in (401, 403):
            raise SenderRefusedError(
                f"Azure Monitor refuses the {what} (HTTP {status}): {reason}; the sender needs the role Monitoring "
                "Metrics Publisher on the collection rule, and a private link where the endpoint is closed to public "
                "networks."
            )
        raise AksPlatformError(f"Azure Monitor did not take the {what} (HTTP {status}): {reason}")


def _reason(answer: t.Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    return str(error.get("message") or error) if isinstance(error, dict) else str(answer)
