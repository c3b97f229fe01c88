#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_flexible_backup
short_description: Take a backup of a PostgreSQL Flexible Server on request, or delete one
version_added: 0.2.0
description:
  - Takes a full backup now, before a change that may go wrong. A restore to it (the mode V(backup) of
    M(aksops.platform.postgresql_flexible_restore)) replays no log and is the fastest there is.
  - A backup that exists under the name is left as it is. Azure keeps seven of them, as long as its own.
options:
  server_id:
    description: Resource id of the server.
    type: str
    required: true
  name:
    description: Name of the backup.
    type: str
    required: true
  state:
    description: V(absent) deletes a backup that was taken on request. Automatic backups are refused.
    type: str
    choices: [present, absent]
    default: present
  wait_timeout:
    description: Seconds that the backup may take.
    type: int
    default: 14400
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
seealso:
  - module: aksops.platform.postgresql_flexible_restore
  - module: aksops.platform.postgresql_flexible_restore_info
"""

EXAMPLES = r"""
- name: Keep what is there before the migration
  aksops.platform.postgresql_flexible_backup:
    server_id: "{{ platform.postgresql.id }}"
    name: before-migration-42
"""

RETURN = r"""
action:
  description: What was, or would be, done - C(take), C(delete), or V(null).
  returned: success
  type: str
backup:
  description: Name of the backup, and what Azure says of it where it exists.
  returned: success
  type: dict
  sample:
    name: before-migration-42
    completed: "2026-11-23T02:10:44Z"
    kind: Customer On-Demand
    source: Customer Initiated
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_backup as backups
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore as service
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    servers = service.Servers(arm, progress=module.debug)
    server_id = postgresql.parse_id(params["server_id"])
    action, backup = backups.apply(servers, server_id, params["name"], params["state"], check_mode=module.check_mode)
    return {"changed": action is not None, "action": action, "backup": backup}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            "server_id": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "wait_timeout": {"type": "int", "default": 14400},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
