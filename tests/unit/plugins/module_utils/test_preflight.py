from __future__ import annotations

import copy
import datetime
import threading
from collections import namedtuple
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _names, _preflight, _preflight_reach, _providers
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._permissions import allows

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
BASE = f"/subscriptions/{SUBSCRIPTION}"
INPUTS = {
    "subscription_id": SUBSCRIPTION,
    "tenant_id": TENANT,
    "environment": "production-weu",
    "name_prefix": "shop",
    "location": "westeurope",
    "operators": {"team": {"object_id": "33333333-3333-3333-3333-333333333333"}},
}
NAMES = _names.names(INPUTS)
GROUP = f"{BASE}/resourceGroups/{NAMES['resource_group']}"
REGION = "locations/westeurope"


def sku(name, cores, **more):
    capabilities = {"vCPUs": str(cores), "EphemeralOSDiskSupported": "True", "MaxResourceVolumeMB": "153600"}
    capabilities.update(more.pop("capabilities", {}))
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": "standardDDSv5Family",
        "locationInfo": [{"location": "westeurope", "zones": ["1", "2", "3"]}],
        "restrictions": [],
        "capabilities": [{"name": key, "value": value} for key, value in capabilities.items()],
        **more,
    }


def usage(name, limit, used=0):
    return {"name": {"value": name}, "limit": limit, "currentValue": used}


def azure():
    """Everything as it should be, by path."""
    return {
        BASE: {"displayName": "Shop", "subscriptionId": SUBSCRIPTION, "state": "Enabled", "tenantId": TENANT},
        f"{BASE}/providers": [{"namespace": name, "registrationState": "Registered"} for name in _providers.PROVIDERS],
        f"{BASE}/locations": [
            {"name": "westeurope", "availabilityZoneMappings": [{"logicalZone": zone} for zone in "123"]}
        ],
        f"{BASE}/providers/Microsoft.Authorization/permissions": [{"actions": ["*"], "notActions": []}],
        f"{BASE}/providers/Microsoft.Compute/{REGION}/usages": [
            usage("cores", 500),
            usage("standardDDSv5Family", 200),
        ],
        f"{BASE}/providers/Microsoft.Compute/skus": [sku("Standard_D4ds_v5", 4), sku("Standard_D8ds_v5", 8)],
        f"{BASE}/providers/Microsoft.ContainerService/{REGION}/kubernetesVersions": {
            "values": [
                {"version": "1.35", "capabilities": {"supportPlan": ["KubernetesOfficial"]}},
                {"version": "1.36", "capabilities": {"supportPlan": ["KubernetesOfficial"]}},
                {"version": "1.37", "isPreview": True, "capabilities": {"supportPlan": ["KubernetesOfficial"]}},
                {"version": "1.30", "capabilities": {"supportPlan": ["AKSLongTermSupport"]}},
            ]
        },
        f"{BASE}/providers/Microsoft.DBforPostgreSQL/{REGION}/capabilities": [
            {
                "supportedServerVersions": [{"name": "17"}, {"name": "18"}],
                "supportedServerEditions": [
                    {
                        "supportedServerSkus": [
                            {"name": "Standard_D4ds_v5", "supportedHaMode": ["SameZone", "ZoneRedundant"]},
                            {"name": "Standard_D2ds_v5", "supportedHaMode": []},
                        ]
                    }
                ],
                "geoBackupSupported": "Enabled",
            }
        ],
    }


class Arm:
    """ARM with fixed answers: a dict or list, an exception, or nothing. Every name is free unless it is in C(taken)."""

    def __init__(self, answers, taken=()):
        self.answers, self.taken, self.asked = answers, set(taken), []
        self.now = self.most = 0
        self.lock = threading.Lock()

    def _answer(self, method, path):
        path = path.split("?")[0]
        with self.lock:
            self.asked.append((method, path))
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            value = self.answers.get(path)
            if isinstance(value, Exception):
                raise value
            return copy.deepcopy(value)
        finally:
            with self.lock:
                self.now -= 1

    def get(self, path, version):
        return self._answer("GET", path)

    def list(self, path, version):
        return self._answer("GET", path) or []

    def post(self, path, version, body=None):
        self._answer("POST", path)
        assert path.lower().endswith("checknameavailability")
        free = body["name"] not in self.taken
        return {"nameAvailable": free, "reason": "AlreadyExists", "message": "It is in use."}


