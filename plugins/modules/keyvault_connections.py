#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keyvault_connections
short_description: Find the secrets of a Key Vault that lead to a host, and give them back what they held before
version_added: 0.2.0
description:
  - A promotion of a database server must know which secrets lead an application to the old one, whatever their form,
    and the way back wants the values that were there. Values are read and compared here; none is returned, printed or
    kept.
  - With O(previous), each secret whose only later version is the one that the promotion wrote gets the value, content
    type, tags and times of the version that is named, as a new version. A secret that was changed since is left as it
    is.
options:
  host:
    description:
      - Host name. A secret whose value names it leads there. Encoded values, such as Base64, are not seen through.
    type: str
    required: true
  owner:
    description:
      - Owner whose secrets are written by the inventory, as O(ignore:owner) of M(aksops.platform.keyvault_secrets).
    type: str
    default: aksops-platform
  previous:
    description: Versions to go back to, by the name of the secret.
    type: dict
    default: {}
  concurrency:
    description: Secrets that are read at a time.
    type: int
    default: 16
extends_documentation_fragment:
  - aksops.platform.keyvault
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers
seealso:
  - module: aksops.platform.keyvault_secrets
"""

EXAMPLES = r"""
- name: Find what leads to the old server
  aksops.platform.keyvault_connections:
    vault_uri: "{{ platform.key_vault.uri }}"
    host: "{{ old.fqdn }}"
  register: connections

- name: Give back what was there before
  aksops.platform.keyvault_connections:
    vault_uri: "{{ platform.key_vault.uri }}"
    host: "{{ old.fqdn }}"
    previous: "{{ receipt.secrets }}"
"""

RETURN = r"""
secrets:
  description: Secrets that lead to O(host) at the end, name by current version.
  type: dict
  returned: success
foreign:
  description: Those among them that do not belong to O(owner), so that no run of the role C(secrets) writes them.
  type: list
  elements: str
  returned: success
restored:
  description: Names of O(previous) that hold now what they held before, those among them that did already included.
  type: list
  elements: str
  returned: success
written:
  description: Names that got a new version.
  type: list
  elements: str
  returned: success
left:
  description:
    - Names that were left alone, since they were changed after the promotion or the version cannot be read any more.
  type: list
  elements: str
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_spec import VAULT_ARG_SPEC, VAULT_RULES


def work(module: AnsibleModule) -> None:
    """Carry out the task."""
    from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_task
    from ansible_collections.aksops.platform.plugins.module_utils._keyvault_connections import (
        LEFT,
        RESTORE,
        RESTORED,
        Connections,
    )
    from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Settings
    from ansible_collections.aksops.platform.plugins.module_utils._keyvault_vault import address

    params: dict[str, t.Any] = module.params
    uri, _recovered = address({**params, "recover_vault": False}, True)
    connections = Connections(_keyvault_task.client(params, uri), params["concurrency"])
    done = connections.restore(params["previous"], check_mode=module.check_mode)
    found, foreign = connections.find(params["host"], Settings().tag("owner"), params["owner"])
    module.exit_json(
        changed=bool(done[RESTORE]),
        secrets=found,
        foreign=foreign,
        restored=sorted(done[RESTORE] + done[RESTORED]),
        written=done[RESTORE],
        left=done[LEFT],
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            **VAULT_ARG_SPEC,
            "host": {"type": "str", "required": True},
            "owner": {"type": "str", "default": "aksops-platform"},
            "previous": {"type": "dict", "default": {}},
            "concurrency": {"type": "int", "default": 16},
        },
        supports_check_mode=True,
        **VAULT_RULES,
    )
    from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_main

    _keyvault_main.guarded(module, work)


if __name__ == "__main__":
    main()
