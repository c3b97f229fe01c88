from __future__ import annotations

import copy
import datetime
import threading

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _verify
from ansible_collections.aksops.platform.plugins.module_utils import _verify_azure as azure
from ansible_collections.aksops.platform.plugins.module_utils import _verify_kubernetes as kubernetes
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

GROUP = "/subscriptions/s/resourceGroups/rg-shop"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
PROVISIONED = {"provisioningState": "Succeeded"}
PRIVATE = {"publicNetworkAccess": "Disabled", **PROVISIONED}
AKS = "Microsoft.ContainerService/managedClusters"
POSTGRESQL = "Microsoft.DBforPostgreSQL/flexibleServers"
VAULT = "Microsoft.KeyVault/vaults"
STORAGE = "Microsoft.Storage/storageAccounts"
BUS = "Microsoft.ServiceBus/namespaces"
REDIS = "Microsoft.Cache/redisEnterprise"
REGISTRY = "Microsoft.ContainerRegistry/registries"
INSIGHTS = "Microsoft.Insights/components"
LOGS = "Microsoft.OperationalInsights/workspaces"
GATEWAY = "Microsoft.Network/applicationGateways"

PROPERTIES = {
    AKS: {
        **PROVISIONED,
        "powerState": {"code": "Running"},
        "disableLocalAccounts": True,
        "aadProfile": {"managed": True, "enableAzureRBAC": True},
        "oidcIssuerProfile": {"enabled": True},
        "securityProfile": {"workloadIdentity": {"enabled": True}},
        "kubernetesVersion": "1.36",
        "currentKubernetesVersion": "1.36.3",
        "fqdn": "aks.azmk8s.io",
        "agentPoolProfiles": [
            {"name": "system", "count": 3, "vmSize": "Standard_D4ds_v5", **PROVISIONED, "orchestratorVersion": "1.36.3"}
        ],
        "addonProfiles": {"azurepolicy": {"enabled": True}, "httpApplicationRouting": {"enabled": False}},
    },
    POSTGRESQL: {
        "state": "Ready",
        "version": "18",
        "authConfig": {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled"},
        "network": {"publicNetworkAccess": "Disabled"},
        "highAvailability": {"mode": "ZoneRedundant", "state": "Healthy"},
        "fullyQualifiedDomainName": "psql.postgres.database.azure.com",
    },
    VAULT: {
        **PRIVATE,
        "enableRbacAuthorization": True,
        "enableSoftDelete": True,
        "enablePurgeProtection": True,
        "vaultUri": "https://kv.vault.azure.net/",
    },
    STORAGE: {
        **PRIVATE,
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "supportsHttpsTrafficOnly": True,
    },
    BUS: {**PRIVATE, "disableLocalAuth": True},
    REDIS: PRIVATE,
    REGISTRY: {**PRIVATE, "adminUserEnabled": False},
    INSIGHTS: {**PROVISIONED, "DisableLocalAuth": True},
    LOGS: {**PROVISIONED, "features": {"disableLocalAuth": True}},
    GATEWAY: {
        **PROVISIONED,
        "operationalState": "Running",
        "sku": {"tier": "WAF_v2"},
        "firewallPolicy": {"id": f"{NETWORK}/policies/waf"},
    },
}
DNS = {
    VAULT: ("shop.vault.azure.net", "privatelink.vaultcore.azure.net"),
    STORAGE: ("shop.blob.core.windows.net", "privatelink.blob.core.windows.net"),
}


def rid(kind, name="shop"):
    return f"{GROUP}/providers/{kind}/{name}"


class World:
    """A platform as it must be; tests spoil one thing of it."""

    def __init__(self):
        self.bodies = {kind: self.body(kind, PROPERTIES[kind]) for kind in PROPERTIES}
        self.extra, self.records, self.diagnostics = [], {}, {}
        self.children = {
            rid(REDIS): {"properties": {"accessKeysAuthentication": "Disabled", "clientProtocol": "Encrypted"}}
        }
        self.backends = {rid(GATEWAY): {"backendAddressPools": []}}
        for number, kind in enumerate(azure.PRIVATE):
            if kind in PROPERTIES:
                self.endpoint(kind, f"10.0.0.{number + 4}")
        for kind in azure.DIAGNOSED:
            if kind in PROPERTIES:
                target = azure.diagnosed_id(self.bodies[kind]).lower()
                logs = [{"enabled": True, "categoryGroup": "allLogs"}]
                self.diagnostics[target] = [
                    {"name": "platform", "properties": {"workspaceId": rid(LOGS), "logs": logs}}
                ]

    @staticmethod
    def body(kind, properties, name="shop"):
        return {"id": rid(kind, name), "name": name, "type": kind, "properties": copy.deepcopy(properties)}

    def endpoint(self, kind, address):
        fqdn, zone = DNS.get(kind, ("", ""))
        connection = {
            "privateLinkServiceId": rid(kind).upper(),
            "privateLinkServiceConnectionState": {"status": "Approved"},
        }
        properties = {**PROVISIONED, "privateLinkServiceConnections": [{"properties": connection}]}
        if fqdn:
            properties["customDnsConfigs"] = [{"fqdn": fqdn, "ipAddresses": [address]}]
            self.extra.append(self.body("Microsoft.Network/privateDnsZones", PROVISIONED, zone))
            record = {"name": fqdn.split(".")[0], "properties": {"aRecords": [{"ipv4Address": address}]}}
            self.records[rid("Microsoft.Network/privateDnsZones", zone).lower()] = [record]
        self.extra.append(self.body("Microsoft.Network/privateEndpoints", properties, f"pe-{kind.rsplit('/', 1)[-1]}"))

    def platform(self):
        return azure.Platform(
            {"name": "rg-shop", "location": "westeurope"},
            {body["id"].lower(): body for body in [*self.bodies.values(), *self.extra]},
            {key.lower(): value for key, value in self.children.items()},
            self.records,
            self.diagnostics,
            {key.lower(): value for key, value in self.backends.items()},
        )

    def wrong(self, access="inside"):
        found = azure.checks(self.platform(), access)
        return [(item.name, item.status) for item in found if item.status != "pass"]

    def set(self, kind, path, value):
        node = self.bodies[kind]["properties"]
        *way, last = path.split(".")
        for key in way:
            node = node.setdefault(key, {})
        node[last] = value
        return self


def test_a_platform_as_it_must_be_passes_every_check():
    found = azure.checks(World().platform(), "inside")
    assert [item for item in found if item.status != "pass"] == []
    assert len(found) > 50


@pytest.mark.parametrize(
    ("kind", "path", "value", "expected"),
    [
        (AKS, "powerState.code", "Stopped", ("running", "fail")),
        (AKS, "disableLocalAccounts", False, ("local accounts off", "fail")),
        (AKS, "aadProfile.enableAzureRBAC", None, ("Azure RBAC", "fail")),
        (AKS, "oidcIssuerProfile.enabled", False, ("OIDC issuer", "fail")),
        (AKS, "securityProfile.workloadIdentity", None, ("workload identity", "fail")),
        (AKS, "provisioningState", "Failed", ("provisioned", "fail")),
        (AKS, "provisioningState", "Updating", ("provisioned", "warn")),
        (AKS, "addonProfiles", {}, ("add-ons", "warn")),
        (AKS, "agentPoolProfiles", [{"name": "a", "provisioningState": "Failed"}], ("node pool", "fail")),
        (
            AKS,
            "agentPoolProfiles",
            [{"name": "a", "provisioningState": "Succeeded", "orchestratorVersion": "1.35.1"}],
            ("version", "warn"),
        ),
        (POSTGRESQL, "state", "Stopped", ("running", "fail")),
        (POSTGRESQL, "authConfig.activeDirectoryAuth", "Disabled", ("Entra sign-in", "fail")),
        (POSTGRESQL, "authConfig.passwordAuth", "Enabled", ("passwords off", "warn")),
        (POSTGRESQL, "highAvailability.state", "ReplicatingData", ("standby", "warn")),
        (POSTGRESQL, "network.publicNetworkAccess", "Enabled", ("public access off", "fail")),
        (VAULT, "enableRbacAuthorization", False, ("permissions by role", "fail")),
        (VAULT, "enableSoftDelete", None, ("soft delete", "fail")),
        (VAULT, "enablePurgeProtection", None, ("purge protection", "warn")),
        (VAULT, "publicNetworkAccess", "Enabled", ("public access off", "fail")),
        (VAULT, "publicNetworkAccess", None, ("public access off", "fail")),
        (STORAGE, "allowSharedKeyAccess", None, ("keys off", "fail")),
        (STORAGE, "allowBlobPublicAccess", True, ("no public blobs", "fail")),
        (STORAGE, "supportsHttpsTrafficOnly", False, ("HTTPS only", "fail")),
        (BUS, "disableLocalAuth", False, ("keys off", "fail")),
        (REGISTRY, "adminUserEnabled", True, ("admin user off", "fail")),
        (INSIGHTS, "DisableLocalAuth", False, ("keys off", "fail")),
        (LOGS, "features", {}, ("keys off", "fail")),
        (GATEWAY, "operationalState", "Stopped", ("running", "fail")),
        (GATEWAY, "sku.tier", "Standard_v2", ("web application firewall", "fail")),
        (GATEWAY, "firewallPolicy", None, ("firewall policy", "fail")),
    ],
)
def test_one_spoiled_property_is_one_finding(kind, path, value, expected):
    assert World().set(kind, path, value).wrong() == [expected]


def test_evidence_says_what_is_and_what_must_be():
    found = azure.checks(World().set(STORAGE, "allowSharedKeyAccess", True).platform(), "inside")
    evidence = next(item.evidence for item in found if item.status == "fail")
    assert evidence.startswith("allowSharedKeyAccess is true, must be false: run playbooks/infrastructure.yml")


def test_keys_for_a_collector_are_a_warning_and_other_keys_are_not():
    world = World().set(INSIGHTS, "DisableLocalAuth", False).set(STORAGE, "allowSharedKeyAccess", True)
    found = azure.checks(world.platform(), "inside", telemetry_keys=True)
    status = [item.status for item in found if item.name == "keys off" and item.status != "pass"]
    assert sorted(status) == ["fail", "warn"]
    assert world.wrong().count(("keys off", "fail")) == 2


@pytest.mark.parametrize("kind", [kind for _words, kinds in azure.NEEDED for kind in kinds if kind in PROPERTIES])
def test_a_missing_service_is_named(kind):
    world = World()
    del world.bodies[kind]
    assert ("exists", "fail") in world.wrong()


def test_redis_keys_and_a_missing_database():
    world = World()
    world.children[rid(REDIS)]["properties"]["accessKeysAuthentication"] = "Enabled"
    assert world.wrong() == [("keys off", "fail")]
    world.children[rid(REDIS)] = None
    assert world.wrong() == [("database", "fail")]


def test_an_endpoint_that_waits_for_approval_or_is_missing():
    world = World()
    body = next(item for item in world.extra if item["name"] == "pe-namespaces")
    connection = body["properties"]["privateLinkServiceConnections"][0]["properties"]
    connection["privateLinkServiceConnectionState"]["status"] = "Pending"
    assert world.wrong() == [("private endpoint", "fail")]
    world.extra.remove(body)
    assert world.wrong() == [("private endpoint", "fail")]


def test_a_dns_record_that_is_missing_or_leads_elsewhere():
    world = World()
    zone = rid("Microsoft.Network/privateDnsZones", "privatelink.vaultcore.azure.net").lower()
    world.records[zone][0]["properties"]["aRecords"] = [{"ipv4Address": "10.9.9.9"}]
    assert world.wrong() == [("DNS record", "fail")]
    world.records[zone] = []
    assert world.wrong() == [("DNS record", "fail")]


def test_zones_of_a_hub_are_not_judged():
    world = World()
    world.extra = [item for item in world.extra if "privateDnsZones" not in item["type"]]
    assert world.wrong() == []


@pytest.mark.parametrize("kind", [kind for kind in azure.DIAGNOSED if kind in PROPERTIES])
def test_missing_diagnostics_are_named(kind):
    world = World()
    world.diagnostics.pop(azure.diagnosed_id(world.bodies[kind]).lower())
    assert world.wrong() == [("diagnostics", "fail")]


def test_a_diagnostic_setting_that_sends_nothing_does_not_count():
    world = World()
    for settings in world.diagnostics.values():
        settings[0]["properties"]["logs"][0]["enabled"] = False
    assert {name for name, _ in world.wrong()} == {"diagnostics"}


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({"defaultAction": "Deny", "ipRules": []}, None),
        ({"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]}, "warn"),
        ({"defaultAction": "Allow"}, "warn"),
    ],
)
def test_with_an_allowlist_nothing_may_stay_open(rules, status):
    world = World().set(VAULT, "publicNetworkAccess", "Enabled").set(VAULT, "networkAcls", rules)
    assert world.wrong("allowlist") == ([("public access", status)] if status else [])
    assert world.wrong("inside") == [("public access off", "fail")]


def test_a_server_in_a_subnet_needs_no_endpoint():
    world = World().set(POSTGRESQL, "network.delegatedSubnetResourceId", f"{NETWORK}/virtualNetworks/v/subnets/p")
    world.extra = [item for item in world.extra if item["name"] != "pe-flexibleServers"]
    assert world.wrong() == []


def test_backends_unhealthy_or_unknown():
    world = World()
    server = {"address": "10.1.1.1", "health": "Unhealthy", "healthProbeLog": "502"}
    world.backends[rid(GATEWAY)] = {"backendAddressPools": [{"backendHttpSettingsCollection": [{"servers": [server]}]}]}
    assert world.wrong() == [("backends", "fail")]
    server["health"] = "Healthy"
    assert world.wrong() == []
    world.backends[rid(GATEWAY)] = "HTTP 403"
    assert world.wrong() == [("backends", "warn")]


def test_dig_looks_at_keys_without_regard_to_case():
    assert azure.dig({"Properties": {"disableLocalAuth": True}}, "properties.DisableLocalAuth") is True
    assert azure.dig({"a": 1}, "a.b") is None


# -- Kubernetes -------------------------------------------------------------------------------------------------------


def meta(name, namespace="shop", **more):
    return {"name": name, "namespace": namespace, "generation": 2, **more}


def deployment(name="web", namespace="shop", replicas=2, ready=2, updated=2, seen=2, kind="Deployment"):
    return {
        "metadata": meta(name, namespace),
        "spec": {"replicas": replicas},
        "status": {"readyReplicas": ready, "updatedReplicas": updated, "observedGeneration": seen},
    }


def daemonset(name, namespace="kube-system", desired=3, ready=3):
    status = {"desiredNumberScheduled": desired, "numberReady": ready, "updatedNumberScheduled": desired}
    return {"metadata": meta(name, namespace), "spec": {}, "status": {**status, "observedGeneration": 2}}


def node(name="n1", ready="True"):
    condition = {"type": "Ready", "status": ready, "message": "kubelet is posting"}
    return {
        "metadata": {"name": name},
        "status": {"conditions": [condition], "nodeInfo": {"kubeletVersion": "v1.36.3"}},
    }


def application(name="reference", sync="Synced", health="Healthy", **status):
    return {
        "metadata": meta(name, "argocd"),
        "status": {"sync": {"status": sync, "revision": "0123456789"}, "health": {"status": health}, **status},
    }


def pod(name="web-1", phase="Running", driver="secrets-store.csi.k8s.io"):
    return {"metadata": meta(name), "spec": {"volumes": [{"csi": {"driver": driver}}]}, "status": {"phase": phase}}


def mount(name="web-1", mounted=True):
    return {"metadata": meta(f"{name}-shop-x"), "status": {"podName": name, "mounted": mounted}}


def cluster(**changes):
    return {
        "nodes": [node()],
        "deployments": [deployment()],
        "daemonsets": [],
        "statefulsets": [],
        "applications": [application()],
        "pods": [pod(), pod("other", driver="disk.csi.azure.com"), pod("done", phase="Succeeded")],
        "mounts": [mount()],
        **changes,
    }


def inside(objects, *args):
    found = kubernetes.checks(objects, *args)
    return [(item.name, item.subject) for item in found if item.status == "fail"]


def test_a_cluster_as_it_must_be_passes():
    assert inside(cluster()) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nodes": []}, ("nodes", "cluster")),
        ({"nodes": [node(), node("n2", "Unknown")]}, ("nodes", "cluster")),
        ({"deployments": [deployment(ready=1)]}, ("deployment", "shop/web")),
        ({"deployments": [deployment(updated=1)]}, ("deployment", "shop/web")),
        ({"deployments": [deployment(seen=1)]}, ("deployment", "shop/web")),
        ({"daemonsets": [daemonset("ds", ready=2)]}, ("daemonset", "kube-system/ds")),
        ({"statefulsets": [deployment("db", ready=0)]}, ("statefulset", "shop/db")),
        ({"applications": [application(sync="OutOfSync")]}, ("application", "argocd/reference")),
        ({"applications": [application(health="Degraded")]}, ("application", "argocd/reference")),
        ({"mounts": []}, ("secrets mounted", "pods")),
        ({"mounts": None}, ("secrets mounted", "pods")),
        ({"mounts": [mount(mounted=False)]}, ("secrets mounted", "pods")),
    ],
)
def test_one_spoiled_object_is_one_finding(changes, expected):
    assert inside(cluster(**changes)) == [expected]


