"""PostgreSQL Flexible Server in the sandbox, by real clients: ARM, libpq with verified TLS, Entra tokens, recovery."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from aksops_sandbox.engines.postgres.runtime import Runtime

API = "2025-08-01"
PG_AUDIENCE = "https://ossrdbms-aad.database.windows.net"
# Restores in the test of random moments; fewer for a quick look.
MOMENTS = int(os.environ.get("AKSOPS_PITR_MOMENTS", "20"))
UTC = datetime.UTC


class Servers:
    """The Flexible Servers of one resource group, with SQL."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.group = client.group(f"rg-pg-{uuid.uuid4().hex[:6]}")
        self.prefix = f"pg{uuid.uuid4().hex[:6]}"

    def path(self, name: str, child: str = "") -> str:
        base = f"{self.group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{self.prefix}{name}"
        return f"{base}/{child}" if child else base

    def arm(self, method: str, name: str, child: str = "", body: Any = None, wait: bool = True) -> Any:
        return self.client.arm(method, self.path(name, child), API, body, wait)

    def id(self, name: str) -> str:
        return f"{self.client.subscription}{self.path(name)}"

    def fqdn(self, name: str) -> str:
        return f"{self.prefix}{name}.postgres.database.azure.com"

    def create(self, name: str, **properties: Any) -> Any:
        tenant = self.client.env["ARM_TENANT_ID"]
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            "properties": {
                "version": "18",
                "authConfig": {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": tenant},
                **properties,
            },
        }
        return self.arm("PUT", name, body=body)

    def administer(self, name: str) -> None:
        """Make the operator an Entra administrator, open the firewall, make the database app."""
        oid = self.client.env["AKSOPS_PRINCIPAL_ID"]
        properties = {"principalName": "operator", "principalType": "ServicePrincipal"}
        assert self.arm("PUT", name, f"administrators/{oid}", {"properties": properties}).status == 200
        everywhere = {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}
        assert self.arm("PUT", name, "firewallRules/azure", everywhere).status == 200
        assert self.arm("PUT", name, "databases/app", {"properties": {}}).status == 200

    def restore(self, name: str, source: str, moment: datetime.datetime, **properties: Any) -> Any:
        body = {
            "location": "westeurope",
            "properties": {
                "createMode": "PointInTimeRestore",
                "sourceServerResourceId": self.id(source),
                "pointInTimeUTC": moment.isoformat(),
                **properties,
            },
        }
        return self.arm("PUT", name, body=body)

    def connect(
        self, name: str, user: str = "operator", password: str | None = None, database: str = "app", **options: Any
    ) -> psycopg.Connection:
        arguments: dict[str, Any] = {
            "host": self.fqdn(name),
            "hostaddr": self.client.env["PGHOSTADDR"],
            "sslmode": "verify-full",
            "sslrootcert": self.client.env["PGSSLROOTCERT"],
            "autocommit": True,
            **options,
        }
        token = password if password is not None else self.client.token(PG_AUDIENCE)
        return psycopg.connect(user=user, password=token, dbname=database, **arguments)


@pytest.fixture(scope="module")
def servers(client: Any) -> Iterator[Servers]:
    made = Servers(client)
    assert made.create("a").status == 200
    made.administer("a")
    yield made
    client.arm("DELETE", made.group, "2023-07-01")


def test_a_new_server_is_ready_and_says_nothing_secret(servers):
    answer = servers.arm("PUT", "a", body={"location": "westeurope"}, wait=False)
    assert answer.status == 202
    assert "Azure-Asyncoperation" in {key.title() for key in answer.headers}
    deadline = time.monotonic() + 20
    while servers.arm("GET", "a").json["properties"]["state"] != "Ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    properties = servers.arm("GET", "a").json["properties"]
    assert properties["backup"]["earliestRestoreDate"]
    assert "administratorLoginPassword" not in properties
    assert properties["fullyQualifiedDomainName"] == servers.fqdn("a")


def test_tls_is_verified_and_the_administrator_is_no_superuser(servers):
    with servers.connect("a") as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper, current_setting('server_version_num')::int >= 180000"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert row == ("operator", False, True)
        assert connection.pgconn.ssl_in_use


