# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of C(module_utils/_waiter.py)."""

    DOCUMENTATION = r"""
options:
  wait:
    description: Whether to wait until what was asked for is there.
    type: bool
    default: true
  wait_timeout:
    description: How many seconds to wait at most. The error then carries the last state seen.
    type: int
    default: 1800
  wait_sleep:
    description: How many seconds to pause between two looks where the service names no pause of its own.
    type: int
    default: 5
"""
