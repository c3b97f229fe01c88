"""What Azure leaves behind at a restore is brought over, once, and what is missing is found before the first write."""

from __future__ import annotations

import datetime
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql as postgresql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore as service
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._arm import Answer, ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.modules import postgresql_verify as verify

API = "2025-08-01"
WINDOW = {"customWindow": "Enabled", "dayOfWeek": 6, "startHour": 2, "startMinute": 0}


def arm_client(
    client: Any, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None
) -> ArmClient:
    """The collection's client, whose requests one account of the sandbox sends; `before` and `after` see its writes."""

    def send(method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        writes = method != "GET" and "checkNameAvailability" not in url
        if before and writes:
            before()
        answer = ask(method, url, headers, body)
        if after and writes:
            after()
        return answer

    def ask(method: str, url: str, headers: dict[str, str], body: Any) -> Answer:
        found = client.send(method, url, body, {**headers, "Authorization": f"Bearer {client.token()}"})
        lower = {name.lower(): value for name, value in found.headers.items()}
        return Answer(found.status, lower, json.loads(found.body) if found.body else {})

    return ArmClient(None, sender=send)


class Source:
    """A server that has something of everything that a restore does not carry."""

    def __init__(self, client: Any) -> None:
        self.client = client
        name = f"pgr{uuid.uuid4().hex[:6]}"
        self.group = client.group(f"rg-{name}")
        self.id = f"{client.subscription}{self.group}/providers/{postgresql.SERVER_TYPE}/{name}"
        workspace = f"{self.group}/providers/Microsoft.OperationalInsights/workspaces/law-{name}"
        identity = f"{self.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{name}"
        self.put(identity, {"location": "westeurope"}, "2024-11-30")
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            "tags": {"team": "shop"},
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {f"{client.subscription}{identity}": {}},
            },
            "properties": {
                "version": "18",
                "authConfig": {"activeDirectoryAuth": "Enabled", "tenantId": client.env["ARM_TENANT_ID"]},
                "highAvailability": {"mode": "ZoneRedundant"},
                "storage": {"storageSizeGB": 64, "autoGrow": "Enabled"},
                "backup": {"backupRetentionDays": 21},
                "administratorLogin": "keeper",
                "administratorLoginPassword": "Kept-Secret-17",
            },
        }
        self.put(self.id, body)
        self.arm("PATCH", self.id, {"properties": {"maintenanceWindow": WINDOW}})
        self.put(workspace, {"location": "westeurope", "properties": {"sku": {"name": "PerGB2018"}}}, "2025-07-01")
        office = {"startIpAddress": "198.51.100.1", "endIpAddress": "198.51.100.9"}
        self.put(f"{self.id}/firewallRules/office", {"properties": office})
        for parameter, value in (("work_mem", "8192"), ("max_connections", "77")):
            path = f"{self.id}/configurations/{parameter}"
            self.arm("PATCH", path, {"properties": {"value": value, "source": "user-override"}})
        admin = {"properties": {"principalName": "operator", "principalType": "ServicePrincipal"}}
        self.put(f"{self.id}/administrators/{client.env['AKSOPS_PRINCIPAL_ID']}", admin)
        logs = {
            "workspaceId": f"{client.subscription}{workspace}",
            "logs": [{"categoryGroup": "allLogs", "enabled": True}],
        }
        self.put(
            f"{self.id}/providers/Microsoft.Insights/diagnosticSettings/to-law",
            {"properties": logs},
            "2021-05-01-preview",
        )
        self.endpoints(name)
        lock = {"properties": {"level": "CanNotDelete", "notes": "production"}}
        self.put(f"{self.id}/providers/Microsoft.Authorization/locks/keep", lock, "2020-05-01")

    def endpoints(self, name: str) -> None:
        """Private endpoints in two subnets, the first with a DNS zone."""
        network = f"{self.client.subscription}{self.group}/providers/Microsoft.Network"
        subnets = [
            {"name": part, "properties": {"addressPrefix": f"10.90.{number}.0/24"}}
            for number, part in enumerate(("one", "two"))
        ]
        properties = {"addressSpace": {"addressPrefixes": ["10.90.0.0/16"]}, "subnets": subnets}
        vnet, version = f"{network}/virtualNetworks/vnet", service.ENDPOINTS_API
        self.put(vnet, {"location": "westeurope", "properties": properties}, version)
        zone = f"{network}/privateDnsZones/privatelink.postgres.database.azure.com"
        self.put(zone, {"location": "global", "properties": {}}, "2024-06-01")
        for part in ("one", "two"):
            connection = {"privateLinkServiceId": self.id, "groupIds": ["postgresqlServer"]}
            properties = {
                "subnet": {"id": f"{vnet}/subnets/{part}"},
                "privateLinkServiceConnections": [{"name": name, "properties": connection}],
            }
            path = f"{network}/privateEndpoints/pe-{name}-{part}"
            self.put(path, {"location": "westeurope", "properties": properties}, version)
            if part == "one":
                group = {"privateDnsZoneConfigs": [{"name": "psql", "properties": {"privateDnsZoneId": zone}}]}
                self.put(f"{path}/privateDnsZoneGroups/default", {"properties": group}, version)

    def arm(self, method: str, path: str, body: Any = None, version: str = API) -> Any:
        answer = self.client.arm(method, path.removeprefix(self.client.subscription), version, body)
        assert answer.status < 400, answer.body
        return answer.json

    def put(self, path: str, body: Any, version: str = API) -> Any:
        return self.arm("PUT", path, body, version)

    def restore(self, name: str, client: Any = None, **reconcile: bool) -> service.Restore:
        return self.restore_by(arm_client(client or self.client), name, **reconcile)

    def restore_by(self, arm: ArmClient, name: str, **reconcile: bool) -> service.Restore:
        source = postgresql.parse_id(self.id)
        request = plans.Request(source=source, target=source.sibling(name), mode="latest")
        servers = service.Servers(arm)
        return service.Restore(servers, request, plans.Reconcile(**reconcile), timeout=120, interval=0.5)

    def snapshot(self, server_id: str) -> plans.Snapshot:
        servers, parsed = service.Servers(arm_client(self.client)), postgresql.parse_id(server_id)
        content = servers.get(parsed)
        assert content is not None
        return servers.snapshot(parsed, content, plans.Reconcile())