def test_another_name_in_the_certificate_is_refused(servers):
    with pytest.raises(psycopg.OperationalError):
        servers.connect("a", host="other.postgres.database.azure.com")
    with pytest.raises(psycopg.OperationalError, match="certificate"):
        servers.connect("a", sslrootcert="/etc/ssl/certs/ca-certificates.crt")


def test_without_tls_nobody_gets_in(servers):
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        servers.connect("a", sslmode="disable")


@pytest.mark.parametrize("case", ["garbage", "other audience", "other principal", "no role"])
def test_a_token_that_does_not_fit_is_refused(servers, sandbox, case):
    user, token = "operator", None
    if case == "garbage":
        token = "x.y.z"
    elif case == "other audience":
        token = servers.client.token()
    elif case == "other principal":
        token = sandbox.client(account="second").token(PG_AUDIENCE)
    else:
        user = "nobody"
    with pytest.raises(psycopg.OperationalError, match=r"Entra|disabled"):
        servers.connect("a", user=user, password=token)


def test_a_member_of_an_entra_role_gets_in_by_its_password_only(servers):
    login, password = "keeper", "Kept-Secret-17"
    body = {"administratorLogin": login, "administratorLoginPassword": password}
    auth = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Enabled"}
    assert servers.create("b", authConfig=auth, **body).status == 200
    servers.administer("b")
    with servers.connect("b", database="postgres") as connection:
        connection.execute("SELECT pgaadauth_create_principal('second', false, false)")
        connection.execute(f'GRANT second TO "{login}"')
    with servers.connect("b", user=login, password=password) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (login,)
    for wrong in ("", "wrong", servers.client.token(PG_AUDIENCE)):
        with pytest.raises(psycopg.OperationalError, match="password"):
            servers.connect("b", user=login, password=wrong)
    assert password not in servers.arm("GET", "b").body.decode()
    assert servers.arm("DELETE", "b").status in {202, 204}


def test_from_outside_only_the_firewall_lets_in(servers, sandbox):
    outside = sandbox.client("outside").env["PGHOSTADDR"]
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        servers.connect("a", hostaddr=outside)
    rule = {"properties": {"startIpAddress": "203.0.113.0", "endIpAddress": "203.0.113.255"}}
    servers.arm("PUT", "a", "firewallRules/office", rule)
    servers.connect("a", hostaddr=outside).close()
    servers.arm("DELETE", "a", "firewallRules/office")
    with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
        servers.connect("a", hostaddr=outside)


def test_queries_are_cancelled_through_the_front(servers):
    with servers.connect("a") as connection:
        threading.Timer(0.3, connection.cancel_safe).start()
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(30)")
        assert time.monotonic() - started < 10


def test_extensions_need_the_allow_list_and_no_superuser(servers):
    with servers.connect("a") as connection:
        with pytest.raises(psycopg.Error, match="allow-listed"):
            connection.execute("CREATE EXTENSION hstore")
        body = {"properties": {"value": "hstore,amcheck", "source": "user-override"}}
        assert servers.arm("PATCH", "a", "configurations/azure.extensions", body).json["properties"]["value"]
        connection.execute("CREATE EXTENSION hstore")
        refused = servers.arm("PATCH", "a", "configurations/azure.extensions", {"properties": {"value": "nonsense"}})
        assert (refused.status, refused.code) == (400, "InvalidParameterValue")


