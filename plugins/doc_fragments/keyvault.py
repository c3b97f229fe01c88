# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options that name a vault and pace its requests."""

    DOCUMENTATION = r"""
options:
  vault_uri:
    description:
      - Address of the vault, such as V(https://kv-shop.vault.azure.net).
      - Exactly one of O(vault_uri) and O(vault_name) is needed.
    type: str
  vault_name:
    description:
      - Name of the vault. Its address is looked up through Azure Resource Manager, which needs read access there and
        the Python library azure-mgmt-keyvault.
    type: str
  resource_group:
    description: Resource group of the vault, so that only that group is read. Used with O(vault_name).
    type: str
  rbac_wait:
    description:
      - Seconds to wait, in all, for a role assignment to reach the vault. Only the answer C(ForbiddenByRbac) is waited
        for; every other refusal ends the task at once.
    type: int
    default: 300
  request_timeout:
    description: Seconds to wait for the answer to one request before it counts as lost.
    type: int
    default: 30
requirements:
  - urllib3 >= 1.26
  - azure-mgmt-keyvault >= 10.3.0 (with O(vault_name) only)
"""
