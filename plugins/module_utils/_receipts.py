# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Receipts in a storage account. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _receipts_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

STORE_ARG_SPEC: dict[str, t.Any] = {
    "blob_endpoint": {"type": "str", "required": True},
    "container": {"type": "str", "default": "receipts"},
}


def store(
    container: t.Any,
    kind: str,
    subject_id: str,
    receipt: t.Mapping[str, t.Any],
    page: str | None,
    *,
    check_mode: bool,
) -> dict[str, t.Any]:
    """Upload a receipt that is not there yet, its page first: who finds a receipt finds its page too."""
    document = plans.document(kind, subject_id, receipt)
    content = _read(page) if page else None
    changed = not container.exists(document.name)
    if changed and not check_mode:
        if content is not None:
            container.create(document.page, content, "text/html; charset=utf-8")
        changed = container.create(document.name, document.content, "application/json")
    return {
        "changed": changed,
        "name": document.name,
        "url": container.url(document.name),
        "page_url": container.url(document.page) if page else None,
        "time": document.time,
    }


def load(
    container: t.Any,
    *,
    kind: str | None,
    subject_id: str | None,
    max_age: float | None,
    limit: int | None,
    now: datetime.datetime | None = None,
) -> list[dict[str, t.Any]]:
    """Return the receipts that are asked for, the newest first.

    :param max_age: hours.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    after = now - datetime.timedelta(hours=max_age) if max_age is not None else None
    names = plans.select(
        container.list(plans.prefix(kind, subject_id)), kind=kind, subject_id=subject_id, after=after, limit=limit
    )
    return [{"name": name, "url": container.url(name), **plans.parse(name, container.read(name))} for name in names]


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError as error:
        raise AksPlatformError(f"The page {path} cannot be read: {error.strerror}.") from None
