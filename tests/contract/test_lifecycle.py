"""The first and the last of a platform, preflight and destroy, against a sandbox, by the modules' own code."""

from __future__ import annotations

import json
import uuid

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import (
    _arm,
    _auth,
    _destroy,
    _preflight,
    _preflight_reach,
    _providers,
)
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

READS = {"GET", "HEAD"}
CHECKS = ("checknameavailability",)
OPERATOR = {"team": {"object_id": "33333333-3333-3333-3333-333333333333"}}


@pytest.fixture
def environ(client, monkeypatch):
    """The sandbox's variables in this process, as a task has them."""
    return use(client, monkeypatch)


def use(client, monkeypatch):
    for name, value in client.env.items():
        monkeypatch.setenv(name, value)
    return client.env


def preflight(environ, state_account=None, params=None, **inputs):
    given = {
        "subscription_id": environ["ARM_SUBSCRIPTION_ID"],
        "tenant_id": environ["ARM_TENANT_ID"],
        "environment": "contract",
        "name_prefix": "life",
        "location": "westeurope",
        "operators": OPERATOR,
        **inputs,
    }
    settings = _preflight.Settings(given, "infrastructure_", state_account=state_account or {})
    return _preflight.run(settings, lambda: _arm.client(params or {}), lambda: _auth.credential(params or {}))


def requests(sandbox, since):
    return [json.loads(line) for line in sandbox.run("ledger", "--since", str(since)).splitlines()]


def test_preflight_passes_reads_only_and_asks_little(sandbox, environ):
    before = int(sandbox.run("ledger", "--last"))
    report = preflight(environ, {"resource_group": "rg-none", "name": "sttfcontract"})
    assert report.problems == []
    assert report.facts["kubernetes_versions"]
    seen = [entry for entry in requests(sandbox, before) if entry["host"] == "management.azure.com"]
    writes = [entry for entry in seen if entry["method"] not in READS and not entry["path"].lower().endswith(CHECKS)]
    assert writes == []
    assert 10 < len(seen) < 30


def test_a_reader_is_told_what_it_may_not_do(sandbox, monkeypatch):
    environ = use(sandbox.client(account="reader"), monkeypatch)
    problems = preflight(environ).problems
    assert any("may not do Microsoft.Resources/subscriptions/resourceGroups/write" in text for text in problems)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"location": "atlantis"}, "location is atlantis, which this subscription does not have"),
        (
            {"subscription_id": "44444444-4444-4444-4444-444444444444"},
            "SubscriptionNotFound; check the subscription's id",
        ),
        ({"tenant_id": "55555555-5555-5555-5555-555555555555"}, "belongs to the tenant"),
        ({"kubernetes": {"version": "1.99"}}, "kubernetes.version is 1.99, which Azure does not offer"),
        ({"kubernetes": {"system_pool": {"vm_size": "Standard_D3ds_v5"}}}, "which westeurope does not offer"),
        (
            {"kubernetes": {"pod_cidr": "192.160.0.0/12", "user_pools": {"user": {"min_count": 60, "max_count": 60}}}},
            "and the node pools start with",
        ),
    ],
)
def test_what_cannot_be_had_is_one_sentence(environ, inputs, words):
    problems = preflight(environ, **inputs).problems
    assert len([text for text in problems if words in text]) == 1, problems


def test_a_wrong_secret_and_a_missing_one(environ, monkeypatch):
    wrong = preflight(
        environ,
        params={"client_secret": "wrong", "client_id": environ["ARM_CLIENT_ID"], "tenant_id": environ["ARM_TENANT_ID"]},
    )
    assert len(wrong.problems) == 1
    assert "wrong" not in wrong.problems[0].replace("went wrong", "")
    for name in environ:
        if "SECRET" in name or "CLIENT_ID" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert preflight(environ).problems[0].startswith("There is no Azure credential: set AZURE_TENANT_ID")


def test_a_busy_azure_is_asked_again(faults, environ):
    faults.run(
        "fault", "status", "--path", "*/kubernetesVersions", "--status", "429", "--count", "2", "--retry-after", "1"
    )
    assert preflight(environ).problems == []


def test_a_provider_is_missed_and_registered(client, environ):
    arm, base = _arm.client({}), client.subscription
    name = "Microsoft.LoadTestService"
    arm.post(f"{base}/providers/{name}/unregister", _providers.API_VERSION)
    assert f"has not registered {name}: " in preflight(environ).problems[0]
    assert _providers.missing(_providers.states(arm, base)) == [name]
    _providers.register(arm, base, [name], timeout=30, interval=0.1)
    assert preflight(environ).problems == []


