"""Planted damage is found by the check that is named for it, and a healthy server passes without a false alarm."""

from __future__ import annotations

import datetime
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from aksops_sandbox.engines.postgres.runtime import Runtime
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify as verify

API = "2025-08-01"
AUDIENCE = "https://ossrdbms-aad.database.windows.net"
UTC = datetime.UTC


class Server:
    """One Flexible Server with a database `shop` that has a bit of everything."""

    def __init__(self, client: Any, sandbox: Any) -> None:
        self.client, self.sandbox = client, sandbox
        self.name = f"pgv{uuid.uuid4().hex[:6]}"
        self.group = client.group(f"rg-{self.name}")
        self.path = f"{self.group}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{self.name}"
        tenant = client.env["ARM_TENANT_ID"]
        auth = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": tenant}
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            "properties": {"version": "18", "authConfig": auth},
        }
        assert client.arm("PUT", self.path, API, body).status == 200
        oid = client.env["AKSOPS_PRINCIPAL_ID"]
        admin = {"properties": {"principalName": "operator", "principalType": "ServicePrincipal"}}
        client.arm("PUT", f"{self.path}/administrators/{oid}", API, admin)
        everywhere = {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}
        client.arm("PUT", f"{self.path}/firewallRules/azure", API, everywhere)
        client.arm("PUT", f"{self.path}/databases/shop", API, {"properties": {}})
        allow = {"properties": {"value": "amcheck", "source": "user-override"}}
        client.arm("PATCH", f"{self.path}/configurations/azure.extensions", API, allow)

    @property
    def login(self) -> sql.Login:
        return sql.Login(
            host=f"{self.name}.postgres.database.azure.com",
            port=5432,
            user="operator",
            password=lambda: self.client.token(AUDIENCE),
            ca_cert=self.client.env["PGSSLROOTCERT"],
            hostaddr=self.client.env["PGHOSTADDR"],
        )

    def sql(self, *statements: str) -> None:
        with sql.Session(self.login, "shop") as session:
            for statement in statements:
                session.rows(statement)

    def superuser(self, statement: str) -> Any:
        """What no user of Azure could do: damage by the database's own owner."""
        sockets = Runtime(self.sandbox.home.path / "postgres").sockets
        for socket in sockets.glob("*/.s.PGSQL.5432"):
            with psycopg.connect(host=str(socket.parent), user="azuresu", dbname="postgres", autocommit=True) as found:
                if not found.execute("SELECT 1 FROM pg_database WHERE datname = 'shop'").fetchone():
                    continue
            with psycopg.connect(host=str(socket.parent), user="azuresu", dbname="shop", autocommit=True) as found:
                found.execute("SET allow_system_table_mods = on")
                cursor = found.execute(statement)
                return cursor.fetchone() if cursor.description else None
        raise AssertionError("no such cluster")

    def check(self, manifest: Any = None, **options: Any) -> tuple[dict[str, list[Any]], verify.Verifier]:
        """check -> its results, and the verifier with its facts."""
        verifier = verify.Verifier(
            lambda database, settings: sql.Session(self.login, database, settings),
            verify.Options(databases=("shop",), **options),
            manifest=manifest,
        )
        found: dict[str, list[Any]] = {}
        for result in verifier.run():
            found.setdefault(result.check, []).append(result)
        return found, verifier


SETUP = (
    "CREATE EXTENSION amcheck",
    "CREATE TABLE customer (id bigserial PRIMARY KEY, name text NOT NULL)",
    (
        "CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint REFERENCES customer,"
        " at timestamptz NOT NULL DEFAULT clock_timestamp())"
    ),
    "CREATE INDEX orders_by_customer ON orders (customer)",
    "INSERT INTO customer (name) SELECT 'customer ' || n FROM generate_series(1, 3000) n",
    "INSERT INTO orders (customer) SELECT 1 + n % 3000 FROM generate_series(1, 5000) n",
)


