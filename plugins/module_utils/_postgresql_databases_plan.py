# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which statements make a server's databases have the people that were asked for: pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Every database gets three roles without login: an owner that its schemas and tables belong to, a writer and a reader.
Whoever logs in is a member of one of them. So rights are given once, and people come and go without touching objects.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import ident, literal

ADMINISTRATORS = "azure_pg_admin"
MAINTENANCE = "postgres"
#: The role that is always the owner of the database it is looked at in.
DATABASE_OWNER = "pg_database_owner"
ACCESS = ("reader", "writer", "owner")

#: Bytes of a name that PostgreSQL keeps (NAMEDATALEN less one).
MAXIMUM_NAME = 63

TABLE_RIGHTS = {
    "reader": frozenset({"SELECT"}),
    "writer": frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"}),
}
SEQUENCE_RIGHTS = {"reader": frozenset({"SELECT"}), "writer": frozenset({"SELECT", "USAGE", "UPDATE"})}


@dataclasses.dataclass(frozen=True)
class Person:
    """A role that logs in: mapped to an Entra object id, or with a password (one of the two)."""

    name: str
    access: str
    object_id: str | None = None
    kind: str = "service"
    password: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Extension:
    name: str
    schema: str | None = None


@dataclasses.dataclass(frozen=True)
class Wish:
    """What one database should have."""

    name: str
    owner: str
    writer: str
    reader: str
    schemas: tuple[str, ...] = ("public",)
    extensions: tuple[Extension, ...] = ()
    people: tuple[Person, ...] = ()
    revoke_public: bool = True

    def group(self, access: str) -> str:
        """The role without login that gives this access."""
        return {"owner": self.owner, "writer": self.writer, "reader": self.reader}[access]


@dataclasses.dataclass
class Relation:
    """A table, view or sequence: C(kind) is table or sequence."""

    schema: str
    name: str
    kind: str
    owner: str
    rights: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class DatabaseState:
    """What one database has. Rights are by role name; PUBLIC is the empty name."""

    name: str
    owner: str
    rights: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    extensions: dict[str, str] = dataclasses.field(default_factory=dict)
    available: frozenset[str] = frozenset()
    schemas: dict[str, tuple[str, dict[str, frozenset[str]]]] = dataclasses.field(default_factory=dict)
    relations: list[Relation] = dataclasses.field(default_factory=list)
    defaults: dict[tuple[str, str, str], dict[str, frozenset[str]]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ServerState:
    """What the server has.

    :param roles: name -> whether it can log in.
    :param members: (group, member) pairs, whoever granted them.
    :param administered: roles that azure_pg_admin may grant.
    :param principals: role -> Entra object id.
    :param settings: (database, role) -> {parameter: value}.
    :param allowed_extensions: azure.extensions, None where the server has no such parameter.
    :param logins: roles whose password was tried and is right.
    """

    roles: dict[str, bool] = dataclasses.field(default_factory=dict)
    members: frozenset[tuple[str, str]] = frozenset()
    administered: frozenset[str] = frozenset()
    principals: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: dict[tuple[str, str], dict[str, str]] = dataclasses.field(default_factory=dict)
    allowed_extensions: frozenset[str] | None = None
    databases: dict[str, DatabaseState] = dataclasses.field(default_factory=dict)
    logins: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Step:
    """One statement: where it runs, what it does in words, and its text.

    C(secret_of) names the role whose password is put in place of C(%VERIFIER%) when it is run; it is never in the plan.
    """

    database: str
    text: str
    statement: str
    secret_of: Person | None = dataclasses.field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.database}: {self.text}"


