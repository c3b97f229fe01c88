"""Microsoft.Cache: Azure Managed Redis (redisEnterprise) and Azure Cache for Redis (redis), control plane."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.network.private_link import connections_of

CACHE = "Microsoft.Cache/redis"
CLUSTER = "Microsoft.Cache/redisEnterprise"
DATABASE = f"{CLUSTER}/databases"
ASSIGNMENT = f"{DATABASE}/accessPolicyAssignments"

_BALANCED = tuple(f"Balanced_B{size}" for size in (0, 1, 3, 5, 10, 20, 50, 100, 150, 250, 350, 500, 700, 1000))
_MEMORY = tuple(f"MemoryOptimized_M{size}" for size in (10, 20, 50, 100, 150, 250, 350, 500, 700, 1000, 1500, 2000))
_COMPUTE = tuple(f"ComputeOptimized_X{size}" for size in (3, 5, 10, 20, 50, 100, 150, 250, 350, 500, 700))
_FLASH = tuple(f"FlashOptimized_A{size}" for size in (250, 500, 700, 1000, 1500, 2000, 4500))
CLUSTER_SKUS = (*_BALANCED, *_MEMORY, *_COMPUTE, *_FLASH)

_CAPACITIES = {"Basic": ("C", range(7)), "Standard": ("C", range(7)), "Premium": ("P", range(1, 6))}
_MODULES = {"RedisBloom": "2.6.18", "RedisTimeSeries": "1.12.6", "RediSearch": "2.10.20", "RedisJSON": "2.8.9"}
_EVICTION = (
    "AllKeysLFU",
    "AllKeysLRU",
    "AllKeysRandom",
    "VolatileLRU",
    "VolatileLFU",
    "VolatileTTL",
    "VolatileRandom",
    "NoEviction",
)


def _unique(ctx: Any, new: Resource) -> None:
    for other in ctx.store.list(type=new.type):
        if other.name.lower() == new.name.lower() and other.id.lower() != new.id.lower():
            raise AzureError(409, "NameNotAvailable", f"The name '{new.name}' is already in use.")


class Cluster(ResourceType):
    """An Azure Managed Redis instance."""

    type = CLUSTER
    status = "redisenterprise/2025-07-01/redisenterprise"
    name_pattern = r"^(?=.{3,60}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _unique(ctx, new)
        sku = shapes.dig(new.body, "sku.name")
        if str(sku).startswith(("Enterprise_", "EnterpriseFlash_")):
            raise bad_request(
                "InvalidSku", f"The SKU '{sku}' belongs to the retiring Enterprise tiers. Use Balanced_B0."
            )
        new.body["sku"] = {"name": shapes.choice(sku, CLUSTER_SKUS, "sku.name", "InvalidSku")}
        shapes.fixed(new, old, "highAvailability", "encryption.customerManagedKeyEncryption.keyEncryptionKeyUrl")
        if old is not None:
            before, after = CLUSTER_SKUS.index(old.body["sku"]["name"]), CLUSTER_SKUS.index(new.body["sku"]["name"])
            if after < before and sku.split("_")[0] == old.body["sku"]["name"].split("_")[0]:
                message = f"Scaling down from {old.body['sku']['name']} to {sku} is not supported."
                raise bad_request("ScalingNotSupported", message)
            new.body.setdefault("zones", old.body.get("zones"))
        properties = new.properties
        shapes.defaults(
            properties, {"highAvailability": "Enabled", "minimumTlsVersion": "1.2", "publicNetworkAccess": "Enabled"}
        )
        shapes.choice(properties["minimumTlsVersion"], ("1.2",), "minimumTlsVersion", "TlsVersionRetired")
        shapes.choice(properties["publicNetworkAccess"], ("Enabled", "Disabled"), "publicNetworkAccess")
        properties |= {
            "hostName": f"{new.name.lower()}.{new.location}.redis.azure.net",
            "redisVersion": "7.4",
            "resourceState": "Running",
            "redundancyMode": "ZR" if properties["highAvailability"] == "Enabled" else "None",
        }
        new.body.setdefault("kind", "v2")
        properties.pop("privateEndpointConnections", None)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown


def _list_keys(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
    primary, secondary = resource.internal["keys"]
    return {"primaryKey": primary, "secondaryKey": secondary}


def _regenerate(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
    which = shapes.choice(body.get("keyType"), ("Primary", "Secondary"), "keyType")
    resource.internal["keys"][which == "Secondary"] = shapes.access_key(32)
    ctx.store.put(resource)
    return _list_keys(ctx, resource, body, request)


class Database(ResourceType):
    """The database of a Managed Redis instance."""

    type = DATABASE
    status = "redisenterprise/2025-07-01/databases"
    tracked = False
    name_pattern = "default"

    def __init__(self) -> None:
        super().__init__(actions={"listKeys": self._keys, "regenerateKey": _regenerate, "flush": self._flush})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        if old is not None:
            shapes.carry(new, old, *old.properties)
        shapes.defaults(
            properties,
            {
                "clientProtocol": "Encrypted",
                "port": 10000,
                "clusteringPolicy": "OSSCluster",
                "evictionPolicy": "VolatileLRU",
                "accessKeysAuthentication": "Disabled",
                "modules": [],
                "deferUpgrade": "NotDeferred",
                "persistence": {"aofEnabled": False, "rdbEnabled": False},
            },
        )
        policies = ("OSSCluster", "EnterpriseCluster", "NoCluster")
        properties["clusteringPolicy"] = shapes.choice(properties["clusteringPolicy"], policies, "clusteringPolicy")
        properties["evictionPolicy"] = shapes.choice(properties["evictionPolicy"], _EVICTION, "evictionPolicy")
        shapes.choice(properties["accessKeysAuthentication"], ("Enabled", "Disabled"), "accessKeysAuthentication")
        shapes.fixed(new, old, "clusteringPolicy", "port", "geoReplication.groupNickname")
        if properties["port"] != 10000:
            raise bad_request("InvalidParameter", "The port of a Managed Redis database is 10000.")
        for module in properties["modules"]:
            module["name"] = shapes.choice(module.get("name"), _MODULES, "modules.name")
            module["version"] = _MODULES[module["name"]]
            if module["name"] == "RediSearch" and properties["evictionPolicy"] != "NoEviction":
                raise bad_request("InvalidParameter", "The module RediSearch needs the eviction policy NoEviction.")
        if properties["persistence"].get("aofEnabled") and properties["persistence"].get("rdbEnabled"):
            raise bad_request("InvalidParameter", "AOF and RDB persistence cannot both be enabled.")
        properties |= {"redisVersion": "7.4", "resourceState": "Running"}
        new.internal.setdefault("keys", [shapes.access_key(32), shapes.access_key(32)])

    @staticmethod
    def _keys(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        if resource.properties["accessKeysAuthentication"] != "Enabled":
            message = f"Access keys authentication is disabled for database '{resource.name}'."
            raise bad_request("AccessKeysAuthenticationDisabled", message)
        return _list_keys(ctx, resource, body, request)

    @staticmethod
    def _flush(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> Response:
        return Response.empty(200)


class PolicyAssignment(ResourceType):
    """Entra access to a Managed Redis database."""

    type = ASSIGNMENT
    status = "redisenterprise/2025-07-01/accesspolicyassignments"
    tracked = False
    name_pattern = r"^[A-Za-z0-9-]{1,60}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if new.properties.get("accessPolicyName") != "default":
            raise bad_request("InvalidParameter", "The access policy of a Managed Redis database is 'default'.")
        object_id = shapes.dig(new.properties, "user.objectId")
        if not re.fullmatch(r"[0-9a-fA-F-]{36}", str(object_id)):
            raise bad_request("InvalidParameter", f"'{object_id}' is no object id.")
        shapes.fixed(new, old, "user.objectId")
        for other in ctx.store.list(type=ASSIGNMENT, prefix=shapes.identify(new.id).parent):
            if other.id.lower() != new.id.lower() and other.properties["user"]["objectId"] == object_id:
                raise AzureError(
                    409, "Conflict", f"The object id '{object_id}' has the assignment '{other.name}' already."
                )


class Cache(ResourceType):
    """An Azure Cache for Redis (retiring)."""

    type = CACHE
    status = "redis/2024-11-01/redisresources"
    name_pattern = r"^(?=.{1,63}$)[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"

    def __init__(self) -> None:
        super().__init__(actions={"listKeys": _list_keys, "regenerateKey": _regenerate, "forceReboot": self._reboot})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _unique(ctx, new)
        properties = new.properties
        if old is not None:
            shapes.carry(new, old, *old.properties)
        sku = properties.get("sku") or {}
        name = shapes.choice(sku.get("name"), _CAPACITIES, "sku.name", "InvalidSku")
        family, sizes = _CAPACITIES[name]
        if str(sku.get("family")).upper() != family or sku.get("capacity") not in sizes:
            message = f"The family '{sku.get('family')}' and capacity '{sku.get('capacity')}' are not valid for {name}."
            raise bad_request("InvalidSku", message)
        sku["family"] = family
        if old is not None:
            order = list(_CAPACITIES)
            if order.index(name) < order.index(old.properties["sku"]["name"]):
                raise bad_request(
                    "InvalidSku", f"A cache cannot go down from {old.properties['sku']['name']} to {name}."
                )
        shapes.fixed(new, old, "subnetId", "staticIP")
        if name != "Premium" and (properties.get("shardCount") or properties.get("subnetId")):
            raise bad_request("InvalidParameter", "Shards and virtual networks need the Premium SKU.")
        configuration = properties.setdefault("redisConfiguration", {})
        shapes.defaults(
            configuration,
            {
                "maxclients": "1000",
                "maxmemory-reserved": "125",
                "maxfragmentationmemory-reserved": "125",
                "maxmemory-delta": "125",
                "maxmemory-policy": "volatile-lru",
            },
        )
        shapes.defaults(
            properties,
            {
                "enableNonSslPort": False,
                "minimumTlsVersion": "1.2",
                "publicNetworkAccess": "Enabled",
                "disableAccessKeyAuthentication": False,
                "redisVersion": "6.0",
                "updateChannel": "Stable",
            },
        )
        shapes.choice(properties["minimumTlsVersion"], ("1.2",), "minimumTlsVersion", "TlsVersionRetired")
        if properties["disableAccessKeyAuthentication"] and str(configuration.get("aad-enabled")).lower() != "true":
            message = "Access key authentication can be disabled only where Microsoft Entra authentication is enabled."
            raise bad_request("InvalidParameter", message)
        if not str(properties["redisVersion"]).startswith("6"):
            raise bad_request("InvalidParameter", f"The Redis version '{properties['redisVersion']}' is not available.")
        properties |= {
            "redisVersion": "6.0.20",
            "hostName": f"{new.name.lower()}.redis.cache.windows.net",
            "port": 6379,
            "sslPort": 6380,
            "linkedServers": [],
            "instances": [{"sslPort": 15000, "isMaster": True, "isPrimary": True}],
        }
        for secret in ("accessKeys", "privateEndpointConnections"):
            properties.pop(secret, None)
        new.internal.setdefault("keys", [shapes.access_key(32), shapes.access_key(32)])

    @staticmethod
    def _reboot(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        return {"message": f"Request to reboot node(s) of cache {resource.name} received successfully."}

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown


class CachePolicyAssignment(ResourceType):
    """Entra access to a cache."""

    type = f"{CACHE}/accessPolicyAssignments"
    status = "redis/2024-11-01/rediscacheaccesspolicyassignments"
    tracked = False
    name_pattern = r"^[A-Za-z0-9_-]{1,63}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        policies = ("Data Owner", "Data Contributor", "Data Reader")
        custom = [
            item.name for item in ctx.store.list(type=f"{CACHE}/accessPolicies", prefix=shapes.identify(new.id).parent)
        ]
        shapes.choice(new.properties.get("accessPolicyName"), (*policies, *custom), "accessPolicyName")
        for name in ("objectId", "objectIdAlias"):
            if not new.properties.get(name):
                raise bad_request("InvalidParameter", f"'{name}' of an access policy assignment is required.")


class CachePolicy(ResourceType):
    type = f"{CACHE}/accessPolicies"
    status = "redis/2024-11-01/rediscacheaccesspolicies"
    tracked = False

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if not new.properties.get("permissions"):
            raise bad_request("InvalidParameter", "An access policy needs permissions.")
        new.properties["type"] = "Custom"


class PatchSchedule(ResourceType):
    type = f"{CACHE}/patchSchedules"
    status = "redis/2024-11-01/redispatchschedules"
    tracked = False
    name_pattern = "default"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        for entry in new.properties.get("scheduleEntries") or []:
            if shapes.seconds(entry.setdefault("maintenanceWindow", "PT5H"), "maintenanceWindow") < 5 * 3600:
                raise bad_request("InvalidParameter", "A maintenance window must be at least 5 hours.")


class RedisService(Service):
    """Control plane of both kinds of Redis. Their data planes are no HTTP and are not served."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            Cluster(),
            Database(),
            PolicyAssignment(),
            Cache(),
            CachePolicy(),
            CachePolicyAssignment(),
            PatchSchedule(),
            ResourceType(
                f"{CACHE}/firewallRules",
                "redis/2024-11-01/redisfirewallrules",
                tracked=False,
                name_pattern=r"^\w{1,256}$",
            ),
        ]
