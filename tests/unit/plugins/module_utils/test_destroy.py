from __future__ import annotations

import datetime
import itertools

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _destroy
from ansible_collections.aksops.platform.plugins.module_utils import _destroy_plan as planning
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from hypothesis import given
from hypothesis import strategies as st

BASE = "/subscriptions/s"
GROUP = f"{BASE}/resourceGroups/rg-shop"
NODES = f"{BASE}/resourceGroups/rg-shop-nodes"
STATE = f"{BASE}/resourceGroups/rg-shop-state"
CLUSTER = "Microsoft.ContainerService/managedClusters"
POSTGRESQL = "Microsoft.DBforPostgreSQL/flexibleServers"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
NETWORK = "Microsoft.Network/virtualNetworks"
BUS = "Microsoft.ServiceBus/namespaces"
VAULT = "Microsoft.KeyVault/vaults"
ZONE = "Microsoft.Network/privateDnsZones"
LINK = f"{ZONE}/virtualNetworkLinks"


def rid(kind, name="shop", group=GROUP):
    if kind.count("/") == 2:
        space, one, two = kind.split("/")
        return f"{group}/providers/{space}/{one}/{name}/{two}/platform"
    return f"{group}/providers/{kind}/{name}"


def resource(kind, name="shop", group=GROUP, **more):
    return {"id": rid(kind, name, group), "type": kind, "name": name, **more}


def flat(plan):
    return [item for ids in plan.rounds for item in ids]


# -- the plan ---------------------------------------------------------------------------------------------------------

KINDS = [*planning.ROUNDS, *planning.DATA, *planning.COMPANIONS, "microsoft.servicebus/namespaces", "microsoft.other/x"]


@given(st.lists(st.sampled_from(KINDS), unique=True), st.booleans())
def test_everything_either_goes_once_or_stays(kinds, data):
    resources = [resource(kind) for kind in kinds]
    plan = planning.plan(resources, data=data)
    assert sorted([*flat(plan), *[item.id for item in plan.kept]]) == sorted(item["id"] for item in resources)
    assert not (data and plan.kept)
    assert all(plan.rounds)


@pytest.mark.parametrize("kind", [*planning.DATA, *planning.COMPANIONS])
def test_data_stays_unless_it_is_given_up(kind):
    assert flat(planning.plan([resource(kind)], data=False)) == []
    assert flat(planning.plan([resource(kind)], data=True)) == [rid(kind)]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (CLUSTER, NETWORK),
        ("Microsoft.Network/privateEndpoints", NETWORK),
        ("Microsoft.Network/applicationGateways", "Microsoft.Network/publicIPAddresses"),
        (NETWORK, "Microsoft.Network/natGateways"),
        (NETWORK, "Microsoft.Network/networkSecurityGroups"),
        ("Microsoft.Network/natGateways", "Microsoft.Network/publicIPAddresses"),
        (LINK, ZONE),
        (LINK, NETWORK),
    ],
)
def test_what_is_used_goes_after_what_uses_it(first, then):
    order = flat(planning.plan([resource(then), resource(first)], data=False))
    assert order == [rid(first), rid(then)]


def test_a_namespace_stays_while_it_holds_messages():
    where = rid(BUS)
    assert planning.plan([resource(BUS)], data=False, messages={where.lower(): 3}).kept[0].why == "holds 3 messages"
    assert flat(planning.plan([resource(BUS)], data=False, messages={where.lower(): 0})) == [where]
    assert flat(planning.plan([resource(BUS)], data=True, messages={where.lower(): 3})) == [where]


def test_a_server_in_a_subnet_keeps_its_network_and_its_zone():
    server = {
        "name": "psql",
        "properties": {
            "network": {
                "delegatedSubnetResourceId": f"{rid(NETWORK)}/subnets/postgresql",
                "privateDnsZoneArmResourceId": rid(ZONE).upper(),
            }
        },
    }
    resources = [resource(NETWORK), resource(ZONE), resource(LINK), resource(NETWORK, "other")]
    plan = planning.plan(resources, data=False, needed_by_data=planning.needed_by([server]))
    assert flat(plan) == [rid(NETWORK, "other")]


def test_bills_names_what_costs_money():
    plan = planning.plan([resource(POSTGRESQL), resource(IDENTITY, "id")], data=False)
    assert planning.bills(plan.kept) == ["shop"]


OURS = {"name": "rg-shop", "tags": {"aksops-environment": "shop"}}


