# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a server has and carries a plan out. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_databases_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_sql as sql
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

_ACL = "(SELECT coalesce(json_agg(json_build_object('role', coalesce(r.rolname, ''), 'right', a.privilege_type)), '[]')"
_ROLES = "SELECT rolname, rolcanlogin FROM pg_catalog.pg_roles"
_MEMBERS = """
SELECT g.rolname AS grp, m.rolname AS member, bool_or(x.admin_option) AS admin
FROM pg_catalog.pg_auth_members x JOIN pg_catalog.pg_roles g ON g.oid = x.roleid
JOIN pg_catalog.pg_roles m ON m.oid = x.member
GROUP BY 1, 2
"""
_PRINCIPALS = """
SELECT rolname, objectid FROM pg_catalog.pgaadauth_list_principals(true)
UNION SELECT rolname, objectid FROM pg_catalog.pgaadauth_list_principals(false)
"""
_SETTINGS = """
SELECT d.datname, r.rolname, s.setconfig FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
"""
_DATABASES = f"""
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
  {_ACL} FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
   LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee) AS rights
FROM pg_catalog.pg_database d WHERE NOT d.datistemplate AND d.datallowconn
"""
_SCHEMAS = f"""
SELECT n.nspname, pg_catalog.pg_get_userbyid(n.nspowner) AS owner,
  {_ACL} FROM pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
   LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee) AS rights
FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_RELATIONS = f"""
SELECT n.nspname, c.relname, CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
  pg_catalog.pg_get_userbyid(c.relowner) AS owner,
  {_ACL} FROM pg_catalog.aclexplode(c.relacl) a
   LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee) AS rights
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname = ANY (%s)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
ORDER BY 1, 2
"""
_DEFAULTS = f"""
SELECT pg_catalog.pg_get_userbyid(d.defaclrole) AS owner, coalesce(n.nspname, '') AS nspname,
  CASE d.defaclobjtype WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
  {_ACL} FROM pg_catalog.aclexplode(d.defaclacl) a
   LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee) AS rights
FROM pg_catalog.pg_default_acl d LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
WHERE d.defaclobjtype IN ('r', 'S')
"""
_EXTENSIONS = "SELECT extname, extversion FROM pg_catalog.pg_extension"
_AVAILABLE = "SELECT name FROM pg_catalog.pg_available_extensions"
_ALLOWED = "SELECT current_setting('azure.extensions', true) AS value"


def _rights(items: t.Iterable[t.Mapping[str, str]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(item["role"], set()).add(item["right"])
    return {role: frozenset(rights) for role, rights in found.items()}


class Databases:
    """The databases of one server, as one administrator sees them.

    :param connect: C((database) -> Session), used as a context manager.
    :param try_login: C((role, password, database) -> bool), whether that login succeeds.
    """

    def __init__(
        self,
        connect: t.Callable[[str], t.Any],
        try_login: t.Callable[[str, str, str], bool] | None = None,
    ) -> None:
        self._connect = connect
        self._try_login = try_login

    def read(self, wishes: t.Sequence[plans.Wish]) -> plans.ServerState:
        """Return what the server and the wished databases have; nothing is changed."""
        with self._connect(plans.MAINTENANCE) as session:
            state = self._read_server(session, any(person.object_id for wish in wishes for person in wish.people))
        for wish in wishes:
            if wish.name in state.databases:
                with self._connect(wish.name) as session:
                    self._read_database(session, state.databases[wish.name], wish)
        if self._try_login is not None:
            right = set()
            for wish in wishes:
                for person in wish.people:
                    known = person.password and person.name in state.roles and wish.name in state.databases
                    if known and self._try_login(person.name, str(person.password), wish.name):
                        right.add(person.name)
            state.logins = frozenset(right)
        return state

    @staticmethod
    def _read_server(session: t.Any, entra: bool) -> plans.ServerState:
        state = plans.ServerState()
        state.roles = {row["rolname"]: row["rolcanlogin"] for row in session.rows(_ROLES)}
        members = session.rows(_MEMBERS)
        state.members = frozenset((row["grp"], row["member"]) for row in members)
        state.administered = frozenset(
            row["grp"] for row in members if row["member"] == plans.ADMINISTRATORS and row["admin"]
        )
        for row in session.rows(_SETTINGS):
            state.settings[(row["datname"], row["rolname"])] = dict(
                item.split("=", 1) for item in row["setconfig"] or ()
            )
        if entra:
            state.principals = {row["rolname"]: str(row["objectid"]).lower() for row in session.rows(_PRINCIPALS)}
        allowed = session.rows(_ALLOWED)[0]["value"]
        if allowed is not None:
            state.allowed_extensions = frozenset(item.strip().lower() for item in allowed.split(",") if item.strip())
        for row in session.rows(_DATABASES):
            state.databases[row["datname"]] = plans.DatabaseState(row["datname"], row["owner"], _rights(row["rights"]))
        return state

    @staticmethod
    def _read_database(session: t.Any, database: plans.DatabaseState, wish: plans.Wish) -> None:
        database.extensions = {row["extname"]: row["extversion"] for row in session.rows(_EXTENSIONS)}
        database.available = frozenset(row["name"] for row in session.rows(_AVAILABLE))
        database.schemas = {row["nspname"]: (row["owner"], _rights(row["rights"])) for row in session.rows(_SCHEMAS)}
        database.relations = [
            plans.Relation(row["nspname"], row["relname"], row["kind"], row["owner"], _rights(row["rights"] or ()))
            for row in session.rows(_RELATIONS, (list(wish.schemas),))
        ]
        for row in session.rows(_DEFAULTS):
            database.defaults[(row["owner"], row["nspname"], row["kind"])] = _rights(row["rights"])

    def apply(self, plan: plans.Plan) -> None:
        """Carry the steps out in their order, with one session per run of steps in the same database.

        :raises AksPlatformError: a step failed; the sentence names it and how many were carried out before.
        """
        done = 0
        session: t.Any = None
        try:
            for step in plan.steps:
                if session is None or session.database != step.database:
                    if session is not None:
                        session.close()
                    session = self._connect(step.database).__enter__()
                try:
                    session.rows(self._text(session, step))
                except sql.SqlError as error:
                    raise AksPlatformError(
                        f"Could not {step.text}, after {done} of {len(plan.steps)} steps: {error}",
                        done=done,
                        sqlstate=error.sqlstate,
                    ) from None
                done += 1
        finally:
            if session is not None:
                session.close()

    @staticmethod
    def _text(session: t.Any, step: plans.Step) -> str:
        if step.secret_of is None:
            return step.statement
        verifier = session.verifier(step.secret_of.name, str(step.secret_of.password))
        return step.statement.replace("%VERIFIER%", sql.literal(verifier))
