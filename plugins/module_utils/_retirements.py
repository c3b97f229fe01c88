# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dated retirements of Azure, as data, and who is met by them. FOR INTERNAL COLLECTION USE ONLY.

A row matches an input of the platform (C(input), a dotted path in which C(*) stands for every key) or a resource that
exists (C(resource), its type, with C(property), a dotted path into its ARM body) by a regular expression over the whole
value. C(months) is how long before the date a warning starts.
"""

from __future__ import annotations

import datetime
import re
import typing as t

RETIREMENTS: tuple[dict[str, t.Any], ...] = (
    {
        "what": "Kubernetes 1.33 and older",
        "date": "2026-07-31",
        "input": "kubernetes.version",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.kubernetesVersion",
        "pattern": r"1\.([0-9]|[12][0-9]|3[0-3])(\..*)?",
        "instead": "Kubernetes 1.36",
    },
    {
        "what": "Kubernetes 1.34",
        "date": "2026-11-30",
        "input": "kubernetes.version",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.kubernetesVersion",
        "pattern": r"1\.34(\..*)?",
        "months": 6,
        "instead": "Kubernetes 1.36",
    },
    {
        "what": "Kubernetes 1.35",
        "date": "2027-03-31",
        "input": "kubernetes.version",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.kubernetesVersion",
        "pattern": r"1\.35(\..*)?",
        "months": 6,
        "instead": "Kubernetes 1.36",
    },
    {
        # Each version lives about a year: a warning for all of it would be heard by nobody.
        "what": "Kubernetes 1.36 (without long-term support)",
        "date": "2027-06-30",
        "input": "kubernetes.version",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.kubernetesVersion",
        "pattern": r"1\.36(\..*)?",
        "months": 6,
        "instead": "Kubernetes 1.37",
    },
    {
        "what": "PostgreSQL 13 and older (paid extended support since then)",
        "date": "2026-08-01",
        "input": "postgresql.version",
        "resource": "Microsoft.DBforPostgreSQL/flexibleServers",
        "property": "properties.version",
        "pattern": r"1[0-3]|[0-9]",
        "instead": "PostgreSQL 18",
    },
    {
        "what": "Azure Cache for Redis, Basic, Standard and Premium",
        "date": "2028-09-30",
        "input": "redis.kind",
        "pattern": "cache",
        "instead": "Azure Managed Redis (redis.kind managed)",
    },
    {
        "what": "Azure Cache for Redis, Basic, Standard and Premium",
        "date": "2028-09-30",
        "resource": "Microsoft.Cache/redis",
        "property": "type",
        "pattern": ".*",
        "instead": "Azure Managed Redis (redis.kind managed)",
    },
    {
        "what": "Azure Cache for Redis Enterprise",
        "date": "2027-03-31",
        "resource": "Microsoft.Cache/redisEnterprise",
        "property": "sku.name",
        "pattern": "(Enterprise|EnterpriseFlash)_.*",
        "instead": "Azure Managed Redis (redis.kind managed)",
    },
    {
        "what": "Azure Linux 2.0 node images",
        "date": "2026-03-31",
        "input": "kubernetes.os_sku",
        "pattern": "AzureLinux|CBLMariner|Mariner",
        "instead": "AzureLinux3",
    },
    {
        "what": "Ubuntu 22.04 node images",
        "date": "2027-06-30",
        "input": "kubernetes.os_sku",
        "pattern": "Ubuntu2204",
        "instead": "AzureLinux3 or Ubuntu2404",
    },
    {
        "what": "Application Gateway v1",
        "date": "2026-04-28",
        "resource": "Microsoft.Network/applicationGateways",
        "property": "properties.sku.tier",
        "pattern": "Standard|WAF",
        "instead": "WAF_v2",
    },
    {
        "what": "Basic load balancers",
        "date": "2025-09-30",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.networkProfile.loadBalancerSku",
        "pattern": "[Bb]asic",
        "instead": "the Standard load balancer",
    },
    {
        "what": "kubenet networking",
        "date": "2028-03-31",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.networkProfile.networkPlugin",
        "pattern": "kubenet",
        "instead": "Azure CNI overlay",
    },
    {
        "what": "Azure Network Policy Manager on Linux",
        "date": "2028-09-30",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.networkProfile.networkPolicy",
        "pattern": "azure",
        "instead": "Cilium",
    },
    {
        "what": "Pod-managed identity",
        "date": "2025-09-30",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.podIdentityProfile.enabled",
        "pattern": "True",
        "instead": "workload identity",
    },
    {
        "what": "The Open Service Mesh add-on",
        "date": "2027-09-30",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.addonProfiles.openServiceMesh.enabled",
        "pattern": "True",
        "instead": "the Istio add-on",
    },
    {
        "what": "HTTP application routing",
        "date": "2025-03-03",
        "resource": "Microsoft.ContainerService/managedClusters",
        "property": "properties.addonProfiles.httpApplicationRouting.enabled",
        "pattern": "True",
        "instead": "the application routing add-on",
    },
)

WARN_MONTHS = 12


class Notice(t.NamedTuple):
    """One retirement that meets this platform; C(retired) tells a failure from a warning."""

    retired: bool
    text: str


def values(tree: t.Any, path: str) -> list[tuple[str, t.Any]]:
    """Return C((path, value)) of every leaf that a dotted path with C(*) names; absent keys give none."""
    found = [("", tree)]
    for part in path.split("."):
        step: list[tuple[str, t.Any]] = []
        for where, node in found:
            if not isinstance(node, dict):
                continue
            keys = node if part == "*" else [key for key in node if key == part]
            step.extend((f"{where}.{key}".lstrip("."), node[key]) for key in keys)
        found = step
    return [(where, value) for where, value in found if value is not None]


def _notice(row: t.Mapping[str, t.Any], subject: str, value: t.Any, today: datetime.date) -> Notice | None:
    if not re.fullmatch(row["pattern"], str(value)):
        return None
    date = row["date"] if isinstance(row["date"], datetime.date) else datetime.date.fromisoformat(str(row["date"]))
    days = (date - today).days
    shown = "" if row.get("property") == "type" else f" is {value}"
    if days < 0:
        return Notice(True, f"{subject}{shown}: {row['what']} retired on {date}; use {row['instead']}.")
    if days <= int(row.get("months", WARN_MONTHS)) * 31:
        return Notice(
            False, f"{subject}{shown}: {row['what']} retires on {date}, in {days} days; use {row['instead']}."
        )
    return None


def in_inputs(
    inputs: t.Mapping[str, t.Any],
    today: datetime.date,
    prefix: str = "",
    rows: t.Iterable[t.Mapping[str, t.Any]] = RETIREMENTS,
) -> list[Notice]:
    """Return the retirements that inputs choose; C(prefix) stands before the variables' names."""
    notices = [
        _notice(row, f"{prefix}{where}", value, today)
        for row in rows
        if row.get("input")
        for where, value in values(inputs, row["input"])
    ]
    return [notice for notice in notices if notice]


def in_resources(
    resources: t.Iterable[t.Mapping[str, t.Any]],
    today: datetime.date,
    rows: t.Iterable[t.Mapping[str, t.Any]] = RETIREMENTS,
) -> list[tuple[str, Notice]]:
    """Return C((resource id, notice)) of the existing resources that a retirement meets."""
    rows = [row for row in rows if row.get("resource")]
    found = []
    for resource in resources:
        for row in rows:
            if str(resource.get("type", "")).lower() != row["resource"].lower():
                continue
            for _where, value in values(resource, row["property"]):
                notice = _notice(row, str(resource.get("name")), value, today)
                if notice:
                    found.append((str(resource.get("id")), notice))
    return found
