"""playbooks/restore_postgresql.yml as a person would run it: proof, receipt, resumption after a kill, refusals."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aksops_sandbox.settings import Home
from support.azure import Client

ROOT = Path(__file__).resolve().parents[2]
API = "2025-08-01"
PROVIDER = "providers/Microsoft.DBforPostgreSQL/flexibleServers"


class Shop:
    """A server with a database `shop`, made through ARM, and rows whose times are known."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.client = Client(Home(bench.home))
        self.env = self.client.env
        self.name = f"pge{uuid.uuid4().hex[:6]}"
        self.group = f"/subscriptions/{self.env['ARM_SUBSCRIPTION_ID']}/resourceGroups/rg-{self.name}"
        self.id = f"{self.group}/{PROVIDER}/{self.name}"
        self.arm("PUT", self.group, {"location": "westeurope"}, "2023-07-01")
        auth = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": self.env["ARM_TENANT_ID"]}
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            "properties": {"version": "18", "authConfig": auth, "backup": {"geoRedundantBackup": "Enabled"}},
        }
        self.arm("PUT", self.id, body)
        self.open(self.id)
        self.arm("PUT", f"{self.id}/databases/shop", {"properties": {}})
        work_mem = {"properties": {"value": "8192", "source": "user-override"}}
        self.arm("PATCH", f"{self.id}/configurations/work_mem", work_mem)
        self.blobs = self.account()
        with self.connect(self.name) as connection:
            connection.execute("CREATE TABLE orders (id serial PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())")
            self.insert(connection, 30)
            time.sleep(0.01)
            self.point = connection.execute("SELECT clock_timestamp()").fetchone()[0].astimezone(datetime.UTC)
            time.sleep(0.01)
            self.insert(connection, 20)

    def open(self, server_id: str) -> None:
        """Let this test in."""
        admin = {"properties": {"principalName": "operator", "principalType": "ServicePrincipal"}}
        self.arm("PUT", f"{server_id}/administrators/{self.env['AKSOPS_PRINCIPAL_ID']}", admin)
        everywhere = {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}
        self.arm("PUT", f"{server_id}/firewallRules/azure", everywhere)

    def rows(self, server: str) -> int:
        with self.connect(server) as connection:
            return connection.execute("SELECT count(*) FROM orders").fetchone()[0]

    def account(self) -> str:
        """A storage account with the container `receipts`, open to this test; returns its blob endpoint."""
        place = f"{self.group}/providers/Microsoft.Storage/storageAccounts/{self.name}"
        content = {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {"allowSharedKeyAccess": False}}
        self.arm("PUT", place, {"location": "westeurope", **content}, "2025-08-01")
        self.arm("PUT", f"{place}/blobServices/default/containers/receipts", {"properties": {}}, "2025-08-01")
        role = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"  # Storage Blob Data Contributor
        roles = f"/subscriptions/{self.env['ARM_SUBSCRIPTION_ID']}/providers/Microsoft.Authorization/roleDefinitions"
        grant = {"properties": {"principalId": self.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": f"{roles}/{role}"}}
        name = uuid.uuid4()
        self.arm("PUT", f"{place}/providers/Microsoft.Authorization/roleAssignments/{name}", grant, "2022-04-01")
        return f"https://{self.name}.blob.core.windows.net/"

    def kept(self, kind: str) -> list[tuple[str, Any]]:
        """Receipts in the storage account, with the blobs' names, the oldest first."""
        headers = {
            "x-ms-version": "2023-11-03",
            "Authorization": f"Bearer {self.client.token('https://storage.azure.com')}",
        }
        url = f"{self.blobs}receipts?restype=container&comp=list&prefix={kind}/"
        listed = self.client.send("GET", url, None, headers)
        assert listed.status == 200, listed.body
        names = sorted(
            re.findall(r"<Name>([^<]+\.json)</Name>", listed.body.decode()), key=lambda name: name.rsplit("/", 1)[1]
        )
        return [(name, self.client.send("GET", f"{self.blobs}receipts/{name}", None, headers).json) for name in names]

    @staticmethod
    def insert(connection: Any, rows: int) -> None:
        for _ in range(rows):
            connection.execute("INSERT INTO orders DEFAULT VALUES")

    def arm(self, method: str, path: str, body: Any = None, version: str = API) -> Any:
        answer = self.client.arm(method, path, version, body)
        assert answer.status < 400 or method == "GET", answer.body
        return answer.json

    def connect(self, server: str) -> psycopg.Connection:
        return psycopg.connect(
            host=f"{server}.postgres.database.azure.com",
            hostaddr=self.env["PGHOSTADDR"],
            user="operator",
            password=self.client.token("https://ossrdbms-aad.database.windows.net"),
            dbname="shop",
            sslmode="verify-full",
            sslrootcert=self.env["PGSSLROOTCERT"],
            autocommit=True,
        )

    def inputs(self, name: str, **change: Any) -> str:
        """A file with the variables of a run: the platform's facts as Terraform would tell them."""
        fqdn = f"{self.name}.postgres.database.azure.com"
        content = {
            "platform": {
                "postgresql": {"id": self.id, "name": self.name, "fqdn": fqdn},
                "storage": {"blob_endpoint": self.blobs},
            },
            "postgresql_databases_list": [{"name": "shop", "owner": "shop_owner"}],
            "postgresql_restore_point_in_time": self.point.isoformat(),
            "postgresql_restore_name": name,
            "postgresql_restore_wait_sleep": 1,
            "postgresql_restore_databases": ["shop"],
            "postgresql_restore_data_time": [{"database": "shop", "table": "orders", "column": "at"}],
            "postgresql_restore_artifacts": str(self.bench.folder / "receipts"),
            **change,
        }
        path = self.bench.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return f"@{path}"

    def receipt(self, name: str) -> Any:
        (path,) = (self.bench.folder / "receipts").glob(f"{name}-*.json")
        return json.loads(path.read_text())


@pytest.fixture(scope="module")
def shop(bench: Any) -> Shop:
    return Shop(bench)


def test_check_mode_writes_nothing_and_says_what_would_be_done(bench, shop):
    mark = bench.mark()
    run = bench.playbook("restore_postgresql", "--check", "--diff", "-e", shop.inputs(f"{shop.name}-c"))
    assert run.code == 0, run.output
    assert run.recap("changed") == 1
    assert f"create {shop.name}-c by point_in_time" in run.output
    assert "set the server parameter work_mem" in run.output
    assert bench.writes(mark) == []


def test_rows_before_the_point_are_there_and_later_ones_are_not(bench, shop):
    name = f"{shop.name}-r"
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(name))
    assert run.code == 0, run.output
    with shop.connect(name) as connection:
        assert connection.execute("SELECT count(*), max(at) <= %s FROM orders", (shop.point,)).fetchone() == (30, True)
        assert connection.execute("SHOW work_mem").fetchone() == ("8MB",)
    receipt = shop.receipt(name)
    assert receipt["status"] != "fail"
    checks = {check["check"]: check for check in receipt["checks"] if check["database"] in ("", "shop")}
    assert checks["data_time"]["status"] == checks["rows_by_time"]["status"] == checks["parameters"]["status"] == "pass"
    assert "30 rows up to the target here, 30 in the live source, which has 20 later ones" in str(
        checks["rows_by_time"]
    )
    access = {"role_attributes", "memberships", "role_settings", "database_access", "grants", "default_privileges"}
    assert {check["status"] for check in receipt["checks"] if check["check"] in {*access, "definitions"}} == {"pass"}
    page = next((bench.folder / "receipts").glob(f"{name}-*.html")).read_text()
    assert "<script" not in page
    assert "https://" not in page
    assert shop.env["ARM_CLIENT_SECRET"] not in run.output + page

    kept = [(blob, item) for blob, item in shop.kept("restore") if item["subject_id"] == receipt["server"]["id"]]
    assert [item["receipt"] for _blob, item in kept] == [receipt]
    server = shop.arm("GET", f"{shop.group}/{PROVIDER}/{name}")
    assert receipt["restore_id"] == server["tags"]["aksops-restore-id"]
    stored = shop.client.token("https://storage.azure.com")
    headers = {"x-ms-version": "2023-11-03", "Authorization": f"Bearer {stored}"}
    url = f"{shop.blobs}receipts/{kept[0][0].removesuffix('.json')}.html"
    assert shop.client.send("GET", url, None, headers).body.decode() == page

    mark = bench.mark()
    again = bench.playbook("restore_postgresql", "-e", shop.inputs(name))
    assert again.code == 0, again.output
    assert again.recap("changed") == 0, again.changed_tasks
    assert bench.writes(mark) == []
    assert shop.receipt(name)["seconds"]["provision"] == receipt["seconds"]["provision"]

    later = (shop.point + datetime.timedelta(milliseconds=1)).isoformat()
    other = bench.playbook("restore_postgresql", "-e", shop.inputs(name, postgresql_restore_point_in_time=later))
    assert other.code != 0
    assert "is another restore" in " ".join(other.output.split())
    assert bench.writes(mark) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"postgresql_restore_point_in_time": "2026-11-23T10:00:00"}, "has no time zone"),
        ({"postgresql_restore_point_in_time": "2099-11-23T10:00:00Z"}, "in the future"),
        ({"postgresql_restore_point_in_time": "2020-11-23T10:00:00Z"}, "before the first backup"),
        ({"postgresql_restore_name": "SAME"}, "source itself"),
        ({"postgresql_restore_location": "eastus"}, "own region"),
        (
            {"postgresql_restore_mode": "geo", "postgresql_restore_location": "eastus"},
            "of westeurope, northeurope, not",
        ),
        ({"postgresql_restore_mode": "backup", "postgresql_restore_backup": "nope"}, "has no backup 'nope'; it has"),
        ({"postgresql_restore_mode": "dropped", "postgresql_restore_location": "westeurope"}, "has no deletion of"),
        ({"postgresql_restore_sku": {"name": "Standard_D96ds_v5", "tier": "GeneralPurpose"}}, "is 96 vCores"),
        ({"postgresql_restore_point_in_time": ""}, "a moment with its time zone"),
    ],
)
def test_wrong_input_ends_before_any_write(bench, shop, change, words):
    if change.get("postgresql_restore_name") == "SAME":
        change = {"postgresql_restore_name": shop.name}
    mark = bench.mark()
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(f"{shop.name}-w", **change))
    assert run.code != 0
    assert words in " ".join(run.output.split()), run.output
    assert bench.writes(mark) == []


