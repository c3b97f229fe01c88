"""A restore through the sandbox and the collection's modules, as ratios to the bare floor in the same run.

The floor is done by hand on the same machine with the same data: copy the base backup, recover from the same archive to
the same moment, with PostgreSQL's own programs and nothing around them. The restore is the playbook's work: the module
postgresql_flexible_restore through ARM until the server is Ready. Verification is the whole module postgresql_verify,
from its first line to its result, compared with a script that runs only its costly statements (count, largest id, every
row to its end) by as many sessions as this machine has cores; each is the median of three, in turns. Both begin with
importing the driver and getting a token.

    python benchmarks/restore.py                 100 MB
    python benchmarks/restore.py --gigabytes 5   5 GB (needs about 35 GB of disk)
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import requests
from aksops_sandbox.engines.postgres.runtime import Runtime
from aksops_sandbox.environment import variables
from aksops_sandbox.settings import Home

API = "2025-08-01"
PROVIDER = "providers/Microsoft.DBforPostgreSQL/flexibleServers"
ROOT = Path(__file__).resolve().parents[1]
DATABASES, TABLES = 5, 10


class Bench:
    """A sandbox with one server and its data."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = variables(Home(home))
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"https": self.env["HTTPS_PROXY"]}
        self.session.verify = self.env["SSL_CERT_FILE"]
        self.name = f"pgb{uuid.uuid4().hex[:6]}"
        self.group = f"/subscriptions/{self.env['ARM_SUBSCRIPTION_ID']}/resourceGroups/rg-{self.name}"
        self.id = f"{self.group}/{PROVIDER}/{self.name}"
        self._tokens: dict[str, str] = {}

    def token(self, scope: str) -> str:
        if scope not in self._tokens:
            form = {
                "grant_type": "client_credentials",
                "client_id": self.env["ARM_CLIENT_ID"],
                "client_secret": self.env["ARM_CLIENT_SECRET"],
                "scope": scope,
            }
            url = f"https://login.microsoftonline.com/{self.env['ARM_TENANT_ID']}/oauth2/v2.0/token"
            self._tokens[scope] = self.session.post(url, data=form, timeout=30).json()["access_token"]
        return self._tokens[scope]

    def arm(self, method: str, path: str, body: Any = None, version: str = API) -> Any:
        headers = {"Authorization": f"Bearer {self.token('https://management.azure.com/.default')}"}
        url = f"https://management.azure.com{path}?api-version={version}"
        answer = self.session.request(method, url, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        while "Azure-AsyncOperation" in answer.headers:
            status = self.session.get(answer.headers["Azure-AsyncOperation"], headers=headers, timeout=60).json()
            if status["status"] == "Failed":
                raise SystemExit(f"{method} {path}: {status['error']}")
            if status["status"] == "Succeeded":
                break
            time.sleep(0.05)
        return answer.json() if answer.content else None

    def connect(self, database: str, server: str | None = None) -> psycopg.Connection:
        return psycopg.connect(
            host=f"{server or self.name}.postgres.database.azure.com",
            hostaddr=self.env["PGHOSTADDR"],
            user="operator",
            password=self.token("https://ossrdbms-aad.database.windows.net/.default"),
            dbname=database,
            sslmode="verify-full",
            sslrootcert=self.env["PGSSLROOTCERT"],
            autocommit=True,
        )

    def fill(self, megabytes: int) -> datetime.datetime:
        """Make the server and its data; returns a moment after them, before which a second backup lies for half."""
        self.arm("PUT", self.group, {"location": "westeurope"}, "2023-07-01")
        tenant = self.env["ARM_TENANT_ID"]
        auth = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled", "tenantId": tenant}
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
            "properties": {"version": "18", "authConfig": auth},
        }
        self.arm("PUT", self.id, body)
        admin = {"properties": {"principalName": "operator", "principalType": "ServicePrincipal"}}
        self.arm("PUT", f"{self.id}/administrators/{self.env['AKSOPS_PRINCIPAL_ID']}", admin)
        everywhere = {"properties": {"startIpAddress": "0.0.0.0", "endIpAddress": "0.0.0.0"}}
        self.arm("PUT", f"{self.id}/firewallRules/azure", everywhere)
        for number in range(DATABASES):
            self.arm("PUT", f"{self.id}/databases/bench{number}", {"properties": {}})
        # A row takes 2 kB. Nine tenths lie in the backup, one tenth in the log after it.
        rows = megabytes * 500 // (DATABASES * TABLES)
        self._rows(int(rows * 0.9), create=True)
        self.arm("PUT", f"{self.id}/backups/bench", {})
        self._rows(rows - int(rows * 0.9), create=False)
        with self.connect("bench0") as connection:
            moment = connection.execute("SELECT clock_timestamp()").fetchone()
            connection.execute("INSERT INTO t0 (filler) VALUES ('later')")
        assert moment is not None
        self._archive()
        return moment[0].astimezone(datetime.UTC)

    def _archive(self) -> None:
        """Wait until all log is in the archive, so that both recoveries find the same."""
        runtime = Runtime(self.home / "postgres")
        for socket in runtime.sockets.glob("*/.s.PGSQL.5432"):
            with psycopg.connect(host=str(socket.parent), user="azuresu", dbname="postgres") as connection:
                row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            segment = runtime.root / "servers" / self.name / "archive" / row[0]
            end = time.monotonic() + 120
            while not segment.exists():
                if time.monotonic() > end:
                    raise SystemExit(f"{segment.name} was not archived within 120 s")
                time.sleep(0.05)

    def _rows(self, rows: int, *, create: bool) -> None:
        block = f"{'x' * 1900}\n" * 500  # four rows to a page, none stored out of line

        def one(number: int) -> None:
            with self.connect(f"bench{number}") as connection:
                for table in range(TABLES):
                    if create:
                        connection.execute(f"CREATE TABLE t{table} (id bigserial PRIMARY KEY, filler text)")
                    with connection.cursor() as cursor, cursor.copy(f"COPY t{table} (filler) FROM STDIN") as copy:
                        for first in range(0, rows, 500):
                            copy.write(block[: 1901 * min(500, rows - first)])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, range(DATABASES)))


