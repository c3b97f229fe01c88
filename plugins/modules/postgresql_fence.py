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
  - The fence has two steps, so that there is a server to read from at every moment of a promotion. Nothing is deleted.
  - A read-only server sets C(default_transaction_read_only) for every database but C(postgres) and Azure's own, and
    for each role in them that has a setting of its own, and ends the sessions that began before. A client that asks
    for a transaction that writes still gets it; what was written so is found and told when the server is closed.
  - A closed server has a connection limit of zero for each of these databases, so that only C(postgres) lets the
    administrator in. The limits that were there are kept in the tag C(aksops-postgresql-fence).
  - Both come back as they were with O(state=open). The tag C(aksops-postgresql-mark) keeps the transaction numbers of
    these moments, by which rows are told that were written since.
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
    description:
      - V(read_only) lets applications read. A server that is closed already stays closed.
      - V(closed) keeps them out, and makes the server read-only first.
    type: str
    choices: [read_only, closed, open]
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
    state: closed
"""

RETURN = r"""
databases:
  description: Databases whose settings or connection limit were changed.
  type: list
  elements: str
  returned: success
  sample: [orders]
sessions:
  description: Sessions of applications that were open and have been ended.
  type: int
  returned: success
  sample: 12
late:
  description:
    - What was written after the server was made read-only, as it was found when it was closed; null where it was not
      closed now.
    - C(told) is false where it cannot be known, as after an interruption. C(changes) counts inserted, updated and
      deleted rows, and C(tables) has the rows that are newer, by C(database) and C(table).
  type: dict
  returned: success
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
    fence = Fence(arm, params["server_id"], lambda database: sql.Session(login, database))
    return fence.apply(params["state"], check_mode=module.check_mode, timeout=params["sessions_timeout"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **sql.LOGIN_ARG_SPEC,
            "server_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["read_only", "closed", "open"], "required": True},
            "sessions_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
        late = result["late"] or {}
        if late.get("changes"):
            module.warn(
                f"{late['changes']} changes of rows were written after the server was made read-only: see late."
            )
        module.exit_json(**result)
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