@pytest.fixture(scope="module")
def server(client: Any, sandbox: Any) -> Iterator[Server]:
    made = Server(client, sandbox)
    made.sql(*SETUP)
    yield made
    client.arm("DELETE", made.group, "2023-07-01")


@pytest.fixture
def manifest(server: Server) -> Any:
    """What the healthy server holds, as it would be kept in a file."""
    _, verifier = server.check()
    return json.loads(json.dumps(verifier.manifest))


def statuses(found: dict[str, list[Any]]) -> dict[str, set[str]]:
    return {check: {result.status for result in results} for check, results in found.items()}


def test_a_healthy_server_passes_every_check(server, manifest):
    now = datetime.datetime.now(UTC)
    found, _ = server.check(
        manifest,
        target=now,
        data_time=({"database": "shop", "table": "orders", "column": "at"},),
        assertions=({"name": "orders", "database": "shop", "query": "SELECT count(*) FROM orders", "expect": "5000"},),
        tolerance=900,
    )
    assert set().union(*statuses(found).values()) == {"pass"}, found
    assert "amcheck found" in found["content"][0].evidence
    assert {"connection", "tables", "columns", "constraints", "indexes", "extensions", "sequences"} <= set(found)
    assert {"row_counts", "roles", "databases", "validity", "collation", "data_time", "assertion:orders"} <= set(found)


def test_a_missing_table_is_found(server, manifest):
    server.sql("ALTER TABLE orders RENAME TO orders_gone")
    found, _ = server.check(manifest)
    assert found["tables"][0].status == "fail"
    assert "public.orders" in found["tables"][0].evidence
    server.sql("ALTER TABLE orders_gone RENAME TO orders")


def test_missing_rows_are_found(server, manifest):
    with sql.Session(server.login, "shop") as session:
        session.rows("CREATE TABLE saved AS SELECT * FROM orders WHERE id = 17")
        session.rows("DELETE FROM orders WHERE id = 17")
        found, _ = server.check(manifest)
        session.rows("INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT * FROM saved")
        session.rows("DROP TABLE saved")
    assert found["row_counts"][0].status == "fail"
    assert "4999 rows instead of 5000" in found["row_counts"][0].evidence


def test_a_sequence_behind_its_column_is_found(server):
    server.sql("SELECT setval('customer_id_seq', 10)")
    found, _ = server.check()
    assert found["sequences"][0].status == "fail"
    assert "public.customer_id_seq is at 10, its column holds 3000" in found["sequences"][0].evidence
    server.sql("SELECT setval('customer_id_seq', 3000)")


@pytest.mark.parametrize("wrong", [-3600, 3600 * 24])
def test_data_of_the_wrong_time_are_found(server, wrong):
    target = datetime.datetime.now(UTC) + datetime.timedelta(seconds=wrong)
    where = ({"database": "shop", "query": "SELECT max(at) FROM orders"},)
    found, _ = server.check(target=target, data_time=where)
    assert found["data_time"][0].status == "fail"


def test_a_missing_role_is_found(server, manifest):
    found, _ = server.check({**manifest, "_roles": [*manifest["_roles"], "id-shop"]}, roles=("id-other",))
    assert found["roles"][0].status == "fail"
    assert "id-other, id-shop" in found["roles"][0].evidence


def test_a_changed_column_and_a_lost_constraint_are_found(server, manifest):
    server.sql(
        "ALTER TABLE customer ALTER name DROP NOT NULL", "ALTER TABLE orders DROP CONSTRAINT orders_customer_fkey"
    )
    found, _ = server.check(manifest)
    assert found["columns"][0].status == "fail"
    assert found["constraints"][0].status == "fail"
    server.sql(
        "ALTER TABLE customer ALTER name SET NOT NULL",
        "ALTER TABLE orders ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer) REFERENCES customer(id)",
    )