def test_missing_rights_end_in_one_sentence(bench, shop):
    mark = bench.mark()
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(f"{shop.name}-n"), account="reader")
    assert run.code != 0
    assert "is no Entra administrator of" in run.output
    assert "Traceback" not in run.output
    assert bench.writes(mark) == []


@pytest.mark.parametrize("phase", ["restoring", "configuring", "verifying"])
def test_a_killed_restore_goes_on(bench, shop, phase):
    name = f"{shop.name}-{phase[:2]}k"
    command = bench.command(
        "ansible-playbook", "-i", "inventories/sandbox", "playbooks/restore_postgresql.yml", "-e", shop.inputs(name)
    )
    environment = {**os.environ, **bench.environment}
    log = bench.folder / f"{name}.log"
    with log.open("w") as output:
        run = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and run.poll() is None:
            server = shop.arm("GET", f"{shop.group}/{PROVIDER}/{name}") or {}
            there = (server.get("tags") or {}).get("aksops-restore-phase")
            if there == phase or (phase == "verifying" and f"Verify {name}" in log.read_text()):
                break
            time.sleep(0.05)
        assert run.poll() is None, log.read_text()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    again = bench.playbook("restore_postgresql", "-e", shop.inputs(name))
    assert again.code == 0, again.output
    server = shop.arm("GET", f"{shop.group}/{PROVIDER}/{name}")
    assert server["tags"]["aksops-restore-phase"] == "configured"
    assert shop.receipt(name)["status"] != "fail"
    with shop.connect(name) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (30,)
    shop.arm("DELETE", f"{shop.group}/{PROVIDER}/{name}")