def places(snapshot: plans.Snapshot) -> list[tuple[str, list[str]]]:
    """Subnet and DNS zones of each private endpoint."""
    return [(item["properties"]["subnet"]["id"].lower(), item["zones"]) for item in snapshot.endpoints]


@pytest.fixture(scope="module")
def source(client: Any) -> Iterator[Source]:
    made = Source(client)
    yield made
    locks = f"{made.id}/providers/Microsoft.Authorization/locks"
    made.arm("DELETE", f"{locks}/keep", version="2020-05-01")
    client.arm("DELETE", made.group, "2023-07-01")


def test_everything_is_brought_over_once_and_taken_away_again(source):
    name = f"{postgresql.parse_id(source.id).name}-r"
    found = source.restore(name).run(check_mode=False)
    there, wanted = source.snapshot(found["server"]["id"]), source.snapshot(source.id)
    assert there.parameters.items() >= wanted.parameters.items()
    assert {"work_mem", "max_connections"} <= set(wanted.parameters)
    assert there.pending_restart is False
    assert (there.firewall_rules, there.administrators) == (wanted.firewall_rules, wanted.administrators)
    assert (there.diagnostics, there.locks) == (wanted.diagnostics, {"keep": "CanNotDelete"})
    assert places(there) == places(wanted)
    assert [item["name"] for item in there.endpoints] == [f"pe-{name}", f"pe-{name}-2"]
    properties = there.server["properties"]
    assert properties["maintenanceWindow"] == WINDOW
    assert properties["highAvailability"]["mode"] == "ZoneRedundant"
    assert properties["storage"]["autoGrow"] == "Enabled"
    assert properties["backup"]["backupRetentionDays"] == 21
    assert there.server["tags"]["team"] == "shop"
    assert there.server["identity"] == wanted.server["identity"]
    assert there.server["identity"]["userAssignedIdentities"]

    again = source.restore(name)
    assert again.run(check_mode=False)["phase"] == "configured"
    assert again.actions == []
    discard = source.restore(name)
    discard.discard(check_mode=False)
    endpoints = [f"delete the private endpoint pe-{name}{number}" for number in ("", "-2")]
    assert discard.actions == ["take the lock keep away", *endpoints, f"delete the restored server {name}"]
    assert source.snapshot(source.id).locks == {"keep": "CanNotDelete"}