def test_a_deployment_scaled_to_nothing_is_ready():
    assert inside(cluster(deployments=[deployment(replicas=0, ready=0, updated=0)])) == []


def test_addons_that_arm_says_are_on_must_have_their_workloads():
    drivers = [daemonset("aks-secrets-store-csi-driver"), daemonset("aks-secrets-store-provider-azure")]
    addon = "azureKeyvaultSecretsProvider"
    assert inside(cluster(daemonsets=drivers), [addon]) == []
    assert inside(cluster(daemonsets=drivers[:1]), [addon]) == [("add-on", addon)]
    assert inside(cluster(), ["somethingNew"]) == []


def test_a_wanted_application_that_is_missing_and_the_reason_of_a_sick_one():
    assert inside(cluster(applications=None), [], ["argocd/reference"]) == [("application", "argocd/reference")]
    sick = application(health="Degraded", conditions=[{"message": "repository not found"}])
    found = [item for item in kubernetes.checks(cluster(applications=[sick])) if item.status == "fail"]
    assert "Synced, Degraded, revision 01234567: repository not found" in found[0].evidence


# -- asking -----------------------------------------------------------------------------------------------------------


class Arm:
    """Answers from a world."""

    def __init__(self, world):
        self.platform, self.asked = world.platform(), []

    def get(self, path, version):
        self.asked.append(("GET", path, version))
        if path == GROUP:
            return self.platform.group
        if path.endswith("/databases/default"):
            return self.platform.children[path.removesuffix("/databases/default").lower()]
        return self.platform.resources.get(path.lower())

    def list(self, path, version):
        self.asked.append(("GET", path, version))
        if path == f"{GROUP}/resources":
            others = [{"id": rid("Microsoft.Other/things"), "type": "Microsoft.Other/things", "name": "shop"}]
            return [
                {key: body[key] for key in ("id", "name", "type")} for body in self.platform.resources.values()
            ] + others
        if path.endswith("/diagnosticSettings"):
            return self.platform.diagnostics[path.split("/providers/Microsoft.Insights/diag")[0].lower()]
        return self.platform.records[path.removesuffix("/A").lower()]

    def post(self, path, version, body=None):
        assert path.endswith("/backendhealth")
        self.asked.append(("POST", path, version))
        return self.platform.backends[path.removesuffix("/backendhealth").lower()]