def test_a_drill_proves_measures_and_leaves_nothing(bench, shop):
    folder = bench.folder / "drills"
    inputs = shop.inputs(f"{shop.name}-drill", postgresql_restore_point_in_time="", dr_drill_folder=str(folder))
    content = json.loads(Path(inputs[1:]).read_text())
    del content["postgresql_restore_name"], content["postgresql_restore_artifacts"]
    content |= {"postgresql_restore_tolerance": 86400}
    Path(inputs[1:]).write_text(json.dumps(content))
    for number in (1, 2):
        run = bench.playbook("dr_drill", "-e", inputs)
        assert run.code == 0, run.output
        assert shop.arm("GET", f"{shop.group}/{PROVIDER}/{shop.name}-drill").get("error")
        (path,) = folder.glob("*/*.json")
        receipt = json.loads(path.read_text())
        assert set(receipt["seconds"]) == {"provision", "configure", "verify"}
        assert receipt["gap_seconds"] >= 0
        page = (folder / "index.html").read_text()
        assert f"{number} drills, 0 of them failed" in page
        shutil.rmtree(folder)  # as a job's container forgets its disk
    assert "2 drills, 0 of them failed" in page
    latest = shop.inputs(f"{shop.name}-soon", postgresql_restore_mode="latest", postgresql_restore_point_in_time="")
    planned = bench.playbook("restore_postgresql", "--check", "-e", latest)
    assert planned.code == 0, planned.output
    assert "The last drills of this server, 2, took" in " ".join(planned.output.split())
    assert [item["receipt"]["status"] == "fail" for _name, item in shop.kept("drill")] == [False, False]

    failing = [{"name": "impossible", "database": "shop", "query": "SELECT count(*) FROM orders", "expect": "-1"}]
    Path(inputs[1:]).write_text(json.dumps(content | {"postgresql_restore_assertions": failing}))
    run = bench.playbook("dr_drill", "-e", inputs)
    assert run.code != 0
    assert "3 drills, 1 of them failed" in (folder / "index.html").read_text()
    assert "impossible" in (folder / "index.html").read_text()
    assert shop.arm("GET", f"{shop.group}/{PROVIDER}/{shop.name}-drill").get("error")

    # One that does not even restore is in the history too.
    broken = content | {"dr_drill_mode": "backup", "postgresql_restore_backup": "no-such-backup"}
    Path(inputs[1:]).write_text(json.dumps(broken))
    run = bench.playbook("dr_drill", "-e", inputs)
    assert run.code != 0
    assert "4 drills, 2 of them failed" in (folder / "index.html").read_text()
    newest = shop.kept("drill")[-1][1]["receipt"]
    assert newest["status"] == "fail"
    assert "no-such-backup" in newest["checks"][0]["evidence"]


