"""What a restore refuses, asks for, recognises and brings over: the pure plan."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

NOW = datetime.datetime(2026, 11, 23, 10, 0, tzinfo=plans.UTC)
SOURCE = postgresql.parse_id(
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/psql-shop"
)


def server(**properties):
    return {
        "name": "psql-shop",
        "location": "westeurope",
        "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose", "capacity": 2},
        "tags": {"team": "shop", plans.TAG_ID: "old"},
        "properties": {
            "state": "Ready",
            "backup": {"earliestRestoreDate": "2026-11-20T00:00:00Z", "geoRedundantBackup": "Disabled"},
            "network": {"publicNetworkAccess": "Disabled"},
            "authConfig": {"passwordAuth": "Disabled"},
            **properties,
        },
    }


def request(name="psql-shop-r1", mode="point_in_time", point="2026-11-23T03:15:00+01:00", **change):
    moment = plans.parse_point(point) if point else None
    return plans.Request(source=SOURCE, target=SOURCE.sibling(name), mode=mode, point=moment, **change)


def test_a_point_is_read_with_its_zone():
    assert plans.iso(plans.parse_point("2026-11-23T03:15:00+01:00")) == "2026-11-23T02:15:00Z"
    assert plans.iso(plans.parse_point("2026-11-23 02:15:00.123456Z")) == "2026-11-23T02:15:00.123456Z"


@pytest.mark.parametrize("text", ["2026-11-23T03:15:00", "yesterday", "", "2026-13-01T00:00:00Z"])
def test_a_point_without_zone_or_sense_is_refused(text):
    with pytest.raises(AksPlatformError):
        plans.parse_point(text)


def test_the_point_inside_the_window_is_taken():
    assert plans.iso(plans.resolve(request(), server(), [], NOW)) == "2026-11-23T02:15:00Z"
    assert plans.resolve(request(mode="latest", point=None), server(), [], NOW) == NOW


@pytest.mark.parametrize(
    ("change", "source", "words"),
    [
        ({"point": "2026-11-23T11:00:00Z"}, server(), "in the future.*2026-11-20T00:00:00Z to 2026-11-23T10:00:00Z"),
        ({"point": "2026-11-19T11:00:00Z"}, server(), "before the first backup"),
        ({"location": "northeurope"}, server(), "own region"),
        ({"mode": "geo", "location": "northeurope"}, server(), "no geo-redundant backup"),
        ({"mode": "backup", "backup": "nope"}, server(), "no backup 'nope'; it has none"),
        ({"delegated_subnet_id": "/s", "private_dns_zone_id": "/z"}, server(), "public access"),
        ({}, None, "does not exist"),
        ({}, server(backup={}), "no backup yet"),
    ],
)
def test_what_cannot_be_restored_is_refused(change, source, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.resolve(request(**change), source, [], NOW)


def test_a_geo_restore_goes_to_the_pair_only():
    geo = server(backup={"earliestRestoreDate": "2026-11-20T00:00:00Z", "geoRedundantBackup": "Enabled"})
    assert plans.resolve(request(mode="geo", location="North Europe"), geo, [], NOW, "northeurope") == NOW
    with pytest.raises(AksPlatformError, match="northeurope, not to eastus"):
        plans.resolve(request(mode="geo", location="eastus"), geo, [], NOW, "northeurope")
    with pytest.raises(AksPlatformError, match="westeurope with no region"):
        plans.resolve(request(mode="geo", location="eastus"), geo, [], NOW)


def test_the_pair_is_what_azure_says():
    listed = [
        {"name": "westeurope", "metadata": {"pairedRegion": [{"name": "northeurope"}]}},
        {"name": "italynorth", "metadata": {"pairedRegion": []}},
        {"name": "global"},
    ]
    assert plans.paired_region(listed, "westeurope") == "northeurope"
    assert [plans.paired_region(listed, name) for name in ("italynorth", "global", "nowhere")] == [None] * 3


@pytest.mark.parametrize(
    ("name", "words"), [("psql-shop", "source itself"), ("Bad_Name", "no server name"), ("x", "no server name")]
)
def test_names_that_no_restore_can_have(name, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.check_names(request(name=name))


def test_a_backup_is_restored_to_its_end():
    listed = [{"name": "b1", "properties": {"completedTime": "2026-11-22T01:00:00Z"}}]
    point = plans.resolve(request(mode="backup", backup="b1", point=None), server(), listed, NOW)
    assert plans.iso(point) == "2026-11-22T01:00:00Z"


def event(moment, **change):
    return {
        "resourceId": SOURCE.path.upper(),
        "operationName": {"value": "Microsoft.DBforPostgreSQL/flexibleServers/delete"},
        "status": {"value": "Succeeded"},
        "submissionTimestamp": moment,
        **change,
    }


def test_a_dropped_server_is_restored_to_its_last_deletion():
    events = [
        event("2026-11-20T08:00:00.1234567Z"),
        event("2026-11-22T08:00:00.1234567Z"),
        event("2026-11-22T07:59:00Z", status={"value": "Accepted"}),
        event("2026-11-22T09:00:00Z", status={"value": "Failed"}),
        event("2026-11-22T09:00:00Z", resourceId=f"{SOURCE.path}/databases/shop"),
        event("2026-11-22T09:00:00Z", operationName={"value": "Microsoft.DBforPostgreSQL/flexibleServers/write"}),
    ]
    dropped = request(mode="dropped", point=None, location="westeurope")
    point = plans.resolve(dropped, None, [], NOW, events=events)
    assert point == plans.parse_point("2026-11-22T08:00:00.123456Z")
    content = plans.body(dropped, {"location": "westeurope"}, point)
    assert content["properties"] == {
        "createMode": "ReviveDropped",
        "sourceServerResourceId": SOURCE.path,
        "pointInTimeUTC": "2026-11-22T08:00:00.123456Z",
    }


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "no deletion of psql-shop in g within 30 days"),
        ([event("2026-11-22T08:00:00Z", status={"value": "Failed"})], "no deletion of psql-shop"),
        ([event("2026-11-18T10:00:00Z")], "deleted at 2026-11-18T10:00:00Z.*until 2026-11-23T10:00:00Z"),
    ],
)
def test_a_server_whose_backups_are_gone_is_refused(events, words):
    dropped = request(mode="dropped", point=None, location="westeurope")
    with pytest.raises(AksPlatformError, match=words):
        plans.resolve(dropped, None, [], NOW, events=events)


def test_the_request_names_itself_in_tags_and_takes_the_size_over():
    wish = request(tags={"drill": "yes"})
    body = plans.body(wish, server(), wish.point)
    assert body["properties"]["createMode"] == "PointInTimeRestore"
    assert body["properties"]["pointInTimeUTC"] == "2026-11-23T02:15:00Z"
    assert body["sku"] == {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}
    assert body["tags"]["team"] == "shop"
    assert body["tags"]["drill"] == "yes"
    assert body["tags"][plans.TAG_ID] == wish.identity != "old"
    assert body["tags"][plans.TAG_PHASE] == "restoring"
    assert plans.resume(wish, body) == "restoring"


def test_only_the_same_restore_goes_on():
    there = plans.body(request(), server(), request().point)
    with pytest.raises(AksPlatformError, match="another restore"):
        plans.resume(request(point="2026-11-23T03:16:00+01:00"), there)
    with pytest.raises(AksPlatformError, match="no restore of this module"):
        plans.resume(request(), {"tags": {"team": "shop"}})
    # The same moment in another zone is the same restore.
    assert plans.resume(request(point="2026-11-23T02:15:00Z"), there) == "restoring"


def snapshot(**change):
    return plans.Snapshot(server(), **change)


def full():
    return snapshot(
        parameters={"azure.extensions": "pg_trgm", "max_connections": "200"},
        firewall_rules={"office": ("198.51.100.1", "198.51.100.9")},
        administrators={"oid": ("dba", "Group", "tenant")},
        diagnostics={"to-law": {"workspaceId": "/w"}},
        locks={"keep": "ReadOnly", "aksops-superseded": "CanNotDelete"},
        endpoints=[
            {
                "id": "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/privateEndpoints/pe",
                "location": "westeurope",
                "properties": {"subnet": {"id": "/vnet/subnets/pe"}},
                "zones": ["/zones/privatelink.postgres.database.azure.com"],
            }
        ],
    )


def kinds(actions):
    return [action.kind for action in actions]


def test_everything_that_azure_leaves_behind_is_brought_over():
    actions = plans.reconcile(full(), plans.Snapshot({"name": "new", "properties": {}}), plans.Reconcile())
    assert kinds(actions) == [
        "parameter",
        "parameter",
        "restart",
        "firewall_rule",
        "private_endpoint",
        "zone_group",
        "administrator",
        "diagnostics",
        "lock",
    ]
    assert actions[-1].name == "keep"
    assert actions[-1].content["properties"]["level"] == "CanNotDelete"
    endpoint, zones = (action for action in actions if action.kind in {"private_endpoint", "zone_group"})
    assert endpoint.content["group"] == zones.content["group"] == "net"
    assert endpoint.name == zones.name == "pe-new"
    assert zones.content["zones"] == ["/zones/privatelink.postgres.database.azure.com"]


def test_a_private_endpoint_without_its_zones_is_completed():
    there = full()
    made = {**there.endpoints[0], "name": "pe-new", "zones": []}
    there.endpoints = [made]
    (action,) = plans.reconcile(full(), there, plans.Reconcile())
    assert (action.kind, action.name) == ("zone_group", "pe-new")
    assert made["zones"] == []


def test_nothing_is_done_twice():
    assert plans.reconcile(full(), full(), plans.Reconcile()) == []


def test_a_restart_that_was_missed_is_made_up_for():
    there = full()
    there.pending_restart = True
    assert kinds(plans.reconcile(full(), there, plans.Reconcile())) == ["restart"]


def test_what_the_target_has_besides_stays():
    there = full()
    there.firewall_rules["mine"] = ("203.0.113.1", "203.0.113.1")
    there.parameters["work_mem"] = "8192"
    assert plans.reconcile(full(), there, plans.Reconcile()) == []


def test_switches_leave_parts_out():
    off = plans.Reconcile.only()
    assert plans.reconcile(full(), plans.Snapshot({"name": "new"}), off) == []


def test_high_availability_and_a_custom_window_are_set_on_request():
    window = {"customWindow": "Enabled", "dayOfWeek": 6, "startHour": 2, "startMinute": 0}
    source = plans.Snapshot(server(maintenanceWindow=window, highAvailability={"mode": "ZoneRedundant"}))
    actions = plans.reconcile(source, snapshot(), plans.Reconcile(high_availability=True))
    assert actions[0].content["properties"] == {
        "maintenanceWindow": window,
        "highAvailability": {"mode": "ZoneRedundant"},
    }
    assert plans.reconcile(plans.Snapshot(server()), snapshot(), plans.Reconcile(high_availability=True)) == []


def test_high_availability_is_left_out_where_it_is_not_offered():
    source = plans.Snapshot(server(highAvailability={"mode": "ZoneRedundant"}))
    small = plans.Snapshot({**server(), "sku": {"name": "Standard_B2s", "tier": "Burstable"}})
    assert plans.reconcile(source, small, plans.Reconcile()) == []


def test_growth_and_retention_are_brought_over():
    source = plans.Snapshot(server(storage={"autoGrow": "Enabled"}, backup={"backupRetentionDays": 35}))
    there = plans.Snapshot(server(storage={"autoGrow": "Disabled"}, backup={"backupRetentionDays": 7}))
    (action,) = plans.reconcile(source, there, plans.Reconcile())
    assert action.content["properties"] == {"storage": {"autoGrow": "Enabled"}, "backup": {"backupRetentionDays": 35}}
    assert plans.reconcile(source, source, plans.Reconcile()) == []


def test_a_disk_of_the_second_kind_keeps_its_numbers():
    numbers = {"iops": 4000, "throughput": 200}
    source = plans.Snapshot(server(storage={"type": "PremiumV2_LRS", "autoGrow": "Disabled", **numbers}))
    there = plans.Snapshot(server(storage={"type": "PremiumV2_LRS", "iops": 3000, "throughput": 125}))
    (action,) = plans.reconcile(source, there, plans.Reconcile())
    assert action.content["properties"]["storage"] == numbers
    assert plans.body(request(), source.server, NOW)["properties"]["storage"] == {"type": "PremiumV2_LRS"}


IDENTITY = "/subscriptions/s/resourceGroups/ids/providers/Microsoft.ManagedIdentity/userAssignedIdentities/key"


def encrypted(**change):
    key = {"type": "AzureKeyVault", "primaryKeyURI": "https://v/keys/k", "primaryUserAssignedIdentityId": IDENTITY}
    backup = {"earliestRestoreDate": "2026-11-20T00:00:00Z", "geoRedundantBackup": "Enabled"}
    identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {"principalId": "p", "clientId": "c"}}}
    return {**server(dataEncryption={**key, **change}, backup=backup), "identity": identity}


def test_the_customers_key_and_its_identity_are_the_new_servers():
    content = plans.body(request(), encrypted(), NOW)
    assert content["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    assert content["properties"]["dataEncryption"] == {
        "type": "AzureKeyVault",
        "primaryKeyURI": "https://v/keys/k",
        "primaryUserAssignedIdentityId": IDENTITY,
    }
    needed = plans.rights(request(), plans.Snapshot(encrypted()), plans.Reconcile())
    assert needed["/subscriptions/s/resourceGroups/ids"] == [
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    ]


def test_a_geo_restore_takes_the_key_of_the_other_region():
    geo = request(mode="geo", point=None, location="northeurope")
    other = {"geoBackupKeyURI": "https://n/keys/k", "geoBackupUserAssignedIdentityId": "/other"}
    assert plans.resolve(geo, encrypted(**other), [], NOW, "northeurope") == NOW
    assert plans.body(geo, encrypted(**other), NOW)["properties"]["dataEncryption"] == {
        "type": "AzureKeyVault",
        "primaryKeyURI": "https://n/keys/k",
        "primaryUserAssignedIdentityId": "/other",
    }
    with pytest.raises(AksPlatformError, match="has none for its geo-redundant backup"):
        plans.resolve(geo, encrypted(), [], NOW, "northeurope")


def test_a_geo_restore_stays_as_closed_as_its_source():
    geo = request(mode="geo", point=None, location="northeurope")
    assert plans.body(geo, server(), NOW)["properties"]["network"] == {"publicNetworkAccess": "Disabled"}


def test_private_endpoints_in_two_subnets_get_two_names():
    first = full().endpoints[0]
    second = {**first, "properties": {"subnet": {"id": "/vnet/subnets/other"}}}
    there = plans.Snapshot({"name": "new", "properties": {}})
    both = plans.reconcile(plans.Snapshot(server(), endpoints=[first, second]), there, plans.Reconcile())
    assert [action.name for action in both] == ["pe-new", "pe-new", "pe-new-2", "pe-new-2"]
    # One was made before a kill.
    there.endpoints = [first]
    left = plans.reconcile(plans.Snapshot(server(), endpoints=[first, second]), there, plans.Reconcile())
    assert [action.name for action in left] == ["pe-new-2", "pe-new-2"]


def test_the_rights_are_those_of_the_writes():
    needed = plans.rights(request(), full(), plans.Reconcile())
    server = "Microsoft.DBforPostgreSQL/flexibleServers"
    assert needed == {
        "/subscriptions/s/resourceGroups/g": [
            f"{server}/write",
            f"{server}/configurations/write",
            f"{server}/restart/action",
            f"{server}/firewallRules/write",
            f"{server}/administrators/write",
            "Microsoft.Insights/diagnosticSettings/write",
            "Microsoft.Authorization/locks/write",
        ],
        "/subscriptions/s/resourceGroups/net": [
            "Microsoft.Network/privateEndpoints/write",
            "Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write",
        ],
    }
    assert plans.rights(request(), full(), plans.Reconcile.only()) == {
        "/subscriptions/s/resourceGroups/g": [f"{server}/write"]
    }


def test_drills_say_how_long_a_restore_takes():
    drills = [
        {"seconds": {"provision": 300.0, "configure": 40.5, "verify": 9}},
        {"seconds": {"provision": 250, "configure": None}},
        {"seconds": {}},
        {},
    ]
    assert plans.expected(drills) == {"drills": 2, "least": 250.0, "most": 349.5}
    assert plans.expected([{}]) is None


def test_blockers_are_sentences():
    assert plans.blockers(server(), NOW) == []
    assert "Updating" in plans.blockers(server(state="Updating"), NOW)[0]
    assert "does not exist" in plans.blockers(None, NOW)[0]


@pytest.mark.parametrize("text", ["psql", "/subscriptions/s/resourceGroups/g/providers/Microsoft.X/y/z"])
def test_what_is_no_server_id_is_refused(text):
    with pytest.raises(AksPlatformError, match="not the resource id"):
        postgresql.parse_id(text)


def test_the_administrator_is_the_principal_itself_before_a_group():
    group = {"name": "g1", "properties": {"principalName": "dbas", "principalType": "Group", "objectId": "g1"}}
    self = {"name": "O1", "properties": {"principalName": "runner", "principalType": "ServicePrincipal"}}
    assert postgresql.administrator_of([group, self], {"oid": "o1", "groups": ["g1"]}) == "runner"
    assert postgresql.administrator_of([group], {"oid": "o2", "groups": ["G1"]}) == "dbas"
    assert postgresql.administrator_of([group], {"oid": "o2", "groups": ["g9"]}) is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({}, "no restore of this module"),
        ({plans.TAG_ID: "x", plans.TAG_SOURCE: "/other"}, "a restore of /other"),
        ({plans.TAG_ID: "x", plans.TAG_SOURCE: SOURCE.path, plans.TAG_PHASE: "promoted"}, "is promoted"),
    ],
)
def test_only_an_own_restore_may_be_discarded(tags, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.discardable(request(), {"tags": tags})
    plans.discardable(request(), plans.body(request(), server(), request().point))
