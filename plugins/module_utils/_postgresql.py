# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL Flexible Servers in ARM. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import base64
import json
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

API_VERSION = "2025-08-01"
SERVER_TYPE = "Microsoft.DBforPostgreSQL/flexibleServers"

_ID = re.compile(
    r"(?i)/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.DBforPostgreSQL/flexibleServers/(?P<name>[^/]+)"
)


class ServerId(t.NamedTuple):
    """The parts of a server's resource id."""

    subscription: str
    group: str
    name: str

    @property
    def path(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{SERVER_TYPE}/{self.name}"

    def sibling(self, name: str, group: str | None = None) -> ServerId:
        """Return the id of another server beside this one."""
        return ServerId(self.subscription, group or self.group, name)


def parse_id(text: str) -> ServerId:
    """Return the parts of a server's resource id.

    :raises AksPlatformError: it is not one.
    """
    match = _ID.fullmatch(text.rstrip("/"))
    if match is None:
        raise AksPlatformError(
            f"{text!r} is not the resource id of a PostgreSQL Flexible Server: it has the form "
            f"/subscriptions/S/resourceGroups/G/providers/{SERVER_TYPE}/NAME."
        )
    return ServerId(match["subscription"], match["group"], match["name"])


def token_claims(token: str) -> dict[str, t.Any]:
    """Return the claims of an access token; they are read, not verified: the server verifies them."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def administrator_of(administrators: t.Sequence[t.Mapping[str, t.Any]], claims: t.Mapping[str, t.Any]) -> str | None:
    """Return the name of the Entra administrator that the bearer of these claims is: itself, else a group."""
    groups = {str(group).lower() for group in claims.get("groups") or ()}
    own = str(claims.get("oid") or "").lower()
    by_group = None
    for item in administrators:
        properties = item.get("properties") or {}
        object_id = str(properties.get("objectId") or item.get("name") or "").lower()
        name = properties.get("principalName")
        if object_id == own:
            return name
        if object_id in groups or (by_group is None and properties.get("principalType") == "Group" and not groups):
            by_group = name
    return by_group


def login_user(params: t.Mapping[str, t.Any], arm: t.Any, credential: t.Any, scope: str) -> str:
    """Return the role to log in as: the option, else the Entra administrator that the credential is.

    :raises AksPlatformError: neither is known.
    """
    if params.get("login_user"):
        return str(params["login_user"])
    if params.get("login_password"):
        raise AksPlatformError("login_password needs login_user.")
    server_id = params.get("server_id")
    if not server_id:
        raise AksPlatformError("Name the role to log in as by login_user, or the server by server_id.")
    claims = token_claims(credential.get_token(scope).token)
    administrators = arm.list(f"{parse_id(server_id).path}/administrators", API_VERSION)
    name = administrator_of(administrators, claims)
    if name is None:
        known = ", ".join(str((item.get("properties") or {}).get("principalName")) for item in administrators) or "none"
        raise AksPlatformError(
            f"The object id {claims.get('oid')} is no Entra administrator of {parse_id(server_id).name}, "
            f"which has {known}; add it to the server's administrators, or name a role by login_user."
        )
    return str(name)