@pytest.mark.parametrize(
    ("group", "locks", "volumes", "words"),
    [
        ({"name": "rg-shop"}, [], [], "its tag aksops-environment is missing. Nothing was removed."),
        ({"name": "rg-shop", "tags": {"aksops-environment": "other"}}, [], [], "is not of shop"),
        (OURS, [], ["pvc-1"], "persistent volumes would go with it: pvc-1"),
        (
            OURS,
            [
                {
                    "id": f"{GROUP}/providers/Microsoft.Authorization/locks/stay",
                    "name": "stay",
                    "properties": {"notes": "Mine."},
                }
            ],
            [],
            "The lock stay on rg-shop forbids it (Mine): whoever set it removes it first.",
        ),
    ],
)
def test_what_refuses(group, locks, volumes, words):
    found = planning.refusals(group, "shop", locks, [], volumes)
    assert len(found) == 1
    assert words in found[0]


def test_a_lock_on_data_that_stays_does_not_matter():
    lock = {"id": f"{rid(POSTGRESQL)}/providers/Microsoft.Authorization/locks/x", "name": "x"}
    kept = planning.plan([resource(POSTGRESQL)], data=False).kept
    assert planning.refusals(OURS, "shop", [lock], kept, []) == []
    assert len(planning.refusals(OURS, "shop", [lock], [], [])) == 1


def test_a_server_that_a_promotion_replaced_is_told_apart_and_only_its_own_lock_is_ours():
    replaced = resource(POSTGRESQL, "old", tags={"aksops-postgresql-role": "superseded"})
    (kept,) = planning.plan([replaced], data=False).kept
    assert kept.why == "holds databases and their backups of before a promotion, and keeps its lock"
    at = "providers/Microsoft.Authorization/locks"
    locks = [
        {"id": f"{where}/{at}/{name}", "name": name}
        for where, name in [
            (rid(POSTGRESQL, "old"), "aksops-superseded"),
            (rid(POSTGRESQL, "old"), "mine"),
            (GROUP, "aksops-superseded"),
        ]
    ]
    assert planning.own_locks(locks) == [locks[0]["id"]]


def test_only_disks_of_claims_are_volumes():
    disks = [
        {"type": "Microsoft.Compute/disks", "name": "os"},
        {"type": "Microsoft.Compute/disks", "name": "pvc", "tags": {"kubernetes.io-created-for-pvc-name": "data"}},
    ]
    assert planning.volumes(disks) == ["pvc"]


def test_assignments_elsewhere():
    items = [
        {"id": str(number), "properties": {"scope": scope}}
        for number, scope in enumerate([GROUP.upper(), f"{GROUP}/x", f"{GROUP}2", BASE])
    ]
    assert planning.outside(items, [GROUP]) == ["2", "3"]


def test_soft_delete_names_only_ours_with_their_dates():
    now = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
    vaults = [
        {
            "name": "a",
            "properties": {
                "vaultId": rid(VAULT).upper(),
                "scheduledPurgeDate": "2027-02-21T01:00:00Z",
                "purgeProtectionEnabled": True,
            },
        },
        {"name": "b", "properties": {"vaultId": rid(VAULT, group=STATE), "scheduledPurgeDate": "2027-02-21"}},
    ]
    workspaces = [resource("Microsoft.OperationalInsights/workspaces", "log")]
    found = planning.soft_deleted(GROUP, vaults, workspaces, [(rid(POSTGRESQL), POSTGRESQL), (rid(BUS), BUS)], now)
    assert [(item.name, item.until) for item in found] == [
        ("a", "2027-02-21"),
        ("log", "2026-12-07"),
        ("shop", "2026-11-28"),
    ]


# -- doing it ---------------------------------------------------------------------------------------------------------


