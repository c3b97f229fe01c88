# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to PostgreSQL Flexible Server: TLS always verified, Entra token or password, never in arguments or logs.

FOR INTERNAL COLLECTION USE ONLY: may change in any release. psycopg is imported when the first connection is made.
"""

from __future__ import annotations

import os
import ssl
import time
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    missing_library,
    one_sentence,
)

#: What an Entra token for PostgreSQL is issued for, by cloud.
SCOPES = {
    "AzureCloud": "https://ossrdbms-aad.database.windows.net/.default",
    "AzureUSGovernment": "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
    "AzureChinaCloud": "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
}

LOGIN_ARG_SPEC: dict[str, dict[str, t.Any]] = {
    "server_fqdn": {"type": "str", "required": True},
    "port": {"type": "int", "default": 5432},
    "hostaddr": {"type": "str"},
    "ca_cert": {"type": "path"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "connect_timeout": {"type": "int", "default": 60},
}

#: States of a server that is on its way: worth waiting for.
_TRANSIENT_STATES = ("57P03", "08006", "08001", "08004", "53300")
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class SqlError(AksPlatformError):
    """PostgreSQL refused a statement or a login; C(sqlstate) is its code ('' where it gave none)."""

    def __init__(self, message: str, sqlstate: str = "", **details: t.Any) -> None:
        super().__init__(message, sqlstate=sqlstate, **details)
        self.sqlstate = sqlstate


def ident(name: str) -> str:
    """Return C(name) quoted as an SQL identifier."""
    if not name or "\0" in name:
        raise AksPlatformError(f"{name!r} is not a name that PostgreSQL accepts.")
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return C(value) quoted as an SQL literal."""
    text = "'" + value.replace("'", "''") + "'"
    return f" E{text}".replace("\\", "\\\\") if "\\" in value else text


def ca_file(path: str | None, environ: t.Mapping[str, str] | None = None) -> str:
    """Return the file of authorities to verify servers by: the option, the environment's, or the system's.

    :raises AksPlatformError: there is none.
    """
    environ = os.environ if environ is None else environ
    wanted = path or environ.get("PGSSLROOTCERT") or environ.get("SSL_CERT_FILE")
    if wanted:
        if wanted != "system" and not os.path.isfile(wanted):
            raise AksPlatformError(f"The CA file {wanted} does not exist; name one by ca_cert.")
        return wanted
    for candidate in (ssl.get_default_verify_paths().cafile, *_CA_FILES):
        if candidate and os.path.isfile(candidate):
            return candidate
    raise AksPlatformError("No file of trusted authorities was found on this machine; name one by ca_cert.")


class Login(t.NamedTuple):
    """How to log in to one server. C(password) gives the password or a fresh token each time it is called."""

    host: str
    port: int
    user: str
    password: t.Callable[[], str]
    ca_cert: str
    hostaddr: str | None = None
    connect_timeout: int = 60

    def __repr__(self) -> str:
        return f"Login(host={self.host!r}, user={self.user!r})"


def from_params(params: t.Mapping[str, t.Any], user: str, credential: t.Any) -> Login:
    """Return the login that the options of C(LOGIN_ARG_SPEC) describe.

    Without C(login_password) the Entra token of C(credential) is the password, as Azure wants it.
    """
    if params.get("login_password"):
        secret = str(params["login_password"])

        def password() -> str:
            return secret

    else:

        def password() -> str:
            return str(credential.get_token(SCOPES[params.get("cloud") or "AzureCloud"]).token)

    return Login(
        host=params["server_fqdn"],
        port=params.get("port") or 5432,
        user=user,
        password=password,
        ca_cert=ca_file(params.get("ca_cert")),
        hostaddr=params.get("hostaddr"),
        connect_timeout=params.get("connect_timeout") or 60,
    )


def psycopg() -> t.Any:
    """Import psycopg 3."""
    try:
        import psycopg as module
    except ImportError as error:
        raise missing_library("psycopg[binary]>=3.2", error) from None
    return module