def floor(bench: Bench, moment: datetime.datetime, work: Path) -> float:
    """Seconds of a recovery by hand: the same backup and archive, cp and postgres, until it is promoted."""
    runtime = Runtime(bench.home / "postgres")
    source = runtime.root / "servers" / bench.name
    data = work / "data"
    sockets = Path(tempfile.mkdtemp(prefix="pgf", dir="/tmp"))
    runtime.make_folder(work)
    runtime.make_folder(sockets)
    started = time.monotonic()
    subprocess.run(["cp", "-a", "--reflink=auto", str(source / "backups" / "bench"), str(data)], check=True)
    settings = [
        f'restore_command = \'cp "{source}/archive/%f" "%p"\'',
        f"recovery_target_time = '{moment.isoformat(sep=' ')}'",
        "recovery_target_action = 'promote'",
        "recovery_target_timeline = 'current'",
        "hot_standby = off",
        "archive_mode = off",
        f"unix_socket_directories = '{sockets}'",
    ]
    runtime.write(data / "sandbox.conf", "\n".join(settings) + "\n")
    runtime.write(data / "recovery.signal", "")
    runtime.run(runtime.command("pg_ctl", "-D", data, "-l", work / "log", "-w", "-t", "3600", "start"))
    end = started + 3600
    while (data / "postmaster.pid").exists() and time.monotonic() < end:
        try:
            with psycopg.connect(host=str(sockets), user="azuresu", dbname="postgres") as connection:
                row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                if row and not row[0]:
                    break
        except psycopg.OperationalError:
            pass
        time.sleep(0.02)
    else:
        raise SystemExit(f"the recovery by hand failed: {(work / 'log').read_text()[-500:]}")
    seconds = time.monotonic() - started
    runtime.run(runtime.command("pg_ctl", "-D", data, "-m", "immediate", "stop"))
    shutil.rmtree(work)
    shutil.rmtree(sockets)
    return seconds


