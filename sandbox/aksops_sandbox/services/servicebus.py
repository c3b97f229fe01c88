"""Microsoft.ServiceBus: namespaces, queues, topics, subscriptions and keys; and sending and receiving over HTTPS."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote

from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.network.private_link import connections_of

NAMESPACE = "Microsoft.ServiceBus/namespaces"
QUEUE = f"{NAMESPACE}/queues"
TOPIC = f"{NAMESPACE}/topics"
SUBSCRIPTION = f"{TOPIC}/subscriptions"
RULE = f"{NAMESPACE}/authorizationRules"
ROOT_RULE = "RootManageSharedAccessKey"

_NEVER = "P10675199DT2H48M5.4775807S"
_ENTITY = r"^[A-Za-z0-9]([A-Za-z0-9./_~-]{0,258}[A-Za-z0-9])?$"
_RIGHTS = {"Listen", "Send", "Manage"}
_SIZES = (1024, 2048, 3072, 4096, 5120, 10240, 20480, 40960, 81920)
_PREMIUM_UNITS = (1, 2, 4, 8, 16)


def _parent(ctx: Any, resource: Resource, type: str = NAMESPACE) -> Resource:
    """The namespace (or topic) above a resource."""
    parent = resource
    while parent.type.lower() != type.lower():
        parent = ctx.store.get(shapes.identify(parent.id).parent)
    return parent


class Namespace(ResourceType):
    type = NAMESPACE
    status = "servicebus/2024-01-01/namespaces"
    name_pattern = r"^[A-Za-z][A-Za-z0-9-]{4,48}[A-Za-z0-9]$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if new.name.lower().endswith(("-sb", "-mgmt")):
            raise bad_request("InvalidNamespaceName", f"The namespace name '{new.name}' ends with a reserved suffix.")
        for other in ctx.store.list(type=NAMESPACE):
            if other.name.lower() == new.name.lower() and other.id.lower() != new.id.lower():
                message = f"Namespace name already taken: {new.name}."
                raise AzureError(409, "NamespaceUnavailable", message)
        if old is not None:
            shapes.carry(new, old, *old.properties)
            new.body.setdefault("sku", old.body["sku"])
        self._sku(new, old)
        properties = new.properties
        shapes.defaults(
            properties,
            {
                "disableLocalAuth": False,
                "minimumTlsVersion": "1.2",
                "publicNetworkAccess": "Enabled",
                "zoneRedundant": True,
            },
        )
        shapes.choice(properties["minimumTlsVersion"], ("1.2", "1.3"), "minimumTlsVersion", "TlsVersionRetired")
        shapes.computed(new, old, createdAt=shapes.now, metricId=f"{ctx.principals.subscription_id}:{new.name.lower()}")
        properties |= {
            "updatedAt": shapes.now(),
            "status": "Active",
            "serviceBusEndpoint": f"https://{new.name.lower()}.servicebus.windows.net:443/",
        }
        properties.pop("privateEndpointConnections", None)
        if old is None:
            ctx.store.put(new)
            root = Resource(f"{new.id}/authorizationRules/{ROOT_RULE}", ROOT_RULE, RULE)
            root.properties = {"rights": ["Listen", "Manage", "Send"]}
            root.internal["keys"] = [shapes.access_key(32), shapes.access_key(32)]
            ctx.store.put(root)

    @staticmethod
    def _sku(new: Resource, old: Resource | None) -> None:
        sku = new.body.get("sku") or {}
        name = shapes.choice(sku.get("name"), ("Basic", "Standard", "Premium"), "sku.name", "InvalidSku")
        if old is not None and old.body["sku"]["name"] != name:
            message = f"The SKU of namespace '{new.name}' cannot be changed from {old.body['sku']['name']} to {name}."
            raise bad_request("BadRequest", message)
        partitions = new.properties.get("premiumMessagingPartitions") or 0
        if name != "Premium":
            if partitions:
                raise bad_request("BadRequest", "premiumMessagingPartitions needs the Premium SKU.")
            if (new.properties.get("publicNetworkAccess") or "Enabled") == "Disabled":
                raise bad_request("BadRequest", "Disabling public network access needs the Premium SKU.")
            new.body["sku"] = {"name": name, "tier": name}
            return
        shapes.fixed(new, old, "premiumMessagingPartitions")
        partitions = new.properties.get("premiumMessagingPartitions") or 1
        if partitions not in {1, 2, 4}:
            raise bad_request("BadRequest", "premiumMessagingPartitions must be 1, 2 or 4.")
        new.properties["premiumMessagingPartitions"] = partitions
        capacity = sku.get("capacity") or partitions
        if capacity not in _PREMIUM_UNITS or capacity % partitions:
            message = f"The capacity {capacity} is not one of {_PREMIUM_UNITS}, or no multiple of {partitions}."
            raise bad_request("BadRequest", message)
        new.body["sku"] = {"name": name, "tier": name, "capacity": capacity}

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown


class NetworkRuleSet(ResourceType):
    """The one rule set of a namespace, named `default` and always there."""

    type = f"{NAMESPACE}/networkRuleSets"
    status = "servicebus/2024-01-01/namespaces"
    tracked = False
    name_pattern = "default"

    def _current(self, ctx: Any, rid: ResourceId) -> Resource:
        namespace = ctx.store.get(rid.parent)
        if namespace is None:
            raise not_found(rid.parent)
        found = ctx.store.get(str(rid)) or Resource(str(rid), "default", self.type)
        shapes.defaults(
            found.properties,
            {
                "defaultAction": "Allow",
                "publicNetworkAccess": namespace.properties["publicNetworkAccess"],
                "ipRules": [],
                "virtualNetworkRules": [],
                "trustedServiceAccessEnabled": False,
            },
        )
        return found

    def get(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        return Response.json(200, self.render(ctx, self._current(ctx, rid)))

    def put(self, ctx: Any, request: Request, rid: ResourceId) -> Response:
        answer = super().put(ctx, request, rid)
        answer.status = 200
        return answer

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        namespace = _parent(ctx, new)
        if namespace.body["sku"]["name"] != "Premium":
            raise bad_request("BadRequest", "Network rule sets need the Premium SKU.")
        properties = new.properties
        shapes.defaults(
            properties,
            {
                "defaultAction": "Allow",
                "publicNetworkAccess": namespace.properties["publicNetworkAccess"],
                "ipRules": [],
                "virtualNetworkRules": [],
                "trustedServiceAccessEnabled": False,
            },
        )
        for entry in properties["virtualNetworkRules"]:
            shapes.reference(ctx, shapes.dig(entry, "subnet.id"), new.id)
        open_to_all = properties["defaultAction"] == "Deny" and not (
            properties["ipRules"] or properties["virtualNetworkRules"]
        )
        if open_to_all and properties["publicNetworkAccess"] == "Enabled":
            message = (
                "At least one IP or virtual network rule is needed with default action Deny and public access Enabled."
            )
            raise bad_request("BadRequest", message)
        if namespace.properties["publicNetworkAccess"] != properties["publicNetworkAccess"]:
            namespace.properties["publicNetworkAccess"] = properties["publicNetworkAccess"]
            ctx.store.put(namespace)


class AuthorizationRule(ResourceType):
    """Keys of a namespace, queue or topic."""

    tracked = False

    def __init__(self, type: str, status: str) -> None:
        super().__init__(type, status, actions={"listKeys": self._keys, "regenerateKeys": self._regenerate})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        rights = new.properties.get("rights") or []
        if not rights or set(rights) - _RIGHTS:
            raise bad_request("BadRequest", f"The rights of rule '{new.name}' must be among Listen, Send and Manage.")
        if "Manage" in rights and set(rights) != _RIGHTS:
            raise bad_request("BadRequest", "The right Manage needs Listen and Send too.")
        new.internal.setdefault("keys", [shapes.access_key(32), shapes.access_key(32)])

    @staticmethod
    def _keys(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        namespace = _parent(ctx, resource)
        suffix = "" if resource.type.lower() == RULE.lower() else f";EntityPath={resource.id.split('/')[-3]}"
        answer: dict[str, Any] = {"keyName": resource.name}
        for name, key in zip(("primary", "secondary"), resource.internal["keys"], strict=True):
            answer[f"{name}Key"] = key
            answer[f"{name}ConnectionString"] = (
                f"Endpoint=sb://{namespace.name.lower()}.servicebus.windows.net/;SharedAccessKeyName={resource.name};"
                f"SharedAccessKey={key}{suffix}"
            )
        return answer

    def _regenerate(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        which = shapes.choice(body.get("keyType"), ("PrimaryKey", "SecondaryKey"), "keyType")
        resource.internal["keys"][which == "SecondaryKey"] = body.get("key") or shapes.access_key(32)
        ctx.store.put(resource)
        return self._keys(ctx, resource, body, request)


class _Entity(ResourceType):
    """What queues, topics and subscriptions share."""

    tracked = False
    name_pattern = _ENTITY
    fixed_paths: tuple[str, ...] = ()
    preset: dict[str, Any] = {}

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        namespace = _parent(ctx, new)
        properties = new.properties
        premium = namespace.body["sku"]["name"] == "Premium"
        sizes = {"maxSizeInMegabytes": 81920, "maxMessageSizeInKilobytes": 1024}
        if not premium:
            sizes = {"maxSizeInMegabytes": 1024, "maxMessageSizeInKilobytes": 256}
        for name, size in sizes.items():
            if name in self.preset and not properties.get(name):
                properties[name] = size  # clients send 0 for 'whatever the SKU has'
        shapes.defaults(properties, self.preset)
        shapes.fixed(new, old, *self.fixed_paths)
        for name in ("defaultMessageTimeToLive", "autoDeleteOnIdle", "duplicateDetectionHistoryTimeWindow"):
            if properties.get(name):
                shapes.seconds(properties[name], name, "BadRequest")
        if (
            properties.get("autoDeleteOnIdle")
            and shapes.seconds(properties["autoDeleteOnIdle"], "autoDeleteOnIdle") < 300
        ):
            raise bad_request("BadRequest", "autoDeleteOnIdle must be at least 5 minutes.")
        if properties.get("lockDuration"):
            duration = shapes.seconds(properties["lockDuration"], "lockDuration", "BadRequest")
            if not 0 < duration <= 300:
                raise bad_request("BadRequest", f"The lock duration {properties['lockDuration']} is over PT5M.")
        if "maxDeliveryCount" in properties:
            shapes.between(properties["maxDeliveryCount"], 1, 2147483647, "maxDeliveryCount", "BadRequest")
        if properties.get("maxSizeInMegabytes") == 0:  # 0 asks for the default: azurerm sends it where nothing is set
            properties["maxSizeInMegabytes"] = self.preset["maxSizeInMegabytes"]
        if properties.get("maxSizeInMegabytes") is not None and properties["maxSizeInMegabytes"] not in _SIZES:
            raise bad_request("BadRequest", f"maxSizeInMegabytes must be one of {_SIZES}.")
        self._sku_rules(new, namespace)
        for name in ("forwardTo", "forwardDeadLetteredMessagesTo"):
            target = properties.get(name)
            if target and not any(ctx.store.get(f"{namespace.id}/{kind}/{target}") for kind in ("queues", "topics")):
                raise bad_request("BadRequest", f"The entity '{target}' of '{name}' does not exist.")
        shapes.computed(new, old, createdAt=shapes.now)
        properties |= {"updatedAt": shapes.now(), "accessedAt": "0001-01-01T00:00:00Z"}
        properties.setdefault("status", "Active")

    @staticmethod
    def _sku_rules(new: Resource, namespace: Resource) -> None:
        premium = namespace.body["sku"]["name"] == "Premium"
        if premium and new.properties.get("enableExpress"):
            raise bad_request("BadRequest", "Express entities are not supported in Premium namespaces.")
        if (
            premium
            and namespace.properties.get("premiumMessagingPartitions", 1) > 1
            and "enablePartitioning" in new.properties
        ):
            new.properties["enablePartitioning"] = True
        if (
            premium
            and namespace.properties.get("premiumMessagingPartitions", 1) == 1
            and new.properties.get("enablePartitioning")
        ):
            raise bad_request("BadRequest", "Partitioned entities need a Premium namespace made with partitions.")
        size = new.properties.get("maxMessageSizeInKilobytes")
        if size is not None and not premium and size > 256:
            raise bad_request("BadRequest", "maxMessageSizeInKilobytes over 256 needs the Premium SKU.")
        if premium and "maxMessageSizeInKilobytes" in new.properties:
            shapes.between(size, 1024, 102400, "maxMessageSizeInKilobytes", "BadRequest")


def _counts(active: int) -> dict[str, int]:
    return {
        "activeMessageCount": active,
        "deadLetterMessageCount": 0,
        "scheduledMessageCount": 0,
        "transferDeadLetterMessageCount": 0,
        "transferMessageCount": 0,
    }


class Queue(_Entity):
    type = QUEUE
    status = "servicebus/2024-01-01/queues"
    fixed_paths = ("requiresSession", "requiresDuplicateDetection", "enablePartitioning")
    preset = {
        "lockDuration": "PT1M",
        "maxSizeInMegabytes": 1024,
        "maxMessageSizeInKilobytes": 1024,
        "requiresDuplicateDetection": False,
        "requiresSession": False,
        "defaultMessageTimeToLive": _NEVER,
        "deadLetteringOnMessageExpiration": False,
        "enableBatchedOperations": True,
        "duplicateDetectionHistoryTimeWindow": "PT10M",
        "maxDeliveryCount": 10,
        "autoDeleteOnIdle": _NEVER,
        "enablePartitioning": False,
        "enableExpress": False,
    }

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        waiting = len(ctx.store.table("servicebus-messages").get(resource.id.lower(), []))
        shown = super().render(ctx, resource)
        extra = {"messageCount": waiting, "sizeInBytes": 0, "countDetails": _counts(waiting)}
        shown["properties"] = {**resource.properties, **extra}
        return shown

    def removed(self, ctx: Any, resource: Resource) -> None:
        ctx.store.table("servicebus-messages").pop(resource.id.lower(), None)


class Topic(_Entity):
    type = TOPIC
    status = "servicebus/2024-01-01/topics"
    fixed_paths = ("requiresDuplicateDetection", "enablePartitioning")
    preset = {
        "maxSizeInMegabytes": 1024,
        "maxMessageSizeInKilobytes": 1024,
        "requiresDuplicateDetection": False,
        "defaultMessageTimeToLive": _NEVER,
        "enableBatchedOperations": True,
        "duplicateDetectionHistoryTimeWindow": "PT10M",
        "autoDeleteOnIdle": _NEVER,
        "enablePartitioning": False,
        "enableExpress": False,
        "supportOrdering": False,
    }

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        subscriptions = len(ctx.store.list(type=SUBSCRIPTION, prefix=resource.id))
        shown = super().render(ctx, resource)
        extra = {"subscriptionCount": subscriptions, "sizeInBytes": 0, "countDetails": _counts(0)}
        shown["properties"] = {**resource.properties, **extra}
        return shown


class Subscription(_Entity):
    type = SUBSCRIPTION
    status = "servicebus/2024-01-01/subscriptions"
    name_pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,48}[A-Za-z0-9])?(\$[A-Za-z0-9$-]+)?$"
    fixed_paths = ("requiresSession",)
    preset = {
        "lockDuration": "PT1M",
        "requiresSession": False,
        "defaultMessageTimeToLive": _NEVER,
        "deadLetteringOnMessageExpiration": False,
        "deadLetteringOnFilterEvaluationExceptions": True,
        "enableBatchedOperations": True,
        "maxDeliveryCount": 10,
        "autoDeleteOnIdle": _NEVER,
        "isClientAffine": False,
    }

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        super().prepare(ctx, new, old)
        if not new.properties.get("isClientAffine"):  # shown for client-affine subscriptions only
            new.properties.pop("clientAffineProperties", None)
        if old is None:
            ctx.store.put(new)
            rule = Resource(f"{new.id}/rules/$Default", "$Default", f"{SUBSCRIPTION}/rules")
            rule.properties = {
                "action": {},
                "filterType": "SqlFilter",
                "sqlFilter": {"sqlExpression": "1=1", "compatibilityLevel": 20},
            }
            ctx.store.put(rule)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        waiting = len(ctx.store.table("servicebus-messages").get(resource.id.lower(), []))
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "messageCount": waiting, "countDetails": _counts(waiting)}
        return shown

    def removed(self, ctx: Any, resource: Resource) -> None:
        ctx.store.table("servicebus-messages").pop(resource.id.lower(), None)


class SubscriptionRule(ResourceType):
    type = f"{SUBSCRIPTION}/rules"
    status = "servicebus/2024-01-01/rules"
    tracked = False
    name_pattern = r"^[A-Za-z0-9$][A-Za-z0-9._$-]{0,49}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        kind = shapes.choice(new.properties.get("filterType"), ("SqlFilter", "CorrelationFilter"), "filterType")
        if kind == "SqlFilter" and not shapes.dig(new.properties, "sqlFilter.sqlExpression"):
            raise bad_request("BadRequest", f"The SQL filter of rule '{new.name}' has no expression.")
        shapes.defaults(new.properties, {"action": {}})


def _name_free(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """POST .../Microsoft.ServiceBus/CheckNameAvailability."""
    ctx.rbac.require(request, "Microsoft.ServiceBus/checkNameAvailability/action", match["scope"])
    name = str(request.json().get("name"))
    if not re.fullmatch(Namespace.name_pattern, name):
        return Response.json(
            200, {"nameAvailable": False, "reason": "InvalidName", "message": f"'{name}' is not valid."}
        )
    taken = any(item.name.lower() == name.lower() for item in ctx.store.list(type=NAMESPACE))
    if taken:
        message = f"The specified service namespace '{name}' is not available."
        return Response.json(200, {"nameAvailable": False, "reason": "NameInUse", "message": message})
    return Response.json(200, {"nameAvailable": True, "reason": "None", "message": ""})


# Data plane ----------------------------------------------------------------------------------------------------------

_AUDIENCES = ["https://servicebus.azure.net", "https://eventhubs.azure.net"]
_MESSAGES = re.compile(r"/(?P<entity>.+?)(/subscriptions/(?P<subscription>[^/]+))?/messages(?P<head>/head)?/?", re.I)


def _data(ctx: Any, request: Request) -> Response:
    """*.servicebus.windows.net: send to a queue or topic, receive from a queue or subscription (REST)."""
    name = request.host.split(".")[0]
    namespace = next((item for item in ctx.store.list(type=NAMESPACE) if item.name.lower() == name), None)
    if namespace is None:
        raise AzureError(403, "NamespaceNotFound", f"There is no namespace '{name}': its host name does not exist.")
    rules = ctx.store.get(f"{namespace.id}/networkRuleSets/default")
    guarded = namespace.copy()
    guarded.properties["networkRuleSet"] = rules.properties if rules else {}
    ctx.network.check(ctx, request, guarded)
    found = _MESSAGES.fullmatch(request.path)
    if found is None:
        raise AzureError(
            501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {request.path}."
        )
    queue = ctx.store.get(f"{namespace.id}/queues/{found['entity']}")
    topic = ctx.store.get(f"{namespace.id}/topics/{found['entity']}")
    sending = request.method == "POST" and not found["head"]
    receiving = request.method == "DELETE" and bool(found["head"])
    if not (sending or receiving):
        raise AzureError(
            501, "NotImplementedInSandbox", f"The sandbox does not answer {request.method} {request.path}."
        )
    subscription = None
    if topic is not None and found["subscription"]:
        subscription = ctx.store.get(f"{topic.id}/subscriptions/{found['subscription']}")
    target = (queue or topic) if sending else (queue or subscription)
    _authorize(ctx, request, namespace, target or namespace, "Send" if sending else "Listen")
    if target is None:
        raise AzureError(404, "EntityNotFound", f"The messaging entity '{found['entity']}' could not be found.")
    if target.properties["status"] not in {"Active", "SendDisabled" if receiving else "ReceiveDisabled"}:
        raise AzureError(403, "EntityDisabled", f"The messaging entity '{target.name}' is disabled.")
    return _send(ctx, target, request) if sending else _receive(ctx, target)


def _send(ctx: Any, target: Resource, request: Request) -> Response:
    limit = target.properties["maxMessageSizeInKilobytes"] * 1024
    if len(request.body) > limit:
        raise AzureError(
            413, "MessageSizeExceeded", f"The message has {len(request.body)} bytes; the limit is {limit}."
        )
    message = {
        "id": shapes.guid(),
        "body": base64.b64encode(request.body).decode(),
        "type": request.headers.get("content-type", "application/octet-stream"),
        "broker": request.headers.get("brokerproperties", "{}"),
        "time": shapes.now(),
    }
    is_topic = target.type.lower() == TOPIC.lower()
    places = ctx.store.list(type=SUBSCRIPTION, prefix=target.id) if is_topic else [target]
    with ctx.store.lock:
        table = ctx.store.table("servicebus-messages")
        for place in places:
            table[place.id.lower()] = [*table.get(place.id.lower(), []), message]
    return Response.empty(201)


def _receive(ctx: Any, target: Resource) -> Response:
    with ctx.store.lock:
        table = ctx.store.table("servicebus-messages")
        waiting = table.get(target.id.lower(), [])
        if not waiting:
            return Response.empty(204)
        message, table[target.id.lower()] = waiting[0], waiting[1:]
    broker = {"MessageId": message["id"], "EnqueuedTimeUtc": message["time"], "DeliveryCount": 1}
    broker |= json.loads(message["broker"])
    headers = {"Content-Type": message["type"], "BrokerProperties": json.dumps(broker)}
    return Response(200, headers, base64.b64decode(message["body"]))


def _authorize(ctx: Any, request: Request, namespace: Resource, target: Resource, right: str) -> None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "sharedaccesssignature":
        if namespace.properties["disableLocalAuth"]:
            message = f"Unauthorized access. Local (SAS) authentication is disabled for namespace '{namespace.name}'."
            raise AzureError(401, "LocalAuthDisabled", message)
        _check_signature(ctx, namespace, target, credential, right)
        return
    if scheme.lower() != "bearer":
        raise AzureError(401, "MissingToken", "MissingToken: the authorization header was not found.")
    claims = ctx.tokens.verify(credential.strip(), _AUDIENCES)
    request.principal = Principal(claims["oid"], claims["tid"], claims.get("appid"), claims)
    action = "Microsoft.ServiceBus/namespaces/messages/" + ("send" if right == "Send" else "receive") + "/action"
    if not ctx.rbac.allowed(claims["oid"], action, target.id, data=True):
        message = f"Unauthorized access. '{right}' claim(s) are required to perform this operation."
        raise AzureError(401, "Unauthorized", message)


def _check_signature(ctx: Any, namespace: Resource, target: Resource, credential: str, right: str) -> None:
    parts = dict(parse_qsl(credential))
    scope = unquote(parts.get("sr", ""))
    rules = [f"{holder.id}/authorizationRules/{parts.get('skn')}" for holder in (target, namespace)]
    rule = next((found for item in rules if (found := ctx.store.get(item))), None)
    if rule is None or not parts.get("se", "").isdigit() or int(parts["se"]) < time.time():
        raise AzureError(401, "InvalidSignature", "InvalidSignature: the token has an unknown key name or has expired.")
    text = f"{quote_plus(scope)}\n{parts['se']}".encode()
    raw = next((piece.removeprefix("sr=") for piece in credential.split("&") if piece.startswith("sr=")), "")
    for key in rule.internal["keys"]:
        for signed in (text, f"{raw}\n{parts['se']}".encode()):
            digest = base64.b64encode(hmac.new(key.encode(), signed, hashlib.sha256).digest()).decode()
            if hmac.compare_digest(digest, parts.get("sig", "")):
                if right in rule.properties["rights"]:
                    return
                raise AzureError(401, "Unauthorized", f"Unauthorized access. '{right}' claim is required.")
    raise AzureError(401, "InvalidSignature", "InvalidSignature: the token has an invalid signature.")


class ServiceBusService(Service):
    """Control plane of Service Bus, and its messages over HTTPS."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            Namespace(),
            NetworkRuleSet(),
            AuthorizationRule(RULE, "servicebus/2024-01-01/namespacesauthorizationrule"),
            AuthorizationRule(f"{QUEUE}/authorizationRules", "servicebus/2024-01-01/queuesauthorizationrule"),
            AuthorizationRule(f"{TOPIC}/authorizationRules", "servicebus/2024-01-01/topicsauthorizationrule"),
            Queue(),
            Topic(),
            Subscription(),
            SubscriptionRule(),
        ]
        subscription = r"(?P<scope>/subscriptions/[^/]+)/providers/Microsoft\.ServiceBus"
        self.arm_routes = [("POST", rf"{subscription}/CheckNameAvailability", _name_free)]
        self.hosts = [(r"[a-z][a-z0-9-]{4,48}[a-z0-9]\.servicebus\.windows\.net", _data)]
