#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_flexible_restore_info
short_description: Say what a PostgreSQL Flexible Server can be restored to
version_added: 0.1.0
description:
  - Returns the window of points in time, the backups, what blocks a restore now, and whether the server is itself a
    restore of M(aksops.platform.postgresql_flexible_restore).
options:
  server_id:
    description: Resource id of the server.
    type: str
    required: true
  receipts_endpoint:
    description:
      - Address of the blob service that keeps the receipts of drills, such as V(https://stshop.blob.core.windows.net/).
        They say how long a restore takes.
    type: str
  receipts_container:
    description: Name of their container.
    type: str
    default: receipts
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: See what can be restored
  aksops.platform.postgresql_flexible_restore_info:
    server_id: "{{ platform.postgresql.id }}"
  register: restore_info
"""

RETURN = r"""
exists:
  description: Whether the server exists.
  returned: success
  type: bool
server:
  description: Id, name, location, host name, state, version and tags of the server.
  returned: when it exists
  type: dict
window:
  description: The earliest and the latest point in time, in UTC. The earliest is V(null) before the first backup.
  returned: when it exists
  type: dict
  sample: {"earliest": "2026-11-16T02:10:44Z", "latest": "2026-11-23T10:00:00Z"}
backups:
  description:
    - The backups, the newest first. The end of each is a fast restore point (the restore module's mode V(backup)).
  returned: when it exists
  type: list
  elements: dict
  sample: [{"name": "backup_1", "completed": "2026-11-23T02:10:44Z", "kind": "Full", "source": "Automatic"}]
expected:
  description:
    - How many seconds the last ten drills of this server took, to the end of the verification. V(null) without
      O(receipts_endpoint), where it cannot be read (a warning says why), and before the first drill. Azure itself
      tells nothing, and the time grows with the size.
  returned: success
  type: dict
  sample: {"drills": 8, "least": 512.4, "most": 701.0}
retention_days:
  description: How long backups are kept.
  returned: when it exists
  type: int
geo_redundant:
  description: Whether it can be restored in the paired region.
  returned: when it exists
  type: bool
paired_region:
  description: The region that Azure pairs with the server's, V(null) where it has none.
  returned: when it exists
  type: str
blockers:
  description: What keeps it from being restored now, one sentence each.
  returned: success
  type: list
  elements: str
restore:
  description: Source, mode, point, id and phase from the tags, where the server is a restore; else V(null).
  returned: when it exists
  type: dict
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _blobs, _receipts
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_backup as backups
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    server_id = postgresql.parse_id(module.params["server_id"])
    servers = service.Servers(_arm.client(module.params))
    now = datetime.datetime.now(plans.UTC)
    server = servers.get(server_id)
    result: dict[str, t.Any] = {
        "changed": False,
        "exists": server is not None,
        "blockers": plans.blockers(server, now),
        "expected": plans.expected(drills(module, server_id)),
    }
    if server is None:
        return result
    earliest, latest = plans.window(server, now)
    properties = server.get("properties") or {}
    backup = properties.get("backup") or {}
    tags = server.get("tags") or {}
    result |= {
        "server": {
            "id": server.get("id"),
            "name": server.get("name"),
            "location": server.get("location"),
            "fqdn": properties.get("fullyQualifiedDomainName"),
            "state": properties.get("state"),
            "version": properties.get("version"),
            "tags": tags,
        },
        "window": {"earliest": plans.iso(earliest) if earliest else None, "latest": plans.iso(latest)},
        "backups": [backups.describe(item) for item in servers.backups(server_id)],
        "retention_days": backup.get("backupRetentionDays"),
        "geo_redundant": backup.get("geoRedundantBackup") == "Enabled",
        "paired_region": servers.paired_region(server_id, plans.region(server)),
        "restore": ({tag.rsplit("-", 1)[-1]: tags.get(tag) for tag in plans.TAGS} if plans.TAG_ID in tags else None),
    }
    return result


def drills(module: AnsibleModule, server_id: postgresql.ServerId) -> list[dict[str, t.Any]]:
    """Return the receipts of the server's last drills; an estimate is no reason to fail where they cannot be read."""
    params = module.params
    if not params["receipts_endpoint"]:
        return []
    container = _blobs.Container(params["receipts_endpoint"], params["receipts_container"], _auth.credential(params))
    try:
        found = _receipts.load(container, kind="drill", subject_id=server_id.path, max_age=None, limit=10)
    except AksPlatformError as error:
        module.warn(f"How long a restore takes is not known: {error}")
        return []
    return [item["receipt"] for item in found]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            "server_id": {"type": "str", "required": True},
            "receipts_endpoint": {"type": "str"},
            "receipts_container": {"type": "str", "default": "receipts"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
