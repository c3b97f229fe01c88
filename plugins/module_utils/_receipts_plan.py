# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a receipt lies and what it looks like there. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

C(KIND/SUBJECT-HASH/TIME-DIGEST.json): a prefix lists one kind or one subject of it, the name alone tells the time, and
the digest of the content makes the same receipt the same blob.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

KIND = r"[a-z][a-z0-9-]{0,40}"
_NAME = re.compile(
    rf"(?P<kind>{KIND})/(?P<subject>[a-z0-9._-]+-[0-9a-f]{{12}})/(?P<time>\d{{8}}T\d{{6}}Z)-[0-9a-f]{{16}}\.json"
)
_STAMP = "%Y%m%dT%H%M%SZ"
#: Keys of a receipt that tell when it was written, the best first.
TIMES = ("finished", "time", "started")


class Document(t.NamedTuple):
    """A receipt as it is stored."""

    name: str
    content: bytes
    time: str

    @property
    def page(self) -> str:
        """Name of the page for people."""
        return f"{self.name.removesuffix('.json')}.html"


def check_kind(kind: str) -> str:
    """Return the kind.

    :raises AksPlatformError: it cannot be a part of a blob's name.
    """
    if not re.fullmatch(KIND, kind):
        raise AksPlatformError(
            f"The kind {kind!r} of a receipt is not valid: 1 to 41 lower-case letters, digits, hyphens."
        )
    return kind


def folder(kind: str, subject_id: str) -> str:
    """Return the folder of one subject's receipts. Azure's ids are the same in upper and lower case."""
    subject = subject_id.strip().rstrip("/").lower()
    if not subject:
        raise AksPlatformError("subject_id is empty: name what the receipt is about, such as a server's resource id.")
    last = re.sub(r"[^a-z0-9._-]", "-", subject.rsplit("/", 1)[-1])[:80]
    return f"{check_kind(kind)}/{last}-{hashlib.sha256(subject.encode()).hexdigest()[:12]}"


def parse_time(text: str) -> datetime.datetime:
    """Return a moment in UTC.

    :raises AksPlatformError: it is no moment with a time zone.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise AksPlatformError(f"{text!r} is no time with a time zone, such as 2026-11-23T03:15:00Z.")
    return moment.astimezone(datetime.UTC)


def document(kind: str, subject_id: str, receipt: t.Mapping[str, t.Any]) -> Document:
    """Return a receipt as it is stored; equal receipts give equal documents, whatever the order of their keys."""
    text = next((str(receipt[key]) for key in TIMES if receipt.get(key)), None)
    if text is None:
        raise AksPlatformError(f"The receipt has no time: it needs one of the keys {', '.join(TIMES)}.")
    moment = parse_time(text)
    envelope = {
        "kind": kind,
        "subject_id": subject_id,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "receipt": receipt,
    }
    try:
        content = json.dumps(envelope, sort_keys=True, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise AksPlatformError(f"The receipt is not JSON: {error}.") from None
    digest = hashlib.sha256(content).hexdigest()[:16]
    name = f"{folder(kind, subject_id)}/{moment.strftime(_STAMP)}-{digest}.json"
    return Document(name, content, str(envelope["time"]))


def prefix(kind: str | None, subject_id: str | None) -> str:
    """Return what the names of such receipts begin with."""
    if kind and subject_id:
        return f"{folder(kind, subject_id)}/"
    return f"{check_kind(kind)}/" if kind else ""


def select(
    names: t.Iterable[str],
    *,
    kind: str | None = None,
    subject_id: str | None = None,
    after: datetime.datetime | None = None,
    limit: int | None = None,
) -> list[str]:
    """Return the names of the receipts that are asked for, the newest first; other blobs are left alone."""
    owner = folder("x", subject_id).split("/")[1] if subject_id else None
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or (kind and match["kind"] != kind) or (owner and match["subject"] != owner):
            continue
        if after is not None:
            written = datetime.datetime.strptime(match["time"], _STAMP).replace(tzinfo=datetime.UTC)
            if written < after.replace(microsecond=0):
                continue
        found.append((match["time"], name))
    found.sort(reverse=True)
    return [name for _time, name in found][:limit]


def parse(name: str, content: bytes) -> dict[str, t.Any]:
    """Return a stored receipt.

    :raises AksPlatformError: the blob is not one that this collection wrote.
    """
    try:
        envelope = json.loads(content)
        return {key: envelope[key] for key in ("kind", "subject_id", "time", "receipt")}
    except (ValueError, KeyError, TypeError):
        raise AksPlatformError(f"The blob {name} is not a receipt: move it out of the container.") from None