def refused(*_):
    raise AssertionError("no credential was expected")


def run(arm, credential=refused, **settings):
    inputs = settings.pop("inputs", {})
    given = _preflight.Settings(
        inputs={**INPUTS, **inputs}, today=datetime.date(2026, 11, 23), **{"prefix": "infrastructure_", **settings}
    )
    return _preflight.run(given, lambda: arm, credential)


def only(report):
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def test_a_good_subscription_has_no_problem_and_nothing_is_written():
    arm = Arm(azure())
    report = run(arm)
    assert report.problems == []
    assert report.warnings == []
    assert report.facts["kubernetes_versions"] == ["1.35", "1.36"]
    assert report.facts["exists"] is False
    assert {path.rsplit("/", 1)[-1].lower() for method, path in arm.asked if method == "POST"} == {
        "checknameavailability"
    }
    assert arm.most <= _preflight.WORKERS


def change(answers, path, value):
    return {**answers, path: value}


def at(tail):
    return f"{BASE}/{tail}"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (BASE, {**azure()[BASE], "state": "Disabled"}, "is Disabled: Azure refuses every write"),
        (BASE, {**azure()[BASE], "tenantId": "else"}, "belongs to the tenant else"),
        (at("providers"), azure()[at("providers")][1:], "has not registered Microsoft.AlertsManagement: "),
        (at("locations"), [{"name": "northeurope"}], "which this subscription does not have: known are northeurope"),
        (at("locations"), [{"name": "westeurope"}], "zones has 1, 2, 3, and westeurope offers this subscription none"),
        (at("providers/Microsoft.Authorization/permissions"), [], "has no role at"),
        (
            at("providers/Microsoft.Authorization/permissions"),
            [{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}],
            "may not do Microsoft.Authorization/roleAssignments/write",
        ),
        (
            at(f"providers/Microsoft.Compute/{REGION}/usages"),
            [usage("cores", 500), usage("standardDDSv5Family", 40, 10)],
            "leaves 30 of 40 vCPUs of standardDDSv5Family, and the node pools start with 36",
        ),
        (
            at("providers/Microsoft.Compute/skus"),
            [sku("Standard_D4ds_v5", 4)],
            "Standard_D8ds_v5, which westeurope does not",
        ),
        (
            at("providers/Microsoft.Compute/skus"),
            [
                sku("Standard_D4ds_v5", 4),
                sku(
                    "Standard_D8ds_v5",
                    8,
                    restrictions=[{"type": "Location", "reasonCode": "NotAvailableForSubscription"}],
                ),
            ],
            "may not use in westeurope (NotAvailableForSubscription)",
        ),
        (
            at("providers/Microsoft.Compute/skus"),
            [
                sku("Standard_D4ds_v5", 4),
                sku("Standard_D8ds_v5", 8, restrictions=[{"type": "Zone", "restrictionInfo": {"zones": ["3"]}}]),
            ],
            "is not to be had in zone 3",
        ),
        (
            at("providers/Microsoft.Compute/skus"),
            [sku("Standard_D4ds_v5", 4, capabilities={"MaxResourceVolumeMB": "65536"}), sku("Standard_D8ds_v5", 8)],
            "system_pool.vm_size is Standard_D4ds_v5, whose ephemeral disk holds 64 GiB",
        ),
        (
            at("providers/Microsoft.Compute/skus"),
            [
                sku("Standard_D4ds_v5", 4),
                sku("Standard_D8ds_v5", 8, capabilities={"EphemeralOSDiskSupported": "False"}),
            ],
            "has no ephemeral disk",
        ),
        (
            at(f"providers/Microsoft.DBforPostgreSQL/{REGION}/capabilities"),
            [{"supportedServerVersions": [{"name": "17"}]}],
            "postgresql.version is 18, which westeurope does not offer: choose 17",
        ),
        (
            at(f"providers/Microsoft.DBforPostgreSQL/{REGION}/capabilities"),
            [{"geoBackupSupported": "Disabled"}],
            "geo_redundant_backup is true, and westeurope has none",
        ),
        (
            at(f"providers/Microsoft.DBforPostgreSQL/{REGION}/resourceType/flexibleServers/usages"),
            [usage("cores", 100, 20), usage("standardDDSv5Family", 20, 16)],
            "The quota standardDDSv5Family of PostgreSQL in westeurope is 20 vCores, of which 16 are in use",
        ),
        (
            at("locations"),
            ArmError(status=503, code="Busy", message="later", method="GET", path="/x"),
            "A question of preflight was not answered: GET /x: Busy (HTTP 503): later",
        ),
    ],
)
def test_one_sentence_says_what_azure_refuses(path, value, words):
    assert words in only(run(Arm(change(azure(), path, value))))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            {"kubernetes": {"version": "1.37"}},
            "kubernetes.version is 1.37, a preview in westeurope: choose 1.35 or 1.36",
        ),
        ({"kubernetes": {"version": "1.38"}}, "which Azure does not offer in westeurope"),
        ({"kubernetes": {"version": "1.30"}}, "1.33 and older retired"),
        ({"postgresql": {"sku_name": "GP_Standard_D2ds_v5"}}, "GP_Standard_D2ds_v5 has none in westeurope"),
        ({"postgresql": {"sku_name": "GP_Standard_D99_v9"}}, "which westeurope does not offer"),
    ],
)
def test_versions_and_sizes_are_compared_with_the_offer(inputs, words):
    assert any(words in text for text in run(Arm(azure()), inputs=inputs).problems)