class Cluster:
    """An API server whose answers come in turn; the last one stays."""

    def __init__(self, *states):
        self.states, self.turn, self.seen, self.lock = list(states), 0, set(), threading.Lock()

    def call(self, path):
        key = next(key for key, value in kubernetes.LISTS.items() if value == path)
        with self.lock:
            # A list that is asked for again begins a new look; the lists of one look are asked side by side.
            if key in self.seen:
                self.turn, self.seen = self.turn + 1, set()
            self.seen.add(key)
            state = self.states[min(self.turn, len(self.states) - 1)]
        if isinstance(state, Exception):
            raise state
        if isinstance(state, int):
            return state, {}
        return (404, "no") if state[key] is None else (200, {"items": state[key]})


SETTINGS = _verify.Settings(GROUP, timeout=5, interval=0, today=datetime.date(2026, 11, 23))


def test_everything_is_asked_and_nothing_is_wrong():
    arm = Arm(World())
    result = _verify.run(SETTINGS, arm, Cluster(cluster(deployments=[deployment(), *ADDON])))
    assert [item for item in result.checks if item.status != "pass"] == []
    assert result.summary["endpoints"]["key_vault"] == "https://kv.vault.azure.net/"
    assert result.summary["versions"] == {"kubernetes": "1.36.3", "postgresql": "18"}
    text = _verify.text(result)
    assert text[0] == f"{len(result.checks)} of {len(result.checks)} checks passed"
    assert "Try next:" in text


