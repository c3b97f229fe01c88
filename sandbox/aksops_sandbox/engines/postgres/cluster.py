"""One PostgreSQL cluster: its files, its process, its administrators and its parameters."""

from __future__ import annotations

import datetime
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from aksops_sandbox.engines.postgres import settings
from aksops_sandbox.engines.postgres.runtime import PostgresError, Runtime
from aksops_sandbox.engines.process import Supervisor

SUPERUSER = "azuresu"
_SCRIPTS = resources.files("aksops_sandbox.engines.postgres") / "sql"


@dataclass(frozen=True)
class EntraPrincipal:
    """A database role that a Microsoft Entra principal may take, as its security label says."""

    role: str
    object_id: str
    kind: str
    is_admin: bool


class Cluster:
    """A cluster in `folder`, named after its Flexible Server.

    Layout: data/ (PGDATA), archive/ (WAL), backups/ (base backups). The socket lies in a short path of its own.
    """

    def __init__(self, runtime: Runtime, supervisor: Supervisor, name: str, folder: Path) -> None:
        self.runtime = runtime
        self.supervisor = supervisor
        self.name = name
        self.folder = folder
        self.data = folder / "data"
        self.archive = folder / "archive"
        self.backups = folder / "backups"
        self.sockets = runtime.sockets / hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        self.lock = threading.RLock()
        self.backing_up = threading.Lock()  # one backup at a time
        self.removing = threading.Lock()  # backups and archive are being removed, or a restore begins to read them
        self.restores = 0  # that read backups and archive now

    @property
    def process_name(self) -> str:
        return f"postgres-{self.name}"

    @property
    def socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """For as long as the block lasts, no backup is removed."""
        with self.removing:
            self.restores += 1
        try:
            yield
        finally:
            with self.removing:
                self.restores -= 1

    # -- life ---

    def make_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        for folder in (self.data, self.archive, self.backups, self.sockets):
            self.runtime.make_folder(folder)

    def create(self) -> None:
        """initdb, start, and what Azure makes in a new server. On failure nothing is left running."""
        self.make_folders()
        self.runtime.run(
            self.runtime.command(
                "initdb", "--pgdata", self.data, "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8",
                "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C.UTF-8",
                "--wal-segsize", "1", "--no-sync", "--no-instructions",
            )
        )  # fmt: skip
        self.write_configuration()
        self.write_parameters({})
        self.start()
        with self.connect("template1") as connection:
            connection.execute((_SCRIPTS / "bootstrap.sql").read_bytes())
            connection.execute((_SCRIPTS / "template1.sql").read_bytes())
        with self.connect("postgres") as connection:
            connection.execute("SET allow_system_table_mods = on")
            connection.execute((_SCRIPTS / "template1.sql").read_bytes())
            connection.execute((_SCRIPTS / "pgaadauth.sql").read_bytes())

    def write_configuration(self) -> None:
        """The files that are the sandbox's, for a cluster that is new or restored."""
        self.runtime.write(self.data / "postgresql.conf", settings.render_main(self.sockets, self.archive))
        self.runtime.write(self.data / "pg_hba.conf", settings.HBA)
        self._admitted(())
        self.runtime.write(self.data / "pg_ident.conf", "")
        self.runtime.write(self.data / "postgresql.auto.conf", "")

    def write_parameters(self, parameters: dict[str, str]) -> None:
        """The user's server parameters; they take effect at reload() or restart()."""
        text = settings.render_parameters(parameters, self.runtime.library)
        self.runtime.write(self.data / "azure.conf", text)

    def start(self, *, timeout: float = 120, ready: bool = True) -> None:
        """Start the server process and wait until it takes connections. Raises PostgresError with its last words.

        Args:
            timeout: seconds to wait.
            ready: False to return as soon as the process runs, for a recovery that is watched otherwise.
        """
        with self.lock:
            self.make_folders()
            if not self.is_running():
                self._clear_locks()
            self.supervisor.start(
                self.process_name,
                list(self.runtime.command("postgres", "-D", self.data)),
                env=self.runtime.environment(),
                cwd=self.data,
                ready=self.is_accepting if ready else None,
                timeout=timeout,
                stop_signal=signal.SIGINT,
                user=self.runtime.account.uid if self.runtime.account else None,
            )

    def stop(self) -> None:
        """Stop the server (fast shutdown: sessions end, committed data are safe)."""
        with self.lock:
            self.supervisor.stop(self.process_name, timeout=120)

    def _clear_locks(self) -> None:
        """Remove a killed server's lock files, after the last of its processes.

        PostgreSQL takes them as held while a process of that id exists, be it a zombie or another program; it would
        then not start again.
        """
        deadline = time.monotonic() + 5
        while orphans := self._processes():
            for pid in orphans if time.monotonic() > deadline else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for lock in (self.data / "postmaster.pid", self.sockets / f"{self.socket.name}.lock", self.socket):
            lock.unlink(missing_ok=True)

    def _processes(self) -> list[int]:
        """Processes that work in the data folder, as every PostgreSQL process does."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.readlink(process / "cwd") == str(self.data.resolve()):
                    found.append(int(process.name))
        return found

    def last_words(self) -> str:
        """The end of the server's log."""
        return str(self.supervisor.tail(self.process_name, 8))

    def restart(self) -> None:
        with self.lock:
            self.stop()
            self.start()

    def is_running(self) -> bool:
        return self.supervisor.find(self.process_name) is not None

    def is_accepting(self) -> bool:
        """True where a connection succeeds now."""
        try:
            with self.connect(timeout=3):
                return True
        except (psycopg.Error, OSError):
            return False

    def reload(self) -> None:
        """Make the server read its files again, and wait until it has."""
        with self.connect() as connection:
            loaded = "SELECT pg_conf_load_time()"
            before = connection.execute(loaded).fetchone()
            connection.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + 5
            # The postmaster reads its files before it tells its children, so a child that has read them is enough.
            while connection.execute(loaded).fetchone() == before and time.monotonic() < deadline:
                time.sleep(0.01)

    # -- SQL ---

    @contextmanager
    def connect(self, database: str = "postgres", *, timeout: int = 10) -> Iterator[psycopg.Connection]:
        """A superuser's connection in autocommit mode, closed at the end."""
        connection = psycopg.connect(
            host=str(self.sockets),
            user=SUPERUSER,
            dbname=database,
            connect_timeout=timeout,
            autocommit=True,
            application_name="azure",
        )
        try:
            yield connection
        finally:
            connection.close()

    def query(self, statement: Any, parameters: Sequence[Any] = (), database: str = "postgres") -> list[dict[str, Any]]:
        """Rows as dictionaries."""
        with self.connect(database) as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def now(self) -> datetime.datetime:
        """The server's clock, in UTC."""
        moment: datetime.datetime = self.query("SELECT clock_timestamp() AS now")[0]["now"]
        return moment.astimezone(datetime.UTC)

    # -- administrators ---

    def set_administrator(self, login: str, password: str) -> None:
        """Make the password administrator, or reset its password."""
        with self.connect() as connection:
            role = sql.Identifier(login)
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(role))
                connection.execute(sql.SQL("GRANT azure_pg_admin TO {} WITH ADMIN OPTION").format(role))
            # The verifier is made here, so that the password is in no statement that the server could log.
            verifier = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier)))

    def set_entra_administrator(self, name: str, object_id: str, kind: str) -> None:
        """Map an Entra principal to an administrator role; `kind` is user, group or service."""
        with self.connect() as connection:
            label = f"aadauth,oid={object_id.lower()},type={kind},admin"
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
                connection.execute(
                    "SELECT pgaadauth_create_principal_with_oid(%s, %s, %s, true, false)", (name, object_id, kind)
                )
            else:
                role = sql.Identifier(name)
                connection.execute(sql.SQL("ALTER ROLE {} LOGIN CREATEDB CREATEROLE").format(role))
                connection.execute(sql.SQL("GRANT azure_ad_user TO {}").format(role))
                connection.execute(sql.SQL("GRANT azure_pg_admin TO {} WITH ADMIN OPTION").format(role))
                connection.execute("SELECT azure_sandbox_entra.label(%s, %s)", (name, label))

    def remove_entra_administrator(self, object_id: str) -> None:
        """Take the administrator's rights away; the role is dropped where it owns nothing."""
        for principal in self.entra_principals():
            if principal.is_admin and principal.object_id == object_id.lower():
                role = sql.Identifier(principal.role)
                with self.connect() as connection:
                    connection.execute(sql.SQL("REVOKE azure_pg_admin, azure_ad_user FROM {} CASCADE").format(role))
                    connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN NOCREATEDB NOCREATEROLE").format(role))
                    connection.execute(
                        "DELETE FROM pg_shseclabel WHERE classoid = 'pg_authid'::regclass AND provider = 'pgaadauth'"
                        " AND objoid = (SELECT oid FROM pg_roles WHERE rolname = %s)",
                        (principal.role,),
                    )
                    with suppress(psycopg.errors.DependentObjectsStillExist):
                        connection.execute(sql.SQL("DROP ROLE {}").format(role))

    def entra_principals(self) -> list[EntraPrincipal]:
        """Every role that an Entra principal may take."""
        rows = self.query(
            "SELECT rolname, objectid, principaltype, isadmin FROM pgaadauth_list_principals(true)"
            " UNION ALL SELECT rolname, objectid, principaltype, isadmin FROM pgaadauth_list_principals(false)"
        )
        return [
            EntraPrincipal(row["rolname"], row["objectid"], row["principaltype"], bool(row["isadmin"])) for row in rows
        ]

    def admit(self, role: str) -> EntraPrincipal | None:
        """The Entra principal that a role belongs to, or None for a role with a password.

        Makes the server take the role without a password in the first case, and only then: the caller checks the token.
        """
        with self.lock:
            principals = {principal.role: principal for principal in self.entra_principals()}
            if self._admitted(principals):
                self.reload()
        return principals.get(role)

    def _admitted(self, roles: Iterable[str]) -> bool:
        """Write who needs no password; True where that changes something. The file must never be empty."""
        file = self.data / settings.ENTRA_ROLES_FILE
        names = [SUPERUSER, *sorted(roles)]
        wanted = "".join('"' + name.replace('"', '""') + '"\n' for name in names)
        if file.exists() and file.read_text(encoding="utf-8") == wanted:
            return False
        self.runtime.write(file, wanted)
        return True

    def set_directory(self, principals: Sequence[tuple[str, str, str]]) -> None:
        """What pgaadauth_create_principal looks names up in: (display name, object id, kind)."""
        with self.connect() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM azure_sandbox_entra.directory")
            cursor.executemany(
                "INSERT INTO azure_sandbox_entra.directory VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", principals
            )

    # -- databases ---

    def databases(self) -> list[dict[str, Any]]:
        """name and charset of every database that Azure lists."""
        return self.query(
            "SELECT datname AS name, pg_encoding_to_char(encoding) AS charset"
            " FROM pg_database WHERE NOT datistemplate ORDER BY datname"
        )

    def create_database(self, name: str, charset: str, collation: str) -> None:
        """CREATE DATABASE as Azure does, owned by azure_pg_admin. Raises PostgresError with PostgreSQL's words.

        The wheel's C library collations stand in for those of Azure's image: en_US.utf8 and its like sort as C.UTF-8.
        """
        statement = sql.SQL("CREATE DATABASE {} OWNER azure_pg_admin ENCODING {}").format(
            sql.Identifier(name), sql.Literal(charset)
        )
        if charset.upper() not in {"UTF8", "UTF-8"} or collation.upper() in {"C", "POSIX"}:
            statement += sql.SQL(" LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        try:
            with self.connect() as connection:
                connection.execute(statement)
        except psycopg.Error as error:
            raise PostgresError(str(error).strip()) from error

    def drop_database(self, name: str) -> None:
        try:
            with self.connect() as connection:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise PostgresError(str(error).strip()) from error

    # -- parameters ---

    def parameters(self) -> list[dict[str, Any]]:
        """pg_settings, with the placeholders of Azure's own parameters."""
        return self.query(
            "SELECT name, setting, unit, category, short_desc, context, vartype, min_val, max_val, enumvals, boot_val,"
            " pending_restart FROM pg_settings ORDER BY name"
        )