AWKWARD = """
CREATE TYPE mood AS ENUM ('calm', 'odd');
CREATE SCHEMA billing;
CREATE TABLE billing."Odd Name's" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  n integer DEFAULT 7 CHECK (n > 0),
  twice integer GENERATED ALWAYS AS (n * 2) STORED, note text COLLATE "C" NOT NULL, moods mood[], doc jsonb, raw bytea,
  at timestamptz, span interval, amount numeric(20, 5), UNIQUE (note, n));
CREATE INDEX "by note" ON billing."Odd Name's" (lower(note)) WHERE n > 1;
INSERT INTO billing."Odd Name's" (n, note, moods, doc, raw, at, span, amount)
  SELECT i, 'n' || i || E'\\t\\n\\\\', ARRAY['odd', NULL]::mood[], jsonb_build_object('i', i),
    decode(lpad(to_hex(i), 8, '0'), 'hex'),
    now(), make_interval(secs => i), i / 3.0 FROM generate_series(1, 5000) i;
CREATE TABLE parted (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parted SELECT i, '2026-01-01'::date + i FROM generate_series(1, 300) i;
"""


def test_tables_are_extracted_beside_the_live_ones(bench, shop):
    odd = "billing.Odd Name's"
    with shop.connect(shop.name) as connection:
        connection.execute(AWKWARD)
        time.sleep(0.01)
        point = connection.execute("SELECT clock_timestamp()").fetchone()[0].astimezone(datetime.UTC)
        time.sleep(0.01)
        connection.execute("UPDATE billing.\"Odd Name's\" SET note = note || '!', amount = 0")
        connection.execute("DELETE FROM parted; DELETE FROM orders")
    restored = f"{shop.name}-x"
    wish = {"postgresql_restore_point_in_time": point.isoformat(), "postgresql_restore_data_time": []}
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(restored, **wish))
    assert run.code == 0, run.output
    inputs = {
        "postgresql_extract_server": restored,
        "postgresql_extract_database": "shop",
        "postgresql_extract_tables": [odd, "parted", "orders"],
        "postgresql_extract_schema": "back",
    }
    mark = bench.mark()
    checked = bench.playbook("extract_postgresql", "--check", "-e", shop.inputs(f"{restored}1", **inputs))
    assert checked.code == 0, checked.output
    assert checked.recap("changed") == 1
    run = bench.playbook("extract_postgresql", "-e", shop.inputs(f"{restored}1", **inputs))
    assert run.code == 0, run.output
    assert run.recap("changed") == 1
    with shop.connect(shop.name) as connection, shop.connect(restored) as before:
        for live, source in (('back."Odd Name\'s"', 'billing."Odd Name\'s"'), ("back.parted", "parted")):
            query = "SELECT count(*), md5(string_agg(x::text, '|' ORDER BY id)) FROM {} x"
            expected = before.execute(query.format(source)).fetchone()
            assert connection.execute(query.format(live)).fetchone() == expected
            assert expected[0] > 0
        assert connection.execute("SELECT count(*) FROM back.orders").fetchone() == (50,)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        names = connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'back'").fetchall()
        assert {"by note", "orders_pkey", "parted_pkey"} <= {name for (name,) in names}
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO back.\"Odd Name's\" (id, n, note) VALUES (0, -1, '')")
    (kept,) = shop.kept("extract")
    rows = {item["table"]: item["rows"] for item in kept[1]["receipt"]["tables"]}
    assert rows == {odd: 5000, "public.parted": 300, "public.orders": 50}

    again = bench.playbook("extract_postgresql", "-e", shop.inputs(f"{restored}1", **inputs))
    assert again.code == 0, again.output
    assert again.recap("changed") == 0
    for change, words in (
        ({"postgresql_extract_schema": "billing"}, "is not this extraction's"),
        ({"postgresql_extract_tables": ["orders"]}, "is not this extraction's"),
        ({"postgresql_extract_schema": "other", "postgresql_extract_tables": ["orders", "gone"]}, "does not exist"),
        ({"postgresql_extract_server": shop.name}, "is no restored server"),
    ):
        refused = bench.playbook("extract_postgresql", "-e", shop.inputs(f"{restored}1", **{**inputs, **change}))
        assert refused.code != 0
        assert words in " ".join(refused.output.split()), refused.output
    with shop.connect(shop.name) as connection:
        assert connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'other'").fetchone() == (0,)
    assert bench.writes(mark) == []