def test_a_lost_extension_and_a_lost_index_are_found(server, manifest):
    server.sql("DROP EXTENSION amcheck", "DROP INDEX orders_by_customer")
    found, _ = server.check(manifest)
    assert found["extensions"][0].status == "fail"
    assert found["indexes"][0].status == "fail"
    assert found["content"][0].status == "pass"
    assert "read to their end" in found["content"][0].evidence
    server.sql("CREATE EXTENSION amcheck", "CREATE INDEX orders_by_customer ON orders (customer)")


def test_an_invalid_index_is_found(server):
    mark = "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'orders_by_customer'::regclass"
    server.superuser(mark.format("false"))
    found, _ = server.check()
    assert found["validity"][0].status == "fail"
    assert "public.orders_by_customer" in found["validity"][0].evidence
    server.superuser(mark.format("true"))


#: What other people keep in their databases, and what a check must not stumble over.
AWKWARD = (
    "CREATE SCHEMA other",
    "CREATE TYPE other.mood AS ENUM ('calm', 'odd')",
    "CREATE DOMAIN other.positive AS integer CHECK (VALUE > 0)",
    "CREATE TYPE other.pair AS (a integer, b text)",
    'CREATE TABLE other."Odd Na.me\'s" (n other.positive, m other.mood[], tw int GENERATED ALWAYS AS (n * 2) STORED)',
    "CREATE TABLE other.parted (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
    "CREATE TABLE other.parted_1 PARTITION OF other.parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE VIEW other.seen AS SELECT id FROM public.orders",
    "CREATE MATERIALIZED VIEW other.never AS SELECT 1 AS one WITH NO DATA",
    "CREATE MATERIALIZED VIEW other.counted AS SELECT count(*) FROM public.orders",
    "CREATE UNLOGGED TABLE other.scratch (id serial PRIMARY KEY)",
    "INSERT INTO other.scratch DEFAULT VALUES",
    "CREATE TABLE other.keyless (t text)",
    "INSERT INTO other.keyless VALUES ('same'), ('same')",
    "CREATE SEQUENCE other.tickets MAXVALUE 3 CYCLE",
    "CREATE TABLE other.cycled (id int DEFAULT nextval('other.tickets'))",
    "ALTER SEQUENCE other.tickets OWNED BY other.cycled.id",
    "INSERT INTO other.cycled SELECT FROM generate_series(1, 4)",
    "CREATE TABLE other.down (id int GENERATED ALWAYS AS IDENTITY (INCREMENT -1) PRIMARY KEY)",
    "INSERT INTO other.down SELECT FROM generate_series(1, 4)",
    "CREATE SEQUENCE other.labels",
    "CREATE TABLE other.labelled (id text DEFAULT 'x' || nextval('other.labels'))",
    "ALTER SEQUENCE other.labels OWNED BY other.labelled.id",
    "INSERT INTO other.labelled DEFAULT VALUES",
    "CREATE FUNCTION other.f(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION other.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER touched BEFORE UPDATE ON other.keyless FOR EACH ROW EXECUTE FUNCTION other.touch()",
    "CREATE POLICY own ON other.keyless USING (t = current_user)",
    "CREATE AGGREGATE other.total(integer) (SFUNC = int4pl, STYPE = integer)",
    "SELECT lo_from_bytea(0, 'something large')",
    "CREATE ROLE guest NOLOGIN",
    "CREATE ROLE member LOGIN PASSWORD 'Kept-Away-17'",
    "GRANT guest TO member",
    "GRANT SELECT, INSERT ON other.keyless TO guest",
    "GRANT SELECT (t) ON other.keyless TO member",
    "GRANT USAGE ON SCHEMA other TO guest",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA other GRANT SELECT ON TABLES TO guest",
    "ALTER ROLE member SET work_mem = '5MB'",
    "GRANT CONNECT ON DATABASE shop TO guest",
)


