# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing wanted ARM resources with those that are there. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

A wanted body is a part of the resource: what it does not mention is neither compared nor changed.
"""

from __future__ import annotations

import copy
import re
import typing as t
import uuid

#: Stable GA versions, by resource type in lower case. azurerm 5.2 uses the same where it manages the type.
API_VERSIONS: dict[str, str] = {
    "microsoft.alertsmanagement/prometheusrulegroups": "2023-03-01",
    "microsoft.authorization/locks": "2020-05-01",
    "microsoft.authorization/policyassignments": "2022-06-01",
    "microsoft.authorization/policyexemptions": "2022-07-01-preview",
    "microsoft.authorization/roleassignments": "2022-04-01",
    "microsoft.authorization/roledefinitions": "2022-04-01",
    "microsoft.containerservice/managedclusters": "2026-04-01",
    "microsoft.insights/actiongroups": "2023-01-01",
    "microsoft.insights/components": "2020-02-02",
    "microsoft.insights/datacollectionendpoints": "2023-03-11",
    "microsoft.insights/datacollectionruleassociations": "2023-03-11",
    "microsoft.insights/datacollectionrules": "2023-03-11",
    "microsoft.insights/metricalerts": "2018-03-01",
    "microsoft.insights/scheduledqueryrules": "2023-12-01",
    "microsoft.insights/workbooks": "2022-04-01",
    "microsoft.managedidentity/userassignedidentities": "2024-11-30",
    "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials": "2024-11-30",
    "microsoft.monitor/accounts": "2023-04-03",
    "microsoft.network/applicationgateways": "2025-01-01",
    "microsoft.network/dnszones": "2018-05-01",
    "microsoft.network/dnszones/a": "2018-05-01",
    "microsoft.network/networksecuritygroups": "2025-01-01",
    "microsoft.network/virtualnetworks/subnets": "2025-01-01",
    "microsoft.operationalinsights/workspaces": "2023-09-01",
    "microsoft.resources/resourcegroups": "2024-03-01",
}

#: Built-in roles by name in lower case; any other name is looked up.
ROLES: dict[str, str] = {
    "contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "key vault certificate user": "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
    "key vault crypto user": "12338af0-0e69-4776-bea7-57ae8d297424",
    "key vault secrets user": "4633458b-17de-408a-b874-0445c86b69e6",
    "managed identity operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "monitoring data reader": "b0d8363b-8ddd-447d-831f-62ca05bff136",
    "monitoring metrics publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "network contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
    "reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
}

#: What a GET carries that a PUT need not, because only the service writes it.
SERVICE_FIELDS = ("id", "name", "type", "systemData", "etag", "eTag", "managedBy")
SERVICE_PROPERTIES = ("provisioningState", "createdTime", "lastModifiedTime", "metadata.createdBy", "immutableId")

GUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.0+)?(?:Z|\+00:00)")


def resource_type(resource_id: str) -> str:
    """Return the type that a resource id names, such as Microsoft.Network/virtualNetworks/subnets."""
    head, found, tail = resource_id.strip("/").rpartition("providers/")
    if not found:
        parts = head.split("/") if head else tail.split("/")
        return "Microsoft.Resources/resourceGroups" if len(parts) == 4 else "Microsoft.Resources/subscriptions"
    parts = tail.split("/")
    return "/".join([parts[0], *parts[1::2]])


def api_version(resource_id: str, given: str | None = None) -> str | None:
    """Return the version to speak for a resource: the given one, else ours, None where we know none."""
    return given or API_VERSIONS.get(resource_type(resource_id).lower())


def differences(wanted: t.Any, current: t.Any, ignore: t.Iterable[str] = (), at: str = "") -> list[str]:
    """Return the dotted paths at which C(current) is not as C(wanted) says; what is not wanted is not looked at."""
    ignored = {path.lower() for path in ignore}
    if at.lower() in ignored:
        return []
    if isinstance(wanted, dict):
        if not isinstance(current, dict):
            return _leaf(wanted, current, at)
        paths = []
        for key, value in wanted.items():
            paths += differences(value, current.get(_spelling(current, key)), ignored, f"{at}.{key}" if at else key)
        return paths
    if isinstance(wanted, list) and isinstance(current, list):
        return _list_differences(wanted, current, ignored, at)
    return _leaf(wanted, current, at)


def _list_differences(wanted: list[t.Any], current: list[t.Any], ignored: set[str], at: str) -> list[str]:
    if len(wanted) != len(current):
        return [at]
    if all(not isinstance(item, (dict, list)) for item in [*wanted, *current]):
        plain = sorted(_plain(item) for item in wanted) == sorted(_plain(item) for item in current)
        return [] if plain else [at]
    named = _by_name(current)
    paths = []
    for position, item in enumerate(wanted):
        name = _name_of(item)
        other = named.get(name) if name is not None and named else current[position]
        paths += differences(item, other, ignored, f"{at}[{name or position}]")
    return paths


def _leaf(wanted: t.Any, current: t.Any, at: str) -> list[str]:
    if _empty(wanted) and _empty(current):
        return []
    return [] if _plain(wanted) == _plain(current) else [at or "."]


def _empty(value: t.Any) -> bool:
    return (
        value is None or value in ("", [], {}) or (isinstance(value, dict) and all(_empty(v) for v in value.values()))
    )


def _plain(value: t.Any) -> str:
    """Return a text that is equal for values which ARM takes for the same."""
    if isinstance(value, bool) or value is None:
        return f"{type(value).__name__}:{value}"
    if isinstance(value, str):
        moment = TIME.fullmatch(value)
        if moment:
            text = moment.group(1)
            return "t:" + (text if text.count(":") == 2 else f"{text}:00")
        if value.startswith("/") or GUID.fullmatch(value):
            return "i:" + value.rstrip("/").lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{type(value).__name__[:1]}:{value}"


def _spelling(mapping: t.Mapping[str, t.Any], key: str) -> str:
    return key if key in mapping else next((name for name in mapping if name.lower() == key.lower()), key)


def _name_of(item: t.Any) -> str | None:
    name = item.get("name") if isinstance(item, dict) else None
    return name.lower() if isinstance(name, str) else None


def _by_name(items: list[t.Any]) -> dict[str | None, t.Any]:
    """Return named items by name, or nothing where one has no name or two have the same."""
    names = [_name_of(item) for item in items]
    return dict(zip(names, items, strict=True)) if None not in names and len(set(names)) == len(names) else {}


def merged(wanted: t.Any, current: t.Any) -> t.Any:
    """Return C(current) with C(wanted) laid over it: dicts key by key, anything else replaced."""
    if not isinstance(wanted, dict) or not isinstance(current, dict):
        return copy.deepcopy(wanted)
    result = copy.deepcopy(current)
    for key, value in wanted.items():
        name = _spelling(result, key)
        result[name] = merged(value, result.get(name))
    return result


def body_to_write(wanted: dict[str, t.Any], current: dict[str, t.Any] | None) -> dict[str, t.Any]:
    """Return the PUT body: what is wanted over what is there, less what only the service writes."""
    body = merged(wanted, current or {})
    for name in SERVICE_FIELDS:
        if name not in wanted:
            body.pop(name, None)
    properties = body.get("properties")
    if isinstance(properties, dict):
        for name in SERVICE_PROPERTIES:
            if name not in (wanted.get("properties") or {}):
                properties.pop(name, None)
    return body


def told_part(wanted: t.Any, current: t.Any) -> t.Any:
    """Return the part of C(current) that C(wanted) talks about, for a diff."""
    if isinstance(wanted, dict) and isinstance(current, dict):
        return {key: told_part(value, current.get(_spelling(current, key))) for key, value in wanted.items()}
    return current


def assignment_name(scope: str, role_id: str, principal_id: str) -> str:
    """Return the name of a role assignment, the same for the same scope, role and principal anywhere and always."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scope.rstrip('/')}|{principal_id}|{role_id}".lower()))


def matching_assignments(
    assignments: t.Iterable[dict[str, t.Any]], scope: str, role_id: str, principal_id: str
) -> list[dict[str, t.Any]]:
    """Return the assignments of exactly this role to this principal at exactly this scope, whatever their names."""
    found = []
    for item in assignments:
        properties = item.get("properties") or {}
        if (
            str(properties.get("scope") or "").rstrip("/").lower() == scope.rstrip("/").lower()
            and str(properties.get("principalId") or "").lower() == principal_id.lower()
            and str(properties.get("roleDefinitionId") or "").lower().endswith(role_id.lower())
        ):
            found.append(item)
    return found