@dataclasses.dataclass
class Plan:
    """The steps in order, and what a person should know besides."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def add(self, database: str, text: str, statement: str, secret_of: Person | None = None) -> None:
        self.steps.append(Step(database, text, statement, secret_of))


def parse(entries: t.Sequence[t.Mapping[str, t.Any]]) -> list[Wish]:
    """Return the wishes of a module's C(databases) option.

    :raises AksPlatformError: a name is given twice, or a person has neither or both of identity and password.
    """
    wishes = []
    for entry in entries:
        name = entry["name"]
        wish = Wish(
            name=name,
            owner=entry.get("owner") or f"{name}_owner",
            writer=entry.get("writer") or f"{name}_writer",
            reader=entry.get("reader") or f"{name}_reader",
            schemas=tuple(entry.get("schemas") or ["public"]),
            extensions=tuple(
                Extension(item["name"].lower(), item.get("schema")) for item in entry.get("extensions") or ()
            ),
            people=tuple(_person(name, item) for item in entry.get("roles") or ()),
            revoke_public=entry.get("revoke_public", True) is not False,
        )
        groups = [wish.owner, wish.writer, wish.reader]
        names = groups + [person.name for person in wish.people]
        for item in (name, *wish.schemas, *names):
            _check_name(name, item)
        twice = sorted({item for item in names if names.count(item) > 1})
        if twice:
            raise AksPlatformError(f"Database {name!r}: the role {twice[0]!r} is named twice.")
        wishes.append(wish)
    names = [wish.name for wish in wishes]
    twice = sorted({item for item in names if names.count(item) > 1})
    if twice:
        raise AksPlatformError(f"The database {twice[0]!r} is listed twice.")
    _agree(wishes)
    return wishes


def _check_name(database: str, name: str) -> None:
    """Refuse a name that PostgreSQL would cut, and then be asked for in vain, or keeps for itself."""
    if len(name.encode()) > MAXIMUM_NAME:
        raise AksPlatformError(
            f"Database {database!r}: the name {name!r} is longer than the {MAXIMUM_NAME} bytes that PostgreSQL keeps."
        )
    if name.startswith("pg_"):
        raise AksPlatformError(f"Database {database!r}: names that start with pg_, as {name!r}, belong to PostgreSQL.")


def _person(database: str, item: t.Mapping[str, t.Any]) -> Person:
    object_id, password = item.get("object_id"), item.get("password")
    if bool(object_id) == bool(password):
        raise AksPlatformError(
            f"Database {database!r}: the role {item['name']!r} needs either object_id (Entra) or a password."
        )
    return Person(
        name=item["name"],
        access=item.get("access") or "writer",
        object_id=object_id.lower() if object_id else None,
        kind=item.get("type") or "service",
        password=password or None,
    )


def _agree(wishes: t.Sequence[Wish]) -> None:
    """Refuse one role with two identities: roles belong to the server, not to a database."""
    seen: dict[str, Person] = {}
    for wish in wishes:
        for person in wish.people:
            other = seen.setdefault(person.name, person)
            if (other.object_id, other.password) != (person.object_id, person.password):
                raise AksPlatformError(
                    f"The role {person.name!r} has different identities in two databases; roles belong to the server."
                )


def check(wishes: t.Sequence[Wish], state: ServerState) -> None:
    """Refuse what cannot be carried out, before any write.

    :raises AksPlatformError: one sentence with all reasons of its kind.
    """
    missing = [wish.name for wish in wishes if wish.name not in state.databases]
    if missing:
        raise AksPlatformError(
            f"The server has no database {', '.join(map(repr, missing))}; databases are made through "
            f"Azure Resource Manager (Terraform). It has {', '.join(sorted(state.databases)) or 'none'}.",
            missing_databases=missing,
        )
    for wish in wishes:
        wanted = {extension.name for extension in wish.extensions} - set(state.databases[wish.name].extensions)
        if state.allowed_extensions is not None:
            refused = sorted(wanted - state.allowed_extensions)
            if refused:
                raise AksPlatformError(
                    f"Database {wish.name!r}: {', '.join(refused)} must be in the server parameter azure.extensions, "
                    f"which allows {', '.join(sorted(state.allowed_extensions)) or 'none'}.",
                    refused_extensions=refused,
                )
        unknown = sorted(wanted - state.databases[wish.name].available)
        if unknown:
            raise AksPlatformError(
                f"Database {wish.name!r}: the server does not have the extension {', '.join(unknown)}.",
                unknown_extensions=unknown,
            )
        for extension in wish.extensions:
            if extension.schema and extension.schema not in {*state.databases[wish.name].schemas, *wish.schemas}:
                raise AksPlatformError(
                    f"Database {wish.name!r}: the extension {extension.name} is to go into the schema "
                    f"{extension.schema!r}, which is neither there nor listed in schemas."
                )
        for person in wish.people:
            if person.object_id and person.name in state.roles and person.name not in state.principals:
                raise AksPlatformError(
                    f"The role {person.name!r} exists and is not mapped to Entra; drop it, or choose another name."
                )


def present(wishes: t.Sequence[Wish], state: ServerState) -> Plan:
    """Return what leads from the state to the wishes."""
    plan = Plan()
    for name in sorted({group for wish in wishes for group in (wish.owner, wish.writer, wish.reader)}):
        _group(plan, state, name)
    for person in _people(wishes):
        _login(plan, state, person)
    for wish in wishes:
        _memberships(plan, state, wish)
    for wish in wishes:
        _database(plan, state.databases[wish.name], wish)
    return plan


def _people(wishes: t.Sequence[Wish]) -> list[Person]:
    """Each person once; the widest access first is of no interest here."""
    found: dict[str, Person] = {}
    for wish in wishes:
        for person in wish.people:
            found.setdefault(person.name, person)
    return [found[name] for name in sorted(found)]


def _group(plan: Plan, state: ServerState, name: str) -> None:
    if name not in state.roles:
        plan.add(MAINTENANCE, f"create role {name}", f"CREATE ROLE {ident(name)} NOLOGIN")
    elif state.roles[name]:
        plan.warnings.append(f"The role {name} can log in; a group role should not.")
    if name not in state.administered:
        # Whichever administrator comes next can go on, not only the one that made the role.
        plan.add(
            MAINTENANCE,
            f"let administrators manage {name}",
            f"GRANT {ident(name)} TO {ident(ADMINISTRATORS)} WITH ADMIN OPTION",
        )


def _login(plan: Plan, state: ServerState, person: Person) -> None:
    name = person.name
    if person.object_id:
        create = (
            f"SELECT pgaadauth_create_principal_with_oid({literal(name)}, {literal(person.object_id)}, "
            f"{literal(person.kind)}, false, false)"
        )
        if name not in state.roles:
            plan.add(MAINTENANCE, f"create role {name} for Entra {person.kind} {person.object_id}", create)
        elif state.principals.get(name) != person.object_id:
            # It owns nothing where it acts as the owner role; where it does, PostgreSQL refuses and says what.
            plan.add(MAINTENANCE, f"drop role {name}, which is mapped to another principal", f"DROP ROLE {ident(name)}")
            plan.add(MAINTENANCE, f"create role {name} for Entra {person.kind} {person.object_id}", create)
            state.members = frozenset(pair for pair in state.members if pair[1] != name)
            state.settings = {key: value for key, value in state.settings.items() if key[1] != name}
        return
    if name not in state.roles:
        plan.add(
            MAINTENANCE,
            f"create role {name} with its password",
            f"CREATE ROLE {ident(name)} LOGIN PASSWORD %VERIFIER%",
            person,
        )
    elif name not in state.logins:
        plan.add(
            MAINTENANCE,
            f"set the password of {name}",
            f"ALTER ROLE {ident(name)} LOGIN PASSWORD %VERIFIER%",
            person,
        )


def _memberships(plan: Plan, state: ServerState, wish: Wish) -> None:
    for person in wish.people:
        wanted = wish.group(person.access)
        for group in (wish.owner, wish.writer, wish.reader):
            held = (group, person.name) in state.members
            if group == wanted and not held:
                plan.add(
                    MAINTENANCE,
                    f"make {person.name} a member of {group}",
                    f"GRANT {ident(group)} TO {ident(person.name)}",
                )
            elif group != wanted and held:
                plan.add(
                    MAINTENANCE,
                    f"end {person.name}'s membership in {group}",
                    f"REVOKE {ident(group)} FROM {ident(person.name)}",
                )
        # What an owner's login makes belongs to the owner role, so that everybody's default rights apply.
        now = state.settings.get((wish.name, person.name), {}).get("role")
        prefix = f"ALTER ROLE {ident(person.name)} IN DATABASE {ident(wish.name)}"
        if person.access == "owner" and now != wish.owner:
            plan.add(
                MAINTENANCE,
                f"let {person.name} act as {wish.owner} in {wish.name}",
                f"{prefix} SET role = {literal(wish.owner)}",
            )
        elif person.access != "owner" and now is not None:
            plan.add(MAINTENANCE, f"let {person.name} act as itself in {wish.name}", f"{prefix} RESET role")


def _database(plan: Plan, database: DatabaseState, wish: Wish) -> None:
    where, named = wish.name, ident(wish.name)
    if database.owner != wish.owner:
        plan.add(where, f"give the database to {wish.owner}", f"ALTER DATABASE {named} OWNER TO {ident(wish.owner)}")
    if wish.revoke_public and database.rights.get("", frozenset()) & {"CONNECT", "TEMPORARY"}:
        plan.add(
            where,
            "take CONNECT and TEMPORARY from PUBLIC",
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {named} FROM PUBLIC",
        )
    for role, rights in ((wish.writer, {"CONNECT", "TEMPORARY"}), (wish.reader, {"CONNECT"})):
        if not rights <= database.rights.get(role, frozenset()):
            words = ", ".join(sorted(rights))
            plan.add(where, f"let {role} {words}", f"GRANT {words} ON DATABASE {named} TO {ident(role)}")
    for schema in wish.schemas:
        if schema not in database.schemas:
            text = f"CREATE SCHEMA {ident(schema)} AUTHORIZATION {ident(wish.owner)}"
            plan.add(where, f"create schema {schema}", text)
    for extension in wish.extensions:
        if extension.name not in database.extensions:
            schema = f" SCHEMA {ident(extension.schema)}" if extension.schema else ""
            plan.add(where, f"create extension {extension.name}", f"CREATE EXTENSION {ident(extension.name)}{schema}")
    for name in wish.schemas:
        _schema(plan, database, wish, name)
    strangers = sorted(
        {item.owner for item in database.relations if item.schema in wish.schemas and item.owner != wish.owner}
    )
    if strangers:
        plan.warnings.append(
            f"Database {where}: some tables belong to {', '.join(strangers)} and not to {wish.owner}; their rights are "
            "left as they are."
        )


def _schema(plan: Plan, database: DatabaseState, wish: Wish, schema: str) -> None:
    where, named = wish.name, ident(schema)
    owner, rights = database.schemas.get(schema, (wish.owner, {}))
    if owner not in (wish.owner, DATABASE_OWNER):
        plan.add(where, f"give schema {schema} to {wish.owner}", f"ALTER SCHEMA {named} OWNER TO {ident(wish.owner)}")
    if "CREATE" in rights.get("", frozenset()):
        plan.add(where, f"take CREATE on schema {schema} from PUBLIC", f"REVOKE CREATE ON SCHEMA {named} FROM PUBLIC")
    for access in ("writer", "reader"):
        role = wish.group(access)
        if "USAGE" not in rights.get(role, frozenset()):
            plan.add(where, f"let {role} use schema {schema}", f"GRANT USAGE ON SCHEMA {named} TO {ident(role)}")
        for kind, words, wanted in (
            ("table", "TABLES", TABLE_RIGHTS[access]),
            ("sequence", "SEQUENCES", SEQUENCE_RIGHTS[access]),
        ):
            text = ", ".join(sorted(wanted))
            lacking = [
                item
                for item in database.relations
                if item.schema == schema
                and item.kind == kind
                and item.owner == wish.owner
                and not wanted <= item.rights.get(role, frozenset())
            ]
            for item in lacking:
                target = f"{named}.{ident(item.name)}"
                plan.add(
                    where,
                    f"let {role} {text} on {schema}.{item.name}",
                    f"GRANT {text} ON {'SEQUENCE' if kind == 'sequence' else 'TABLE'} {target} TO {ident(role)}",
                )
            held = database.defaults.get((wish.owner, schema, kind), {}).get(role, frozenset())
            if not wanted <= held:
                plan.add(
                    where,
                    f"let {role} {text} on future {words.lower()} of schema {schema}",
                    f"ALTER DEFAULT PRIVILEGES FOR ROLE {ident(wish.owner)} IN SCHEMA {named} "
                    f"GRANT {text} ON {words} TO {ident(role)}",
                )


def absent(wishes: t.Sequence[Wish], state: ServerState) -> Plan:
    """Return what takes the people away and leaves databases, tables and extensions as they are."""
    plan = Plan()
    people = [person.name for person in _people(wishes) if person.name in state.roles]
    named = {group for wish in wishes for group in (wish.owner, wish.writer, wish.reader)}
    groups = sorted(group for group in named if group in state.roles)
    for name in people:
        plan.add(MAINTENANCE, f"drop role {name}", f"DROP ROLE {ident(name)}")
    for wish in wishes:
        database = state.databases.get(wish.name)
        if database is None:
            continue
        where, named_database = wish.name, ident(wish.name)
        for group in groups:
            plan.add(
                where,
                f"give what belongs to {group} to {ADMINISTRATORS}",
                f"REASSIGN OWNED BY {ident(group)} TO {ident(ADMINISTRATORS)}",
            )
            plan.add(where, f"take the rights of {group}", f"DROP OWNED BY {ident(group)}")
        if groups and wish.revoke_public and "CONNECT" not in database.rights.get("", frozenset()):
            text = f"GRANT CONNECT, TEMPORARY ON DATABASE {named_database} TO PUBLIC"
            plan.add(where, "let PUBLIC connect", text)
    for name in groups:
        plan.add(MAINTENANCE, f"drop role {name}", f"DROP ROLE {ident(name)}")
    return plan
