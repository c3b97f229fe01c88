"""PostgreSQL in password mode: the vault's value is the server's, through rotation and restore, and is seen nowhere."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aksops_sandbox.settings import Home
from support.azure import Client

pytestmark = pytest.mark.e2e

API = "2025-08-01"
LOGIN = "keeper"
SECRET = "postgresql-admin-password"


class Arguments(threading.Thread):
    """Collects the arguments of every process on this machine, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())

    def __enter__(self) -> Arguments:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


class Platform:
    """The stages up to the databases, with a server in password mode."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.inputs = bench.folder / "password.json"
        server = {
            "version": "18",
            "high_availability": "Disabled",
            "databases": {"reference": {}},
            "authentication": "password",
            "administrator_login": LOGIN,
        }
        reports = {
            "name": "reports",
            "access": "reader",
            "password_secret": "{{ platform.key_vault.uri }}secrets/reports-password",
        }
        generated = {"name": "reports-password", "generate": {"length": 32}, "value_version": "{{ version }}"}
        inputs = {
            "version": "1",
            "infrastructure_postgresql": server,
            "secrets_items": [generated],
            "secrets_postgresql_password_version": "{{ version }}",
            "postgresql_databases_list": [{"name": "reference", "roles": [reports]}],
        }
        self.inputs.write_text(json.dumps(inputs))
        for name in ("state", "infrastructure", "secrets", "databases"):
            self.play(name)
        self.client = Client(Home(bench.home))
        listed = self.client.arm("GET", f"{self.client.subscription}/resources", "2021-04-01").json["value"]
        ids = {item["type"].lower(): item["id"] for item in listed}
        self.id = ids["microsoft.dbforpostgresql/flexibleservers"]
        self.vault = ids["microsoft.keyvault/vaults"].rsplit("/", 1)[-1]

    def play(self, name: str, *argv: str, fails: bool = False) -> Any:
        run = self.bench.playbook(name, "-e", f"@{self.inputs}", *argv)
        assert (run.code != 0) == fails, run.output
        return run

    def secret(self, name: str) -> str:
        url = f"https://{self.vault}.vault.azure.net/secrets/{name}/?api-version=7.6"
        answer = self.client.send("GET", url, headers={"Authorization": f"Bearer {self.client.token(VAULT)}"})
        assert answer.status == 200, answer.body
        value: str = answer.json["value"]
        return value

    def login(self, password: str, server: str = "", user: str = LOGIN) -> Any:
        """Who a login with this password is."""
        name = server or self.id.rsplit("/", 1)[-1]
        database = "postgres" if user == LOGIN else "reference"
        target = f"host={name}.postgres.database.azure.com dbname={database} user={user}"
        return self.connect(target, password=password)

    def connect(self, target: str, **arguments: str) -> Any:
        arguments |= {"hostaddr": self.client.env["PGHOSTADDR"], "sslrootcert": self.client.env["PGSSLROOTCERT"]}
        with psycopg.connect(target, sslmode="verify-full", **arguments) as connection:
            return connection.execute("SELECT session_user::text").fetchone()[0]


VAULT = "https://vault.azure.net"


@pytest.fixture(scope="module")
def platform(bench: Any) -> Platform:
    return Platform(bench)


def test_the_vaults_password_is_the_servers(platform):
    password = platform.secret(SECRET)
    assert platform.login(password) == LOGIN
    assert platform.connect(platform.secret("postgresql-admin-url")) == LOGIN
    assert platform.login(platform.secret("reports-password"), user="reports") == "reports"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        platform.login(password[:-1])


def test_a_second_run_writes_nothing_and_says_nothing_secret(platform):
    mark = platform.bench.mark()
    passwords = [platform.secret(name) for name in (SECRET, "reports-password")]
    for name in ("infrastructure", "secrets", "databases"):
        run = platform.play(name, "-vvv", "--diff")
        assert run.recap("changed") == 0, run.changed_tasks
        assert [value for value in passwords if value in run.output] == []
    assert platform.bench.writes(mark) == []


def test_a_rotation_reaches_the_server_and_a_restore_to_before_it_has_the_new_one(platform):
    old, moment = platform.secret(SECRET), datetime.datetime.now(datetime.UTC)
    reports = platform.secret("reports-password")
    rotate = ("-e", "version=2")
    with Arguments() as arguments:
        outputs = [platform.play(name, *rotate, "-vvv", "--diff").output for name in ("secrets", "databases")]
    new, new_reports = platform.secret(SECRET), platform.secret("reports-password")
    assert (new != old, new_reports != reports) == (True, True)
    assert platform.login(new) == LOGIN
    assert platform.login(new_reports, user="reports") == "reports"
    assert platform.connect(platform.secret("postgresql-admin-url")) == LOGIN
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        platform.login(old)
    assert platform.play("secrets", *rotate).recap("changed") == 0

    name = f"{platform.id.rsplit('/', 1)[-1]}-r"
    inputs = {
        "postgresql_restore_name": name,
        "postgresql_restore_point_in_time": moment.isoformat(),
        "postgresql_restore_wait_sleep": 1,
        "postgresql_restore_artifacts": str(platform.bench.folder / "receipts"),
    }
    outputs.append(platform.play("restore_postgresql", *rotate, "-e", json.dumps(inputs), "-vvv").output)
    for user, right, wrong in ((LOGIN, new, old), ("reports", new_reports, reports)):
        assert platform.login(right, name, user) == user
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            platform.login(wrong, name, user)
    said = "".join(outputs).encode() + b"".join(arguments.seen)
    kept = [path.read_bytes() for path in platform.bench.work.rglob("*") if path.is_file()]
    for value in (old.encode(), new.encode(), reports.encode(), new_reports.encode()):
        assert value not in said
        assert not [text for text in kept if value in text]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        (
            "databases",
            {"postgresql_databases_login_user": LOGIN, "postgresql_databases_login_password": "Wrong-17-pass"},
        ),
        (
            "restore_postgresql",
            {
                "postgresql_restore_name": "psql-never-made",
                "postgresql_restore_mode": "latest",
                "postgresql_restore_login_user": LOGIN,
                "postgresql_restore_login_password": "Wrong-17-pass",
            },
        ),
    ],
)
def test_a_wrong_password_ends_in_one_sentence_before_any_write(platform, name, inputs):
    mark = platform.bench.mark()
    run = platform.play(name, "-e", json.dumps(inputs), fails=True)
    assert "password authentication failed" in run.output
    assert "Wrong-17-pass" not in run.output
    assert "Traceback" not in run.output
    assert platform.bench.writes(mark) == []
