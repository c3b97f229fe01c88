"""Application gateways and their web application firewall policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.resource_type import ResourceType, etag_of, stamp
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network import addressing, backend_health, gateway_certificates

GATEWAY = "Microsoft.Network/applicationGateways"
WAF_POLICY = "Microsoft.Network/applicationGatewayWebApplicationFirewallPolicies"

#: Collections inside a gateway; each entry gets an id, an ETag and a state.
COLLECTIONS = (
    "authenticationCertificates",
    "backendAddressPools",
    "backendHttpSettingsCollection",
    "backendSettingsCollection",
    "frontendIPConfigurations",
    "frontendPorts",
    "gatewayIPConfigurations",
    "httpListeners",
    "listeners",
    "loadDistributionPolicies",
    "privateLinkConfigurations",
    "probes",
    "redirectConfigurations",
    "requestRoutingRules",
    "rewriteRuleSets",
    "routingRules",
    "sslCertificates",
    "sslProfiles",
    "trustedClientCertificates",
    "trustedRootCertificates",
    "urlPathMaps",
)

#: What a gateway cannot do without.
_REQUIRED = (
    "gatewayIPConfigurations",
    "frontendIPConfigurations",
    "frontendPorts",
    "backendAddressPools",
    "backendHttpSettingsCollection",
    "httpListeners",
    "requestRoutingRules",
)

#: Certificates' private parts: taken in, never shown.
_SECRET_FIELDS = {"sslCertificates": ("data", "password")}

_RULE_SETS = {
    "OWASP": ("3.2", "3.1", "3.0"),
    "Microsoft_DefaultRuleSet": ("2.1", "2.2"),
    "Microsoft_BotManagerRuleSet": ("0.1", "1.0", "1.1"),
}


def _references(tree: Any) -> Iterator[str]:
    """Every id that an object refers to, at any depth."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == "id" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _references(item)