class Azure:
    """A subscription in memory. A network goes only after the cluster; locks hold; every request is noted."""

    def __init__(self):
        self.groups = {
            GROUP: {"name": "rg-shop", "tags": {"aksops-environment": "shop"}},
            NODES: {"name": "rg-shop-nodes", "tags": {}},
            STATE: {"name": "rg-shop-state", "tags": {"aksops-purpose": "terraform-state"}},
        }
        self.resources = {}
        for item in (
            resource(CLUSTER, properties={"nodeResourceGroup": "rg-shop-nodes"}),
            resource(NETWORK),
            resource(POSTGRESQL, properties={}),
            resource(VAULT),
            resource(BUS),
            resource(ZONE),
            resource(IDENTITY, properties={"principalId": "reference"}),
            resource(IDENTITY, "azurepolicy", NODES, properties={"principalId": "addon"}),
            resource("Microsoft.Storage/storageAccounts", "sttf", STATE),
        ):
            self.resources[item["id"]] = item
        scopes = [("addon", GROUP), ("addon", BASE), ("reference", GROUP), ("reference", f"{BASE}/resourceGroups/hub")]
        self.assignments = {
            f"{scope}/providers/Microsoft.Authorization/roleAssignments/{number}": (principal, scope)
            for number, (principal, scope) in enumerate(scopes)
        }
        self.policies = {
            f"{scope}/providers/Microsoft.Authorization/policyAssignments/{name}": (name, scope)
            for name, scope in (("aks-shop-baseline", BASE), ("aks-other-baseline", BASE))
        }
        self.credentials = {f"{rid(IDENTITY)}/federatedIdentityCredentials/reference"}
        account = rid("Microsoft.Storage/storageAccounts", "sttf", STATE)
        self.locks = {f"{account}/providers/Microsoft.Authorization/locks/keep": "keep"}
        self.writes, self.waits, self.fail = [], 0, {}

    def get(self, path, version):
        return self.groups.get(path) or self.resources.get(path)

    def list(self, path, version):
        head, _, tail = path.partition("?")[0].rpartition("/")
        if tail == "resources":
            return [item for where, item in self.resources.items() if where.startswith(f"{head}/")]
        if tail == "virtualNetworkLinks":
            return [{"id": f"{head}/{tail}/platform"}] if head in self.resources else []
        if tail == "locks":
            scope = head.removesuffix("/providers/Microsoft.Authorization")
            return [{"id": where, "name": name} for where, name in self.locks.items() if where.startswith(f"{scope}/")]
        if tail == "roleAssignments":
            wanted = path.split("%27")[1]
            return [
                {"id": where, "properties": {"scope": scope}}
                for where, (who, scope) in self.assignments.items()
                if who == wanted
            ]
        if tail == "policyAssignments":
            return [
                {"id": where, "name": name, "properties": {"scope": scope}}
                for where, (name, scope) in self.policies.items()
            ]
        if tail == "federatedIdentityCredentials":
            return [{"id": where} for where in self.credentials if where.startswith(head)]
        if tail in ("queues", "topics", "deletedVaults", "deletedWorkspaces"):
            return []
        raise AssertionError(path)

    def delete(self, path, version):
        self.writes.append(path)
        if path in self.fail:
            raise ArmError(status=self.fail[path], code="No", message="it is in use", method="DELETE", path=path)
        if path == rid(NETWORK) and rid(CLUSTER) in self.resources:
            raise ArmError(status=400, code="InUseSubnetCannotBeDeleted", message="in use")
        if any(lock.startswith(f"{path}/") for lock in self.locks):
            raise ArmError(status=409, code="ScopeLocked", message="locked")
        for table in (self.assignments, self.policies, self.locks, self.resources, self.groups):
            for where in [where for where in table if where == path or where.startswith(f"{path}/")]:
                del table[where]
        self.credentials = {where for where in self.credentials if where != path}
        if path == rid(CLUSTER):
            self.delete_node_group()
        return True

    def delete_node_group(self):
        self.groups.pop(NODES, None)
        self.resources = {where: item for where, item in self.resources.items() if not where.startswith(NODES)}

    def sleep(self, seconds):
        self.waits += 1


def destroy(world, **settings):
    given = {"group_id": GROUP, "environment": "shop", "state_group_id": STATE, **settings}
    return _destroy.run(_destroy.Settings(**given), world, sleep=world.sleep)


def test_data_stays_and_everything_that_runs_goes():
    world = Azure()
    outcome = destroy(world)
    assert set(world.resources) == {
        rid(POSTGRESQL),
        rid(VAULT),
        rid(IDENTITY),
        rid("Microsoft.Storage/storageAccounts", "sttf", STATE),
    }
    assert set(world.groups) == {GROUP, STATE}
    assert {who for who, _scope in world.assignments.values()} == {"reference"}
    assert [name for name, _scope in world.policies.values()] == ["aks-other-baseline"]
    assert world.credentials == set()
    assert sorted(outcome.removed) == sorted(world.writes)
    assert {item.id for item in outcome.kept} == {rid(POSTGRESQL), rid(VAULT), rid(IDENTITY)}


def test_with_data_nothing_is_left():
    world = Azure()
    outcome = destroy(world, data=True)
    assert (world.resources, world.groups, world.locks) == ({}, {}, {})
    assert world.assignments == {}
    assert outcome.kept == []
    assert {item.name for item in outcome.soft_deleted} == {"shop", "sttf"}
    assert rid(POSTGRESQL) in outcome.removed