def killed(source: Source, name: str, moment: str) -> bool:
    """Run the restore in a process of its own, killed at its first write; False where it came to its end first.

    `sent`: Azure has taken the write, and works on it. `done`: the write has ended, and the next one is not sent.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def kill_at(number: int) -> None:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        hooks = {"after": lambda: kill_at(1)} if moment == "sent" else {"before": lambda: kill_at(2)}
        try:
            source.restore_by(arm_client(source.client, **hooks), name).run(check_mode=False)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, -signal.SIGKILL}
    return status != 0


def end_state(snapshot: plans.Snapshot) -> dict[str, Any]:
    """All that a restore decides; what differs by name and time is left out."""
    name, properties = snapshot.server["name"], snapshot.server["properties"]
    state = {key: value for key, value in vars(snapshot).items() if key not in {"server", "endpoints"}}
    state["endpoints"] = [
        (item["name"].replace(name, "NAME"), *place)
        for item, place in zip(snapshot.endpoints, places(snapshot), strict=True)
    ]
    state["tags"] = {
        key: value for key, value in snapshot.server["tags"].items() if key not in (plans.TAG_ID, plans.TAG_POINT)
    }
    state["identity"] = snapshot.server["identity"]
    for part in ("maintenanceWindow", "highAvailability", "storage", "network", "authConfig", "state"):
        state[part] = properties[part]
    state["backup"] = properties["backup"]["backupRetentionDays"]
    return state


@pytest.mark.parametrize("moment", ["sent", "done"])
def test_killed_at_every_write_it_ends_in_the_same_state(source, moment):
    prefix = postgresql.parse_id(source.id).name
    name, undisturbed = f"{prefix}-k{moment[0]}", f"{prefix}-u{moment[0]}"
    whole = source.restore(undisturbed)
    wanted = end_state(source.snapshot(whole.run(check_mode=False)["server"]["id"]))
    kills = 0
    while killed(source, name, moment):
        kills += 1
        assert kills < 40, "the restore makes no way"
    # A creation, a tag before and after, and what it has brought over.
    assert kills >= len(whole.actions) + (1 if moment == "sent" else 0)
    target = postgresql.parse_id(source.id).sibling(name)
    assert end_state(source.snapshot(target.path)) == wanted
    assert source.restore(name).run(check_mode=True)["phase"] == "configured"
    for made in (name, undisturbed):
        source.restore(made).discard(check_mode=False)


def test_what_a_killed_drill_has_begun_is_deleted(source):
    """The server is still being restored when the next drill begins by deleting it."""
    name = f"{postgresql.parse_id(source.id).name}-d"
    assert killed(source, name, "sent")
    discard = source.restore(name)
    discard.discard(check_mode=False)
    assert discard.actions == [f"delete the restored server {name}"]
    path = postgresql.parse_id(source.id).sibling(name).path
    assert source.client.arm("GET", path.removeprefix(source.client.subscription), API).status == 404


def test_a_bare_restore_has_none_of_it(source):
    """The sandbox leaves behind what Azure leaves behind: without this the test above would prove nothing."""
    name = f"{postgresql.parse_id(source.id).name}-b"
    restore = source.restore(name, **dict.fromkeys(vars(plans.Reconcile()), False))
    there = source.snapshot(restore.run(check_mode=False)["server"]["id"])
    assert (there.parameters, there.firewall_rules, there.administrators) == ({}, {}, {})
    assert (there.diagnostics, there.locks, there.endpoints) == ({}, {}, [])
    properties = there.server["properties"]
    assert properties["maintenanceWindow"]["customWindow"] == "Disabled"
    assert properties["highAvailability"]["mode"] == "Disabled"

    params = {"server_id": there.server["id"], "source_id": source.id}
    state, lost = verify.azure_checks(params, arm_client(source.client))
    assert state.status == "pass"
    assert (lost.check, lost.status) == ("parameters", "fail")
    assert "missing: max_connections, work_mem" in lost.evidence
    source.restore(name).discard(check_mode=False)


def test_a_dropped_server_comes_back_as_the_activity_log_tells(source):
    """The moment is that of its deletion in the log; without a record, or after five days, nothing is written."""
    prefix = postgresql.parse_id(source.id).name
    gone, back = (postgresql.parse_id(source.id).sibling(f"{prefix}-{part}") for part in ("gone", "back"))
    bare = dict.fromkeys(vars(plans.Reconcile()), False)
    source.restore(gone.name, **bare).run(check_mode=False)
    deadline = time.monotonic() + 60
    while not source.arm("GET", gone.path)["properties"]["backup"].get("earliestRestoreDate"):
        assert time.monotonic() < deadline, "the server gets no backup"
        time.sleep(0.2)
    before = datetime.datetime.now(plans.UTC)

    def revive(days: int = 0) -> service.Restore:
        request = plans.Request(source=gone, target=back, mode="dropped", location="westeurope")
        servers = service.Servers(arm_client(source.client))
        clock = {"now": lambda: datetime.datetime.now(plans.UTC) + datetime.timedelta(days=days)}
        return service.Restore(servers, request, plans.Reconcile(), timeout=120, interval=0.5, **clock)

    with pytest.raises(AksPlatformError, match="has no deletion of"):
        revive().run(check_mode=False)
    source.restore(gone.name).discard(check_mode=False)
    with pytest.raises(AksPlatformError, match="kept its backups for 5 days"):
        revive(days=6).run(check_mode=False)
    assert source.client.arm("GET", back.path.removeprefix(source.client.subscription), API).status == 404
    assert revive().run(check_mode=True)["phase"] == "absent"
    found = revive().run(check_mode=False)
    assert before <= found["point"] <= datetime.datetime.now(plans.UTC)
    assert found["server"]["properties"]["state"] == "Ready"
    again = revive()
    assert again.run(check_mode=False)["point"] == found["point"]
    assert again.actions == []
    revive().discard(check_mode=False)


def test_a_parameter_that_waits_for_a_restart_is_told(source):
    path = f"{source.id}/configurations/max_connections"
    source.arm("PATCH", path, {"properties": {"value": "78", "source": "user-override"}})
    params = {"server_id": source.id, "source_id": source.id}
    _, result = verify.azure_checks(params, arm_client(source.client))
    assert (result.status, result.evidence) == ("warn", "a server parameter waits for a restart")


def test_missing_rights_are_named_before_any_write(source, sandbox):
    restore = source.restore("psql-never-made", sandbox.client(account="reader"))
    with pytest.raises(AksPlatformError, match=r"flexibleServers/write.*locks/write in rg-|AuthorizationFailed"):
        restore.run(check_mode=False)
    assert (
        source.client.arm("GET", f"{source.group}/providers/{postgresql.SERVER_TYPE}/psql-never-made", API).status
        == 404
    )


def test_a_server_beyond_the_quota_is_refused_before_any_write(source):
    """96 vCores of a family are the sandbox's limit, and the source, which is highly available, uses four of them."""
    name = f"{postgresql.parse_id(source.id).name}-big"
    parsed = postgresql.parse_id(source.id)
    for size, words in (
        ("Standard_D96ds_v5", "standardDDSv5Family .* is 96 vCores"),
        ("Standard_Q2", "does not offer"),
    ):
        sku = {"name": size, "tier": "GeneralPurpose"}
        request = plans.Request(source=parsed, target=parsed.sibling(name), mode="latest", sku=sku)
        restore = service.Restore(
            service.Servers(arm_client(source.client)), request, plans.Reconcile(), timeout=120, interval=0.5
        )
        with pytest.raises(AksPlatformError, match=words):
            restore.run(check_mode=False)
    assert source.client.arm("GET", f"{source.group}/providers/{postgresql.SERVER_TYPE}/{name}", API).status == 404


