# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL server a platform uses: a tag of its resource group. FOR INTERNAL COLLECTION USE ONLY.

The inventory cannot say it: a promotion at night must hold for every clone and every job from then on.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, SERVER_TYPE

GROUPS_API = "2025-04-01"
TAG_ACTIVE = "aksops-postgresql-active"
TAG_PREVIOUS = "aksops-postgresql-previous"
TAG_CHANGE = "aksops-postgresql-change"


def group_tags(arm: t.Any, resource_group_id: str) -> dict[str, str]:
    """Return the tags of a resource group; {} where there is none."""
    found = arm.get(resource_group_id, GROUPS_API)
    return dict((found or {}).get("tags") or {})


def active_server(arm: t.Any, resource_group_id: str) -> str:
    """Return the name of the server in use, '' where no promotion has ever named one."""
    return group_tags(arm, resource_group_id).get(TAG_ACTIVE, "")


def corrected(platform: dict[str, t.Any], arm: t.Any) -> dict[str, t.Any]:
    """Return Terraform's facts with the PostgreSQL server that is in use.

    They differ only between a promotion and the end of its adoption into the state.

    :raises AksPlatformError: the tag names a server that does not exist.
    """
    known = platform.get("postgresql") or {}
    group = (platform.get("resource_group") or {}).get("id")
    if not known or not group:
        return platform
    name = active_server(arm, group)
    if not name or name == known.get("name"):
        return platform
    server_id = f"{group}/providers/{SERVER_TYPE}/{name}"
    server = arm.get(server_id, API_VERSION)
    if server is None:
        raise AksPlatformError(
            f"The tag {TAG_ACTIVE} of {group.rsplit('/', 1)[-1]} names {name}, and there is no such server: promote "
            "one that exists, or correct the tag."
        )
    fqdn = server["properties"]["fullyQualifiedDomainName"]
    return {**platform, "postgresql": {**known, "id": server_id, "name": name, "fqdn": fqdn}}