def test_quota_for_the_start_but_not_for_growth_is_a_warning():
    answers = change(azure(), at(f"providers/Microsoft.Compute/{REGION}/usages"), [usage("cores", 100)])
    report = run(Arm(answers))
    assert report.problems == []
    assert "cannot grow to their max_count (120)" in report.warnings[0]


@pytest.mark.parametrize("key", ["key_vault", "storage", "registry", "service_bus", "postgresql"])
def test_a_name_that_somebody_else_has(key):
    assert f"The name {NAMES[key]} is not free" in only(run(Arm(azure(), taken=[NAMES[key]])))


def test_the_states_name_is_checked_too():
    account = {"resource_group": "rg-state", "name": "sttfshop"}
    assert "not free for the state's" in only(run(Arm(azure(), taken=["sttfshop"]), state_account=account))


def test_a_deleted_vault_of_ours_is_recovered_and_one_of_others_is_not():
    path = at(f"providers/Microsoft.KeyVault/{REGION}/deletedVaults/{NAMES['key_vault']}")
    for vault, problems in ((f"{GROUP.upper()}/providers/x/y", 0), ("/subscriptions/else/x", 1)):
        deleted = {"properties": {"vaultId": vault, "scheduledPurgeDate": "2027-02-01T00:00:00Z"}}
        report = run(Arm({**azure(), path: deleted}, taken=[NAMES["key_vault"]]))
        assert len(report.problems) == problems
        assert len(report.warnings) == 1 - problems


def existing():
    resources = {
        "Microsoft.KeyVault/vaults": NAMES["key_vault"],
        "Microsoft.Storage/storageAccounts": NAMES["storage"],
        "Microsoft.ContainerRegistry/registries": NAMES["registry"],
        "Microsoft.ServiceBus/namespaces": NAMES["service_bus"],
        "Microsoft.DBforPostgreSQL/flexibleServers": NAMES["postgresql"],
        "Microsoft.ContainerService/managedClusters": NAMES["cluster"],
    }
    return {
        **azure(),
        GROUP: {"id": GROUP},
        f"{GROUP}/resources": [{"type": kind, "name": name} for kind, name in resources.items()],
        f"{GROUP}/providers/Microsoft.Authorization/permissions": [{"actions": ["*"]}],
    }