def test_an_extraction_that_fails_half_way_leaves_nothing(bench, shop):
    restored = f"{shop.name}-x"
    inputs = {
        "postgresql_extract_server": restored,
        "postgresql_extract_database": "shop",
        "postgresql_extract_tables": ["orders", "billing.Odd Name's"],
        "postgresql_extract_schema": "half",
    }
    there = "SELECT count(*) FROM pg_namespace WHERE nspname = 'half'"
    with shop.connect(shop.name) as connection:
        # The first table is copied by then; the second has a type that the live database does not know.
        connection.execute("ALTER TYPE mood RENAME TO humour")
        run = bench.playbook("extract_postgresql", "-e", shop.inputs(f"{restored}2", **inputs))
        assert run.code != 0
        assert "mood" in run.output
        assert connection.execute(there).fetchone() == (0,)
        connection.execute("ALTER TYPE humour RENAME TO mood")
        again = bench.playbook("extract_postgresql", "-e", shop.inputs(f"{restored}2", **inputs))
        assert again.code == 0, again.output
        assert connection.execute("SELECT count(*) FROM half.orders").fetchone() == (50,)


@pytest.mark.parametrize("mode", ["latest", "backup", "geo"])
def test_each_mode_restores_what_it_says(bench, shop, mode):
    # The tests of extraction have emptied the table.
    with shop.connect(shop.name) as connection:
        shop.insert(connection, 5)
    name, wanted = f"{shop.name}-{mode}", shop.rows(shop.name)
    change = {"postgresql_restore_mode": mode, "postgresql_restore_point_in_time": ""}
    if mode == "backup":
        taken = shop.inputs(name, postgresql_backup_name="before-change")
        backup = bench.playbook("backup_postgresql", "-e", taken)
        assert backup.code == 0, backup.output
        mark = bench.mark()
        assert bench.playbook("backup_postgresql", "-e", taken).code == 0
        assert bench.writes(mark) == []
        with shop.connect(shop.name) as connection:
            shop.insert(connection, 5)
        change["postgresql_restore_backup"] = "before-change"
    if mode == "geo":
        change["postgresql_restore_location"] = "northeurope"
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(name, **change))
    assert run.code == 0, run.output
    assert shop.rows(name) == wanted
    server = shop.arm("GET", f"{shop.group}/{PROVIDER}/{name}")
    assert server["location"] == ("northeurope" if mode == "geo" else "westeurope")
    assert shop.receipt(name)["status"] != "fail"
    mark = bench.mark()
    again = bench.playbook("restore_postgresql", "-e", shop.inputs(name, **change))
    assert again.code == 0, again.output
    assert [write for write in bench.writes(mark) if "flexibleServers" in write] == []


