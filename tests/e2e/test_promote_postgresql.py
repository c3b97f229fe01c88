"""playbooks/promote_postgresql.yml on a whole platform: the gate, a kill, promotion, site.yml, and the way back."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from aksops_sandbox.settings import Home
from support.azure import Client

# A whole platform is made first, and that counts for the first test.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1400)]

GROUP = "/resourceGroups/rg-aksops-sandbox"
SERVERS = f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers"
NAME = "psql-e2e-r1"
#: Those of the sandbox's inventory, and a connection secret, which follows the server in use.
ITEMS = [
    {"name": "reference-api-key", "generate": {"length": 40}},
    {"name": "reference-session-key", "generate": {"length": 48}},
    {"name": "reference-url", "template": "postgresql://reference@{{ platform.postgresql.fqdn }}:5432/reference"},
]
#: With a password: it must open the server in use, too. AKSOPS_POSTGRESQL changes it, as to another network_mode.
SERVER = {
    "version": "18",
    "high_availability": "Disabled",
    "databases": {"reference": {}},
    "authentication": "password",
    "administrator_login": "keeper",
    **json.loads(os.environ.get("AKSOPS_POSTGRESQL", "{}")),
}


class Platform:
    """A platform with rows in its database, and a restore of it."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.inputs = bench.folder / "inputs.json"
        self.inputs.write_text(json.dumps({"secrets_items": ITEMS, "infrastructure_postgresql": SERVER}))
        site = bench.playbook("site", "-e", f"@{self.inputs}")
        assert site.code == 0, site.output[-6000:]
        self.client = Client(Home(bench.home))
        (self.old,) = (item["name"] for item in self.servers())
        with self.connect(self.old) as connection:
            connection.execute("CREATE TABLE orders (id serial PRIMARY KEY)")
            connection.execute("INSERT INTO orders SELECT FROM generate_series(1, 30)")
        restore = bench.playbook("restore_postgresql", *self.restoring)
        assert restore.code == 0, restore.output[-6000:]
        with self.connect(self.old) as connection:
            connection.execute("INSERT INTO orders SELECT FROM generate_series(1, 20)")

    @property
    def restoring(self) -> list[str]:
        given = {
            "postgresql_restore_mode": "latest",
            "postgresql_restore_name": NAME,
            "postgresql_restore_wait_sleep": 1,
            "postgresql_restore_artifacts": str(self.bench.folder / "receipts"),
        }
        return ["-e", json.dumps(given)]

    def arguments(self, **given: Any) -> list[str]:
        artifacts = {"postgresql_promote_artifacts": str(self.bench.folder / "promotions")}
        return ["-e", f"@{self.inputs}", "-e", json.dumps({"postgresql_promote_server": NAME} | artifacts | given)]

    def blob(self, method: str, query: str, body: bytes | None = None) -> bytes:
        """A request to the container of receipts."""
        path = f"{GROUP}/providers/Microsoft.Storage/storageAccounts"
        (account,) = self.client.arm("GET", path, "2025-06-01").json["value"]
        headers = {"x-ms-version": "2023-11-03", "Content-Type": "application/json"}
        headers["Authorization"] = f"Bearer {self.client.token('https://storage.azure.com')}"
        if body is not None:
            headers["x-ms-blob-type"] = "BlockBlob"
        url = f"{account['properties']['primaryEndpoints']['blob']}receipts{query}"
        answer = self.client.send(method, url, body, headers)
        assert answer.status < 300, answer.body
        return answer.body

    @contextlib.contextmanager
    def receipt(self, **change: Any) -> Iterator[None]:
        """The restore's receipt with some other content for a while."""
        listed = self.blob("GET", "?restype=container&comp=list&prefix=restore/").decode()
        (name,) = re.findall(r"<Name>(restore/[^<]+\.json)</Name>", listed)
        original = self.blob("GET", f"/{name}")
        document = json.loads(original)
        document["receipt"] |= change
        self.blob("PUT", f"/{name}", json.dumps(document).encode())
        try:
            yield
        finally:
            self.blob("PUT", f"/{name}", original)

    def servers(self) -> list[dict[str, Any]]:
        return self.client.arm("GET", SERVERS, "2025-08-01").json["value"]

    def tags(self) -> dict[str, str]:
        return self.client.arm("GET", GROUP, "2025-04-01").json["tags"]

    def locks(self, name: str) -> list[str]:
        path = f"{SERVERS}/{name}/providers/Microsoft.Authorization/locks"
        return [item["name"] for item in self.client.arm("GET", path, "2020-05-01").json["value"]]

    def connect(self, server: str, user: str = "operator", password: str = "") -> psycopg.Connection:
        env = self.client.env
        return psycopg.connect(
            host=f"{server}.postgres.database.azure.com",
            hostaddr=env["PGHOSTADDR"],
            user=user,
            password=password or self.client.token("https://ossrdbms-aad.database.windows.net"),
            dbname="reference",
            sslmode="verify-full",
            sslrootcert=env["PGSSLROOTCERT"],
            autocommit=True,
        )

    def serves(self, server: str) -> bool:
        try:
            with self.connect(server) as connection:
                return connection.execute("SELECT true").fetchone() == (True,)
        except psycopg.OperationalError as error:
            if "too many connections" not in str(error):
                raise
            return False

    def rows(self, server: str) -> int:
        with self.connect(server) as connection:
            return connection.execute("SELECT count(*) FROM orders").fetchone()[0]

    def value(self, name: str) -> str:
        path = f"{GROUP}/providers/Microsoft.KeyVault/vaults"
        (vault,) = self.client.arm("GET", path, "2023-07-01").json["value"]
        url = f"{vault['properties']['vaultUri']}secrets/{name}?api-version=7.4"
        return self.client.bearer("GET", url, audience="https://vault.azure.net").json["value"]

    def secret(self) -> str:
        """The server that the application's connection secret names."""
        return self.value("reference-url").partition("@")[2].partition(".")[0]

    def administered(self) -> str:
        """The server that the administrator's URL names, after a login there with the administrator's password."""
        server = self.value("postgresql-admin-url").rpartition("@")[2].partition(".")[0]
        with self.connect(server, "keeper", self.value("postgresql-admin-password")) as connection:
            assert connection.execute("SELECT true").fetchone() == (True,)
        return server


