"""A promotion and its undoing, killed after every step that changes something.

After each kill an application that takes its server from the vault reaches one, and at most one server takes writes.
Two servers, a vault and an account for receipts are all there is; roles and their order are those of the playbook.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from typing import Any

import psycopg
import pytest
from aksops_sandbox.settings import Home
from conftest import ROOT
from support.azure import Client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GROUP = "/resourceGroups/rg-kill"
SERVERS = f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers"
VAULT = "https://kv-kill.vault.azure.net"
OLD, NEW = "psql-kill", "psql-kill-r1"
API = "2025-08-01"
PASSWORD = "not-a-secret-of-anybody-1"


class World:
    """Two servers with an application's role that has a setting of its own, which a fence must overrule."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.client = Client(Home(bench.home))
        place = {"location": "westeurope"}
        self.put(GROUP, "2023-07-01", place | {"tags": {"aksops-environment": "kill"}})
        oid = self.client.env["AKSOPS_PRINCIPAL_ID"]
        auth = {
            "activeDirectoryAuth": "Enabled",
            "passwordAuth": "Enabled",
            "tenantId": self.client.env["ARM_TENANT_ID"],
        }
        login = {"administratorLogin": "keeper", "administratorLoginPassword": PASSWORD}
        self.put(
            f"{SERVERS}/{OLD}",
            API,
            place
            | {"sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}}
            | {"properties": {"version": "18", "authConfig": auth, **login}},
        )
        self.put(
            f"{SERVERS}/{OLD}/administrators/{oid}",
            API,
            {"properties": {"principalName": "operator", "principalType": "ServicePrincipal"}},
        )
        self.put(
            f"{SERVERS}/{OLD}/firewallRules/azure",
            API,
            {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}},
        )
        self.put(f"{SERVERS}/{OLD}/databases/shop", API, {"properties": {"charset": "UTF8"}})
        self.put(
            f"{SERVERS}/{OLD}/virtualEndpoints/kill-orders",
            API,
            {"properties": {"endpointType": "ReadWrite", "members": [OLD]}},
        )
        vault = {
            "tenantId": self.client.env["ARM_TENANT_ID"],
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
        }
        self.put(f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-kill", "2026-02-01", place | {"properties": vault})
        account = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/stkill"
        self.put(
            account, "2025-06-01", place | {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}
        )
        self.put(f"{account}/blobServices/default/containers/receipts", "2025-06-01", {"properties": {}})
        for number, (scope, role) in enumerate(
            [
                (f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-kill", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
                (account, "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
            ]
        ):
            definition = f"{self.client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
            body = {
                "properties": {"roleDefinitionId": definition, "principalId": oid, "principalType": "ServicePrincipal"}
            }
            name = f"00000000-0000-4000-8000-00000000000{number}"
            self.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}", "2022-04-01", body)
        with self.connect(OLD) as connection:
            connection.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("ALTER ROLE app SET default_transaction_read_only = off")
            connection.execute("CREATE TABLE orders (id serial PRIMARY KEY)")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
            connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app")
            connection.execute("INSERT INTO orders SELECT FROM generate_series(1, 30)")
        self.secret_is(f"postgresql://app@{OLD}.postgres.database.azure.com:5432/shop?application_name=by-hand")
        restore = {
            "postgresql_restore_source_id": f"{self.client.subscription}{SERVERS}/{OLD}",
            "postgresql_restore_name": NEW,
            "postgresql_restore_mode": "latest",
            "postgresql_restore_wait_sleep": 1,
            "postgresql_restore_artifacts": str(bench.folder / "restores"),
            "postgresql_restore_receipts_endpoint": "https://stkill.blob.core.windows.net/",
        }
        done = self.run(
            "ansible",
            "localhost",
            "-m",
            "include_role",
            "-a",
            "name=aksops.platform.postgresql_restore",
            "-e",
            json.dumps(restore),
        )
        assert done.returncode == 0, done.stdout[-5000:]
        with self.connect(OLD) as connection:
            connection.execute("INSERT INTO orders SELECT FROM generate_series(1, 7)")
            connection.execute("DELETE FROM orders WHERE id <= 2")

    def put(self, path: str, version: str, body: dict[str, Any]) -> None:
        answer = self.client.arm("PUT", path, version, body)
        assert answer.status < 300, answer.body

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.bench.command(*argv),
            cwd=ROOT,
            env={**os.environ, **self.bench.environment, **env},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            start_new_session=True,
        )

    def promote(self, **given: Any) -> subprocess.CompletedProcess[str]:
        """One run of the promotion, killed at its next new boundary where `killer` names a file."""
        killer = given.pop("killer", "")
        variables = {
            "postgresql_promote_server": NEW,
            "postgresql_promote_resource_group_id": f"{self.client.subscription}{GROUP}",
            "postgresql_promote_known_server": OLD,
            "postgresql_promote_vault_uri": VAULT,
            "postgresql_promote_receipts_endpoint": "https://stkill.blob.core.windows.net/",
            "postgresql_promote_virtual_endpoint": "kill-orders",
            "postgresql_promote_verify": False,
            "postgresql_promote_artifacts": str(self.bench.folder / "promotions"),
            **given,
        }
        env = {"ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/support/callback"), "ANSIBLE_CALLBACKS_ENABLED": "killer"}
        argv = ("ansible-playbook", "tests/e2e/promotion.yml", "-e", json.dumps(variables))
        return self.run(*argv, AKSOPS_KILLER=killer, **env)

    def connect(self, server: str, user: str = "operator", database: str = "shop") -> psycopg.Connection:
        env = self.client.env
        token = self.client.token("https://ossrdbms-aad.database.windows.net")
        return psycopg.connect(
            host=f"{server}.postgres.database.azure.com",
            hostaddr=env["PGHOSTADDR"],
            user=user,
            password=token if user == "operator" else PASSWORD,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=env["PGSSLROOTCERT"],
            autocommit=True,
        )

    def state(self, server: str) -> str:
        """What an application finds: it writes, it reads only, or it does not get in."""
        try:
            with self.connect(server, "app") as connection, contextlib.suppress(psycopg.errors.ReadOnlySqlTransaction):
                connection.execute("BEGIN")
                connection.execute("INSERT INTO orders DEFAULT VALUES")
                connection.execute("ROLLBACK")
                return "writes"
            return "reads"
        except psycopg.OperationalError as error:
            if "too many connections" not in str(error):
                raise
            return "closed"

    @property
    def secret(self) -> str:
        url = f"{VAULT}/secrets/shop-url?api-version=7.4"
        return self.client.bearer("GET", url, audience="https://vault.azure.net").json["value"]

    def secret_is(self, value: str) -> None:
        url = f"{VAULT}/secrets/shop-url?api-version=7.4"
        body = {"value": value, "tags": {"aksops-owner": "aksops-platform"}}
        answer = self.client.bearer("PUT", url, body, audience="https://vault.azure.net")
        assert answer.status == 200, answer.body

    @property
    def leads_to(self) -> str:
        return self.secret.partition("@")[2].partition(".")[0]

    @property
    def endpoints(self) -> list[str]:
        listed = [
            self.client.arm("GET", f"{SERVERS}/{name}/virtualEndpoints", API).json["value"] for name in (OLD, NEW)
        ]
        return [name for name, found in zip((OLD, NEW), listed, strict=True) if found]

    def receipts(self) -> list[dict[str, Any]]:
        headers = {
            "x-ms-version": "2023-11-03",
            "Authorization": f"Bearer {self.client.token('https://storage.azure.com')}",
        }
        base = "https://stkill.blob.core.windows.net/receipts"
        listed = self.client.send(
            "GET", f"{base}?restype=container&comp=list&prefix=promotion/", None, headers
        ).body.decode()
        names = re.findall(r"<Name>(promotion/[^<]+\.json)</Name>", listed)
        found = [json.loads(self.client.send("GET", f"{base}/{name}", None, headers).body)["receipt"] for name in names]
        return sorted(found, key=lambda receipt: receipt["time"])

    def killed_everywhere(self, name: str, **given: Any) -> list[dict[str, str]]:
        """Run again and again, each time killed at the next boundary; returns what was found at each."""
        file = self.bench.folder / name
        file.write_text("")
        seen: list[dict[str, str]] = []
        for _ in range(30):
            run = self.promote(killer=str(file), **given)
            states = {server: self.state(server) for server in (OLD, NEW)}
            last = file.read_text().splitlines()[-1] if run.returncode != 0 else "end"
            seen.append({"after": last, "secret": self.leads_to, "endpoints": ",".join(self.endpoints), **states})
            print(seen[-1])
            if run.returncode == 0:
                return seen
            assert run.returncode in (-9, 137), run.stdout[-5000:]
        raise AssertionError(f"no end in sight: {seen}")


