#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_extract
short_description: Recover tables of a restored PostgreSQL server into a side schema of the live database
version_added: 0.2.0
description:
  - Copies chosen tables from a restored server into a new schema of the live database, where people look at the rows
    and put back those that they want by SQL. No existing object is changed, and no existing schema is written to.
  - Columns, defaults, primary keys, unique, exclusion and check constraints and indexes come along. What would tie a
    copy to the live tables does not - foreign keys, sequences, generation expressions, triggers, policies, grants.
  - Rows stream from server to server through this machine and are never kept here. Number and checksum of the rows are
    compared in the databases afterwards.
  - It is one transaction, so an interrupted run leaves nothing and is started again. A run that finished is recognised
    by the schema's comment, and running it again changes nothing.
options:
  server_fqdn:
    description: Host name of the live server.
    type: str
    required: true
  server_id:
    description: Resource id of the live server, to find the Entra administrator that the credential is.
    type: str
  source_fqdn:
    description: Host name of the restored server.
    type: str
    required: true
  source_id:
    description: Resource id of the restored server; recorded in the side schema's comment. Without it the host name is.
    type: str
  source_login_password:
    description: Password of O(login_user) on the restored server. Without it O(login_password), else the Entra token.
    type: str
  database:
    description: Name of the database, the same on both servers.
    type: str
    required: true
  tables:
    description: The tables, as V(SCHEMA.NAME), or V(NAME) for one in the schema C(public).
    type: list
    elements: str
    required: true
  schema:
    description: Name of the side schema. It must not exist yet.
    type: str
    required: true
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.postgresql_login
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
"""

EXAMPLES = r"""
- name: Get the orders of before the bad deployment back
  aksops.platform.postgresql_extract:
    server_id: "{{ platform.postgresql.id }}"
    server_fqdn: "{{ platform.postgresql.fqdn }}"
    source_fqdn: psql-shop-r1.postgres.database.azure.com
    database: shop
    tables:
      - orders
      - billing.invoices
    schema: recovered_20261123t0315
"""

RETURN = r"""
schema:
  description: The side schema.
  returned: success
  type: str
tables:
  description: What was copied, or would be (then with the table's size instead of what the copy holds).
  returned: success
  type: list
  elements: dict
  contains:
    table:
      description: The table.
      type: str
    copy:
      description: Its copy.
      type: str
    rows:
      description: Number of rows, the same in both.
      type: int
    checksum:
      description: Checksum of the rows in any order, the same in both.
      type: str
    bytes:
      description: Bytes that went over the wire.
      type: int
    left_out:
      description: What of the table the copy does not have.
      type: list
      elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_extract as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    if params["source_fqdn"].lower() == params["server_fqdn"].lower():
        raise AksPlatformError("source_fqdn and server_fqdn are the same server: name the restored one by source_fqdn.")
    credential = _auth.credential(params)
    arm = _arm.client(params)
    user = postgresql.login_user(params, arm, credential, sql.SCOPES[params["cloud"]])
    login = sql.from_params(params, user, credential)
    password = params["source_login_password"] or params["login_password"]
    restored = sql.from_params(
        {**params, "server_fqdn": params["source_fqdn"], "login_password": password}, user, credential
    )
    with (
        sql.Session(restored, params["database"], service.SETTINGS) as source,
        sql.Session(login, params["database"], service.SETTINGS) as live,
    ):
        return service.extract(
            source,
            live,
            source_name=params["source_id"] or params["source_fqdn"],
            schema=params["schema"],
            tables=params["tables"],
            check_mode=module.check_mode,
            progress=module.debug,
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **sql.LOGIN_ARG_SPEC,
            "server_id": {"type": "str"},
            "source_fqdn": {"type": "str", "required": True},
            "source_id": {"type": "str"},
            "source_login_password": {"type": "str", "no_log": True},
            "database": {"type": "str", "required": True},
            "tables": {"type": "list", "elements": "str", "required": True},
            "schema": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
