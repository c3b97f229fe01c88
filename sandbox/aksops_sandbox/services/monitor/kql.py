"""A small part of KQL: what queries of logs, alerts and dashboards commonly use. The rest is refused by name (501)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aksops_sandbox.services.monitor.kql_expressions import Expression, Parser, Row, Token, unsupported


@dataclass(frozen=True)
class Table:
    """Rows, and their columns, which are there without any row too."""

    columns: list[str]
    rows: list[Row]


def run(text: str, table: Callable[[str], list[Row]]) -> Table:
    """What a query yields. Raises AzureError 501 for what is not known here."""
    parser = _Query(text, table)
    while parser.peek() == Token("name", "let"):
        parser.let()
    found = parser.source()
    while parser.take("|"):
        found = parser.step(found)
    parser.take(";")
    if parser.peek().kind != "end":
        raise parser.refusal()
    return found


class _Query(Parser):
    def __init__(self, text: str, table: Callable[[str], list[Row]]) -> None:
        super().__init__(text)
        self._table = table

    def let(self) -> None:
        """`let name = scalar;`"""
        self.expect("let")
        name = self.name()
        self.expect("=")
        value = self.expression().value({}, [])
        self.expect(";")
        self.variables[name] = value

    def source(self) -> Table:
        if self.peek() == Token("name", "union"):
            self.position += 1
            return _joined([self._read(name) for name in self.listed(self.name)])
        if self.peek() == Token("name", "print"):
            self.position += 1
            pairs = self.listed(self.named)
            names = [name if name != "Column1" else f"print_{place}" for place, (name, _) in enumerate(pairs)]
            return Table(names, [{name: item.value({}, []) for name, (_, item) in zip(names, pairs, strict=True)}])
        name = self.name()
        if self.peek().kind == "end" or self.peek() in {Token("mark", "|"), Token("mark", ";")}:
            return self._read(name)
        raise self.refusal()

    def _read(self, name: str) -> Table:
        rows = self._table(name)
        columns = {"TimeGenerated": None} | {column: None for row in rows for column in row}
        return Table(list(columns), rows)

    def step(self, found: Table) -> Table:
        """One operator of a pipe."""
        word = self.name()
        while self.peek().text == "-" and self.peek(1).kind == "name":
            self.position += 2
            word += f"-{self.tokens[self.position - 1].text}"
        operator = getattr(self, f"_{word.replace('-', '_')}", None) if word in _OPERATORS else None
        if operator is None:
            raise unsupported(
                " ".join(token.text for token in (Token("name", word), *self.tokens[self.position :][:8]))
            )
        result: Table = operator(found)
        if self.peek().kind != "end" and self.peek() not in {Token("mark", "|"), Token("mark", ";")}:
            raise self.refusal()
        return result

    def _where(self, found: Table) -> Table:
        test = self.expression()
        return Table(found.columns, [row for row in found.rows if test.value(row, []) is True])

    def _count(self, found: Table) -> Table:
        return Table(["Count"], [{"Count": len(found.rows)}])

    def _take(self, found: Table) -> Table:
        return Table(found.columns, found.rows[: self._whole()])

    _limit = _take

    def _whole(self) -> int:
        if self.peek().kind != "number" or "." in self.peek().text:
            raise self.refusal()
        self.position += 1
        return int(self.tokens[self.position - 1].text)

    def _extend(self, found: Table) -> Table:
        pairs = self.listed(self.named)
        rows = []
        for row in found.rows:
            made = dict(row)
            for name, item in pairs:
                made[name] = item.value(made, [])
            rows.append(made)
        return Table(list(dict.fromkeys([*found.columns, *(name for name, _ in pairs)])), rows)

    def _project(self, found: Table) -> Table:
        pairs = self.listed(self.named)
        rows = [{name: item.value(row, []) for name, item in pairs} for row in found.rows]
        return Table([name for name, _ in pairs], rows)

    def _project_away(self, found: Table) -> Table:
        gone = set(self.listed(self.name))
        columns = [name for name in found.columns if name not in gone]
        return Table(columns, [{name: row.get(name) for name in columns} for row in found.rows])

    def _distinct(self, found: Table) -> Table:
        columns = self._project(found)
        seen = {repr(list(row.values())): row for row in reversed(columns.rows)}
        return Table(columns.columns, list(reversed(seen.values())))

    def _summarize(self, found: Table) -> Table:
        aggregates = [] if self.peek().text == "by" else self.listed(self.named)
        keys = self.listed(self.named) if self.take("by") else []
        if not all(item.aggregates for _, item in aggregates) or any(item.aggregates for _, item in keys):
            raise self.refusal()
        groups: dict[str, tuple[Row, list[Row]]] = {}
        for row in found.rows:
            key = {name: item.value(row, []) for name, item in keys}
            groups.setdefault(repr(list(key.values())), (key, []))[1].append(row)
        if not keys:
            groups = {"": ({}, found.rows)}
        rows = [{**key, **{name: item.value({}, group) for name, item in aggregates}} for key, group in groups.values()]
        return Table([name for name, _ in [*keys, *aggregates]], rows)

    def _sort(self, found: Table) -> Table:
        self.expect("by")
        rows = found.rows
        # From the last column to the first: sorting keeps the order of equals.
        for item, descending in reversed(self.listed(self._sort_key)):
            rows = _sorted(rows, item, descending)
        return Table(found.columns, rows)

    _order = _sort

    def _sort_key(self) -> tuple[Expression, bool]:
        item = self.expression()
        return item, not self.take("asc") and (self.take("desc") or True)

    def _top(self, found: Table) -> Table:
        count = self._whole()
        return Table(found.columns, self._sort(found).rows[:count])

    def _render(self, found: Table) -> Table:
        """How a page draws the rows; the rows stay."""
        self.name()
        return found


_OPERATORS = {
    "where",
    "count",
    "take",
    "limit",
    "extend",
    "project",
    "project-away",
    "distinct",
    "summarize",
    "sort",
    "order",
    "top",
    "render",
}


def _joined(tables: list[Table]) -> Table:
    columns = dict.fromkeys(name for table in tables for name in table.columns)
    return Table(list(columns), [row for table in tables for row in table.rows])


def _sorted(rows: list[Row], item: Expression, descending: bool) -> list[Row]:
    pairs: list[tuple[Any, Row]] = [(item.value(row, []), row) for row in rows]
    present = [pair for pair in pairs if pair[0] is not None]
    absent = [row for value, row in pairs if value is None]
    try:
        ordered = [row for _, row in sorted(present, key=lambda pair: pair[0], reverse=descending)]
    except TypeError:
        raise unsupported("an order of values of several types") from None
    return [*ordered, *absent] if descending else [*absent, *ordered]
