# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found in a database, judged: pure functions. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Every check has a name, and ends as pass, warn or fail with its evidence. A check that could not be made is a warn,
never a pass. What is compared with a manifest (taken from the server at a known time) fails where it differs; what is
compared with a live source only warns, because the source has gone on since the point that was restored.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

PASS, WARN, FAIL = "pass", "warn", "fail"
_ORDER = {PASS: 0, WARN: 1, FAIL: 2}
_MOST = 20  # items that one sentence names


@dataclasses.dataclass
class Result:
    """The end of one check. C(database) is empty for a check of the whole server."""

    check: str
    status: str
    evidence: str
    database: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Facts:
    """What one database holds, as read by C(_postgresql_verify); also what a manifest keeps.

    :param tables: schema.table -> exact or estimated number of rows.
    :param exact: tables whose number is exact.
    :param columns: schema.table -> [name type default-less nullability] of each column.
    :param constraints: schema.table.constraint -> definition.
    :param indexes: schema.index -> definition.
    :param sequences: schema.sequence -> last value (None: never used).
    :param definitions: kind and name of what is no column, constraint or index -> digest of its definition.
    :param grants: kind and name -> owner and grants.
    :param default_privileges: whose future objects, of which kind and where -> grants.
    """

    owner: str = ""
    encoding: str = ""
    collation: str = ""
    extensions: dict[str, str] = dataclasses.field(default_factory=dict)
    tables: dict[str, int] = dataclasses.field(default_factory=dict)
    exact: list[str] = dataclasses.field(default_factory=list)
    columns: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    constraints: dict[str, str] = dataclasses.field(default_factory=dict)
    indexes: dict[str, str] = dataclasses.field(default_factory=dict)
    sequences: dict[str, int | None] = dataclasses.field(default_factory=dict)
    definitions: dict[str, str] = dataclasses.field(default_factory=dict)
    grants: dict[str, str] = dataclasses.field(default_factory=dict)
    default_privileges: dict[str, str] = dataclasses.field(default_factory=dict)
    large_objects: int = 0

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: t.Mapping[str, t.Any]) -> Facts:
        """Return the facts that a manifest holds; keys that it lacks stay empty."""
        return cls(**_known(cls, content))


@dataclasses.dataclass
class Access:
    """What a server, not one of its databases, says of roles and databases; also kept by a manifest.

    :param attributes: role -> what it may do, its limits.
    :param memberships: "role in role" -> with which options.
    :param settings: "of role in database parameter" -> digest of the value.
    :param databases: database -> encoding, collation, owner and grants.
    """

    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    memberships: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    databases: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: t.Mapping[str, t.Any]) -> Access:
        """Return what a manifest holds; one that is older than a fact lacks it."""
        return cls(**_known(cls, content))

    @classmethod
    def from_rows(cls, rows: t.Iterable[t.Mapping[str, t.Any]]) -> Access:
        """Return what the rows of the catalog's query C(SERVER) say."""
        found = cls()
        for row in rows:
            getattr(found, row["kind"])[row["name"]] = row["value"]
        return found


