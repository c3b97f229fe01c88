# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: keyvault_request_rates
short_description: Calculate what mounted secrets ask of each Key Vault
version_added: 0.1.0
description:
  - The Secrets Store CSI driver sends one request for each object of each pod, at every look and when a pod starts. A
    vault answers 4000 in ten seconds; beyond that pods do not start.
options:
  _input:
    description: Classes as for P(aksops.platform.secret_provider_classes#filter), each with its number of C(pods).
    type: list
    elements: dict
    required: true
  rotation:
    description: Whether mounted secrets follow the vault.
    type: bool
    default: true
  interval:
    description: Time between two looks.
    type: str
    default: 2m
  share:
    description: Part of the vault's limit that the driver may use, from 0 to 1.
    type: float
    default: 0.5
  limit:
    description: Requests that a vault answers in ten seconds.
    type: int
    default: 4000
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Refuse a set-up that would be throttled
  ansible.builtin.assert:
    that: rates | map(attribute='refused') | select | length == 0
    fail_msg: "{{ rates | map(attribute='refused') | select | join('; ') }}"
  vars:
    rates: "{{ classes | aksops.platform.keyvault_request_rates(interval='2m') }}"
"""

RETURN = r"""
_value:
  description: For each C(vault) its C(objects), C(steady), C(burst), C(allowed) and C(refused) (empty if all is well).
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.aksops.platform.plugins.module_utils import _secrets_store_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError


def keyvault_request_rates(
    classes: t.Iterable[plan.Class],
    rotation: bool = True,
    interval: str = "2m",
    share: float = 0.5,
    limit: int = plan.VAULT_LIMIT,
) -> list[dict[str, t.Any]]:
    """Return the rates of all vaults; see DOCUMENTATION."""
    try:
        return plan.request_rates(classes, rotation=rotation, interval=interval, share=float(share), limit=int(limit))
    except AksPlatformError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filter's entry in Ansible's table."""

    def filters(self) -> dict[str, t.Any]:
        return {"keyvault_request_rates": keyvault_request_rates}
