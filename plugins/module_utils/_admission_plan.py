# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an API server's answer to a dry run of an object says about the policies in its way. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import re
import typing as t

#: enforcer -> what its refusals look like
ENFORCERS: dict[str, re.Pattern[str]] = {
    "pod_security": re.compile(r'violates PodSecurity "', re.IGNORECASE),
    "azure_policy": re.compile(
        r"\[azurepolicy-|validation\.gatekeeper\.sh|azurepolicy[^ ]* denied|"
        r"ValidatingAdmissionPolicy '(azurepolicy|gatekeeper)",
        re.IGNORECASE,
    ),
}

#: Plural and API group path of the kinds that probes use.
KINDS: dict[str, tuple[str, str]] = {
    "Pod": ("/api/v1", "pods"),
    "Service": ("/api/v1", "services"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
}


def path_of(manifest: t.Mapping[str, t.Any]) -> str:
    """Return the path to which a dry run of C(manifest) is posted.

    :raises KeyError: its kind is not one of C(KINDS).
    """
    prefix, plural = KINDS[manifest["kind"]]
    return f"{prefix}/namespaces/{manifest['metadata']['namespace']}/{plural}?dryRun=All"


def enforcer_of(message: str) -> str:
    """Return who refused: pod_security, azure_policy, or other."""
    return next((name for name, pattern in ENFORCERS.items() if pattern.search(message)), "other")


def verdict(status: int, body: t.Any) -> dict[str, t.Any]:
    """Return C(outcome) (admitted, refused or failed), C(enforcer) and C(message) of one answer.

    Only a 403 that an admission policy gave counts as refused: a caller without rights is a failure of the probe.
    """
    message = " ".join(str((body or {}).get("message") if isinstance(body, dict) else body).split())
    if status in (200, 201):
        return {"outcome": "admitted", "enforcer": "", "message": ""}
    enforcer = enforcer_of(message)
    denied = status == 403 and (enforcer != "other" or "denied the request" in message or "denied request" in message)
    denied = denied or (status in (400, 422) and "denied request" in message)
    return {"outcome": "refused" if denied else "failed", "enforcer": enforcer if denied else "", "message": message}


def problem(probe: t.Mapping[str, t.Any], got: t.Mapping[str, t.Any]) -> str:
    """Return one sentence where C(got) is not what C(probe) expects, else an empty text."""
    name = probe["name"]
    if got["outcome"] == "failed":
        return f"{name} could not be tried: {got['message'][:400]}"
    if got["outcome"] != probe["expect"]:
        why = f" by {got['enforcer']}: {got['message'][:400]}" if got["outcome"] == "refused" else ""
        return f"{name} was {got['outcome']}{why}, and should have been {probe['expect']}"
    by = probe.get("by") or "any"
    if got["outcome"] == "refused" and by not in ("any", got["enforcer"]):
        return f"{name} was refused by {got['enforcer']}, and should have been by {by}: {got['message'][:300]}"
    words = probe.get("message") or ""
    if got["outcome"] == "refused" and words and not re.search(words, got["message"]):
        return f"{name} was refused for another reason than {words!r}: {got['message'][:300]}"
    return ""
