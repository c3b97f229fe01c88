# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a server holds, database by database and side by side. FOR INTERNAL COLLECTION USE ONLY.

Sessions are read-only and have time-outs; the only write is one temporary table, which proves that the server takes
writes at all.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_catalog as catalog
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError, ident
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_verify_plan import FAIL, PASS, WARN, Result
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_verify_reading import DROPPED, Reading

#: Seconds before the target within which a transaction may have been open at it.
_SETTLED = 60.0


def _qualified(table: str) -> str:
    """Return schema.table quoted; a name without a schema is one of public."""
    schema, _, name = table.rpartition(".")
    return f"{ident(schema or 'public')}.{ident(name)}"


def _newest(item: t.Mapping[str, t.Any]) -> str:
    return f"SELECT max({ident(item['column'])}) AS newest FROM {_qualified(item['table'])}"


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)  # noqa: UP017


@dataclasses.dataclass
class Options:
    """What is checked.

    :param databases: names; empty means all.
    :param exact_rows: tables up to this many bytes are counted exactly, greater ones are estimated.
    :param statement_timeout: seconds.
    :param read_everything: whether tables are read to their end where amcheck is not to be had.
    """

    databases: tuple[str, ...] = ()
    count_up_to: int = 256 * 1024 * 1024
    statement_timeout: int = 900
    amcheck: bool = True
    read_everything: bool = True
    target: datetime.datetime | None = None
    tolerance: float = 300.0
    data_time: tuple[dict[str, t.Any], ...] = ()
    assertions: tuple[dict[str, t.Any], ...] = ()
    roles: tuple[str, ...] = ()
    workers: int = 2


