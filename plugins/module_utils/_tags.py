# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags of a resource, by themselves. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Microsoft.Resources/tags changes named tags and leaves the others, in one request and without a write of the resource.
"""

from __future__ import annotations

import typing as t

API_VERSION = "2025-04-01"


def merge(arm: t.Any, scope: str, tags: t.Mapping[str, str]) -> None:
    """Set these tags of a resource or a resource group, all at once."""
    _change(arm, scope, "Merge", tags)


def remove(arm: t.Any, scope: str, tags: t.Mapping[str, str]) -> None:
    """Remove these tags where they have these values."""
    _change(arm, scope, "Delete", tags)


def _change(arm: t.Any, scope: str, operation: str, tags: t.Mapping[str, str]) -> None:
    if tags:
        body = {"operation": operation, "properties": {"tags": dict(tags)}}
        arm.patch(f"{scope}/providers/Microsoft.Resources/tags/default", API_VERSION, body)