@pytest.fixture(scope="module")
def awkward(server: Server) -> Any:
    """The manifest of a server that has all of it."""
    server.sql(*AWKWARD)
    found, verifier = server.check()
    assert set().union(*statuses(found).values()) == {"pass"}, found
    return json.loads(json.dumps(verifier.manifest))


@pytest.mark.parametrize("amcheck", [True, False])
def test_other_peoples_schemas_raise_no_alarm(server, awkward, amcheck):
    found, _ = server.check(awkward, amcheck=amcheck)
    assert set().union(*statuses(found).values()) == {"pass"}, found
    assert "Kept-Away-17" not in json.dumps(awkward)
    assert not any("azure_sandbox" in text for text in json.dumps(awkward).split('"'))


def test_the_same_grants_in_another_order_are_the_same(server, awkward):
    server.sql(
        "REVOKE SELECT, INSERT ON other.keyless FROM guest",
        "GRANT UPDATE ON other.keyless TO member",
        "GRANT INSERT, SELECT ON other.keyless TO guest",
        "REVOKE UPDATE ON other.keyless FROM member",
    )
    found, _ = server.check(awkward)
    assert set().union(*statuses(found).values()) == {"pass"}, found


@pytest.mark.parametrize(
    ("check", "plant", "undo", "named"),
    [
        (
            "grants",
            "REVOKE INSERT ON other.keyless FROM guest",
            "GRANT INSERT ON other.keyless TO guest",
            "table other.keyless",
        ),
        (
            "grants",
            "GRANT SELECT ON other.seen TO PUBLIC",
            "REVOKE SELECT ON other.seen FROM PUBLIC",
            "view other.seen",
        ),
        (
            "grants",
            "ALTER TABLE other.cycled OWNER TO azure_pg_admin",
            "ALTER TABLE other.cycled OWNER TO operator",
            "",
        ),
        (
            "grants",
            "REVOKE EXECUTE ON FUNCTION other.f(integer) FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION other.f(integer) TO PUBLIC",
            "function other.f(integer)",
        ),
        (
            "default_privileges",
            "ALTER DEFAULT PRIVILEGES FOR ROLE operator IN SCHEMA other REVOKE SELECT ON TABLES FROM guest",
            "ALTER DEFAULT PRIVILEGES FOR ROLE operator IN SCHEMA other GRANT SELECT ON TABLES TO guest",
            "in schema other",
        ),
        (
            "memberships",
            "REVOKE guest FROM member GRANTED BY operator",
            "GRANT guest TO member GRANTED BY operator",
            "member in guest",
        ),
        ("role_attributes", "ALTER ROLE member NOLOGIN", "ALTER ROLE member LOGIN", "member"),
        ("role_settings", "ALTER ROLE member RESET work_mem", "ALTER ROLE member SET work_mem = '5MB'", "of member"),
        (
            "database_access",
            "REVOKE CONNECT ON DATABASE shop FROM guest",
            "GRANT CONNECT ON DATABASE shop TO guest",
            "shop",
        ),
        (
            "definitions",
            "CREATE OR REPLACE VIEW other.seen AS SELECT id FROM public.orders WHERE id > 1",
            "CREATE OR REPLACE VIEW other.seen AS SELECT id FROM public.orders",
            "view other.seen",
        ),
        (
            "definitions",
            "ALTER TABLE other.keyless DISABLE TRIGGER touched",
            "ALTER TABLE other.keyless ENABLE TRIGGER touched",
            "trigger other.keyless.touched",
        ),
        (
            "definitions",
            "ALTER SCHEMA other RENAME TO lost",
            "ALTER SCHEMA lost RENAME TO other",
            "schema other",
        ),
    ],
)
def test_lost_access_and_definitions_are_found(server, awkward, check, plant, undo, named):
    server.superuser(plant)
    found, _ = server.check(awkward)
    server.superuser(undo)
    assert found[check][0].status == "fail", found
    assert named in found[check][0].evidence