def test_a_name_that_is_taken(client, environ):
    group = client.group("life-taken")
    name = _preflight._names.names(
        {"environment": "contract", "name_prefix": "life", "subscription_id": environ["ARM_SUBSCRIPTION_ID"]}
    )["key_vault"]
    path = f"{group}/providers/Microsoft.KeyVault/vaults/{name}"
    body = {
        "sku": {"family": "A", "name": "standard"},
        "tenantId": environ["ARM_TENANT_ID"],
        "enableRbacAuthorization": True,
    }
    assert client.arm("PUT", path, "2023-07-01", {"location": "westeurope", "properties": body}).status in {200, 201}
    assert f"The name {name} is not free for Microsoft.KeyVault/vaults" in preflight(environ).problems[0]
    client.arm("DELETE", group, "2023-07-01")


# -- destroy ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(client, environ):
    """A small platform: a vault behind a private endpoint, an identity with a role elsewhere, a state with its lock."""
    tag = uuid.uuid4().hex[:6]
    group = client.group(f"life-{tag}")
    state = client.group(f"life-{tag}-state")
    hub = client.group(f"life-{tag}-hub")

    def put(path, version, properties, scope=group, location="westeurope", **more):
        answer = client.arm(
            "PUT", f"{scope}/providers/{path}", version, {"location": location, "properties": properties, **more}
        )
        assert answer.status in {200, 201}, answer.body
        return f"{client.subscription}{scope}/providers/{path}"

    tags = {"aksops-environment": "contract", "aksops-managed-by": "terraform"}
    client.arm("PUT", group, "2023-07-01", {"location": "westeurope", "tags": tags})
    client.arm("PUT", state, "2023-07-01", {"location": "westeurope", "tags": {"aksops-purpose": "terraform-state"}})
    network = put(
        "Microsoft.Network/virtualNetworks/vnet",
        "2025-01-01",
        {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "pe", "properties": {"addressPrefix": "10.0.0.0/24"}}],
        },
    )
    sku = {"family": "A", "name": "standard"}
    vault = put(
        f"Microsoft.KeyVault/vaults/kv-{tag}",
        "2023-07-01",
        {
            "sku": sku,
            "tenantId": environ["ARM_TENANT_ID"],
            "enableRbacAuthorization": True,
            "softDeleteRetentionInDays": 7,
        },
    )
    connection = {"name": "kv", "properties": {"privateLinkServiceId": vault, "groupIds": ["vault"]}}
    put(
        "Microsoft.Network/privateEndpoints/endpoint",
        "2025-01-01",
        {"subnet": {"id": f"{network}/subnets/pe"}, "privateLinkServiceConnections": [connection]},
    )
    zone = put("Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net", "2024-06-01", {}, location="global")
    put(
        f"Microsoft.Network/privateDnsZones/{zone.rsplit('/', 1)[-1]}/virtualNetworkLinks/link",
        "2024-06-01",
        {"virtualNetwork": {"id": network}, "registrationEnabled": False},
        location="global",
    )
    identity = put("Microsoft.ManagedIdentity/userAssignedIdentities/workload", "2024-11-30", {})
    principal = client.arm("GET", identity, "2024-11-30").json["properties"]["principalId"]
    role = (
        f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    )
    assignment = f"{hub}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    made = {"properties": {"principalId": principal, "principalType": "ServicePrincipal", "roleDefinitionId": role}}
    assert client.arm("PUT", assignment, "2022-04-01", made).status == 201
    account = f"st{tag}"
    put(
        f"Microsoft.Storage/storageAccounts/{account}",
        "2025-08-01",
        {},
        state,
        sku={"name": "Standard_LRS"},
        kind="StorageV2",
    )
    lock = f"{state}/providers/Microsoft.Storage/storageAccounts/{account}/providers/Microsoft.Authorization/locks/keep"
    assert client.arm("PUT", lock, "2020-05-01", {"properties": {"level": "CanNotDelete"}}).status in {200, 201}
    base = client.subscription
    yield {
        "group": f"{base}{group}",
        "state": f"{base}{state}",
        "assignment": assignment,
        "vault": vault,
        "identity": identity,
        "lock": lock,
    }
    client.arm("DELETE", lock, "2020-05-01")
    for scope in (group, state, hub):
        client.arm("DELETE", scope, "2023-07-01")


