#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_flexible_restore
short_description: Restore a PostgreSQL Flexible Server into a new one, and bring over what Azure does not
version_added: 0.1.0
description:
  - Refuses what cannot be restored before any write; one sentence says why and what is allowed.
  - Makes the new server, waits for it, and brings over what a restore leaves behind - server parameters (with a
    restart where one waits for it), firewall rules, private endpoints, Entra administrators, maintenance window,
    diagnostic settings, high availability, locks and the administrator's password.
  - A restored server does not tell that it was restored. The module writes source, point, id and phase into tags.
    Run it again after an interruption and it goes on; another restore under the same name is refused.
  - It never changes the source. It deletes nothing but, with O(state=absent), a server that it has restored.
options:
  source_id:
    description: Resource id of the server to restore.
    type: str
    required: true
  name:
    description: Name of the new server.
    type: str
    required: true
  state:
    description:
      - V(absent) deletes a server that this module has restored from O(source_id), and the private endpoints that it
        made for it. Any other server is refused.
    type: str
    choices: [present, absent]
    default: present
  resource_group:
    description: Resource group of the new server. Without it the source's.
    type: str
  mode:
    description:
      - V(point_in_time) restores to O(point_in_time), V(latest) to the last commit that Azure holds.
      - V(backup) restores to the end of O(backup), which is faster because no log is replayed.
      - V(geo) restores the last copy in the paired region.
      - V(dropped) restores a server that was deleted within five days, as the subscription's activity log tells,
        which the credential must be able to read. Where a server of that name exists again, its settings are brought
        over; nothing else is left to take them from.
    type: str
    choices: [point_in_time, latest, backup, geo, dropped]
    default: point_in_time
  point_in_time:
    description: The moment, with its time zone, such as V(2026-11-23T03:15:00Z).
    type: str
  backup:
    description: Name of a backup, as M(aksops.platform.postgresql_flexible_restore_info) lists them.
    type: str
  location:
    description: Region of the new server, for V(geo) and V(dropped).
    type: str
  zone:
    description: Availability zone of the new server.
    type: str
  sku:
    description: Size of the new server. Without it the source's.
    type: dict
    suboptions:
      name:
        description: Name of the size, such as V(Standard_D2ds_v5).
        type: str
        required: true
      tier:
        description: Its tier.
        type: str
        choices: [Burstable, GeneralPurpose, MemoryOptimized]
        required: true
  delegated_subnet_id:
    description: Another subnet, for a source that is in a delegated one.
    type: str
  private_dns_zone_id:
    description: The private DNS zone that belongs to O(delegated_subnet_id).
    type: str
  tags:
    description: Tags to add to the source's.
    type: dict
    default: {}
  reconcile:
    description: What is brought over from the source.
    type: dict
    default: {}
    suboptions:
      parameters:
        description: Server parameters that a user set.
        type: bool
        default: true
      firewall_rules:
        description: Firewall rules.
        type: bool
        default: true
      private_endpoints:
        description: A private endpoint in each subnet that has one to the source, with its DNS zones.
        type: bool
        default: true
      administrators:
        description: Entra administrators.
        type: bool
        default: true
      maintenance_window:
        description: The maintenance window.
        type: bool
        default: true
      diagnostics:
        description: Diagnostic settings.
        type: bool
        default: true
      high_availability:
        description: High availability, which costs a second server. A drill does without.
        type: bool
        default: true
      settings:
        description: Growth of the storage and the days that backups are kept.
        type: bool
        default: true
      locks:
        description:
          - Locks on the source itself. Each becomes V(CanNotDelete), since V(ReadOnly) would stop the work on the new
            server. O(state=absent) takes them away again.
        type: bool
        default: true
  administrator_password:
    description:
      - A password to give the password administrator.
      - A restore brings back the one that was valid at the moment it goes to.
    type: str
  administrator_password_secret:
    description:
      - Address of the Key Vault secret that holds that password, such as
        V(https://kv-shop.vault.azure.net/secrets/postgresql-admin-password). The module reads it when it sets it, so
        the value passes no variable.
    type: str
  wait_timeout:
    description: Seconds that the creation of the server may take.
    type: int
    default: 14400
  wait_sleep:
    description: Seconds between two looks at the server's state.
    type: int
    default: 10
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Makes every check that a run makes and returns the actions that it would carry out.
  diff_mode:
    support: full
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.postgresql_flexible_restore_info
  - module: aksops.platform.postgresql_verify
"""

EXAMPLES = r"""
- name: Restore the shop's database as it was before the bad deployment
  aksops.platform.postgresql_flexible_restore:
    source_id: "{{ platform.postgresql.id }}"
    name: psql-shop-r1
    point_in_time: 2026-11-23T03:15:00+01:00

- name: Delete it after a drill
  aksops.platform.postgresql_flexible_restore:
    source_id: "{{ platform.postgresql.id }}"
    name: psql-shop-r1
    state: absent
"""

RETURN = r"""
server:
  description: The new server as Azure shows it, without what it never shows (passwords).
  returned: when it exists
  type: dict
  contains:
    id:
      description: Resource id.
      type: str
      returned: always
    name:
      description: Name.
      type: str
      returned: always
    fqdn:
      description: Host name.
      type: str
      returned: always
    state:
      description: Its state.
      type: str
      returned: always
point_in_time:
  description:
    - The moment that Azure was asked for, in UTC; of a dropped server that of its deletion.
    - V(null) for a geo-restore, because Azure does not tell how old its last copy is.
  returned: success
  type: str
restore_id:
  description: Names this restore; also in the server's tags.
  returned: success
  type: str
actions:
  description: What was, or would be, done, in order.
  returned: success
  type: list
  elements: str
phase:
  description: How far the restore is - C(absent), C(restoring), C(configuring) or C(configured).
  returned: success
  type: str
seconds:
  description: How long the parts took in this run.
  returned: success
  type: dict
  sample: {"provision": 421.3, "configure": 35.0}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _keyvault_secret
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def switch(default: bool) -> dict[str, t.Any]:
    """Return the spec of one switch of C(reconcile)."""
    return {"type": "bool", "default": default}


RESTORE_ARG_SPEC: dict[str, t.Any] = {
    "source_id": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "resource_group": {"type": "str"},
    "mode": {"type": "str", "choices": list(plans.MODES), "default": "point_in_time"},
    "point_in_time": {"type": "str"},
    "backup": {"type": "str"},
    "location": {"type": "str"},
    "zone": {"type": "str"},
    "sku": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "tier": {"type": "str", "choices": ["Burstable", "GeneralPurpose", "MemoryOptimized"], "required": True},
        },
    },
    "delegated_subnet_id": {"type": "str"},
    "private_dns_zone_id": {"type": "str"},
    "tags": {"type": "dict", "default": {}},
    "reconcile": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            "parameters": switch(True),
            "firewall_rules": switch(True),
            "private_endpoints": switch(True),
            "administrators": switch(True),
            "maintenance_window": switch(True),
            "diagnostics": switch(True),
            "high_availability": switch(True),
            "settings": switch(True),
            "locks": switch(True),
        },
    },
    "administrator_password": {"type": "str", "no_log": True},
    "administrator_password_secret": {"type": "str", "no_log": False},
    "wait_timeout": {"type": "int", "default": 14400},
    "wait_sleep": {"type": "int", "default": 10},
}


