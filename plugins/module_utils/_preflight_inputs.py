# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the platform's inputs can work, judged before anything is asked or written.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

The keys and defaults are those of terraform/variables.tf, which a unit test compares. Terraform checks most of this
again, but only after the state's home has been written, and it drops unknown keys of an object in silence.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._preflight_rules import (
    GUID,
    Each,
    Field,
    between,
    boolean,
    choice,
    cidr,
    complete,
    list_of,
    nearest,
    network,
    number,
    optional,
    pattern,
    resource_id,
    scalar,
    text,
    violations,
)

SUBNETS = ("aks", "api_server", "gateway", "private_endpoints", "postgresql", "runner")
ZONE_SERVICES = ("key_vault", "blob", "registry", "service_bus", "redis", "postgresql", "kubernetes")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_VM_SIZE = pattern(r"Standard_[A-Za-z0-9_]+", "a virtual machine size, as in Standard_D4ds_v5")
_POOL = {
    "min_count": Field(between(1, 1000), 3),
    "max_count": Field(between(1, 1000), 12),
    "os_disk_type": Field(choice("Ephemeral", "Managed"), "Ephemeral"),
    "os_disk_size_gb": Field(between(30, 2048), 128),
}
_DEFAULT_SUBNETS = {
    "aks": "10.40.0.0/20",
    "api_server": "10.40.16.0/27",
    "gateway": "10.40.17.0/24",
    "private_endpoints": "10.40.18.0/24",
    "postgresql": "10.40.19.0/26",
    "runner": "10.40.20.0/27",
}
_OWN_DATABASES = ("postgres", "azure_maintenance", "azure_sys", "template0", "template1")
_OWN_LOGINS = ("azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public")
_STORAGE_MB = (
    32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4193280, 4194304, 8388608, 16777216, 33553408,
)  # fmt: skip


def _workload(value: t.Any) -> str | None:
    words = "2 to 24 lower-case letters, digits and hyphens, and not control-plane, kubelet or gateway"
    return words if value in ("control-plane", "kubelet", "gateway") else pattern(
        r"[a-z][a-z0-9-]{0,22}[a-z0-9]", words
    )(value)  # fmt: skip


def _pool_name(value: t.Any) -> str | None:
    words = "1 to 12 lower-case letters and digits, starting with a letter, and not system"
    return words if value == "system" else pattern(r"[a-z][a-z0-9]{0,11}", words)(value)


def _database(value: t.Any) -> str | None:
    words = "1 to 63 lower-case letters, digits, _ and -, and none of the server's own databases"
    return words if value in _OWN_DATABASES else pattern(r"[a-z_][a-z0-9_-]{0,62}", words)(value)


def _login(value: t.Any) -> str | None:
    words = "a name that Azure does not reserve"
    reserved = value in _OWN_LOGINS or str(value).startswith("pg_")
    return words if reserved else text(value)


def _environment(value: t.Any) -> str | None:
    # 14 characters leave room for kv-<environment>-<suffix> within a vault's 24.
    words = "2 to 14 lower-case letters, digits and single hyphens, starting with a letter and not ending with a hyphen"
    wrong = pattern(r"[a-z][a-z0-9-]{0,12}[a-z0-9]", words)(value)
    return wrong or (words if "--" in value else None)


def _service(value: t.Any) -> str | None:
    return choice(*ZONE_SERVICES)(value)