class Session:
    """One connection in autocommit mode. Use it as a context manager.

    :param login: where to and as whom.
    :param options: run-time parameters of the session, such as C(statement_timeout).
    """

    def __init__(self, login: Login, database: str, options: t.Mapping[str, str] | None = None) -> None:
        self.login = login
        self.database = database
        self._options = dict(options or {})
        self._connection: t.Any = None

    def __enter__(self) -> Session:
        self._connection = self._connect()
        if self._options:
            calls = ", ".join(["pg_catalog.set_config(%s, %s, false)"] * len(self._options))
            self.rows(f"SELECT {calls}", [part for option in self._options.items() for part in option])
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> t.Any:
        module = psycopg()
        login = self.login
        arguments: dict[str, t.Any] = {
            "host": login.host,
            "port": login.port,
            "user": login.user,
            "dbname": self.database,
            "sslmode": "verify-full",
            "sslrootcert": login.ca_cert,
            "connect_timeout": 10,
            "application_name": "aksops.platform",
            "autocommit": True,
            "prepare_threshold": None,
        }
        if login.hostaddr:
            arguments["hostaddr"] = login.hostaddr
        deadline = time.monotonic() + login.connect_timeout
        pause = 0.5
        while True:
            try:
                return module.connect(password=login.password(), **arguments)
            except module.OperationalError as error:
                refusal = login_error(login, self.database, error)
                if not _may_pass(refusal) or time.monotonic() + pause > deadline:
                    raise refusal from None
            time.sleep(pause)
            pause = min(pause * 2, 5)

    def rows(self, statement: str, parameters: t.Sequence[t.Any] = ()) -> list[dict[str, t.Any]]:
        """Run one statement and return its rows as dictionaries (an empty list where it has none).

        :raises SqlError: PostgreSQL refused it; the sentence holds its words, never a parameter's value.
        """
        module = psycopg()
        try:
            with self._connection.cursor(row_factory=module.rows.dict_row) as cursor:
                cursor.execute(statement, tuple(parameters) or None)
                return list(cursor.fetchall()) if cursor.description else []
        except module.Error as error:
            raise sql_error(self.database, error) from None

    def verifier(self, user: str, password: str) -> str:
        """Return the SCRAM verifier of a password, so that the password itself is in no statement."""
        value = self._connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256")
        return str(value.decode())

    def copy_into(self, statement: str, other: Session, into: str) -> int:
        """Stream a COPY ... TO STDOUT into another session's COPY ... FROM STDIN; return the number of bytes."""
        module = psycopg()
        size = 0
        try:
            with (
                self._connection.cursor() as reader,
                other._connection.cursor() as writer,
                reader.copy(statement) as rows,
                writer.copy(into) as taken,
            ):
                for chunk in rows:
                    taken.write(chunk)
                    size += len(chunk)
        except module.Error as error:
            raise sql_error(self.database, error) from None
        return size


def login_error(login: Login, database: str, error: t.Any) -> SqlError:
    """Return the error for a login that failed, in one sentence that names server, database and role."""
    text = one_sentence(str(error), 300)
    sqlstate = getattr(error, "sqlstate", None) or ""
    where = f"{login.host}, database {database!r}, as {login.user!r}"
    if "no pg_hba.conf entry" in text:
        return SqlError(
            f"{where}: the server does not let this address in; run inside its network, or open its firewall. ({text})",
            "28000",
        )
    return SqlError(f"{where}: {text}", sqlstate)


def refused(error: SqlError) -> bool:
    """True where a server answered and did not let the login in, which no repetition changes."""
    return "FATAL:" in str(error) and not _may_pass(error)


def sql_error(database: str, error: t.Any) -> SqlError:
    """Return the error for a statement that failed."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    hint = getattr(getattr(error, "diag", None), "message_hint", None)
    text = one_sentence(primary, 400) + (f" ({one_sentence(hint, 200)})" if hint else "")
    return SqlError(f"Database {database!r}: {text}", getattr(error, "sqlstate", None) or "")


def _may_pass(error: SqlError) -> bool:
    """True where the same login may succeed a moment later: the server starts, or the network does not answer yet."""
    text = str(error)
    if error.sqlstate:
        return error.sqlstate in _TRANSIENT_STATES
    return any(
        words in text
        for words in (
            "starting up",
            "shut down",
            "Connection refused",
            "timeout expired",
            "could not translate host name",
            "Name or service not known",
            "server closed the connection",
            "unexpected eof",
            "Connection reset",
        )
    )