ADDON = [
    deployment(name, namespace)
    for namespace, name in (
        ("kube-system", "azure-policy"),
        ("kube-system", "azure-policy-webhook"),
        ("gatekeeper-system", "gatekeeper-controller"),
        ("gatekeeper-system", "gatekeeper-audit"),
    )
]


def test_what_settles_in_time_is_waited_for():
    early = cluster(deployments=[deployment(ready=0), *ADDON])
    late = cluster(deployments=[deployment(), *ADDON])
    result = _verify.run(SETTINGS, Arm(World()), Cluster(early, AksPlatformError("not reached"), late))
    assert not [item for item in result.checks if item.status == "fail"]


@pytest.mark.parametrize("state", [AksPlatformError("the name does not resolve"), 403])
def test_a_cluster_that_cannot_be_asked_is_one_finding(state):
    result = _verify.run(SETTINGS._replace(timeout=0), Arm(World()), Cluster(state))
    bad = [item for item in result.checks if item.status == "fail"]
    assert [item.name for item in bad] == ["reached"]
    assert _verify.failure(result.checks).startswith("1 thing is wrong:\n- reached cluster: ")


def test_without_a_door_the_inside_is_left_out_with_a_warning():
    result = _verify.run(SETTINGS, Arm(World()))
    assert [(item.name, item.status) for item in result.checks if item.status != "pass"] == [("reached", "warn")]


def test_a_retired_resource_fails():
    world = World().set(AKS, "currentKubernetesVersion", "1.33.1").set(AKS, "kubernetesVersion", "1.33")
    world.set(AKS, "agentPoolProfiles", [])
    bad = [item for item in _verify.run(SETTINGS, Arm(world)).checks if item.status == "fail"]
    assert [item.name for item in bad] == ["retirement"]


def test_a_group_that_is_missing_is_said():
    arm = Arm(World())
    with pytest.raises(AksPlatformError, match="The resource group rg-else does not exist"):
        _verify.run(_verify.Settings("/subscriptions/s/resourceGroups/rg-else"), arm)