SCHEMA: dict[str, t.Any] = {
    "subscription_id": Field(GUID, required=True),
    "tenant_id": Field(GUID, required=True),
    "environment": Field(_environment, required=True),
    "name_prefix": Field(
        pattern(r"[a-z][a-z0-9]{1,11}", "2 to 12 lower-case letters and digits, starting with a letter"), "aksops"
    ),
    "location": Field(
        pattern(r"[a-z]+[a-z0-9]*", "the region's short name in lower case, as in westeurope"), required=True
    ),
    "zones": Field(list_of(choice("1", "2", "3"), unique=True), ["1", "2", "3"]),
    "tags": Each(text, Field(scalar), {}),
    "access": Field(choice("inside", "allowlist"), "inside"),
    "operators": Each(
        text,
        {
            "object_id": Field(GUID, required=True),
            "principal_type": Field(choice("User", "Group", "ServicePrincipal"), "Group"),
        },
        required=True,
    ),
    "workload_identities": Each(
        _workload, {"namespace": Field(text, required=True), "service_account": Field(text, required=True)}, {}
    ),
    "network": {
        "vnet_id": Field(optional(resource_id("Microsoft.Network/virtualNetworks"))),
        "subnet_ids": Each(choice(*SUBNETS), Field(resource_id("Microsoft.Network/virtualNetworks")), {}),
        "address_space": Field(list_of(cidr), ["10.40.0.0/16"]),
        "subnets": Each(choice(*SUBNETS), Field(cidr), _DEFAULT_SUBNETS),
        "dns_servers": Field(list_of(pattern(r"\d+(\.\d+){3}", "an IPv4 address")), []),
        "outbound": Field(choice("nat_gateway", "user_defined_routing"), "nat_gateway"),
        "gateway_client_ranges": Field(list_of(text), []),
    },
    "dns": {"zone_ids": Each(_service, Field(resource_id("Microsoft.Network/privateDnsZones")), {})},
    "observability": {
        "workspace_id": Field(optional(resource_id("Microsoft.OperationalInsights/workspaces"))),
        "retention_in_days": Field(between(30, 730), 90),
        "daily_quota_gb": Field(number, -1),
        "application_insights_daily_cap_gb": Field(number, 100),
    },
    "kubernetes": {
        "version": Field(pattern(r"\d+\.\d+", "a minor version as text, as in '1.36': AKS chooses the patch"), "1.36"),
        "sku_tier": Field(choice("Free", "Standard", "Premium"), "Standard"),
        "automatic_upgrade_channel": Field(choice("patch", "stable", "rapid", "node-image"), "patch"),
        "node_os_upgrade_channel": Field(choice("NodeImage", "SecurityPatch", "Unmanaged", "None"), "NodeImage"),
        "os_sku": Field(text, "AzureLinux3"),
        "pod_cidr": Field(cidr, "192.168.0.0/16"),
        "service_cidr": Field(cidr, "10.41.0.0/16"),
        "api_server": {
            "access": Field(choice("private", "public"), "private"),
            "vnet_integration": Field(boolean, False),
            "public_fqdn": Field(boolean, False),
            "authorized_ip_ranges": Field(list_of(text), []),
        },
        "system_pool": {
            "vm_size": Field(_VM_SIZE, "Standard_D4ds_v5"),
            **_POOL,
            "max_count": Field(between(1, 1000), 6),
        },
        "user_pools": Each(
            _pool_name,
            {
                "vm_size": Field(_VM_SIZE, "Standard_D8ds_v5"),
                **_POOL,
                "node_labels": Each(text, Field(scalar), {}),
                "node_taints": Field(list_of(text), []),
            },
            {"user": {}},
        ),
        "maintenance": {
            "upgrade_day": Field(choice(*DAYS), "Saturday"),
            "node_os_day": Field(choice(*DAYS), "Sunday"),
            "start_time": Field(pattern(r"([01]\d|2[0-3]):[0-5]\d", "a time of day, as in '01:00'"), "01:00"),
            "duration_hours": Field(between(4, 24), 6),
        },
    },
    "registry": {
        "zone_redundancy": Field(boolean, True),
        "untagged_retention_in_days": Field(between(0, 365), 30),
        "georeplications": Field(list_of(text), []),
    },
    "postgresql": {
        "name": Field(
            optional(pattern(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", "3 to 63 lower-case letters, digits and hyphens"))
        ),
        "version": Field(choice("14", "15", "16", "17", "18"), "18"),
        "sku_name": Field(
            pattern(r"(B|GP|MO)_Standard_[A-Za-z0-9_]+", "a size, as in GP_Standard_D4ds_v5 (B, GP or MO)"),
            "GP_Standard_D4ds_v5",
        ),
        "storage_mb": Field(choice(*_STORAGE_MB), 131072),
        "backup_retention_days": Field(between(7, 35), 35),
        "geo_redundant_backup": Field(boolean, True),
        "high_availability": Field(choice("ZoneRedundant", "SameZone", "Disabled"), "ZoneRedundant"),
        "zone": Field(choice("1", "2", "3"), "1"),
        "standby_zone": Field(choice("1", "2", "3"), "2"),
        "network_mode": Field(choice("private_endpoint", "delegated"), "private_endpoint"),
        "authentication": Field(choice("entra", "password"), "entra"),
        "administrator_login": Field(_login, "platformadmin"),
        "databases": Each(_database, {"collation": Field(text, "en_US.utf8")}, {}),
        "parameters": Each(text, Field(scalar), {}),
        "maintenance": {"day_of_week": Field(between(0, 6), 0), "start_hour": Field(between(0, 23), 2)},
    },
    "service_bus": {
        "capacity": Field(choice(1, 2, 4, 8, 16), 1),
        "partitions": Field(choice(1, 2, 4), 1),
        "queues": Each(
            text,
            {
                "max_delivery_count": Field(between(1, 2000), 10),
                "lock_duration": Field(text, "PT1M"),
                "requires_session": Field(boolean, False),
                "requires_duplicate_detection": Field(boolean, False),
            },
            {},
        ),
        "topics": Each(
            text,
            {
                "subscriptions": Field(list_of(text), []),
                "requires_duplicate_detection": Field(boolean, False),
                "support_ordering": Field(boolean, True),
            },
            {},
        ),
    },
    "redis": {
        "kind": Field(choice("managed", "cache"), "managed"),
        "sku_name": Field(
            pattern(
                r"(Balanced_B|ComputeOptimized_X|MemoryOptimized_M|FlashOptimized_A)[0-9]+", "a size, as in Balanced_B3"
            ),
            "Balanced_B3",
        ),
        "high_availability": Field(boolean, True),
        "cache_capacity": Field(between(1, 5), 1),
    },
    "key_vault": {
        "sku": Field(choice("standard", "premium"), "standard"),
        "purge_protection": Field(boolean, True),
        "soft_delete_retention_days": Field(between(7, 90), 90),
    },
    "storage": {
        "replication_type": Field(choice("LRS", "ZRS", "GRS", "GZRS", "RAGRS", "RAGZRS"), "GZRS"),
        "delete_retention_days": Field(between(1, 365), 30),
        "containers": Field(
            list_of(
                pattern(
                    r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
                    "3 to 63 lower-case letters, digits and single hyphens",
                )
            ),
            ["receipts"],
        ),
    },
    "application_gateway": {
        "min_capacity": Field(between(0, 125), 2),
        "max_capacity": Field(between(2, 125), 10),
        "waf_mode": Field(choice("Prevention", "Detection"), "Prevention"),
    },
    "load_test_enabled": Field(boolean, True),
}

#: Ranges that AKS keeps for itself.
RESERVED = ("172.30.0.0/16", "172.31.0.0/16", "169.254.0.0/16", "192.0.2.0/24")


def effective(inputs: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the inputs with every default filled in."""
    return t.cast("dict[str, t.Any]", complete(SCHEMA, dict(inputs)))


def check(inputs: t.Mapping[str, t.Any], prefix: str = "") -> list[str]:
    """Return one sentence for each thing that cannot work; C(prefix) stands before the variables' names."""
    found = []
    for key in inputs:
        if key not in SCHEMA:
            near = nearest(str(key), SCHEMA)
            found.append(
                f"{prefix}{key} is not an input of the platform" + (f": did you mean {prefix}{near}?" if near else ".")
            )
    for key, part in SCHEMA.items():
        found += violations(part, inputs.get(key), f"{prefix}{key}")
    whole = effective(inputs)
    for judge in (_network, _ranges, _room, _pools, _postgresql, _others):
        found += judge(whole, prefix)
    return found


def overlaps(named: t.Sequence[tuple[str, t.Any]]) -> list[tuple[str, str]]:
    """Return the pairs of names whose blocks share an address; what is no block is left to its own rule."""
    blocks = [(name, block) for name, value in named if (block := network(value))]
    return [(one, two) for (one, left), (two, right) in itertools.combinations(blocks, 2) if left.overlaps(right)]


def _part(whole: t.Mapping[str, t.Any], *path: str) -> t.Any:
    node: t.Any = whole
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _dict(whole: t.Mapping[str, t.Any], *path: str) -> dict[str, t.Any]:
    node = _part(whole, *path)
    return node if isinstance(node, dict) else {}


def _list(whole: t.Mapping[str, t.Any], *path: str) -> list[t.Any]:
    node = _part(whole, *path)
    return list(node) if isinstance(node, (list, tuple)) else []


def _spaces(whole: t.Mapping[str, t.Any]) -> list[ipaddress.IPv4Network]:
    return [block for item in _list(whole, "network", "address_space") if (block := network(item))]


def _network(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    """The subnets: all there, inside the address space, apart from each other, large enough."""
    name = f"{prefix}network"
    if _part(whole, "network", "vnet_id"):
        missing = [key for key in SUBNETS if key != "runner" and key not in _dict(whole, "network", "subnet_ids")]
        return [f"{name}.subnet_ids lacks {', '.join(missing)}: {name}.vnet_id needs them."] if missing else []
    found = []
    subnets = _dict(whole, "network", "subnets")
    missing = [key for key in SUBNETS if key not in subnets]
    if missing:
        found.append(f"{name}.subnets lacks {', '.join(missing)}: a given dictionary replaces the default one whole.")
    for one, two in overlaps(list(subnets.items())):
        found.append(f"{name}.subnets.{one} {subnets[one]} and {name}.subnets.{two} {subnets[two]} overlap.")
    spaces = _spaces(whole)
    for key, value in subnets.items():
        block = network(value)
        if block and spaces and not any(block.subnet_of(space) for space in spaces):
            shown = ", ".join(str(space) for space in spaces)
            found.append(f"{name}.subnets.{key} {value} lies outside {name}.address_space ({shown}).")
    for key, longest in (("gateway", 26), ("api_server", 28), ("postgresql", 28), ("private_endpoints", 28)):
        block = network(subnets.get(key))
        if block and block.prefixlen > longest:
            found.append(f"{name}.subnets.{key} {block} is too small: it needs /{longest} or larger.")
    return found


def _ranges(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    """Pod and service ranges, apart from each other, from the network and from what AKS keeps."""
    own = [
        (f"{prefix}kubernetes.{key}", _part(whole, "kubernetes", key)) for key in ("pod_cidr", "service_cidr")
    ]  # fmt: skip
    others = [("the range that AKS keeps for itself,", item) for item in RESERVED]
    if not _part(whole, "network", "vnet_id"):
        others += [(f"{prefix}network.address_space", item) for item in _list(whole, "network", "address_space")]
    found = []
    for name, value in own:
        for other, block in [pair for pair in [*own, *others] if pair[0] != name]:
            if other == own[0][0]:
                continue
            if overlaps([("own", value), ("other", block)]):
                found.append(f"{name} {value} overlaps {other} {block}.")
    service = network(own[1][1])
    if service and service.prefixlen < 12:
        found.append(f"{own[1][0]} {service} is too large: AKS takes /12 or smaller.")
    return found


def _all_pools(whole: t.Mapping[str, t.Any]) -> list[tuple[str, dict[str, t.Any]]]:
    pools = [("system_pool", _dict(whole, "kubernetes", "system_pool"))]
    pools += [(f"user_pools.{key}", value) for key, value in _dict(whole, "kubernetes", "user_pools").items()]
    return [(name, pool) for name, pool in pools if isinstance(pool, dict)]


def _count(pool: t.Mapping[str, t.Any], key: str) -> int:
    value = pool.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _room(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    """Each node takes one address of its subnet and a /24 of the pod range; an upgrade adds a third of the nodes."""
    nodes = sum(math.ceil(_count(pool, "max_count") * 1.33) for _name, pool in _all_pools(whole))
    found = []
    pod = network(_part(whole, "kubernetes", "pod_cidr"))
    if pod and nodes * 256 > pod.num_addresses:
        found.append(
            f"{prefix}kubernetes.pod_cidr {pod} has room for {pod.num_addresses // 256} nodes, and the pools may "
            f"grow to {nodes} with those of an upgrade: widen it, or lower max_count."
        )
    subnet = network(_dict(whole, "network", "subnets").get("aks"))
    if subnet and not _part(whole, "network", "vnet_id") and nodes > subnet.num_addresses - 5:
        found.append(
            f"{prefix}network.subnets.aks {subnet} has room for {max(0, subnet.num_addresses - 5)} nodes, and the "
            f"pools may grow to {nodes} with those of an upgrade: widen it, or lower max_count."
        )
    return found


def _pools(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    found = []
    for name, pool in _all_pools(whole):
        if _count(pool, "min_count") > _count(pool, "max_count") > 0:
            found.append(
                f"{prefix}kubernetes.{name} has min_count {pool['min_count']} above max_count {pool['max_count']}."
            )
    if isinstance(_part(whole, "kubernetes", "user_pools"), dict) and not _dict(whole, "kubernetes", "user_pools"):
        found.append(f"{prefix}kubernetes.user_pools is empty: workloads need at least one pool of their own.")
    return found


def _postgresql(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    name = f"{prefix}postgresql"
    part = _dict(whole, "postgresql")
    found = []
    if str(part.get("sku_name", "")).startswith("B_") and part.get("high_availability") != "Disabled":
        found.append(
            f"{name}.high_availability is {part.get('high_availability')}: burstable sizes ({part['sku_name']}) have "
            "none, so choose Disabled or a GP or MO size."
        )
    zones = _list(whole, "zones")
    if part.get("high_availability") == "ZoneRedundant":
        if not zones:
            found.append(f"{name}.high_availability is ZoneRedundant, but {prefix}zones is empty: choose SameZone.")
        elif part.get("zone") == part.get("standby_zone"):
            found.append(f"{name}.zone and {name}.standby_zone are both {part.get('zone')}: they must differ.")
        else:
            for key in ("zone", "standby_zone"):
                if part.get(key) not in zones:
                    found.append(f"{name}.{key} is {part.get(key)}, which is not among {prefix}zones {zones}.")
    return found


def _others(whole: t.Mapping[str, t.Any], prefix: str) -> list[str]:
    found = []
    capacity, partitions = _part(whole, "service_bus", "capacity"), _part(whole, "service_bus", "partitions")
    if isinstance(capacity, int) and isinstance(partitions, int) and partitions > 0 and capacity % partitions:
        found.append(
            f"{prefix}service_bus.capacity {capacity} is no multiple of {prefix}service_bus.partitions {partitions}."
        )
    gateway = _dict(whole, "application_gateway")
    if _count(gateway, "min_capacity") > _count(gateway, "max_capacity") > 0:
        found.append(
            f"{prefix}application_gateway.min_capacity {gateway['min_capacity']} is above max_capacity "
            f"{gateway['max_capacity']}."
        )
    server = _dict(whole, "kubernetes", "api_server")
    if server.get("access") == "private" and server.get("authorized_ip_ranges"):
        found.append(
            f"{prefix}kubernetes.api_server.authorized_ip_ranges has no effect on a private API server: "
            "set access to public, or empty the list."
        )
    return found