def request_of(params: t.Mapping[str, t.Any]) -> plans.Request:
    """Return the request that the options describe."""
    source = postgresql.parse_id(params["source_id"])
    return plans.Request(
        source=source,
        target=source.sibling(params["name"], params["resource_group"]),
        mode=params["mode"],
        point=plans.parse_point(params["point_in_time"]) if params["point_in_time"] else None,
        backup=params["backup"],
        location=params["location"],
        zone=params["zone"],
        sku=params["sku"],
        delegated_subnet_id=params["delegated_subnet_id"],
        private_dns_zone_id=params["private_dns_zone_id"],
        tags={str(key): str(value) for key, value in params["tags"].items()},
    )


def password_source(params: t.Mapping[str, t.Any]) -> t.Callable[[], str] | None:
    """Return what gives the administrator's new password, None where it is left as it is."""
    if params["administrator_password_secret"]:
        return _keyvault_secret.reader(params, params["administrator_password_secret"])
    given = params["administrator_password"]
    return (lambda: str(given)) if given else None


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    request = request_of(params)
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    # A server that is still being restored cannot be deleted before that has ended.
    patience = {"busy_timeout": params["wait_timeout"]} if params["state"] == "absent" else {}
    restore = service.Restore(
        service.Servers(arm, progress=module.debug, **patience),
        request,
        plans.Reconcile(**params["reconcile"]),
        timeout=params["wait_timeout"],
        interval=params["wait_sleep"],
        administrator_password=password_source(params),
    )
    carry_out = restore.run if params["state"] == "present" else restore.discard
    found = carry_out(check_mode=module.check_mode)
    result: dict[str, t.Any] = {
        "changed": bool(restore.actions),
        "actions": restore.actions,
        "phase": found["phase"],
        "point_in_time": plans.iso(found["point"]) if found["point"] and request.mode != "geo" else None,
        "restore_id": request.identity,
        "seconds": restore.seconds,
    }
    if found["server"]:
        result["server"] = describe(found["server"])
        result["restore_id"] = result["server"]["tags"].get(plans.TAG_ID) or request.identity
    if module._diff:
        result["diff"] = {"before": "", "after": "".join(f"{action}\n" for action in restore.actions)}
    return result


def describe(server: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what of a server a caller needs."""
    properties = server.get("properties") or {}
    return {
        "id": server.get("id"),
        "name": server.get("name"),
        "location": server.get("location"),
        "fqdn": properties.get("fullyQualifiedDomainName"),
        "state": properties.get("state"),
        "version": properties.get("version"),
        "tags": server.get("tags") or {},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_auth.AUTH_ARG_SPEC, **RESTORE_ARG_SPEC},
        supports_check_mode=True,
        required_if=[("mode", "backup", ["backup"]), ("mode", "geo", ["location"])],
        mutually_exclusive=[["administrator_password", "administrator_password_secret"]],
        required_together=[["delegated_subnet_id", "private_dns_zone_id"]],
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