def test_a_server_that_a_promotion_replaced_stays_with_its_lock_and_goes_with_the_data():
    world = Azure()
    old = resource(POSTGRESQL, "old", properties={}, tags={"aksops-postgresql-role": "superseded"})
    lock = f"{old['id']}/providers/Microsoft.Authorization/locks/aksops-superseded"
    world.resources[old["id"]] = old
    world.locks[lock] = "aksops-superseded"
    assert old["id"] in {item.id for item in destroy(world).kept}
    assert old["id"] in world.resources
    assert lock in world.locks
    foretold = destroy(world, data=True, check_mode=True)
    assert lock in world.locks
    outcome = destroy(world, data=True)
    assert (world.resources, world.groups, world.locks) == ({}, {}, {})
    assert sorted(outcome.removed) == sorted(foretold.removed)
    assert "  among them old, which a promotion had replaced, with the lock on it" in _destroy.text(outcome, False)


@pytest.mark.parametrize("data", [False, True])
def test_a_second_time_there_is_nothing_to_remove(data):
    world = Azure()
    destroy(world, data=data)
    world.writes.clear()
    assert destroy(world, data=data).removed == []
    assert world.writes == []
    assert "There was nothing to remove." in _destroy.text(destroy(world, data=data), False)


@pytest.mark.parametrize("data", [False, True])
def test_check_mode_writes_nothing_and_names_what_goes(data):
    world = Azure()
    wanted = destroy(world, data=data, check_mode=True).removed
    assert world.writes == []
    assert sorted(destroy(world, data=data).removed) == sorted(wanted)


@pytest.mark.parametrize(("data", "stop"), list(itertools.product([False, True], range(7))))
def test_a_killed_run_is_simply_run_again(data, stop):
    class KilledError(Exception):
        pass

    world = Azure()
    whole = world.delete
    count = itertools.count()

    def delete(path, version):
        if next(count) >= stop:
            raise KilledError
        return whole(path, version)

    world.delete = delete
    with pytest.raises(KilledError):
        destroy(world, data=data)
    world.delete = whole
    destroy(world, data=data)
    fresh = Azure()
    destroy(fresh, data=data)
    assert (world.resources, world.groups, world.policies) == (fresh.resources, fresh.groups, fresh.policies)


def test_what_is_still_in_use_is_tried_again_and_then_named():
    world = Azure()
    world.fail[rid(BUS)] = 409
    with pytest.raises(AksPlatformError, match=r"(?s)1 of 2 did not go; .*it is in use"):
        destroy(world)
    assert world.writes.count(rid(BUS)) == _destroy.TRIES
    assert world.waits > 0


def test_a_refusal_for_good_is_not_tried_again():
    world = Azure()
    world.fail[rid(BUS)] = 403
    with pytest.raises(AksPlatformError):
        destroy(world)
    assert world.writes.count(rid(BUS)) == 1


def test_a_foreign_group_or_state_is_left_alone():
    world = Azure()
    world.groups[GROUP]["tags"] = {}
    with pytest.raises(AksPlatformError, match="Nothing was removed"):
        destroy(world)
    assert world.writes == []
    world = Azure()
    world.groups[STATE]["tags"] = {}
    with pytest.raises(AksPlatformError, match="was left alone"):
        destroy(world, data=True)
    assert STATE in world.groups


def test_a_node_group_that_stays_is_named():
    world = Azure()
    world.delete_node_group = lambda: None
    with pytest.raises(AksPlatformError, match="The node group rg-shop-nodes did not go"):
        destroy(world)


@pytest.mark.parametrize(
    ("where", "version"),
    [
        (GROUP, _destroy.GROUPS),
        (rid(CLUSTER), "2026-04-01"),
        (f"{GROUP}/providers/Microsoft.Authorization/locks/x", _destroy.LOCKS),
        (f"{rid(ZONE)}/virtualNetworkLinks/platform", "2024-06-01"),
        (rid("Microsoft.Made/ups"), "2025-01-01"),
    ],
)
def test_versions_are_ours_or_the_providers_newest(where, version):
    class Provider:
        def get(self, path, api):
            kinds = ["2024-01-01", "2025-01-01", "2026-01-01-preview"]
            return {"resourceTypes": [{"resourceType": "ups", "apiVersions": kinds}]}

    assert _destroy.version_of(Provider(), where) == version