class ApplicationGateway(ResourceType):
    type = GATEWAY
    status = "network/2025-01-01/applicationgateways"
    name_pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?$"
    etag = True

    def __init__(self) -> None:
        super().__init__(actions={"start": self._start, "stop": self._stop, "backendhealth": self._health})

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        self._sku(new, old)
        for name in _REQUIRED:
            if not properties.get(name):
                message = f"Application gateway {new.id} must have at least one entry in '{name}'."
                raise bad_request("ApplicationGatewayMissingRequiredProperty", message)
        for name in ("privateEndpointConnections", "defaultPredefinedSslPolicy"):
            properties.pop(name, None)
        self._collections(new, old)
        self._subnet(ctx, new)
        self._frontends(ctx, new, old)
        self._rules(new)
        self._own_references(new)
        self._firewall(ctx, new)
        gateway_certificates.check(ctx, new)
        shapes.computed(new, old, resourceGuid=shapes.guid, operationalState="Running")
        properties["defaultPredefinedSslPolicy"] = "AppGwSslPolicy20220101"

    @staticmethod
    def _sku(new: Resource, old: Resource | None) -> None:
        sku = new.properties.get("sku") or {}
        if str(sku.get("name")) in {"Standard_Small", "Standard_Medium", "Standard_Large", "WAF_Medium", "WAF_Large"}:
            message = f"Application gateway SKU {sku['name']} (v1) was retired on 2026-04-28 and cannot be created."
            raise bad_request("ApplicationGatewayV1SkuRetired", message)
        sku["name"] = shapes.choice(sku.get("name"), ("Basic", "Standard_v2", "WAF_v2"), "sku.name")
        sku["tier"] = shapes.choice(sku.get("tier") or sku["name"], (sku["name"],), "sku.tier")
        sku.setdefault("family", "Generation_1")
        new.properties["sku"] = sku
        scale = new.properties.get("autoscaleConfiguration")
        if scale:
            shapes.between(scale.get("minCapacity"), 0, 125, "autoscaleConfiguration.minCapacity")
            shapes.between(scale.get("maxCapacity"), 2, 125, "autoscaleConfiguration.maxCapacity")
            if scale.get("maxCapacity") is not None and scale["maxCapacity"] < scale.get("minCapacity", 0):
                message = "The autoscale maximum capacity must not be below the minimum capacity."
                raise bad_request("ApplicationGatewayAutoscaleInvalid", message)
        elif sku.get("capacity") is None:
            message = f"Application gateway {new.id} must have either a fixed capacity or an autoscale configuration."
            raise bad_request("ApplicationGatewayCapacityOrAutoscaleRequired", message)
        else:
            shapes.between(sku["capacity"], 1, 125, "sku.capacity")
        if old is not None and sorted(old.body.get("zones") or []) != sorted(new.body.get("zones") or []):
            message = f"Resource {new.id} has an existing availability zone constraint that cannot be changed."
            raise bad_request("ResourceAvailabilityZonesCannotBeModified", message)

    @staticmethod
    def _collections(new: Resource, old: Resource | None) -> None:
        for name in COLLECTIONS:
            entries = new.properties.get(name)
            if entries is None:
                new.properties[name] = []
                continue
            names = [entry.get("name") for entry in entries]
            if len({str(item).lower() for item in names}) != len(names) or None in names:
                message = f"The names in '{name}' of application gateway {new.name} must be given and unique."
                raise bad_request("ApplicationGatewayDuplicateName", message)
            for entry in entries:
                entry["id"] = f"{new.id}/{name}/{entry['name']}"
                entry["type"] = f"{GATEWAY}/{name}"
                entry.setdefault("properties", {})["provisioningState"] = "Succeeded"
                for field in _SECRET_FIELDS.get(name, ()):
                    value = entry["properties"].pop(field, None)
                    if value is not None:
                        new.internal[f"{name}/{entry['name']}/{field}"] = value
        for entry in new.properties["sslCertificates"]:
            known = f"sslCertificates/{entry['name']}/data" in new.internal
            if not known and not entry["properties"].get("keyVaultSecretId"):
                message = f"SSL certificate {entry['name']} has neither 'data' nor 'keyVaultSecretId'."
                raise bad_request("ApplicationGatewaySslCertificateDataMustBeSpecified", message)
        for path_map in new.properties["urlPathMaps"]:
            for rule in path_map["properties"].get("pathRules") or []:
                rule["id"] = f"{path_map['id']}/pathRules/{rule['name']}"
                rule.setdefault("properties", {})["provisioningState"] = "Succeeded"

    @staticmethod
    def _subnet(ctx: Any, new: Resource) -> None:
        if len(new.properties["gatewayIPConfigurations"]) != 1:
            message = f"Application gateway {new.id} must have exactly one gateway IP configuration."
            raise bad_request("ApplicationGatewayMultipleSubnetsNotAllowed", message)
        subnet_id = shapes.dig(new.properties["gatewayIPConfigurations"][0], "properties.subnet.id")
        subnet = shapes.reference(ctx, subnet_id, new.id)
        foreign = [
            user
            for user in addressing.subnet_users(ctx, subnet.id)
            if f"/providers/{GATEWAY}/".lower() not in user.lower()
        ]
        delegations = [
            entry["properties"]["serviceName"]
            for entry in subnet.properties.get("delegations", [])
            if entry["properties"]["serviceName"] != "Microsoft.Network/applicationGateways"
        ]
        if foreign or delegations:
            holder = foreign[0] if foreign else f"the delegation to {delegations[0]}"
            message = (
                f"Subnet {subnet.id} cannot be used for application gateway {new.id} since subnet is not dedicated to "
                f"application gateways: it holds {holder}."
            )
            raise bad_request("ApplicationGatewaySubnetCannotHaveOtherResources", message)
        tables = shapes.dig(subnet.properties, "routeTable.id")
        for route in ctx.store.list(type="Microsoft.Network/routeTables/routes", prefix=tables) if tables else []:
            if route.properties.get("addressPrefix") == "0.0.0.0/0" and route.properties["nextHopType"] != "Internet":
                message = (
                    f"The default route of {tables} must go to the Internet in the subnet of an application gateway."
                )
                raise bad_request("ApplicationGatewaySubnetUserDefinedRouteNotAllowed", message)

    @staticmethod
    def _frontends(ctx: Any, new: Resource, old: Resource | None) -> None:
        before = {entry["name"]: entry for entry in old.properties["frontendIPConfigurations"]} if old else {}
        kinds = []
        for entry in new.properties["frontendIPConfigurations"]:
            properties = entry["properties"]
            public = shapes.dig(properties, "publicIPAddress.id")
            kinds.append("public" if public else "private")
            properties.setdefault("privateIPAllocationMethod", "Dynamic")
            if public:
                address = shapes.reference(ctx, public, new.id)
                if address.body["sku"]["name"] != "Standard":
                    message = f"Public IP {address.id} of application gateway {new.id} must be of the Standard SKU."
                    raise bad_request("ApplicationGatewayPublicIpAddressSkuMismatch", message)
                for other in ctx.store.list(type=GATEWAY):
                    if other.id.lower() != new.id.lower() and any(
                        shapes.same_id(shapes.dig(item, "properties.publicIPAddress.id"), address.id)
                        for item in other.properties["frontendIPConfigurations"]
                    ):
                        message = f"Resource {other.id} already references public IP {address.id}."
                        raise bad_request("PublicIPAddressInUse", message)
                continue
            subnet = shapes.reference(ctx, shapes.dig(properties, "subnet.id"), new.id)
            kept = shapes.dig(before.get(entry["name"]), "properties.privateIPAddress")
            wanted = properties.get("privateIPAddress")
            if not (kept and wanted in (None, kept)):
                properties["privateIPAddress"] = addressing.allocate(ctx, subnet, wanted)
            else:
                properties["privateIPAddress"] = kept
        if len(set(kinds)) != len(kinds):
            message = f"Application gateway {new.id} can have one public and one private frontend IP configuration."
            raise bad_request("ApplicationGatewayFrontendIpConfigurationsInvalid", message)

    @staticmethod
    def _rules(new: Resource) -> None:
        priorities: dict[int, str] = {}
        listeners: dict[str, str] = {}
        for rule in new.properties["requestRoutingRules"]:
            properties = rule["properties"]
            if properties.get("priority") is None:
                message = f"Priority of request routing rule {rule['id']} cannot be empty."
                raise bad_request("ApplicationGatewayRequestRoutingRulePriorityCannotBeEmpty", message)
            shapes.between(properties["priority"], 1, 20000, "priority")
            if properties["priority"] in priorities:
                message = f"Rules {priorities[properties['priority']]} and {rule['name']} have the same priority."
                raise bad_request("ApplicationGatewayRequestRoutingRuleDuplicatePriority", message)
            priorities[properties["priority"]] = rule["name"]
            listener = str(shapes.dig(properties, "httpListener.id", "")).lower()
            if listener in listeners:
                message = f"Rules {listeners[listener]} and {rule['name']} use the same listener."
                raise bad_request("ApplicationGatewayRequestRoutingRuleListenerConflict", message)
            listeners[listener] = rule["name"]
        for listener in new.properties["httpListeners"]:
            if listener["properties"].get("protocol") == "Https" and not listener["properties"].get("sslCertificate"):
                message = f"HTTPS listener {listener['name']} of {new.name} must have an SSL certificate."
                raise bad_request("ApplicationGatewayHttpsListenerMustReferenceSslCert", message)

    @staticmethod
    def _own_references(new: Resource) -> None:
        own = new.id.lower() + "/"
        known = {entry["id"].lower() for name in COLLECTIONS for entry in new.properties[name]}
        known |= {
            rule["id"].lower()
            for path_map in new.properties["urlPathMaps"]
            for rule in path_map["properties"].get("pathRules") or []
        }
        for target in _references(new.properties):
            if target.lower().startswith(own) and target.lower() not in known:
                message = f"Resource {target} referenced by resource {new.id} was not found."
                raise bad_request("InvalidResourceReference", message)

    @staticmethod
    def _firewall(ctx: Any, new: Resource) -> None:
        policy = shapes.dig(new.properties, "firewallPolicy.id")
        inline = new.properties.get("webApplicationFirewallConfiguration")
        if policy:
            new.properties["firewallPolicy"] = {"id": shapes.reference(ctx, policy, new.id).id}
        if new.properties["sku"]["name"] == "WAF_v2" and not policy and not inline:
            message = f"Application gateway {new.id} of SKU WAF_v2 has no firewall policy or firewall configuration."
            raise bad_request("ApplicationGatewayFirewallNotConfiguredForSelectedSku", message)
        if new.properties["sku"]["name"] != "WAF_v2" and (policy or (inline and inline.get("enabled"))):
            message = f"The firewall cannot be enabled for application gateway {new.id} with the selected SKU."
            raise bad_request("ApplicationGatewayFirewallCannotBeEnabledForSelectedSku", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        properties = shown["properties"] = dict(resource.properties)
        etag = etag_of(resource)
        for name in COLLECTIONS:
            properties[name] = [{**entry, "etag": etag} for entry in properties[name]]
        for name in ("frontendIPConfigurations", "frontendPorts"):
            singular = "frontendIPConfiguration" if name == "frontendIPConfigurations" else "frontendPort"
            properties[name] = [
                {**entry, "properties": {**entry["properties"], "httpListeners": users}}
                if (users := self._listeners(resource, singular, entry["id"]))
                else entry
                for entry in properties[name]
            ]
        return shown

    @staticmethod
    def _listeners(resource: Resource, field: str, entry_id: str) -> list[dict[str, str]]:
        return [
            {"id": listener["id"]}
            for listener in resource.properties["httpListeners"]
            if shapes.same_id(shapes.dig(listener, f"properties.{field}.id"), entry_id)
        ]

    def _start(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> Response:
        return self._switch(ctx, resource, "Running")

    def _stop(self, ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> Response:
        return self._switch(ctx, resource, "Stopped")

    @staticmethod
    def _health(ctx: Any, resource: Resource, body: dict[str, Any], request: Request) -> dict[str, Any]:
        return backend_health.health(ctx, resource)

    @staticmethod
    def _switch(ctx: Any, resource: Resource, state: str) -> Response:
        resource.properties["operationalState"] = state
        stamp(resource)
        ctx.store.put(resource)
        return Response.empty(200)


class FirewallPolicy(ResourceType):
    type = WAF_POLICY
    status = "network/2025-01-01/webapplicationfirewallpolicies"
    name_pattern = r"^[A-Za-z][A-Za-z0-9_.-]{0,127}$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        for name in ("applicationGateways", "httpListeners", "pathBasedRules", "resourceState"):
            properties.pop(name, None)
        managed = shapes.dig(properties, "managedRules.managedRuleSets", [])
        if not managed:
            message = f"Firewall policy {new.id} must have at least one managed rule set."
            raise bad_request("ApplicationGatewayFirewallPolicyMustHaveManagedRuleSet", message)
        for entry in managed:
            kind = shapes.choice(entry.get("ruleSetType"), _RULE_SETS, "ruleSetType")
            shapes.choice(entry.get("ruleSetVersion"), _RULE_SETS[kind], "ruleSetVersion")
        shapes.defaults(
            properties,
            {
                "customRules": [],
                "policySettings": {
                    "state": "Enabled",
                    "mode": "Detection",
                    "requestBodyCheck": True,
                    "maxRequestBodySizeInKb": 128,
                    "fileUploadLimitInMb": 100,
                    "requestBodyEnforcement": True,
                    "requestBodyInspectLimitInKB": 128,
                    "fileUploadEnforcement": True,
                    "jsChallengeCookieExpirationInMins": 30,
                },
            },
        )
        shapes.choice(properties["policySettings"]["mode"], ("Prevention", "Detection"), "policySettings.mode")
        priorities = [rule.get("priority") for rule in properties["customRules"]]
        if len(set(priorities)) != len(priorities):
            message = f"The custom rules of firewall policy {new.id} must have different priorities."
            raise bad_request("ApplicationGatewayFirewallPolicyDuplicatePriority", message)
        properties["resourceState"] = "Enabled"

    @staticmethod
    def _users(ctx: Any, resource: Resource) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        gateways, listeners = [], []
        for gateway in ctx.store.list(type=GATEWAY):
            if shapes.same_id(shapes.dig(gateway.properties, "firewallPolicy.id"), resource.id):
                gateways.append({"id": gateway.id})
            for listener in gateway.properties["httpListeners"]:
                if shapes.same_id(shapes.dig(listener, "properties.firewallPolicy.id"), resource.id):
                    listeners.append({"id": listener["id"]})
        return gateways, listeners

    def remove(self, ctx: Any, resource: Resource) -> None:
        gateways, listeners = self._users(ctx, resource)
        if gateways or listeners:
            message = f"Firewall policy {resource.id} is in use by {[*gateways, *listeners][0]['id']}."
            raise bad_request("ApplicationGatewayFirewallPolicyInUse", message)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        gateways, listeners = self._users(ctx, resource)
        extra = {
            name: users for name, users in (("applicationGateways", gateways), ("httpListeners", listeners)) if users
        }
        shown["properties"] = {**resource.properties, **extra}
        return shown
