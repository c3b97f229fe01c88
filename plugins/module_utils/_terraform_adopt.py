# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state follows the PostgreSQL server in use. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

After a promotion the state still holds the old server. Its name decides its identity, so Terraform would replace it,
which means delete it. Instead the old one is forgotten, and the new one with its children is taken in by import blocks.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION

MODULE = "module.postgresql"
SERVER = "azurerm_postgresql_flexible_server"

#: type in the state -> API version that tells whether such a thing exists
_VERSIONS = {
    SERVER: API_VERSION,
    f"{SERVER}_active_directory_administrator": API_VERSION,
    f"{SERVER}_configuration": API_VERSION,
    f"{SERVER}_database": API_VERSION,
    "azurerm_private_endpoint": "2025-01-01",
    "azurerm_monitor_diagnostic_setting": "2021-05-01-preview",
}


def held_server(resources: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Return the name of the server that the state holds, '' where it holds none."""
    for resource in resources:
        if resource.get("module") == MODULE and resource.get("type") == SERVER and resource.get("mode") == "managed":
            for instance in resource.get("instances") or []:
                return str((instance.get("attributes") or {}).get("name") or "")
    return ""


def successors(resources: t.Sequence[t.Mapping[str, t.Any]], old: str, new: str) -> list[tuple[str, str, str]]:
    """Return address, type and id of what stands in the place of each thing that belongs to the old server."""
    name = re.compile(rf"(?i)(/(?:flexibleServers|privateEndpoints)/(?:pe-)?){re.escape(old)}(?=[/|]|$)")
    found = []
    for resource in resources:
        module = str(resource.get("module") or "")
        if resource.get("mode") != "managed" or not (module == MODULE or module.startswith(f"{MODULE}.")):
            continue
        for instance in resource.get("instances") or []:
            key = instance.get("index_key")
            index = "" if key is None else f"[{json.dumps(key)}]"
            address = f"{module}.{resource['type']}.{resource['name']}{index}"
            identifier = str((instance.get("attributes") or {}).get("id") or "")
            if identifier and resource["type"] in _VERSIONS:
                found.append((address, str(resource["type"]), name.sub(rf"\g<1>{new}", identifier)))
    return found


def existing(arm: t.Any, wanted: t.Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Return address -> id of those that Azure has; Terraform makes the others."""
    found = {}
    for address, kind, identifier in wanted:
        path = identifier
        if kind == "azurerm_monitor_diagnostic_setting":
            target, _, name = identifier.partition("|")
            path = f"{target}/providers/Microsoft.Insights/diagnosticSettings/{name}"
        if arm.get(path, _VERSIONS[kind]) is not None:
            found[address] = identifier
    return found