def module(bench: Bench, name: str, arguments: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds and result of one module, run as Ansible runs it."""
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "connection": "local",
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": [
                {"name": "Measure", f"aksops.platform.{name}": arguments, "register": "measured"},
                {
                    "name": "Keep",
                    "ansible.builtin.copy": {
                        "content": "{{ measured | to_json }}",
                        "dest": str(bench.home / "measured.json"),
                        "mode": "0600",
                    },
                },
            ],
        }
    ]
    path = bench.home / "bench.json"
    path.write_text(json.dumps(play))
    started = time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", str(path)],
        cwd=ROOT,
        env={**os.environ, **bench.env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-1000:])
    return time.monotonic() - started, json.loads((bench.home / "measured.json").read_text())


def bare_checks(bench: Bench, server: str, workers: int) -> float:
    """Seconds of the verification's costly statements without the module."""
    program = [sys.executable, str(ROOT / "benchmarks" / "verify_floor.py"), server, "operator", str(workers)]
    done = subprocess.run(
        [*program, *(f"bench{number}" for number in range(DATABASES))],
        env={**os.environ, **bench.env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr[-1000:])
    return float(json.loads(done.stdout)["seconds"])


def settle(folder: Path) -> None:
    """The same state of memory and disk before either recovery: what it copies was just read, and nothing waits to be
    written."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass
    os.sync()


def highest(pids: list[int]) -> int:
    """The highest resident set (MB) that any of these processes has had."""
    found = [0]
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/status").read_text()
            found += [int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("VmHWM:")]
    return max(found)


def main() -> int:
    parser = argparse.ArgumentParser(description="Restore and verification against the bare floor.")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--gigabytes", type=float, help="instead of megabytes")
    options = parser.parse_args()
    megabytes = int(options.gigabytes * 1000) if options.gigabytes else options.megabytes
    folder = Path(tempfile.mkdtemp(prefix="bench-restore-"))
    folder.chmod(0o711)
    home = folder / "home"
    sandbox = ["aksops-sandbox", "--home", str(home)]
    try:
        subprocess.run([*sandbox, "up", "--while", str(os.getpid())], check=True, capture_output=True)
        bench = Bench(home)
        print(f"filling {megabytes} MB in {DATABASES} databases ...", flush=True)
        moment = bench.fill(megabytes)
        runtime = Runtime(home / "postgres")
        settle(runtime.root / "servers" / bench.name / "backups" / "bench")
        bare = floor(bench, moment, runtime.root / "floor")
        settle(runtime.root / "servers" / bench.name / "backups" / "bench")
        restored = f"{bench.name}r"
        arguments = {"source_id": bench.id, "name": restored, "point_in_time": moment.isoformat(), "wait_sleep": 1}
        _, result = module(bench, "postgresql_flexible_restore", arguments)
        ours = result["seconds"]["provision"]
        print(
            f"restore       {ours:8.1f} s   floor {bare:6.1f} s   ratio {ours / bare:5.2f}   "
            f"floor + {ours - bare:.1f} s"
        )
        workers = os.cpu_count() or 2
        names = [f"bench{number}" for number in range(DATABASES)]
        fqdn = f"{restored}.postgres.database.azure.com"
        verify = {
            "server_fqdn": fqdn,
            "login_user": "operator",
            "databases": names,
            "amcheck": False,
        }
        bare_checks(bench, fqdn, workers)  # what it reads is in memory for both
        bare_runs, runs = [], []
        for _ in range(3):
            bare_runs.append(bare_checks(bench, fqdn, workers))
            _, verified = module(bench, "postgresql_verify", verify)
            runs.append(float(verified["seconds"]))
        ours, bare = statistics.median(runs), statistics.median(bare_runs)
        print(
            f"verification  {ours:8.2f} s   floor {bare:6.2f} s   ratio {ours / bare:5.2f}   "
            f"({DATABASES * TABLES} tables in {DATABASES} databases, {workers} workers)"
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        server = highest([json.loads((home / "run" / "server.json").read_text())["pid"]])
        print(f"memory        {peak:8d} MB peak of the largest client process   {server:d} MB peak of the sandbox")
    finally:
        subprocess.run([*sandbox, "down"], check=False, capture_output=True)
        subprocess.run([*sandbox, "reset"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
