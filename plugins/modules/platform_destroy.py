#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_destroy
short_description: Destroy a platform, and keep its data unless it is given up
version_added: 0.1.0
description:
  - Removes what is in the platform's resource group, in the order in which Azure lets it go, with the role and policy
    assignments that the platform has elsewhere. The group of the nodes goes with the cluster.
  - Without O(data) everything stays that holds data (PostgreSQL servers, storage accounts, Key Vaults, registries, Log
    Analytics workspaces, Service Bus namespaces with messages), with what they cannot be without, and the state of
    Terraform. C(site.yml) makes the rest again around it.
  - It refuses what is not the environment's, what is locked, and, without O(data), a cluster with persistent volumes.
  - Says what soft delete still holds, until when, and how it is had back.
options:
  resource_group_id:
    description: Resource id of the platform's resource group.
    type: str
    required: true
  environment:
    description: Name of the environment. The group's tag C(aksops-environment) must say the same.
    type: str
    required: true
  data:
    description: Whether the data goes too, and with it the whole group and Terraform's state.
    type: bool
    default: false
  state_resource_group_id:
    description: Resource id of the group of Terraform's state. It is removed with O(data) only.
    type: str
  wait_timeout:
    description: How many seconds one deletion may take.
    type: int
    default: 3600
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Say what would go
  aksops.platform.platform_destroy:
    resource_group_id: "{{ platform.resource_group.id }}"
    environment: staging-weu
  check_mode: true
"""

RETURN = r"""
removed:
  description: Resource ids of what went, or would go in check mode.
  returned: success
  type: list
  elements: str
kept:
  description: What stays.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Resource id.
      type: str
    type:
      description: Resource type.
      type: str
    why:
      description: Why it stays.
      type: str
soft_deleted:
  description: What soft delete holds. Empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    type:
      description: Resource type.
      type: str
    until:
      description: The day on which it ends.
      type: str
    how:
      description: How it is had back.
      type: str
text:
  description: The same for a person to read, line by line.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _destroy
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def main() -> None:
    spec = {
        **_auth.AUTH_ARG_SPEC,
        "resource_group_id": {"type": "str", "required": True},
        "environment": {"type": "str", "required": True},
        "data": {"type": "bool", "default": False},
        "state_resource_group_id": {"type": "str"},
        "wait_timeout": {"type": "int", "default": 3600},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    settings = _destroy.Settings(
        group_id=params["resource_group_id"],
        environment=params["environment"],
        data=params["data"],
        state_group_id=params["state_resource_group_id"] or "",
        check_mode=module.check_mode,
    )
    try:
        client = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
        outcome = _destroy.run(settings, client, module.debug)
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(
        changed=bool(outcome.removed),
        removed=outcome.removed,
        kept=[item._asdict() for item in outcome.kept],
        soft_deleted=[item._asdict() for item in outcome.soft_deleted],
        text=_destroy.text(outcome, module.check_mode),
    )


if __name__ == "__main__":
    main()
