# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of what Terraform makes, as terraform/main.tf derives them. FOR INTERNAL COLLECTION USE ONLY.

Preflight asks whether they are free before Terraform is asked to make them. A unit test compares both places.
"""

from __future__ import annotations

import hashlib
import typing as t


def suffix(subscription_id: str, name_prefix: str, environment: str) -> str:
    """Return the six characters that keep global names apart: the same inputs, the same suffix."""
    return hashlib.sha1(f"{subscription_id}/{name_prefix}/{environment}".encode()).hexdigest()[:6]


def names(inputs: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the names of the platform that C(inputs) describe: resource_group, node_resource_group, cluster, and the
    global ones key_vault, storage, registry, service_bus, redis and postgresql."""
    environment, prefix = str(inputs["environment"]), str(inputs["name_prefix"])
    tail = suffix(str(inputs["subscription_id"]).lower(), prefix, environment)
    compact = environment.replace("-", "") + tail
    unique = f"{environment}-{tail}"
    postgresql = inputs.get("postgresql")
    given = postgresql.get("name") if isinstance(postgresql, dict) else None
    return {
        "resource_group": f"rg-{prefix}-{environment}",
        "node_resource_group": f"rg-{prefix}-{environment}-nodes",
        "cluster": f"aks-{prefix}-{environment}",
        "key_vault": f"kv-{unique}",
        "storage": f"st{compact}",
        "registry": f"acr{compact}",
        "service_bus": f"sb-{unique}",
        "redis": f"redis-{unique}",
        "postgresql": given or f"psql-{unique}",
    }
