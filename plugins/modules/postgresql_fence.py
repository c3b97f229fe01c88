#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_fence
short_description: Keep applications out of a PostgreSQL Flexible Server, or let them in again
version_added: 0.2.0
description:
  - A fenced server refuses new connections to every database but C(postgres) and Azure's own, and ends the ones that
    are open, so that nothing is written to it any more. Nothing is deleted, and the administrator still gets in.
  - It sets each database's connection limit to zero. The limits that were there are kept in the tag
    C(aksops-postgresql-fence) of the server and come back with O(state=open).
  - An application that works in the database C(postgres) is not kept out of that one.
options:
  server_id:
    description: Resource id of the server.
    type: str
    required: true
  server_fqdn:
    description: Host name of the server.
    type: str
    required: true
  state:
    description: Whether applications are kept out.
    type: str
    choices: [fenced, open]
    required: true
  sessions_timeout:
    description: Seconds to wait for open sessions to end.
    type: int
    default: 60
extends_documentation_fragment:
  - aksops.platform.postgresql_login
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
"""

EXAMPLES = r"""
- name: Keep the application out of the old server
  aksops.platform.postgresql_fence:
    server_id: "{{ old.id }}"
    server_fqdn: "{{ old.fqdn }}"
    state: fenced
"""

RETURN = r"""
databases:
  description: Databases whose connection limit was changed.
  type: list
  elements: str
  returned: success
  sample: [orders]
sessions:
  description: Sessions of applications that were open and have been ended.
  type: int
  returned: success
  sample: 12
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_fence import Fence


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    credential = _auth.credential(params)
    arm = _arm.client(params)
    user = _postgresql.login_user(params, arm, credential, sql.SCOPES[params["cloud"]])
    login = sql.from_params(params, user, credential)
    fence = Fence(arm, params["server_id"], lambda: sql.Session(login, "postgres"))
    return fence.apply(params["state"], check_mode=module.check_mode, timeout=params["sessions_timeout"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **sql.LOGIN_ARG_SPEC,
            "server_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["fenced", "open"], "required": True},
            "sessions_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