def _known(cls: t.Any, content: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    names = {field.name for field in dataclasses.fields(cls)}
    return {key: value for key, value in content.items() if key in names}


def worst(results: t.Iterable[Result]) -> str:
    """Return the worst status of all; pass where there is none."""
    return max((result.status for result in results), key=_ORDER.__getitem__, default=PASS)


def some(items: t.Iterable[str]) -> str:
    """Return the first items in one line, and how many more there are."""
    listed = sorted(items)
    text = ", ".join(listed[:_MOST])
    return text + (f" and {len(listed) - _MOST} more" if len(listed) > _MOST else "")


def compare_names(
    check: str, database: str, wanted: t.Iterable[str], there: t.Iterable[str], reference: str, severity: str
) -> Result:
    """Judge what should be there against what is; additional ones are mentioned."""
    wanted, there = set(wanted), set(there)
    missing, more = wanted - there, there - wanted
    if missing:
        return Result(check, severity, f"missing, but in {reference}: {some(missing)}", database)
    text = f"all {len(wanted)} of {reference} are there"
    return Result(check, PASS, text + (f"; {len(more)} more: {some(more)}" if more else ""), database)


def compare_values(
    check: str,
    database: str,
    wanted: t.Mapping[str, t.Any],
    there: t.Mapping[str, t.Any],
    reference: str,
    severity: str,
) -> Result:
    """Judge values by name: missing and different ones."""
    missing = set(wanted) - set(there)
    different = {name for name in set(wanted) & set(there) if wanted[name] != there[name]}
    if missing or different:
        parts = [f"missing: {some(missing)}"] if missing else []
        parts += [f"different: {some(different)}"] if different else []
        return Result(check, severity, f"compared with {reference} {'; '.join(parts)}", database)
    return Result(check, PASS, f"all {len(wanted)} are as in {reference}", database)


def counts(database: str, wanted: Facts, there: Facts, reference: str, *, live: bool) -> Result:
    """Judge numbers of rows.

    Against a manifest both must agree where both are exact. Against a live source, which has gone on, only a table that
    is empty here and is not there is worth a word.
    """
    if live:
        empty = {name for name in there.exact if there.tables[name] == 0 and wanted.tables.get(name, 0) > 0}
        if empty:
            return Result("row_counts", WARN, f"empty here, but not in {reference}: {some(empty)}", database)
        return Result("row_counts", PASS, f"{sum(there.tables.values())} rows in {len(there.tables)} tables", database)
    both = set(wanted.exact) & set(there.exact)
    wrong = {
        f"{name} ({there.tables[name]} rows instead of {wanted.tables[name]})"
        for name in both
        if wanted.tables[name] != there.tables[name]
    }
    if wrong:
        return Result("row_counts", FAIL, f"compared with {reference}: {some(wrong)}", database)
    return Result("row_counts", PASS, f"{len(both)} tables have as many rows as in {reference}", database)


def schema(database: str, wanted: Facts, there: Facts, reference: str, *, live: bool) -> list[Result]:
    """Judge tables, columns, constraints, indexes, other definitions, extensions, and who may do what with them.

    What is missing is told by one check: its columns and grants are not compared.
    """
    severity = WARN if live else FAIL
    results = [compare_names("tables", database, wanted.tables, there.tables, reference, severity)]
    gone = set(wanted.tables) - set(there.tables)
    unsaid = gone | {f"table {name}" for name in gone}
    for check, ours, theirs in (
        ("columns", _common(wanted.columns, there.columns), there.columns),
        ("constraints", wanted.constraints, there.constraints),
        ("indexes", wanted.indexes, there.indexes),
        (
            "definitions",
            {name: text for name, text in wanted.definitions.items() if name not in unsaid},
            there.definitions,
        ),
        ("extensions", wanted.extensions, there.extensions),
        ("grants", _common(wanted.grants, there.grants), there.grants),
        ("default_privileges", wanted.default_privileges, there.default_privileges),
    ):
        results.append(compare_values(check, database, ours, theirs, reference, severity))
    if wanted.large_objects > there.large_objects:
        evidence = f"{there.large_objects} large objects, {wanted.large_objects} in {reference}"
        results.append(Result("large_objects", severity, evidence, database))
    return results


def _common(wanted: t.Mapping[str, t.Any], there: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what is wanted of that which is there."""
    return {name: value for name, value in wanted.items() if name in there}


def access(wanted: Access, there: Access, databases: t.Iterable[str], reference: str, *, live: bool) -> list[Result]:
    """Judge what roles may do, are members of and have set, and the checked databases' owners, grants and collations.

    Roles that are missing are told by the check C(roles).
    """
    severity = WARN if live else FAIL
    checked = {
        name: text for name, text in _common(wanted.databases, there.databases).items() if name in set(databases)
    }

    def of_known_roles(items: t.Mapping[str, str], roles: t.Callable[[str], t.Iterable[str]]) -> dict[str, str]:
        lost = set(wanted.attributes) - set(there.attributes)
        return {name: text for name, text in items.items() if not lost.intersection(roles(name))}

    memberships = of_known_roles(wanted.memberships, lambda name: name.split(" in ", 1))
    settings = of_known_roles(
        wanted.settings, lambda name: [name.removeprefix("of ").rsplit(" ", 1)[0].split(" in ")[0]]
    )
    return [
        compare_values(
            "role_attributes", "", _common(wanted.attributes, there.attributes), there.attributes, reference, severity
        ),
        compare_values("memberships", "", memberships, there.memberships, reference, severity),
        compare_values("role_settings", "", settings, there.settings, reference, severity),
        compare_values("database_access", "", checked, there.databases, reference, severity),
    ]


def sequences(database: str, behind: t.Sequence[t.Mapping[str, t.Any]], checked: int) -> Result:
    """Judge sequences whose last value is below the largest value of the column they feed."""
    if behind:
        names = [f"{item['sequence']} is at {item['last']}, its column holds {item['largest']}" for item in behind]
        return Result("sequences", FAIL, some(names), database)
    return Result("sequences", PASS, f"{checked} sequences are at or beyond the columns that they feed", database)


def moments(
    database: str, text: str, newest: datetime.datetime | None, target: datetime.datetime, tolerance: float
) -> Result:
    """Judge the newest moment in the data: not after the target, and not longer before it than C(tolerance) seconds."""
    if newest is None:
        return Result("data_time", FAIL, f"{text} found no moment", database)
    if newest.tzinfo is None:
        newest = newest.replace(tzinfo=target.tzinfo)
    gap = (target - newest).total_seconds()
    if gap < 0:
        evidence = f"the newest data are from {newest.isoformat()}, {-gap:.3f} s after the target {target.isoformat()}"
        return Result("data_time", FAIL, evidence, database)
    evidence = f"the newest data are from {newest.isoformat()}, {gap:.3f} s before the target"
    if gap > tolerance:
        return Result("data_time", FAIL, f"{evidence}, more than the {tolerance:g} s allowed", database)
    return Result("data_time", PASS, evidence, database)


def rows_by_time(
    database: str, table: str, here: tuple[int, int], there: tuple[int, int], later: int, settled: float
) -> Result:
    """Judge rows up to the target, restored against live: (all, those older than C(settled) seconds before it).

    A transaction that was open at the target explains missing rows of the last seconds; nothing explains older ones.
    Rows that are here and not in the live source are what a restore is for.
    """
    text = (
        f"{table}: {here[0]} rows up to the target here, {there[0]} in the live source, which has {later} later ones; "
        "none of those is here"
    )
    if here[1] < there[1]:
        lost = there[1] - here[1]
        evidence = (
            f"{table}: {lost} rows older than {settled:g} s before the target are in the live source and not here"
        )
        return Result("rows_by_time", FAIL, evidence, database)
    if here[0] < there[0]:
        evidence = f"{text}; {there[0] - here[0]} of the last {settled:g} s are missing (uncommitted at the target)"
        return Result("rows_by_time", WARN, evidence, database)
    return Result("rows_by_time", PASS, text, database)


def assertion(item: t.Mapping[str, t.Any], value: t.Any) -> Result:
    """Judge what an assertion's query returned: by C(expect), C(min), C(max), or by being true."""
    name, database = f"assertion:{item['name']}", item["database"]
    found = f"returned {value!s}"
    try:
        if item.get("expect") is not None:
            good, rule = str(value) == str(item["expect"]), f"expected {item['expect']}"
        elif item.get("min") is not None or item.get("max") is not None:
            low, high = item.get("min"), item.get("max")
            good = (low is None or float(value) >= float(low)) and (high is None or float(value) <= float(high))
            rule = f"expected from {low if low is not None else 'any'} to {high if high is not None else 'any'}"
        else:
            good, rule = bool(value), "expected true"
    except (TypeError, ValueError):
        good, rule = False, "expected a number"
    return Result(name, PASS if good else FAIL, f"{found}, {rule}", database)


def parameters(wanted: t.Mapping[str, str], there: t.Mapping[str, str], reference: str) -> Result:
    """Judge server parameters that a user had set on the source."""
    return compare_values("parameters", "", wanted, there, reference, FAIL)