@pytest.fixture(scope="module")
def world(bench: Any) -> World:
    return World(bench)


def one_server(seen: list[dict[str, str]]) -> None:
    for at in seen:
        assert at[at["secret"]] != "closed", at
        assert len(at["endpoints"].split(",")) == 1, at
        if "Begin" not in at["after"]:
            assert [at[OLD], at[NEW]].count("writes") <= 1, at


def test_a_secret_that_would_be_left_behind_refuses_the_promotion(world):
    url = f"{VAULT}/secrets/other?api-version=7.4"
    body = {"value": f"Host={OLD}.postgres.database.azure.com;Port=5432"}
    assert world.client.bearer("PUT", url, body, audience="https://vault.azure.net").status == 200
    mark = world.bench.mark()
    run = world.promote()
    assert run.returncode != 0
    assert "are not written by this inventory: other." in " ".join(run.stdout.split()), run.stdout[-3000:]
    assert world.bench.writes(mark) == []
    assert world.client.bearer("DELETE", url, audience="https://vault.azure.net").status == 200


def test_killed_anywhere_a_promotion_leaves_one_server(world):
    session = world.connect(OLD, "app")
    seen = world.killed_everywhere("promotion")
    one_server(seen)
    assert len(seen) > 8
    assert {"secret": NEW, OLD: "closed", NEW: "writes", "endpoints": NEW}.items() <= seen[-1].items()
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    finished = [item for item in world.receipts() if item["status"] == "finished"]
    gap = finished[-1]["gap"]
    assert (gap["method"], gap["newer"], gap["back"], gap["untold"]) == ("copy", 7, 2, []), gap
    assert list(finished[-1]["previous_secrets"]) == ["shop-url"]