def test_a_dropped_server_comes_back_beside_the_one_that_took_its_name(bench, shop):
    """Someone deletes the server and site.yml makes an empty one: its settings and the old one's data are restored."""
    gone = f"{shop.group}/{PROVIDER}/{shop.name}-latest"
    wanted = shop.rows(f"{shop.name}-latest")
    body = shop.arm("GET", gone)
    deadline = time.monotonic() + 120
    while not shop.arm("GET", f"{gone}/backups")["value"]:
        assert time.monotonic() < deadline, "the server has no backup that a dropped one could come back from"
        time.sleep(0.2)
    shop.arm("DELETE", gone)
    properties = {key: body["properties"][key] for key in ("version", "authConfig")}
    shop.arm("PUT", gone, {"location": "westeurope", "sku": body["sku"], "properties": properties})
    shop.open(gone)
    name = f"{shop.name}-back"
    change = {
        "platform": {
            "postgresql": {
                "id": gone,
                "name": f"{shop.name}-latest",
                "fqdn": body["properties"]["fullyQualifiedDomainName"],
            },
            "storage": {"blob_endpoint": shop.blobs},
        },
        "postgresql_restore_mode": "dropped",
        "postgresql_restore_location": "westeurope",
        "postgresql_restore_point_in_time": "",
    }
    run = bench.playbook("restore_postgresql", "-e", shop.inputs(name, **change))
    assert run.code == 0, run.output
    assert shop.rows(name) == wanted
    assert shop.receipt(name)["status"] != "fail"