def test_a_static_parameter_waits_for_a_restart(servers):
    path = "configurations/max_connections"
    servers.arm("PATCH", "a", path, {"properties": {"value": "60", "source": "user-override"}})
    properties = servers.arm("GET", "a", path).json["properties"]
    assert (properties["isDynamicConfig"], properties["isConfigPendingRestart"]) == (False, True)
    assert servers.arm("POST", "a", "restart", wait=False).status == 202
    deadline = time.monotonic() + 30
    while servers.arm("GET", "a", path).json["properties"]["isConfigPendingRestart"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with servers.connect("a") as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("60",)


def test_databases_made_by_sql_are_seen_by_arm_and_the_other_way(servers):
    with servers.connect("a", database="postgres") as connection:
        connection.execute("CREATE DATABASE by_sql")
    names = {item["name"] for item in servers.arm("GET", "a", "databases").json["value"]}
    assert {"app", "by_sql", "postgres"} <= names
    assert servers.arm("DELETE", "a", "databases/by_sql").status in {202, 204}
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        servers.connect("a", database="by_sql")


def test_a_busy_server_refuses_a_second_operation(servers):
    first = servers.arm("POST", "a", "restart", wait=False)
    second = servers.arm("PUT", "a", "databases/soon", {"properties": {}})
    assert first.status == 202
    assert second.status == 409
    assert second.code in {"ServerIsBusy", "ServerIsNotReady"}
    deadline = time.monotonic() + 30
    while servers.arm("GET", "a").json["properties"]["state"] != "Ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"pointInTimeUTC": "2020-01-01T00:00:00Z"}, "InvalidRestorePointInTime"),
        ({"pointInTimeUTC": "2099-01-01T00:00:00Z"}, "InvalidRestorePointInTime"),
        ({"pointInTimeUTC": "2026-01-01T00:00:00"}, "InvalidParameterValue"),
        ({"pointInTimeUTC": None}, "InvalidParameterValue"),
        ({"sourceServerResourceId": "/subscriptions/x"}, "SourceServerNotFound"),
        ({"network": {"delegatedSubnetResourceId": "/s", "privateDnsZoneArmResourceId": "/z"}}, "InvalidNetwork"),
    ],
)
def test_a_restore_that_cannot_be_is_refused_at_once(servers, change, code):
    answer = servers.restore("never", "a", datetime.datetime.now(UTC), **change)
    assert answer.code == code, answer.json
    assert servers.arm("GET", "never").status == 404


def test_a_restored_server_has_defaults_and_can_be_revived_after_a_drop(servers):
    with servers.connect("a") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
        moment = connection.execute("SELECT clock_timestamp()").fetchone()[0]
    assert servers.restore("d", "a", moment).status == 200
    assert servers.arm("GET", "d", "firewallRules").json["value"] == []
    assert servers.arm("GET", "d", "configurations/max_connections").json["properties"]["source"] == "system-default"
    deadline = time.monotonic() + 60
    while not servers.arm("GET", "d").json["properties"]["backup"].get("earliestRestoreDate"):
        assert time.monotonic() < deadline, "the restored server gets no backup of its own"
        time.sleep(0.2)
    assert servers.arm("DELETE", "d").status in {202, 204}
    assert servers.arm("GET", "d").status == 404
    body = {
        "location": "westeurope",
        "properties": {"createMode": "ReviveDropped", "sourceServerResourceId": servers.id("d")},
    }
    assert servers.arm("PUT", "e", body=body).code == "InvalidParameterValue"
    body["properties"]["pointInTimeUTC"] = datetime.datetime.now(UTC).isoformat()
    assert servers.arm("PUT", "e", body=body).status == 200
    servers.administer("e")
    with servers.connect("e") as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
    servers.arm("DELETE", "e")


def test_a_geo_restore_goes_to_the_paired_region_and_needs_its_backup(servers):
    body = {
        "location": "northeurope",
        "properties": {"createMode": "GeoRestore", "sourceServerResourceId": servers.id("a")},
    }
    assert servers.arm("PUT", "geo", body=body).code == "GeoRestoreNotSupported"
    assert servers.create("g", backup={"geoRedundantBackup": "Enabled"}).status == 200
    servers.administer("g")
    with servers.connect("g") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    body["properties"]["sourceServerResourceId"] = servers.id("g")
    wrong = servers.arm("PUT", "geo", body=body | {"location": "eastus"})
    assert wrong.code == "InvalidRestoreLocation"
    assert servers.arm("PUT", "geo", body=body).json["location"] == "northeurope"
    servers.administer("geo")
    with servers.connect("geo") as connection:
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)
    for name in ("geo", "g"):
        servers.arm("DELETE", name)


def test_a_virtual_endpoint_is_another_name_of_its_server(servers):
    name = f"{servers.prefix}ve"
    path = f"virtualendpoints/{name}"
    properties = {"endpointType": "ReadWrite", "members": [f"{servers.prefix}a"]}
    endpoint = servers.arm("PUT", "a", path, {"properties": properties}).json["properties"]["virtualEndpoints"][0]
    assert endpoint == f"{name}.writer.postgres.database.azure.com"
    servers.connect("a", host=endpoint).close()
    assert servers.arm("DELETE", "a", path).status in {202, 204}
    with pytest.raises(psycopg.OperationalError):
        servers.connect("a", host=endpoint)