def test_what_exists_is_not_asked_for_again():
    arm = Arm(existing(), taken=NAMES.values())
    report = run(arm, probe=False)
    assert report.problems == []
    assert report.facts["resources"] == 6
    assert not any("skus" in path or "usages" in path or method == "POST" for method, path in arm.asked)


def test_problems_of_the_inputs_and_of_azure_and_of_the_caller_come_together():
    report = run(
        Arm(change(azure(), at("locations"), [{"name": "northeurope"}])),
        inputs={"environment": "Bad", "redis": {"kind": "none"}},
        problems=("The variable platform_x is not known.",),
        names={"location": "platform_location", "environment": "The host's name"},
    )
    assert [text.split(" ", 3)[:3] for text in report.problems] == [
        ["The", "variable", "platform_x"],
        ["The", "host's", "name"],
        ["infrastructure_redis.kind", "is", "none:"],
        ["platform_location", "is", "westeurope,"],
    ]


def test_without_a_credential_the_inputs_are_still_judged():
    def missing():
        raise AksPlatformError("There is no Azure credential: set AZURE_CLIENT_ID.")

    settings = _preflight.Settings(inputs={**INPUTS, "access": "outside"})
    problems = _preflight.run(settings, missing, refused).problems
    assert problems == [
        "access is outside: it must be inside or allowlist.",
        "There is no Azure credential: set AZURE_CLIENT_ID.",
    ]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("SubscriptionNotFound", "check the subscription's id"),
        ("InvalidAuthenticationTokenTenant", "check tenant_id"),
        ("ServiceUnavailable", "HTTP 404"),
    ],
)
def test_a_subscription_that_does_not_answer_is_one_problem(code, words):
    arm = Arm({BASE: ArmError(status=404, code=code, message="no")})
    text = only(run(arm))
    assert text.startswith(f"The subscription {SUBSCRIPTION} does not answer as it should: ")
    assert words in text
    assert arm.asked == [("GET", BASE)]


@pytest.mark.parametrize(
    ("permissions", "action", "expected"),
    [
        ([{"actions": ["*"]}], "Microsoft.X/y/write", True),
        ([{"actions": ["*"], "notActions": ["Microsoft.X/*/Write"]}], "Microsoft.X/y/write", False),
        (
            [{"actions": ["*"], "notActions": ["Microsoft.X/*"]}, {"actions": ["microsoft.x/Y/*"]}],
            "Microsoft.X/y/write",
            True,
        ),
        ([{"actions": ["*/read"]}], "Microsoft.X/y/write", False),
        ([], "Microsoft.X/y/write", False),
    ],
)
def test_notactions_take_away_from_their_own_role_only(permissions, action, expected):
    assert allows(permissions, action) is expected


# -- reachability -----------------------------------------------------------------------------------------------------

Token = namedtuple("Token", "token")
VAULT = _preflight_reach.Endpoint("vault", "kv-x", "https://kv-x.vault.azure.net/")
ACCOUNT = _preflight_reach.Endpoint("storage", "stx", "https://stx.blob.core.windows.net/")
SERVER = _preflight_reach.Endpoint("api_server", "aks-x", "aks-x.hcp.westeurope.azmk8s.io")


class Credential:
    def get_token(self, scope):
        return Token("secret-token")


class Body:
    def __init__(self, text):
        self.text = text

    def read(self):
        return self.text.encode()

    def close(self):
        pass


def opener(status, text, seen):
    def call(url, **options):
        seen.append((url, options))
        if isinstance(status, Exception):
            raise status
        if status >= 400:
            raise HTTPError(url, status, "no", {}, Body(text))

    return call