def test_a_server_in_a_subnet_is_restored_into_another_that_is_delegated(client):
    name = f"pgn{uuid.uuid4().hex[:6]}"
    group = f"{client.subscription}{client.group(f'rg-{name}')}"
    vnet = f"{group}/providers/Microsoft.Network/virtualNetworks/vnet"
    zone = f"{group}/providers/Microsoft.Network/privateDnsZones/{name}.private.postgres.database.azure.com"
    delegation = {"name": "psql", "properties": {"serviceName": postgresql.SERVER_TYPE}}
    subnets = [
        {"name": part, "properties": {"addressPrefix": f"10.91.{number}.0/28", "delegations": delegations}}
        for number, (part, delegations) in enumerate((("one", [delegation]), ("two", [delegation]), ("bare", [])))
    ]
    body = {"addressSpace": {"addressPrefixes": ["10.91.0.0/16"]}, "subnets": subnets}
    parsed = postgresql.parse_id(f"{group}/providers/{postgresql.SERVER_TYPE}/{name}")
    network = {"delegatedSubnetResourceId": f"{vnet}/subnets/one", "privateDnsZoneArmResourceId": zone}
    auth = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": client.env["ARM_TENANT_ID"]}
    server = {
        "location": "westeurope",
        "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
        "properties": {"version": "18", "authConfig": auth, "network": network},
    }
    arm = arm_client(client)
    arm.put(vnet, service.ENDPOINTS_API, {"location": "westeurope", "properties": body})
    arm.put(zone, "2024-06-01", {"location": "global", "properties": {}})
    arm.put(parsed.path, API, server)

    def restore(part: str) -> service.Restore:
        place = {"delegated_subnet_id": f"{vnet}/subnets/{part}", "private_dns_zone_id": zone}
        request = plans.Request(source=parsed, target=parsed.sibling(f"{name}-r"), mode="latest", **place)
        return service.Restore(service.Servers(arm), request, plans.Reconcile(), timeout=120, interval=0.5)

    for part, words in (("bare", "vnet/bare is delegated to nothing"), ("none", "vnet/none does not exist")):
        with pytest.raises(AksPlatformError, match=words):
            restore(part).run(check_mode=False)
    assert arm.get(parsed.sibling(f"{name}-r").path, API) is None
    found = restore("two").run(check_mode=False)
    assert found["server"]["properties"]["network"]["delegatedSubnetResourceId"] == f"{vnet}/subnets/two"
    restore("two").discard(check_mode=False)
    arm.delete(group, "2023-07-01")


def test_now_is_inside_the_window_of_a_new_server(source):
    content = source.arm("GET", source.id)
    earliest, latest = plans.window(content, datetime.datetime.now(plans.UTC))
    assert earliest is not None
    assert earliest < latest