class Verifier:
    """Checks one server.

    :param connect: C((database, options) -> Session), used as a context manager.
    :param source: the same for a live source to compare with; None compares with nothing live.
    :param manifest: {database: facts} taken earlier; empty compares with none.
    """

    def __init__(
        self,
        connect: t.Callable[[str, dict[str, str]], t.Any],
        options: Options,
        *,
        source: t.Callable[[str, dict[str, str]], t.Any] | None = None,
        manifest: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self._connect = connect
        self._options = options
        self._source = source
        self._manifest = manifest or {}
        self.facts: dict[str, plans.Facts] = {}
        self.access = plans.Access()
        self.newest: datetime.datetime | None = None
        self._lock = threading.Lock()

    def run(self) -> list[Result]:
        """Make every check and return the results in the order of their importance."""
        with ThreadPoolExecutor(max_workers=max(1, self._options.workers)) as pool:
            server = pool.submit(self._server)
            # What is named can be read while the server is asked for all that it has.
            begun = {name: pool.submit(self._database, name) for name in sorted(self._wanted())}
            results, databases = server.result()
            for name in databases:
                if name not in begun:
                    begun[name] = pool.submit(self._database, name)
            for name, work in begun.items():
                if name not in databases:
                    work.cancel()
            for name in databases:
                results += begun[name].result()
        self.facts = {name: facts for name, facts in self.facts.items() if name in databases}
        return results

    @property
    def manifest(self) -> dict[str, t.Any]:
        """What the server holds, to compare another one with."""
        roles = sorted(role for role in self.access.attributes if not role.startswith("pg_"))
        content: dict[str, t.Any] = {name: facts.as_dict() for name, facts in self.facts.items()}
        return {**content, "_roles": roles, "_access": self.access.as_dict()}

    def _wanted(self) -> set[str]:
        """The databases that the task or the manifest names; empty means all."""
        return set(self._options.databases) or {name for name in self._manifest if not name.startswith("_")}

    # -- the server ---

    def _server(self) -> tuple[list[Result], list[str]]:
        results: list[Result] = []
        try:
            # A write into a temporary table, so this session is not read-only.
            with self._connect("postgres", {"statement_timeout": "30s"}) as session:
                results.append(self._timed("connection", "", lambda: self._connection(session)))
                names = self._names(session)
                results.append(self._timed("transactions", "", lambda: self._leftovers(session)))
                self.access = plans.Access.from_rows(session.rows(catalog.SERVER))
        except SqlError as error:
            return [*results, Result("connection", FAIL, str(error))], []
        wanted, roles = self._wanted(), set(self.access.attributes)
        checked = [name for name in sorted(names) if not wanted or name in wanted]
        live: plans.Access | None = None
        if self._source is not None:
            try:
                with self._source("postgres", {"default_transaction_read_only": "on"}) as session:
                    live = plans.Access.from_rows(session.rows(catalog.SERVER))
                    there = self._names(session)
                    results.append(plans.compare_names("databases", "", there, names, "the live source", WARN))
            except SqlError as error:
                results.append(Result("databases", WARN, f"the live source could not be asked: {error}"))
        if wanted:
            results.append(plans.compare_names("databases", "", wanted, names, "what was asked for", FAIL))
        expected = set(self._options.roles) | set(self._manifest.get("_roles") or ())
        if expected:
            results.append(plans.compare_names("roles", "", expected, roles, "what was asked for", FAIL))
        if "_access" in self._manifest:
            kept = plans.Access.from_dict(self._manifest["_access"])
            results += plans.access(kept, self.access, checked, "the manifest", live=False)
        if live is not None:
            results.append(plans.compare_names("roles", "", live.attributes, roles, "the live source", WARN))
            results += plans.access(live, self.access, checked, "the live source", live=True)
        return results, checked

    @staticmethod
    def _names(session: t.Any) -> list[str]:
        rows = session.rows(catalog.DATABASES)
        return [row["datname"] for row in rows if row["datname"] not in catalog.SYSTEM_DATABASES]

    @staticmethod
    def _connection(session: t.Any) -> Result:
        row = session.rows(
            "SELECT pg_catalog.pg_is_in_recovery() AS recovering,"
            " pg_catalog.current_setting('server_version') AS version,"
            " pg_catalog.current_setting('default_transaction_read_only') AS read_only"
        )[0]
        if row["recovering"]:
            return Result("connection", FAIL, "the server is still in recovery")
        if row["read_only"] == "on":
            return Result("connection", FAIL, "the server is read-only (default_transaction_read_only)")
        session.rows(
            "CREATE TEMPORARY TABLE aksops_probe (value integer); INSERT INTO aksops_probe VALUES (1);"
            " DROP TABLE aksops_probe"
        )
        return Result("connection", PASS, f"PostgreSQL {row['version']}, verified TLS, takes writes, not in recovery")

    @staticmethod
    def _leftovers(session: t.Any) -> Result:
        prepared = [row["gid"] for row in session.rows("SELECT gid FROM pg_catalog.pg_prepared_xacts")]
        slots = [
            row["slot_name"]
            for row in session.rows("SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE NOT active")
        ]
        if prepared or slots:
            parts = [f"prepared transactions that hold locks: {plans.some(prepared)}"] if prepared else []
            parts += [f"replication slots that nobody reads: {plans.some(slots)}"] if slots else []
            return Result("transactions", WARN, "; ".join(parts))
        return Result("transactions", PASS, "no prepared transactions, no unread replication slots")

    # -- one database ---

    def _database(self, name: str) -> list[Result]:
        options = {
            "default_transaction_read_only": "on",
            "statement_timeout": f"{self._options.statement_timeout}s",
            "lock_timeout": "10s",
        }
        results: list[Result] = []
        try:
            with self._connect(name, options) as session:
                facts = plans.Facts()
                tables = session.rows(catalog.TABLES)
                hidden = [f"{row['schema']}.{row['name']}" for row in tables if not row["readable"]]
                tables = [row for row in tables if row["readable"]]
                if hidden:
                    evidence = f"this role may not read, so nothing is known of: {plans.some(hidden)}"
                    results.append(Result("readable", WARN, evidence, name))
                results.append(self._timed("collation", name, lambda: self._collation(session, facts, name)))
                results.append(self._timed("validity", name, lambda: self._structure(session, facts, name)))
                reading = Reading(tables, session.rows(catalog.SEQUENCES))
                content = self._timed("content", name, lambda: self._content(session, facts, reading, name))
                results.append(self._timed("sequences", name, lambda: reading.sequences(session, facts, name)))
                started = time.monotonic()
                unreadable = self._count(session, facts, tables, self._options.count_up_to)
                if unreadable:
                    results.append(Result("row_counts", FAIL, plans.some(unreadable), name))
                seconds = round(time.monotonic() - started, 3)
                self.facts[name] = facts
                results += self._references(name, facts, seconds)
                results.append(content)
                results += self._moments(session, name)
                results += self._assertions(session, name)
        except SqlError as error:
            # A database that nobody has asked for and that does not let this role in is no fault of the server.
            kept_out = name not in self._wanted() and "permission denied for database" in str(error)
            results.append(Result(*(("readable", WARN) if kept_out else ("connection", FAIL)), str(error), name))
        return results

    @staticmethod
    def _timed(check: str, database: str, work: t.Callable[[], Result]) -> Result:
        started = time.monotonic()
        try:
            result = work()
        except AksPlatformError as error:
            result = Result(check, FAIL, one_sentence(str(error)), database)
        result.seconds = round(time.monotonic() - started, 3)
        return result

    @staticmethod
    def _collation(session: t.Any, facts: plans.Facts, name: str) -> Result:
        row = session.rows(catalog.DATABASE)[0]
        facts.owner, facts.encoding, facts.collation = row["owner"], row["encoding"], row["collation"] or ""
        facts.large_objects = row["large_objects"]
        facts.extensions = {
            item["extname"]: item["extversion"]
            for item in session.rows("SELECT extname, extversion FROM pg_catalog.pg_extension")
        }
        if row["recorded"] and row["actual"] and row["recorded"] != row["actual"]:
            evidence = (
                f"the collation's version changed from {row['recorded']} to {row['actual']}: REINDEX the database"
            )
            return Result("collation", WARN, evidence, name)
        if row["changed_collations"]:
            evidence = (
                f"collations of columns changed their version: {plans.some(row['changed_collations'])}: REINDEX them"
            )
            return Result("collation", WARN, evidence, name)
        return Result("collation", PASS, f"{facts.encoding}, {facts.collation}", name)

    @staticmethod
    def _structure(session: t.Any, facts: plans.Facts, name: str) -> Result:
        facts.columns = {row["name"]: list(row["columns"]) for row in session.rows(catalog.COLUMNS)}
        constraints, indexes = session.rows(catalog.CONSTRAINTS), session.rows(catalog.INDEXES)
        facts.constraints = {row["name"]: row["definition"] for row in constraints}
        facts.indexes = {row["name"]: row["definition"] for row in indexes}
        session.rows("SET search_path = pg_catalog")
        facts.definitions = {row["name"]: row["digest"] for row in session.rows(catalog.DEFINITIONS)}
        session.rows("RESET search_path")
        for row in session.rows(catalog.GRANTS):
            (facts.default_privileges if row["is_default"] else facts.grants)[row["name"]] = row["held"]
        broken = [row["name"] for row in indexes if not row["valid"]]
        if broken:
            return Result("validity", FAIL, f"indexes that are not valid: {plans.some(broken)}", name)
        unchecked = [row["name"] for row in constraints if not row["valid"]]
        if unchecked:
            return Result("validity", WARN, f"constraints that were never validated: {plans.some(unchecked)}", name)
        return Result("validity", PASS, f"{len(indexes)} indexes and {len(constraints)} constraints are valid", name)

    @staticmethod
    def _count(session: t.Any, facts: plans.Facts, tables: t.Sequence[t.Mapping[str, t.Any]], limit: int) -> list[str]:
        """Count what is not counted yet, and return what could not be read to its end."""
        failures = []
        counted_already = set(facts.exact)
        for row in tables:
            full = f"{row['schema']}.{row['name']}"
            if full in counted_already:
                continue
            facts.tables[full] = row["estimate"]
            if row["bytes"] > limit:
                continue
            try:
                counted = session.rows(f"SELECT count(*) AS rows FROM {ident(row['schema'])}.{ident(row['name'])}")
            except SqlError as error:
                if error.sqlstate != DROPPED:
                    failures.append(f"{full}: {error}")
                continue
            facts.tables[full] = counted[0]["rows"]
            facts.exact.append(full)
        return failures

    def _references(self, name: str, facts: plans.Facts, seconds: float) -> list[Result]:
        results: list[Result] = []
        if name in self._manifest:
            wanted = plans.Facts.from_dict(self._manifest[name])
            results += plans.schema(name, wanted, facts, "the manifest", live=False)
            results.append(plans.counts(name, wanted, facts, "the manifest", live=False))
        if self._source is not None:
            try:
                wanted = self._source_facts(name)
                results += plans.schema(name, wanted, facts, "the live source", live=True)
                results.append(plans.counts(name, wanted, facts, "the live source", live=True))
            except SqlError as error:
                results.append(Result("tables", WARN, f"the live source could not be asked: {error}", name))
        if not results:
            text = f"{sum(facts.tables.values())} rows in {len(facts.tables)} tables, compared with nothing"
            results.append(Result("row_counts", PASS, text, name))
        results[-1].seconds = seconds
        return results

    def _source_facts(self, name: str) -> plans.Facts:
        assert self._source is not None
        facts = plans.Facts()
        with self._source(name, {"default_transaction_read_only": "on", "statement_timeout": "120s"}) as session:
            self._collation(session, facts, name)
            self._structure(session, facts, name)
            # Estimates do: the source goes on while it is read.
            for row in session.rows(catalog.TABLES):
                facts.tables[f"{row['schema']}.{row['name']}"] = row["estimate"]
        return facts

    def _content(self, session: t.Any, facts: plans.Facts, reading: Reading, name: str) -> Result:
        """Read the content: by amcheck where the database has it, else every table to its end."""
        reason = "amcheck is not wanted"
        if self._options.amcheck:
            if "amcheck" not in facts.extensions:
                reason = "the extension amcheck is not created"
            else:
                try:
                    return self._amcheck(session, reading.tables, name)
                except SqlError as error:
                    if error.sqlstate != "42501":
                        raise
                    reason = "amcheck may not be run by this role"
        if not self._options.read_everything:
            return Result("content", WARN, f"{reason}, and reading every table is not wanted", name)
        size, failures = reading.run(session, facts)
        if failures:
            return Result("content", FAIL, plans.some(failures), name)
        evidence = f"{len(reading.tables)} tables were read to their end ({size} bytes; {reason})"
        return Result("content", PASS, evidence, name)

    @staticmethod
    def _amcheck(session: t.Any, tables: t.Sequence[t.Mapping[str, t.Any]], name: str) -> Result:
        where = session.rows(
            "SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
            " WHERE e.extname = 'amcheck'"
        )[0]["nspname"]
        checked = 0
        for row in session.rows(catalog.INDEXES):
            if row["method"] != "btree" or not row["valid"]:
                continue
            try:
                session.rows(f"SELECT {ident(where)}.bt_index_check(%s::oid::regclass, true)", (row["oid"],))
            except SqlError as error:
                if error.sqlstate == "42501":
                    raise
                return Result("content", FAIL, f"index {row['name']}: {error}", name)
            checked += 1
        for row in tables:
            full = f"{ident(row['schema'])}.{ident(row['name'])}"
            bad = session.rows(f"SELECT blkno, msg FROM {ident(where)}.verify_heapam(%s::regclass) LIMIT 5", (full,))
            if bad:
                found = "; ".join(f"block {item['blkno']}: {item['msg']}" for item in bad)
                return Result("content", FAIL, f"table {full}: {found}", name)
        return Result("content", PASS, f"amcheck found {checked} indexes and {len(tables)} tables sound", name)

    def _moments(self, session: t.Any, name: str) -> list[Result]:
        results = []
        target = self._options.target
        for item in self._options.data_time:
            if item["database"] != name or target is None:
                continue

            def look(item: dict[str, t.Any] = item) -> Result:
                row = session.rows(item.get("query") or _newest(item))[0]
                value = next(iter(row.values()))
                text = item.get("query") or f"{item['table']}.{item['column']}"
                if value is not None and not isinstance(value, datetime.datetime):
                    return Result("data_time", FAIL, f"{text} is no moment but {value!s}", name)
                if value is not None:
                    with self._lock:
                        self.newest = max(_aware(value), self.newest or _aware(value))
                tolerance = item.get("tolerance")
                limit = self._options.tolerance if tolerance is None else tolerance
                return plans.moments(name, text, value, target, float(limit))

            results.append(self._timed("data_time", name, look))
            if item.get("table") and self._source is not None:
                results.append(self._timed("rows_by_time", name, lambda item=item: self._rows_by_time(session, item)))  # type: ignore[misc]
        return results

    def _rows_by_time(self, session: t.Any, item: dict[str, t.Any]) -> Result:
        """Compare rows up to the target with those of the live source."""
        assert self._source is not None
        target = self._options.target
        column, table = ident(item["column"]), _qualified(item["table"])
        query = (
            f"SELECT count(*) FILTER (WHERE {column} <= %s) AS upto, count(*) FILTER (WHERE {column} <= %s) AS settled,"
            f" count(*) FILTER (WHERE {column} > %s) AS later FROM {table}"
        )
        assert target is not None
        parameters = (target, target - datetime.timedelta(seconds=_SETTLED), target)
        here = session.rows(query, parameters)[0]
        try:
            with self._source(item["database"], {"default_transaction_read_only": "on"}) as live:
                there = live.rows(query, parameters)[0]
        except SqlError as error:
            return Result("rows_by_time", WARN, f"the live source could not be asked: {error}", item["database"])
        return plans.rows_by_time(
            item["database"],
            item["table"],
            (here["upto"], here["settled"]),
            (there["upto"], there["settled"]),
            there["later"],
            _SETTLED,
        )

    def _assertions(self, session: t.Any, name: str) -> list[Result]:
        results = []
        for item in self._options.assertions:
            if item["database"] != name:
                continue

            def look(item: dict[str, t.Any] = item) -> Result:
                rows = session.rows(item["query"])
                return plans.assertion(item, next(iter(rows[0].values())) if rows else None)

            results.append(self._timed(f"assertion:{item['name']}", name, look))
        return results
