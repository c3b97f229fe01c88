#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_access
short_description: Open a platform's doors for a run, close them again, and tell which are closed
version_added: 0.1.0
description:
  - With O(access=inside) it asks the services in O(needs) whether they are reached from here, and fails with one
    sentence for each that is not.
  - With O(access=allowlist) it lets the caller's public address into the firewalls of those that refuse, waits until
    they answer, and with O(state=closed) takes it out again. All other rules stay.
  - What a host has opened is on record as a tag of the storage account of Terraform's state, so that O(state=closed)
    also closes what a killed run of the same host has left, with either O(access). What any host opened more than
    twelve hours ago is closed too.
  - A private cluster and PostgreSQL are never opened.
options:
  state:
    description: Whether to open or to close.
    type: str
    choices: [open, closed]
    default: open
  access:
    description: As the platform's C(platform_access).
    type: str
    choices: [inside, allowlist]
    default: inside
  services:
    description: Resource ids. What does not exist is left out.
    type: dict
    required: true
    suboptions:
      api_server:
        description: The AKS cluster.
        type: str
      postgresql:
        description: The PostgreSQL Flexible Server.
        type: str
      state:
        description: The storage account of Terraform's state. It holds the record.
        type: str
      storage:
        description: The platform's storage account.
        type: str
      vault:
        description: The key vault.
        type: str
  needs:
    description: Which of O(services) are to be reached.
    type: list
    elements: str
    choices: [api_server, postgresql, state, storage, vault]
    default: []
  optional:
    description: Services of O(needs) that are only told in RV(refused) where they cannot be opened.
    type: list
    elements: str
    choices: [api_server, postgresql, state, storage, vault]
    default: []
  address:
    description:
      - Public IPv4 address by which Azure sees this machine.
      - Without it, the vault's own refusal tells it. Only before there is a vault it must be given.
    type: str
  holder:
    description: Name under which the record is kept; by default this machine's.
    type: str
  wait_timeout:
    description: Seconds to wait at most until an opened door answers.
    type: int
    default: 600
  wait_sleep:
    description: Seconds between two looks.
    type: int
    default: 5
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Opens nothing, and fails where something would have to be opened.
  diff_mode:
    support: none
notes:
  - Firewalls of storage accounts do not apply to callers in the account's own Azure region, which come from addresses
    of Azure's inner network; such a runner belongs into the platform's network.
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Ask whether the vault is reached from here
  aksops.platform.platform_access:
    services: "{{ services }}"
    needs: [vault]

- name: Let this machine in, work, and close again
  block:
    - name: Open
      aksops.platform.platform_access:
        access: allowlist
        services: "{{ services }}"
        needs: [state, vault]
        address: 198.51.100.7
    - name: Work
      ansible.builtin.include_role:
        name: aksops.platform.secrets
  always:
    - name: Close
      aksops.platform.platform_access:
        state: closed
        access: allowlist
        services: "{{ services }}"
"""

RETURN = r"""
opened:
  description: Doors that were opened.
  returned: O(state=open)
  type: list
  elements: str
refused:
  description: A sentence for each service of O(optional) that stays closed.
  returned: O(state=open)
  type: dict
address:
  description: The address that was let in.
  returned: O(state=open)
  type: str
state_ranges:
  description: What the firewall of the state's account lists, or is to list where the account is yet to be made.
  returned: O(state=open)
  type: list
  elements: str
record:
  description: This host's record, as a tag of the state's account.
  returned: O(state=open)
  type: dict
closed:
  description: Doors that were closed, or would be in check mode.
  returned: O(state=closed)
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _access
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC


def main() -> None:
    _access.guarded(AnsibleModule(argument_spec={**AUTH_ARG_SPEC, **_access.ARG_SPEC}, supports_check_mode=True))


if __name__ == "__main__":
    main()
