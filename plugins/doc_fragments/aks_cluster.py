# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of C(module_utils/_aks.py)."""

    DOCUMENTATION = r"""
options:
  cluster_id:
    description: Resource id of the cluster. Instead of O(resource_group) and O(name).
    type: str
  resource_group:
    description: Resource group of the cluster.
    type: str
  name:
    description: Name of the cluster.
    type: str
    aliases: [cluster_name]
"""