@pytest.fixture(scope="module")
def platform(bench: Any) -> Platform:
    return Platform(bench)


def moment() -> float:
    """When to kill the promotion; AKSOPS_SEED repeats a choice, and CI makes the same one each time."""
    fixed = "20261124" if os.environ.get("CI") else ""
    seed = int(os.environ.get("AKSOPS_SEED") or fixed or random.SystemRandom().randrange(10**6))
    print(f"AKSOPS_SEED={seed}")
    return random.Random(seed).uniform(0, 25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"server": {"id": "another"}}, "has no receipt"),
        ({"restore_id": "another"}, "of another restore"),
        ({"finished": "2026-01-01T00:00:00Z"}, "24 hours old at most"),
    ],
)
def test_without_a_receipt_of_its_own_nothing_is_promoted(bench, platform, change, words):
    with platform.receipt(**change):
        mark = bench.mark()
        run = bench.playbook("promote_postgresql", *platform.arguments())
        written = bench.writes(mark)
    assert run.code != 0
    assert words in " ".join(run.output.split()), run.output[-3000:]
    assert written == []
    assert platform.serves(platform.old)


def test_a_promotion_that_was_killed_is_finished_and_site_changes_nothing(bench, platform):
    process = bench.start("promote_postgresql", *platform.arguments())
    # The dice decide within the part that matters: from the first record on.
    deadline = time.monotonic() + 120
    while "aksops-postgresql-change" not in platform.tags():
        assert process.poll() is None, process.communicate()[0][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(moment())
    bench.kill(process)
    assert platform.serves(platform.secret())

    # The secrets are not written by anybody else in between.
    if "aksops-postgresql-change" in platform.tags():
        stage = bench.playbook("secrets", "-e", f"@{platform.inputs}")
        assert stage.code != 0
        assert "is under way" in " ".join(stage.output.split())

    run = bench.playbook("promote_postgresql", *platform.arguments())
    assert run.code == 0, run.output[-6000:]
    assert (platform.serves(platform.old), platform.serves(NAME)) == (False, True)
    assert (platform.secret(), platform.administered()) == (NAME, NAME)
    assert platform.rows(NAME) == 30
    tags = platform.tags()
    assert (tags["aksops-postgresql-active"], tags["aksops-postgresql-previous"]) == (NAME, platform.old)
    assert "aksops-postgresql-change" not in tags
    assert platform.locks(platform.old) == ["aksops-superseded"]

    mark = bench.mark()
    fresh = {"AKSOPS_WORK_DIR": str(bench.folder / "fresh")}
    site = bench.playbook("site", "-e", f"@{platform.inputs}", env=fresh)
    assert site.code == 0, site.output[-6000:]
    assert site.recap("changed") == 0, site.changed_tasks
    assert bench.writes(mark) == []
    assert {item["name"] for item in platform.servers()} == {platform.old, NAME}


def test_the_server_in_use_is_not_deleted_as_a_restore(bench, platform):
    run = bench.playbook("restore_postgresql", *platform.restoring, "-e", "postgresql_restore_state=absent")
    assert run.code != 0
    assert platform.serves(NAME)


def test_the_way_back(bench, platform):
    run = bench.playbook("promote_postgresql", *platform.arguments(postgresql_promote_state="rolled_back"))
    assert run.code == 0, run.output[-6000:]
    assert (platform.serves(platform.old), platform.serves(NAME)) == (True, False)
    assert (platform.secret(), platform.administered()) == (platform.old, platform.old)
    assert platform.rows(platform.old) == 50
    assert platform.locks(platform.old) == []
    assert platform.tags()["aksops-postgresql-active"] == platform.old
    plan = bench.playbook("plan", "-e", f"@{platform.inputs}")
    assert plan.code == 0, plan.output[-4000:]

    mark = bench.mark()
    again = bench.playbook("promote_postgresql", *platform.arguments(postgresql_promote_state="rolled_back"))
    assert again.code == 0, again.output[-4000:]
    assert again.recap("changed") == 0
    assert bench.writes(mark) == []