def destroy(world, **settings):
    given = {"group_id": world["group"], "environment": "contract", "state_group_id": world["state"], **settings}
    return _destroy.run(_destroy.Settings(**given), _arm.client({}), sleep=lambda _seconds: None)


def left(client, world):
    return {
        item["id"].split("/providers/")[1].split("/")[1]
        for item in client.arm("GET", f"{world['group']}/resources", "2022-09-01").json["value"]
    }


def test_destroy_keeps_data_and_a_second_time_finds_nothing(client, world):
    would = destroy(world, check_mode=True).removed
    assert {"virtualNetworks", "privateEndpoints", "vaults"} <= left(client, world)
    outcome = destroy(world)
    assert sorted(outcome.removed) == sorted(would)
    assert left(client, world) == {"vaults", "userAssignedIdentities"}
    assert destroy(world).removed == []


def test_destroy_with_data_leaves_nothing_and_names_what_is_held(client, world):
    outcome = destroy(world, data=True)
    for path in (world["group"], world["state"]):
        assert client.arm("GET", path, "2023-07-01").status == 404
    assert client.arm("GET", world["assignment"], "2022-04-01").status == 404
    assert {item.type.lower() for item in outcome.soft_deleted} == {
        "microsoft.keyvault/vaults",
        "microsoft.storage/storageaccounts",
    }
    again = destroy(world, data=True)
    assert again.removed == []
    assert [item.name for item in again.soft_deleted] == [world["vault"].rsplit("/", 1)[-1]]


def test_a_foreign_lock_stops_everything(client, world):
    lock = f"{world['vault']}/providers/Microsoft.Authorization/locks/audit"
    client.arm("PUT", lock, "2020-05-01", {"properties": {"level": "CanNotDelete", "notes": "Under audit"}})
    with pytest.raises(AksPlatformError, match=r"The lock audit on .* forbids it \(Under audit\)"):
        destroy(world, data=True)
    assert "virtualNetworks" in left(client, world)
    destroy(world)
    assert client.arm("DELETE", lock, "2020-05-01").status in {200, 204}


def test_another_environments_group_is_left_alone(client, world):
    with pytest.raises(AksPlatformError, match=r"is not of production: its tag aksops-environment is contract"):
        destroy(world, environment="production")
    assert "virtualNetworks" in left(client, world)


def test_a_closed_vault_is_told_from_one_without_a_door(sandbox, monkeypatch, client):
    vault = closed_vault(client)
    probe = {"vault": {**client.arm("GET", vault, "2023-07-01").json}}
    assert _preflight_reach.endpoints(probe) == []
    network = f"{vault.split('/providers/')[0]}/providers/Microsoft.Network"
    subnets = [{"name": "pe", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    body = {
        "location": "westeurope",
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets},
    }
    assert client.arm("PUT", f"{network}/virtualNetworks/vnet", "2025-01-01", body).status in {200, 201}
    link = {"name": "kv", "properties": {"privateLinkServiceId": vault, "groupIds": ["vault"]}}
    made = {"subnet": {"id": f"{network}/virtualNetworks/vnet/subnets/pe"}, "privateLinkServiceConnections": [link]}
    answer = client.arm(
        "PUT", f"{network}/privateEndpoints/endpoint", "2025-01-01", {"location": "westeurope", "properties": made}
    )
    assert answer.status in {200, 201}
    endpoint = _preflight_reach.endpoints({"vault": client.arm("GET", vault, "2023-07-01").json})[0]
    for vantage, closed in (("inside", False), ("outside", True)):
        use(sandbox.client(vantage=vantage), monkeypatch)
        text = _preflight_reach.try_probe(endpoint, _auth.credential({}))
        assert bool(text) is closed, text
    assert "refuses this machine's network (HTTP 403)" in text


def closed_vault(client):
    """A vault without a public address and without a private endpoint."""
    group = client.group(f"life-{uuid.uuid4().hex[:6]}")
    path = f"{client.subscription}{group}/providers/Microsoft.KeyVault/vaults/kv-{uuid.uuid4().hex[:8]}"
    properties = {
        "sku": {"family": "A", "name": "standard"},
        "tenantId": client.env["ARM_TENANT_ID"],
        "enableRbacAuthorization": True,
        "publicNetworkAccess": "Disabled",
    }
    answer = client.arm("PUT", path, "2023-07-01", {"location": "westeurope", "properties": properties})
    assert answer.status in {200, 201}
    return path