@pytest.mark.parametrize(
    ("endpoint", "status", "text", "words"),
    [
        (VAULT, 200, "", None),
        (VAULT, 403, '{"error": {"innererror": {"code": "ForbiddenByRbac"}}}', None),
        (VAULT, 403, '{"error": {"innererror": {"code": "ForbiddenByConnection"}}}', "The Key Vault kv-x refuses"),
        (VAULT, 403, '{"error": {"innererror": {"code": "ForbiddenByFirewall"}}}', "refuses this machine's network"),
        (ACCOUNT, 403, "<Code>AuthorizationPermissionMismatch</Code>", None),
        (ACCOUNT, 403, "<Code>AuthorizationFailure</Code>", "The storage account stx refuses"),
        (SERVER, 401, "Unauthorized", None),
        (SERVER, URLError("timed out"), "", "aks-x (aks-x.hcp.westeurope.azmk8s.io) is not reached: timed out"),
    ],
)
def test_a_closed_door_is_told_from_a_missing_role(endpoint, status, text, words):
    seen = []
    found = _preflight_reach.probe(endpoint, Credential(), opener(status, text, seen))
    assert (found is None) if words is None else (words in found and "access to allowlist" in found)
    assert "secret-token" not in seen[0][0]


def test_nothing_secret_goes_to_a_server_whose_certificate_is_not_checked():
    seen = []
    _preflight_reach.probe(SERVER, Credential(), opener(200, "", seen))
    assert seen[0][1]["validate_certs"] is False
    assert seen[0][1]["headers"] == {}


CONNECTION = {
    "properties": {
        "privateEndpoint": {"id": "/pe"},
        "privateLinkServiceConnectionState": {"status": "Approved"},
    }
}


@pytest.mark.parametrize(
    ("properties", "doors"),
    [
        ({}, ()),
        ({"publicNetworkAccess": "Enabled"}, ()),
        ({"publicNetworkAccess": "Disabled", "privateEndpointConnections": [CONNECTION]}, ("/pe",)),
        ({"publicNetworkAccess": "Disabled", "privateEndpointConnections": []}, None),
        ({"publicNetworkAccess": "Disabled"}, None),
        ({"provisioningState": "Creating"}, None),
    ],
)
def test_what_has_no_door_yet_is_not_probed(properties, doors):
    body = {"name": "kv", "properties": {"vaultUri": "https://kv/", **properties}}
    assert [item.doors for item in _preflight_reach.endpoints({"vault": body})] == ([] if doors is None else [doors])


@pytest.mark.parametrize(("groups", "problems"), [([{"name": "default"}], 1), ([], 0)])
def test_a_service_whose_endpoint_has_no_names_yet_is_no_problem(monkeypatch, groups, problems):
    monkeypatch.setattr(_preflight_reach, "try_probe", lambda endpoint, credential: f"{endpoint.name} is closed.")
    vault = f"{GROUP}/providers/Microsoft.KeyVault/vaults/{NAMES['key_vault']}"
    properties = {
        "vaultUri": "https://kv/",
        "publicNetworkAccess": "Disabled",
        "privateEndpointConnections": [CONNECTION],
    }
    answers = {
        **existing(),
        vault: {"name": NAMES["key_vault"], "properties": properties},
        "/pe/privateDnsZoneGroups": groups,
    }
    assert len(run(Arm(answers), Credential).problems) == problems


def test_stopped_services_are_not_probed():
    found = _preflight_reach.endpoints(
        {
            "api_server": {"name": "a", "properties": {"fqdn": "a.io", "powerState": {"code": "Stopped"}}},
            "postgresql": {"name": "p", "properties": {"fullyQualifiedDomainName": "p.io", "state": "Stopped"}},
            "vault": None,
            "storage": {"name": "s", "properties": {"primaryEndpoints": {"blob": "https://s/"}}},
        }
    )
    assert [item.kind for item in found] == ["storage"]
