#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_ping
short_description: Find out whether a login to a PostgreSQL Flexible Server works
version_added: 0.1.0
description:
  - Logs in with verified TLS, by password or by an Entra token, and changes nothing.
  - A login that the server refuses (a wrong password, a role that is missing, an address that its firewall does not
    let in) fails with one sentence. A server that does not answer is RV(reachable=false) and no failure.
options:
  server_fqdn:
    description: Host name of the server.
    type: str
    required: true
  server_id:
    description: Resource id of the server. Without O(login_user) its Entra administrators are asked who the caller is.
    type: str
  database:
    description: The database to log in to.
    type: str
    default: postgres
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.postgresql_login
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.postgresql_verify
"""

EXAMPLES = r"""
- name: Know before a restore that its result can be looked at
  aksops.platform.postgresql_ping:
    server_id: "{{ platform.postgresql.id }}"
    server_fqdn: "{{ platform.postgresql.fqdn }}"
"""

RETURN = r"""
reachable:
  description: Whether the server answered.
  returned: success
  type: bool
reason:
  description: What was tried in vain, where it did not.
  returned: success
  type: str
login_user:
  description: The role of the login.
  returned: success
  type: str
version:
  description: The server's version, V(null) where it did not answer.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    credential = _auth.credential(params)
    user = postgresql.login_user(params, _arm.client(params), credential, sql.SCOPES[params["cloud"]])
    login = sql.from_params(params, user, credential)
    result: dict[str, t.Any] = {"changed": False, "login_user": user, "reachable": True, "reason": "", "version": None}
    try:
        with sql.Session(login, params["database"]) as session:
            row = session.rows("SELECT pg_catalog.current_setting('server_version') AS version")[0]
    except sql.SqlError as error:
        if sql.refused(error):
            raise
        return {**result, "reachable": False, "reason": str(error)}
    return {**result, "version": row["version"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **sql.LOGIN_ARG_SPEC,
            "server_id": {"type": "str"},
            "database": {"type": "str", "default": "postgres"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
