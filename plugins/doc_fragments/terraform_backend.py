# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Option of C(module_utils/_terraform_state.py)."""

    DOCUMENTATION = r"""
options:
  backend:
    description: Where the state is.
    type: dict
    required: true
    suboptions:
      resource_group_name:
        description: Resource group of the storage account.
        type: str
        required: true
      storage_account_name:
        description: The storage account.
        type: str
        required: true
      container_name:
        description: The blob container.
        type: str
        required: true
      key:
        description: The blob.
        type: str
        required: true
"""

    PROJECT = r"""
options:
  backend:
    description: Where the state is. Required with O(state=present).
    type: dict
    suboptions:
      resource_group_name:
        description: Resource group of the storage account.
        type: str
        required: true
      storage_account_name:
        description: The storage account.
        type: str
        required: true
      container_name:
        description: The blob container.
        type: str
        required: true
      key:
        description: The blob.
        type: str
        required: true
"""
