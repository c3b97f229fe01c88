#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_verify
short_description: Prove what a PostgreSQL server holds
version_added: 0.1.0
description:
  - Makes named checks of a server and of each of its databases, several databases at a time, and returns pass, warn or
    fail for each with its evidence. It serves restored servers, drills and promotions alike.
  - Checks are C(state) and C(parameters) (through Azure), C(connection), C(transactions), C(databases), C(roles),
    C(role_attributes), C(memberships), C(role_settings), C(database_access) (owner, grants, encoding and collation of
    each database), and in each database C(readable), C(collation), C(validity) of indexes and constraints,
    C(sequences), C(tables), C(columns), C(constraints), C(indexes), C(definitions) (views, functions, triggers, types,
    policies, defaults and the like), C(extensions), C(grants) (with owners), C(default_privileges), C(large_objects),
    C(row_counts), C(content) (amcheck, else the server reads every row to its end), C(data_time) and
    C(assertion:NAME).
  - Sessions are read-only with time-outs, except for one temporary table that proves that the server takes writes.
  - What differs from a manifest fails. What differs from the live source warns, because the source has gone on.
options:
  server_fqdn:
    description: Host name of the server.
    type: str
    required: true
  server_id:
    description: Resource id of the server. With it its state in Azure is checked, and the role to log in as is found.
    type: str
  source_id:
    description: Resource id of the server that it was restored from. With it server parameters are compared.
    type: str
  source_fqdn:
    description: Host name of a live server to compare with. The same role and credential are used there.
    type: str
  manifest:
    description:
      - What an earlier run of this module returned as RV(manifest).
      - Tables, columns, constraints, indexes, other definitions, extensions, roles, grants and exact row counts must be
        as in it. Facts that a manifest of an older version lacks are not compared.
    type: dict
    default: {}
  databases:
    description: Databases to check, which must exist. Without it those of the manifest, else all.
    type: list
    elements: str
    default: []
  roles:
    description: Roles that must exist.
    type: list
    elements: str
    default: []
  target:
    description: The point in time that the server was restored to, with its time zone. Used by O(data_time).
    type: str
  data_time:
    description:
      - Where the newest moment in the data is found. It must not be after O(target), nor too long before it.
      - With a table and its column, and O(source_fqdn), rows up to the target are also compared with the live source.
    type: list
    elements: dict
    default: []
    suboptions:
      database:
        description: Where the query runs.
        type: str
        required: true
      query:
        description: A query that returns one moment, such as C(SELECT max(at) FROM ledger).
        type: str
      table:
        description: Instead of a query, a table to which every commit adds rows, such as V(public.ledger).
        type: str
      column:
        description: The column of that table that holds the moment.
        type: str
      tolerance:
        description: Seconds before the target. Without it O(tolerance).
        type: int
  tolerance:
    description: Seconds that the newest data may be older than O(target).
    type: int
    default: 300
  assertions:
    description: Queries whose first value must be as said; without O(assertions[].expect), O(assertions[].min) and
      O(assertions[].max) it must be true.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Names the check.
        type: str
        required: true
      database:
        description: Where the query runs.
        type: str
        required: true
      query:
        description: A query.
        type: str
        required: true
      expect:
        description: The value, as text.
        type: str
      min:
        description: The least value.
        type: float
      max:
        description: The greatest value.
        type: float
  amcheck:
    description: Whether indexes and tables are checked by the extension amcheck where a database has it.
    type: bool
    default: true
  read_everything:
    description: Whether every table is read to its end where amcheck is not to be had.
    type: bool
    default: true
  statement_timeout:
    description: Seconds for one statement.
    type: int
    default: 900
  workers:
    description: Databases that are checked at a time. Without it as many as this machine has cores.
    type: int
  fail_on:
    description: The task fails where a check ends so, or worse; V(never) leaves that to the caller.
    type: str
    choices: [warn, fail, never]
    default: fail
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.postgresql_login
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Prove that the restored server is what it should be
  aksops.platform.postgresql_verify:
    server_id: "{{ restored.server.id }}"
    server_fqdn: "{{ restored.server.fqdn }}"
    source_id: "{{ platform.postgresql.id }}"
    target: "{{ restored.point_in_time }}"
    databases: [shop]
    data_time:
      - database: shop
        query: SELECT max(at) FROM orders
    assertions:
      - name: no order without a customer
        database: shop
        query: SELECT count(*) FROM orders WHERE customer IS NULL
        expect: "0"
"""

RETURN = r"""
status:
  description: The worst status of all checks.
  returned: success or failure by a check
  type: str
  sample: pass
checks:
  description: Every check.
  returned: success or failure by a check
  type: list
  elements: dict
  sample:
    - {check: sequences, database: shop, status: pass, evidence: 4 sequences are at or beyond, seconds: 0.01}
manifest:
  description: What the databases hold, to compare another server with. Names, definitions and numbers; no data.
  returned: success or failure by a check
  type: dict
newest:
  description: The newest moment that O(data_time) found, in UTC.
  returned: success or failure by a check
  type: str
gap_seconds:
  description: Seconds from that moment to O(target), the data that are lost at most. V(null) where one is not known.
  returned: success or failure by a check
  type: float
login_user:
  description: The role that the module logged in as.
  returned: success or failure by a check
  type: str
