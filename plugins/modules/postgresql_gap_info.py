#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_gap_info
short_description: Count the rows of a PostgreSQL Flexible Server that another one will not have when it takes over
version_added: 0.2.0
description:
  - With O(target_id), a server that was restored from this one. A restored server is a physical copy, so a row
    version that only this one has was written after the moment of the restore, and one that only the copy has was
    deleted or updated since. No commit timestamps are needed. Rewriting a table with C(ALTER TABLE) makes all of its
    rows new.
  - Without it, all rows that were written since M(aksops.platform.postgresql_fence) opened this server.
  - Counting reads every table once. The smallest come first, and what does not fit into O(timeout) is named and not
    counted.
options:
  server_id:
    description: Resource id of the server that is left.
    type: str
    required: true
  server_fqdn:
    description: Its host name.
    type: str
    required: true
  target_id:
    description: Resource id of the restored server that takes over.
    type: str
    default: ""
  target_fqdn:
    description: Its host name.
    type: str
    default: ""
  timeout:
    description: Seconds for all tables together.
    type: int
    default: 60
extends_documentation_fragment:
  - aksops.platform.postgresql_login
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Count what does not come along
  aksops.platform.postgresql_gap_info:
    server_id: "{{ old.id }}"
    server_fqdn: "{{ old.fqdn }}"
    target_id: "{{ new.id }}"
    target_fqdn: "{{ new.fqdn }}"
  register: gap
"""

RETURN = r"""
gap:
  description: What was found.
  type: dict
  returned: success
  contains:
    method:
      description: V(copy) or V(since) as described above; empty where nothing can be told.
      type: str
    newer:
      description: Rows that were inserted or updated since and do not come along; null where it cannot be told.
      type: int
    back:
      description: Rows that were deleted or updated since and come back as they were; null where it cannot be told.
      type: int
    tables:
      description: The same by table, with C(database) and C(table), where one of the two is not zero.
      type: list
      elements: dict
    untold:
      description: Tables, or whole databases, that were not counted, and why.
      type: list
      elements: dict
    text:
      description: All of it in one sentence.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_fence_plan import TAG_MARK, read_mark
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_gap import Gap, summary
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_restore_plan import TAG_SOURCE


def run(params: dict[str, t.Any]) -> dict[str, t.Any]:
    """Carry out the task and return its report."""
    credential = _auth.credential(params)
    arm = _arm.client(params)

    def connect(server_id: str, fqdn: str) -> t.Callable[[str], sql.Session]:
        options = {**params, "server_id": server_id, "server_fqdn": fqdn}
        user = _postgresql.login_user(options, arm, credential, sql.SCOPES[params["cloud"]])
        login = sql.from_params(options, user, credential)
        return lambda database: sql.Session(login, database, {"default_transaction_read_only": "on"})

    def tags(server_id: str) -> dict[str, str]:
        server = arm.get(_postgresql.parse_id(server_id).path, _postgresql.API_VERSION)
        if server is None:
            raise AksPlatformError(f"There is no PostgreSQL server {server_id.rsplit('/', 1)[-1]}.")
        return server.get("tags") or {}

    source = _postgresql.parse_id(params["server_id"])
    if params["target_id"]:
        restored_from = tags(params["target_id"]).get(TAG_SOURCE, "")
        if restored_from.lower() != source.path[-256:].lower():
            name = restored_from.rsplit("/", 1)[-1] or "nothing that is known"
            return summary(
                "", [], [], f"The new server is a restore of {name}, not of {source.name}: rows cannot be compared."
            )
        target = connect(params["target_id"], params["target_fqdn"])
        return Gap(connect(source.path, params["server_fqdn"]), target, 0, params["timeout"]).report()
    since = read_mark(tags(source.path).get(TAG_MARK)).opened
    if not since:
        return summary(
            "", [], [], f"No promotion has noted when {source.name} began to take rows: they cannot be told."
        )
    return Gap(connect(source.path, params["server_fqdn"]), None, since, params["timeout"]).report()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **sql.LOGIN_ARG_SPEC,
            "server_id": {"type": "str", "required": True},
            "target_id": {"type": "str", "default": ""},
            "target_fqdn": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 60},
        },
        required_together=[("target_id", "target_fqdn")],
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, gap=run(module.params))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