def test_killed_anywhere_the_way_back_leaves_one_server_and_the_secret_that_was_there(world):
    with world.connect(NEW, "app") as connection:
        connection.execute("INSERT INTO orders SELECT FROM generate_series(1, 4)")
    seen = world.killed_everywhere("way-back", postgresql_promote_state="rolled_back")
    one_server(seen)
    assert {"secret": OLD, OLD: "writes", NEW: "closed", "endpoints": OLD}.items() <= seen[-1].items()
    undone = [
        item for item in world.receipts() if item["change"]["kind"] == "roll-back" and item["status"] == "finished"
    ]
    assert (undone[-1]["gap"]["method"], undone[-1]["gap"]["newer"]) == ("since", 4), undone[-1]["gap"]
    # As somebody had written it, and not as the inventory would have it.
    assert world.secret.endswith("?application_name=by-hand")
    with world.connect(OLD, "app") as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (35,)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("off",)


def test_a_write_in_spite_of_the_fence_is_told(world):
    file = world.bench.folder / "late"
    file.write_text("")
    while world.state(OLD) == "writes":
        assert world.promote(killer=str(file)).returncode != 0
    with world.connect(OLD, "app") as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("INSERT INTO orders DEFAULT VALUES")
    run = world.promote()
    assert run.returncode == 0, run.stdout[-4000:]
    late = [item for item in world.receipts() if item["status"] == "finished" and item["change"]["kind"] == "promote"][
        -1
    ]["late"]
    assert late == {"told": True, "changes": 1, "tables": [{"database": "shop", "table": "public.orders", "rows": 1}]}


def test_a_lost_server_is_left_without_being_asked(world):
    # From the promoted one, which is stopped for good, back to the old one.
    world.client.arm("POST", f"{SERVERS}/{NEW}/stop", API)
    given = {"postgresql_promote_state": "rolled_back", "postgresql_promote_source_lost": True}
    # Its endpoint is held by a server that is not there, and the sentence says so; the rest can be had without it.
    run = world.promote(**given)
    assert run.returncode != 0
    assert "is in the state 'Stopped'" in " ".join(run.stdout.replace("''", "'").split()), run.stdout[-4000:]
    run = world.promote(**given, postgresql_promote_virtual_endpoint="")
    assert run.returncode == 0, run.stdout[-4000:]
    assert (world.leads_to, world.state(OLD)) == (OLD, "writes")
    last = [item for item in world.receipts() if item["status"] == "finished"][-1]
    assert last["gap"]["newer"] is None
    assert "cannot be reached" in last["gap"]["text"]


def test_a_server_that_a_promotion_replaced_goes_with_the_data_only(world):
    world.client.arm("POST", f"{SERVERS}/{NEW}/start", API)
    assert world.promote(postgresql_promote_virtual_endpoint="").returncode == 0
    group = {"resource_group_id": f"{world.client.subscription}{GROUP}", "environment": "kill"}

    def destroy(**given: Any) -> str:
        argv = ("ansible", "localhost", "-m", "aksops.platform.platform_destroy", "-a", json.dumps(group | given))
        done = world.run(*argv)
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def exists(path: str, version: str = API) -> bool:
        return world.client.arm("GET", path, version).status == 200

    lock = f"{SERVERS}/{OLD}/providers/Microsoft.Authorization/locks/aksops-superseded"
    assert "of before a promotion, and keeps its lock" in destroy()
    assert exists(f"{SERVERS}/{OLD}")
    assert exists(lock, "2020-05-01")
    assert f"among them {OLD}, which a promotion had replaced, with the lock on it" in destroy(data=True)
    assert not exists(GROUP, "2023-07-01")
