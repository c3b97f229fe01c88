#!/usr/bin/python
# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keyvault_secrets_info
short_description: List the secrets of a Key Vault without their values
version_added: 0.1.0
author: The aksops.platform maintainers (@aksops)
description:
  - Returns names, tags, times and states of secrets. Values are never read, so the role Key Vault Reader is enough.
extends_documentation_fragment:
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
  - aksops.platform.azure_auth
  - aksops.platform.keyvault
options:
  names:
    description: Only these secrets, compared without case. Without it all secrets are returned.
    type: list
    elements: str
    default: []
  versions:
    description: Also list the versions of each secret, which is one more request for each.
    type: bool
    default: false
  deleted:
    description: Also list the soft-deleted secrets.
    type: bool
    default: false
  concurrency:
    description: Connections that are kept open.
    type: int
    default: 16
"""

EXAMPLES = r"""
- name: Find secrets that expire within 30 days
  aksops.platform.keyvault_secrets_info:
    vault_uri: https://kv-shop.vault.azure.net
  register: vault

- name: Name them
  ansible.builtin.debug:
    msg: "{{ vault.secrets | selectattr('expires') | selectattr('expires', 'lt', limit) | map(attribute='name') }}"
  vars:
    limit: "{{ '%Y-%m-%dT%H:%M:%SZ' | strftime(now(utc=true).timestamp() + 30 * 86400) }}"
"""

RETURN = r"""
vault_uri:
  description: Address of the vault.
  returned: always
  type: str
  sample: https://kv-shop.vault.azure.net/
secrets:
  description: The live secrets, by name. Never a value.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the secret.
      type: str
    content_type:
      description: Content type.
      type: str
    tags:
      description: Tags.
      type: dict
    enabled:
      description: Whether consumers can read it.
      type: bool
    not_before:
      description: Start of validity.
      type: str
    expires:
      description: End of validity.
      type: str
    created:
      description: When the current version was made.
      type: str
    updated:
      description: When its metadata last changed.
      type: str
    managed:
      description: Whether it belongs to a certificate.
      type: bool
    versions:
      description: The versions, oldest first, with the same fields and their identifier.
      returned: with O(versions=true)
      type: list
      elements: dict
deleted_secrets:
  description: The soft-deleted secrets with the same fields, C(deleted) and C(scheduled_purge).
  returned: with O(deleted=true)
  type: list
  elements: dict
requests:
  description: Requests that were sent, by kind.
  returned: always
  type: dict
  sample: {list: 8}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_spec import (
    INFO_ARG_SPEC,
    VAULT_ARG_SPEC,
    VAULT_RULES,
)


def main():
    module = AnsibleModule(
        argument_spec={**AUTH_ARG_SPEC, **VAULT_ARG_SPEC, **INFO_ARG_SPEC},
        supports_check_mode=True,
        **VAULT_RULES,
    )
    from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_main

    _keyvault_main.guarded(module, _keyvault_main.info)


if __name__ == "__main__":
    main()