seconds:
  description: How long the checks took.
  returned: success or failure by a check
  type: float
"""

import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore as restore
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as restore_plans
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from

VERIFY_ARG_SPEC: dict[str, t.Any] = {
    "server_id": {"type": "str"},
    "source_id": {"type": "str"},
    "source_fqdn": {"type": "str"},
    "manifest": {"type": "dict", "default": {}},
    "databases": {"type": "list", "elements": "str", "default": []},
    "roles": {"type": "list", "elements": "str", "default": []},
    "target": {"type": "str"},
    "data_time": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "database": {"type": "str", "required": True},
            "query": {"type": "str"},
            "table": {"type": "str"},
            "column": {"type": "str"},
            "tolerance": {"type": "int"},
        },
        "required_one_of": [["query", "table"]],
        "mutually_exclusive": [["query", "table"]],
        "required_together": [["table", "column"]],
    },
    "tolerance": {"type": "int", "default": 300},
    "assertions": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "database": {"type": "str", "required": True},
            "query": {"type": "str", "required": True},
            "expect": {"type": "str"},
            "min": {"type": "float"},
            "max": {"type": "float"},
        },
    },
    "amcheck": {"type": "bool", "default": True},
    "read_everything": {"type": "bool", "default": True},
    "statement_timeout": {"type": "int", "default": 900},
    "workers": {"type": "int"},
    "fail_on": {"type": "str", "choices": ["warn", "fail", "never"], "default": "fail"},
}


def azure_checks(params: t.Mapping[str, t.Any], arm: t.Any) -> list[plans.Result]:
    """Return the checks that ask Azure: the server's state, and parameters compared with the source's."""
    results: list[plans.Result] = []
    if not params["server_id"]:
        return results
    servers = restore.Servers(arm)
    server_id = postgresql.parse_id(params["server_id"])
    server = servers.get(server_id)
    if server is None:
        raise AksPlatformError(f"The server {server_id.name} does not exist in {server_id.group}.")
    state = (server.get("properties") or {}).get("state")
    results.append(plans.Result("state", plans.PASS if state == "Ready" else plans.FAIL, f"Azure says {state}"))
    if params["source_id"]:
        source_id = postgresql.parse_id(params["source_id"])
        source = servers.get(source_id)
        if source is None:
            results.append(plans.Result("parameters", plans.WARN, f"the source {source_id.name} does not exist"))
        else:
            only = restore_plans.Reconcile.only("parameters")
            wanted = servers.snapshot(source_id, source, only)
            there = servers.snapshot(server_id, server, only)
            result = plans.parameters(wanted.parameters, there.parameters, f"the source {source_id.name}")
            if there.pending_restart and result.status == plans.PASS:
                result = plans.Result("parameters", plans.WARN, "a server parameter waits for a restart")
            results.append(result)
    return results


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    if params["data_time"] and not params["target"]:
        raise AksPlatformError("data_time needs target, the moment that the server was restored to.")
    started = time.monotonic()
    credential = _auth.credential(params)
    arm = _arm.client(params)
    user = postgresql.login_user(params, arm, credential, sql.SCOPES[params["cloud"]])
    login = sql.from_params(params, user, credential)

    def connect(database: str, options: dict[str, str]) -> sql.Session:
        return sql.Session(login, database, options)

    def connect_source(database: str, options: dict[str, str]) -> sql.Session:
        return sql.Session(login._replace(host=params["source_fqdn"], connect_timeout=10), database, options)

    options = service.Options(
        databases=tuple(params["databases"]),
        statement_timeout=params["statement_timeout"],
        amcheck=params["amcheck"],
        read_everything=params["read_everything"],
        target=restore_plans.parse_point(params["target"]) if params["target"] else None,
        tolerance=float(params["tolerance"]),
        data_time=tuple(params["data_time"]),
        assertions=tuple(params["assertions"]),
        roles=tuple(params["roles"]),
        workers=params["workers"] or os.cpu_count() or 2,
    )
    verifier = service.Verifier(
        connect,
        options,
        source=connect_source if params["source_fqdn"] else None,
        manifest=params["manifest"],
    )
    results = azure_checks(params, arm) + verifier.run()
    return {
        "changed": False,
        "status": plans.worst(results),
        "checks": [result.as_dict() for result in results],
        "manifest": verifier.manifest,
        "newest": restore_plans.iso(verifier.newest) if verifier.newest else None,
        "gap_seconds": (
            round((options.target - verifier.newest).total_seconds(), 3) if options.target and verifier.newest else None
        ),
        "login_user": user,
        "seconds": round(time.monotonic() - started, 2),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_auth.AUTH_ARG_SPEC, **sql.LOGIN_ARG_SPEC, **VERIFY_ARG_SPEC},
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except AksPlatformError as error:
        fail_from(module, error)
    bad = {"warn": ("warn", "fail"), "fail": ("fail",), "never": ()}[module.params["fail_on"]]
    refused = [item for item in result["checks"] if item["status"] in bad]
    if refused:
        words = "; ".join(f"{item['database'] or 'server'}: {item['check']}: {item['evidence']}" for item in refused)
        module.fail_json(msg=f"{len(refused)} of {len(result['checks'])} checks did not pass: {words}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