def test_backups_on_demand_are_listed_and_deleted_and_automatic_ones_are_not(servers):
    assert servers.arm("PUT", "a", "backups/mine", {}).json["properties"]["source"] == "Customer Initiated"
    listed = {item["name"]: item["properties"]["source"] for item in servers.arm("GET", "a", "backups").json["value"]}
    automatic = next(name for name, source in listed.items() if source == "Automatic")
    assert servers.arm("PUT", "a", "backups/mine", {}).status == 409
    assert servers.arm("DELETE", "a", "backups/mine").status in {202, 204}
    assert servers.arm("DELETE", "a", f"backups/{automatic}").code == "AutomaticBackupCannotBeDeleted"
    names = {item["name"] for item in servers.arm("GET", "a", "backups").json["value"]}
    assert names == {automatic}


class Load:
    """Commits rows from several sessions, and knows from the server when each was committed."""

    def __init__(self, servers: Servers, name: str) -> None:
        self._servers, self._name = servers, name
        self._ended = threading.Event()
        with servers.connect(name) as connection:
            connection.execute("CREATE TABLE ledger (id bigserial PRIMARY KEY, writer int, filler text)")
            connection.execute("CREATE TABLE account (id int PRIMARY KEY, balance bigint)")
            connection.execute("INSERT INTO account SELECT n, 0 FROM generate_series(1, 50) n")
        self._threads = [threading.Thread(target=self._write, args=(writer,)) for writer in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        dice = random.Random(writer)
        with self._servers.connect(self._name, autocommit=False) as connection:
            while not self._ended.is_set():
                for _ in range(dice.randint(1, 3)):
                    connection.execute("INSERT INTO ledger (writer, filler) VALUES (%s, repeat('x', 200))", (writer,))
                connection.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", (dice.randint(1, 50),))
                connection.rollback() if dice.random() < 0.1 else connection.commit()
                time.sleep(dice.uniform(0.001, 0.02))

    def commits(self) -> dict[int, datetime.datetime]:
        """Row -> commit time, by the server's own record."""
        with self._servers.connect(self._name) as connection:
            return dict(connection.execute("SELECT id, pg_xact_commit_timestamp(xmin) FROM ledger").fetchall())


def test_restores_to_random_moments_return_exactly_what_was_committed(servers):
    assert servers.create("load").status == 200
    servers.administer("load")
    on = {"properties": {"value": "on", "source": "user-override"}}
    servers.arm("PATCH", "load", "configurations/track_commit_timestamp", on)
    servers.arm("POST", "load", "restart", wait=False)
    deadline = time.monotonic() + 30
    while servers.arm("GET", "load").json["properties"]["state"] != "Ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with Load(servers, "load") as load:
        time.sleep(1)
        begin = datetime.datetime.now(UTC)
        time.sleep(6)
        end = datetime.datetime.now(UTC)
        time.sleep(1)
    commits = load.commits()
    moments = sorted({moment for moment in commits.values() if begin <= moment <= end})
    assert len(commits) > 200
    dice = random.Random(18)
    gaps = [
        (before, after)
        for before, after in itertools.pairwise(moments)
        if after - before > datetime.timedelta(milliseconds=2)
    ]
    assert len(gaps) >= MOMENTS
    for number, (before, after) in enumerate(dice.sample(gaps, MOMENTS)):
        moment = before + datetime.timedelta(milliseconds=1) + (after - before - datetime.timedelta(milliseconds=2)) / 2
        name = f"r{number}"
        assert servers.restore(name, "load", moment).status == 200, moment
        servers.administer(name)
        with servers.connect(name) as connection:
            there = {row[0] for row in connection.execute("SELECT id FROM ledger")}
        assert there == {row for row, committed in commits.items() if committed <= moment}, moment
        servers.arm("DELETE", name)


class Daily:
    """The automatic backups of one server, as if days went by."""

    def __init__(self, servers: Servers, sandbox: Any, name: str) -> None:
        self.servers, self.sandbox, self.name = servers, sandbox, name
        self.folder = Runtime(sandbox.home.path / "postgres").root / "servers" / f"{servers.prefix}{name}" / "backups"

    def take(self) -> dict[str, str]:
        argument = json.dumps({"server": f"{self.servers.prefix}{self.name}"})
        taken: dict[str, str] = json.loads(self.sandbox.run("call", "postgresql-backup", argument))
        return taken

    def listed(self) -> list[tuple[str, str]]:
        found = self.servers.arm("GET", self.name, "backups").json["value"]
        return [(item["name"], item["properties"]["backupType"]) for item in found]

    def size(self, backup: str) -> int:
        return sum(path.stat().st_size for path in (self.folder / backup).rglob("*") if path.is_file())


def rows_at(servers, name, source, moment):
    """The rows of table `day` in a server restored to a moment."""
    assert servers.restore(name, source, moment).status == 200
    servers.administer(name)
    with servers.connect(name) as connection:
        found = connection.execute("SELECT count(*), sum(n) FROM day").fetchone()
    servers.arm("DELETE", name)
    return found


def test_a_restore_is_put_together_from_incremental_backups(servers, sandbox):
    assert servers.create("inc").status == 200
    servers.administer("inc")
    daily = Daily(servers, sandbox, "inc")
    first = daily.listed()[0][0]
    parents, moments = [], []
    with servers.connect("inc") as connection:
        connection.execute("CREATE TABLE day AS SELECT n, repeat('x', 900) AS filler FROM generate_series(1, 5000) n")
        for day in range(3):
            taken = daily.take()
            parents.append((taken["parent"], taken["name"]))
            connection.execute("UPDATE day SET n = n + 1 WHERE n %% 50 = %s", (day,))
            connection.execute("INSERT INTO day VALUES (0, '')")
            expected = connection.execute("SELECT count(*), sum(n) FROM day").fetchone()
            moments.append((connection.execute("SELECT clock_timestamp()").fetchone()[0], expected))
    names = [name for _, name in parents]
    assert [parent for parent, _ in parents] == [first, *names[:-1]], "each is incremental to the one before"
    # Azure lists every automatic backup as a full one: each is a restore point by itself.
    assert daily.listed() == [(name, "Full") for name in (first, *names)]
    assert daily.size(names[2]) < daily.size(names[0]), "a day's change takes as much as everything"
    for number, (moment, expected) in enumerate(moments):
        assert rows_at(servers, f"inc{number}", "inc", moment) == expected, number


def interrupt(daily, sandbox):
    """Kill the sandbox in the middle of a backup and start it again; returns whether the backup was not complete."""

    def take() -> None:
        with suppress(AssertionError, OSError):
            daily.take()

    thread = threading.Thread(target=take)
    thread.start()
    while thread.is_alive() and not list(daily.folder.glob(".*.part")):
        pass
    os.kill(json.loads(sandbox.home.state.read_text())["pid"], signal.SIGKILL)
    thread.join()
    cut = bool(list(daily.folder.glob(".*.part")))
    sandbox.run("up")
    return cut


def test_a_backup_that_was_killed_leaves_nothing_and_the_line_goes_on(servers, sandbox):
    daily = Daily(servers, sandbox, "inc")
    for _ in range(8):
        before = daily.listed()
        if interrupt(daily, sandbox):
            break
    else:
        pytest.fail("each of eight backups was complete before the kill")
    assert daily.listed() == before
    taken = daily.take()
    assert taken["parent"] == before[-1][0]
    assert sorted(path.name for path in daily.folder.iterdir() if path.is_dir()) == sorted(
        name for name, _ in daily.listed()
    )
    with servers.connect("inc") as connection:
        expected = connection.execute("SELECT count(*), sum(n) FROM day").fetchone()
        moment = connection.execute("SELECT clock_timestamp()").fetchone()[0]
    assert rows_at(servers, "inck", "inc", moment) == expected
    servers.arm("DELETE", "inc")


def test_data_survive_down_and_a_kill(servers, sandbox):
    """Last, since it restarts the sandbox of all contract tests."""
    with servers.connect("a") as connection:
        connection.execute("CREATE TABLE survivor AS SELECT generate_series(1, 1000) AS n")
    sandbox.run("down")
    sandbox.run("up")
    with servers.connect("a") as connection:
        assert connection.execute("SELECT count(*) FROM survivor").fetchone() == (1000,)