def test_a_lost_large_object_is_found(server, awkward):
    server.sql("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
    found, _ = server.check(awkward)
    server.sql("SELECT lo_from_bytea(0, 'something large')")
    assert found["large_objects"][0].status == "fail"


def test_an_unread_slot_and_a_changed_collation_are_told(server):
    server.superuser("SELECT pg_create_physical_replication_slot('stale')")
    server.superuser("UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'shop'")
    found, _ = server.check()
    server.superuser("SELECT pg_drop_replication_slot('stale')")
    server.superuser("ALTER DATABASE shop REFRESH COLLATION VERSION")
    assert (found["transactions"][0].status, "stale" in found["transactions"][0].evidence) == ("warn", True)
    assert (found["collation"][0].status, "0.1" in found["collation"][0].evidence) == ("warn", True)


def test_a_constraint_that_was_never_validated_is_told(server):
    server.sql("ALTER TABLE orders ADD CONSTRAINT late CHECK (id > 0) NOT VALID")
    found, _ = server.check()
    server.sql("ALTER TABLE orders DROP CONSTRAINT late")
    assert (found["validity"][0].status, "orders.late" in found["validity"][0].evidence) == ("warn", True)


def test_a_failed_assertion_and_a_missing_database_are_found(server):
    none = {"name": "none", "database": "shop", "query": "SELECT count(*) FROM customer", "max": 10}
    found, _ = server.check(assertions=(none,))
    assert found["assertion:none"][0].status == "fail"
    verifier = verify.Verifier(
        lambda database, settings: sql.Session(server.login, database, settings),
        verify.Options(databases=("shop", "warehouse")),
    )
    wrong = [result for result in verifier.run() if result.status == "fail"]
    assert [(result.check, "warehouse" in result.evidence) for result in wrong] == [("databases", True)]


def test_a_role_that_may_not_read_gets_a_warning_and_no_false_pass(server):
    server.superuser("ALTER TABLE customer OWNER TO azuresu")
    found, _ = server.check()
    assert found["readable"][0].status == "warn"
    assert "public.customer" in found["readable"][0].evidence
    server.superuser("ALTER TABLE customer OWNER TO operator")


def _flip(server: Server, relation: str) -> None:
    """Damage one page of a relation on disk, while its server is stopped."""
    path = server.superuser(f"SELECT pg_relation_filepath('{relation}')")[0]
    root = Runtime(server.sandbox.home.path / "postgres").root
    _wait(server, "stop", "Stopped")
    file = root / "servers" / server.name / "data" / path
    content = bytearray(file.read_bytes())
    # Past the page's header and line pointers, inside its tuples.
    position = (len(content) // 8192 // 2) * 8192 + 8000
    for offset in range(32):
        content[position + offset] ^= 0xFF
    file.write_bytes(content)
    _wait(server, "start", "Ready")


def _wait(server: Server, action: str, state: str) -> None:
    assert server.client.arm("POST", f"{server.path}/{action}", API, wait=False).status == 202
    deadline = time.monotonic() + 60
    while server.client.arm("GET", server.path, API).json["properties"]["state"] != state:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_damaged_index_is_found(server):
    _flip(server, "orders_by_customer")
    found, _ = server.check()
    assert found["content"][0].status == "fail"
    assert "index public.orders_by_customer" in found["content"][0].evidence
    server.sql("REINDEX INDEX orders_by_customer")
    found, _ = server.check()
    assert found["content"][0].status == "pass"


def test_a_damaged_table_is_found_without_amcheck_too(server):
    """Last: it cannot be undone."""
    _flip(server, "customer")
    found, _ = server.check(amcheck=False)
    failed = {check for check, results in found.items() if any(item.status == "fail" for item in results)}
    assert {"content", "row_counts"} <= failed
    assert "public.customer" in found["row_counts"][0].evidence
