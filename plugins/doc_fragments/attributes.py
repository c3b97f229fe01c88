# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Attributes that modules of this collection declare."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changed status that the real run would return.
  diff_mode:
    description: Returns details of what has changed, or would change, in diff mode.
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/aksops.platform.platform) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - aksops.platform.platform
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the changed status that the real run would return.
    support: full
    details: This module only reads.
  diff_mode:
    description: Returns details of what has changed, or would change, in diff mode.
    support: N/A
    details: This module only reads.
"""
