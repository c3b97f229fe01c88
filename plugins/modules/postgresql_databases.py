#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_databases
short_description: Make the extensions, roles and rights of a PostgreSQL Flexible Server's databases
version_added: 0.1.0
description:
  - Azure Resource Manager makes databases; this module makes what people and applications need in them.
  - Every database gets three roles that cannot log in. The owner holds schemas and tables; the writer and the reader
    have rights on them, on those that are there and on those that will be. Whoever logs in is a member of one of the
    three.
  - A role that logs in is mapped to a Microsoft Entra object id (a workload identity, a person or a group), or has a
    password.
  - It reads first, refuses what cannot be carried out before any write, and then runs only the statements that are
    missing. A second run does nothing. Run it again after a restore.
options:
  server_fqdn:
    description: Host name of the server. It is verified against the server's certificate.
    type: str
    required: true
  server_id:
    description:
      - Resource id of the server. With it the Entra administrator that the credential is need not be named by
        O(login_user).
    type: str
  databases:
    description: The databases, which must exist.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: Role that owns the database, its schemas and its tables. The default is the name and V(_owner).
        type: str
      writer:
        description: Role that may read and write. The default is the name and V(_writer).
        type: str
      reader:
        description: Role that may read. The default is the name and V(_reader).
        type: str
      schemas:
        description: Schemas that belong to the owner and that writer and reader may use.
        type: list
        elements: str
        default: [public]
      extensions:
        description: Extensions. They must be in the server parameter C(azure.extensions).
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the extension.
            type: str
            required: true
          schema:
            description: Schema for its objects. Without it PostgreSQL chooses.
            type: str
      roles:
        description: Who logs in.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the role, which clients give as the user.
            type: str
            required: true
          access:
            description:
              - What it may do. A role with V(owner) acts as the owner role in this database, so that what it makes
                belongs to that role.
            type: str
            choices: [reader, writer, owner]
            default: writer
          object_id:
            description: Object id in Microsoft Entra; of a managed identity that is its principal id.
            type: str
          type:
            description: Kind of the Entra principal.
            type: str
            choices: [service, user, group]
            default: service
          password:
            description:
              - A password, for a server that has password authentication.
              - Instead of O(databases[].roles[].object_id).
            type: str
          password_secret:
            description:
              - Address of the Key Vault secret that holds the password instead, such as
                V(https://kv-shop.vault.azure.net/secrets/reports-password). The module reads it itself, so that the
                value passes no variable; a new version of the secret is the role's new password at the next run.
            type: str
      revoke_public:
        description: Whether only roles that were given the right may connect.
        type: bool
        default: true
  state:
    description:
      - V(absent) drops the roles and gives what they own to C(azure_pg_admin). Databases, tables and extensions stay.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.postgresql_login
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Reads only, and returns the statements' descriptions that a run would carry out.
  diff_mode:
    support: full
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Let a workload identity write and a team read
  aksops.platform.postgresql_databases:
    server_fqdn: psql-shop.postgres.database.azure.com
    server_id: "{{ platform.postgresql.id }}"
    databases:
      - name: shop
        extensions:
          - name: pg_trgm
        roles:
          - name: id-shop
            object_id: "{{ platform.identities.shop.principal_id }}"
          - name: shop-readers
            object_id: 3b1ac2a6-0b1f-4d1c-9f33-e9e1c52bd6a7
            type: group
            access: reader
"""

RETURN = r"""
changes:
  description: One line for each statement that was, or would be, carried out.
  returned: success
  type: list
  elements: str
  sample: ["postgres: create role shop_owner", "shop: create extension pg_trgm"]
login_user:
  description: The role that the module logged in as.
  returned: success
  type: str
roles:
  description: For each database the roles of its three kinds of access, and who is a member of them.
  returned: when O(state=present)
  type: dict
  sample:
    shop:
      owner: shop_owner
      writer: shop_writer
      reader: shop_reader
      members:
        id-shop: writer
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _keyvault_secret, _postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_databases as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_databases_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from

ROLE_ARG_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "access": {"type": "str", "choices": ["reader", "writer", "owner"], "default": "writer"},
    "object_id": {"type": "str"},
    "type": {"type": "str", "choices": ["service", "user", "group"], "default": "service"},
    "password": {"type": "str", "no_log": True},
    "password_secret": {"type": "str", "no_log": False},
}

DATABASES_ARG_SPEC: dict[str, t.Any] = {
    "server_id": {"type": "str"},
    "databases": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "writer": {"type": "str"},
            "reader": {"type": "str"},
            "schemas": {"type": "list", "elements": "str", "default": ["public"]},
            "extensions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "schema": {"type": "str"}},
            },
            "roles": {"type": "list", "elements": "dict", "default": [], "options": ROLE_ARG_SPEC},
            "revoke_public": {"type": "bool", "default": True},
        },
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def with_passwords(params: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the databases with the passwords that Key Vault holds; where roles are dropped, none is needed."""
    if params["state"] == "absent":
        # Any text will do for a role that is only named.
        return _keyvault_secret.resolve(params["databases"], lambda _address: "not read")
    return _keyvault_secret.resolve(params["databases"], lambda address: _keyvault_secret.reader(params, address)())


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    wishes = plans.parse(with_passwords(params))
    credential = _auth.credential(params)
    arm = _arm.client(params)
    scope = sql.SCOPES[params["cloud"]]
    user = _postgresql.login_user(params, arm, credential, scope)
    login = sql.from_params(params, user, credential)

    def try_login(role: str, password: str, database: str) -> bool:
        try:
            with sql.Session(login._replace(user=role, password=lambda: password, connect_timeout=0), database):
                return True
        except sql.SqlError:
            return False

    databases = service.Databases(lambda database: sql.Session(login, database), try_login)
    state = databases.read(wishes)
    if params["state"] == "present":
        plans.check(wishes, state)
        plan = plans.present(wishes, state)
    else:
        plan = plans.absent(wishes, state)
    if not module.check_mode:
        databases.apply(plan)
    for warning in plan.warnings:
        module.warn(warning)
    changes = [str(step) for step in plan.steps]
    result: dict[str, t.Any] = {"changed": bool(changes), "changes": changes, "login_user": user}
    if params["state"] == "present":
        result["roles"] = {
            wish.name: {
                "owner": wish.owner,
                "writer": wish.writer,
                "reader": wish.reader,
                "members": {person.name: person.access for person in wish.people},
            }
            for wish in wishes
        }
    if module._diff:
        result["diff"] = {"before": "", "after": "".join(f"{change}\n" for change in changes)}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_auth.AUTH_ARG_SPEC, **sql.LOGIN_ARG_SPEC, **DATABASES_ARG_SPEC},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
