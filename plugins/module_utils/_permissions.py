# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure's role-based access control lets a caller do.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import fnmatch
import typing as t


def allows(permissions: t.Iterable[t.Mapping[str, t.Any]], action: str) -> bool:
    """Whether permissions (as ARM lists them) allow an action; each one's notActions take away from its own only."""

    def hit(patterns: t.Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(action.lower(), str(pattern).lower()) for pattern in patterns)

    return any(hit(item.get("actions") or []) and not hit(item.get("notActions") or []) for item in permissions)
