"""One pass over each table: what it yields, and what is asked when."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_sql import SqlError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_verify_reading import Reading

TABLES = [{"schema": "public", "name": name} for name in ("orders", "it's")]


def sequence(name: str, table: str, column: str | None, **more: Any) -> dict[str, Any]:
    row = {"schema": "public", "name": name, "table_schema": "public", "table_name": table, "column_name": column}
    kind = {"increment_by": 1, "cycles": False, "of_integers": True, "of_numbers": False}
    return {**row, **kind, "readable": True, **more}


class Session:
    """Answers by what a statement holds, and remembers the order."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def rows(self, statement: str, parameters: Any = ()) -> list[dict[str, Any]]:
        for part, answer in self.answers.items():
            if part in statement:
                self.asked.append(part)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise AssertionError(statement)


def test_one_statement_a_table_gives_rows_bytes_and_the_largest_id():
    session = Session(
        {
            '"orders"': [{"rows": 3, "bytes": 40, "largest_0": 9}],
            '"it\'s"': [{"rows": 0, "bytes": 0}],
            "pg_sequences": [{"name": "public.orders_id", "last_value": 8}],
        }
    )
    facts = plans.Facts()
    reading = Reading(TABLES, [sequence("orders_id", "orders", "id")])
    assert reading.run(session, facts) == (40, [])
    assert facts.tables == {"public.orders": 3, "public.it's": 0}
    assert facts.exact == ["public.orders", "public.it's"]
    result = reading.sequences(session, facts, "shop")
    assert result.status == plans.FAIL
    assert "public.orders_id is at 8, its column holds 9" in result.evidence
    # Values that are handed out while the tables are read must not look as if they had been forgotten.
    assert session.asked == ['"orders"', '"it\'s"', "pg_sequences"]


def test_a_table_that_cannot_be_read_is_named_and_the_others_are_read():
    session = Session({'"orders"': SqlError("invalid page in block 3"), '"it\'s"': [{"rows": 1, "bytes": 5}]})
    facts = plans.Facts()
    size, failures = Reading(TABLES, []).run(session, facts)
    assert (size, failures) == (5, ["public.orders: invalid page in block 3"])
    assert facts.exact == ["public.it's"]


def test_what_reading_does_not_find_is_asked_for_by_itself():
    session = Session(
        {
            'max("code")': [{"largest": 5}],
            'max("id")': [{"largest": None}],
            "pg_sequences": [{"name": "public.s1", "last_value": 5}, {"name": "public.s2", "last_value": None}],
        }
    )
    rows = [
        sequence("s1", "parts", "code", of_integers=False, of_numbers=True),
        sequence("s2", "parts", "id"),
        sequence("s3", "parts", "back", increment_by=-1),
        sequence("s4", "hidden", "id", readable=False),
        sequence("s5", "", None),
    ]
    facts = plans.Facts()
    result = Reading([], rows).sequences(session, facts, "shop")
    assert (result.status, result.evidence[:2]) == (plans.PASS, "2 ")
    assert facts.sequences == {
        "public.s1": 5,
        "public.s2": None,
        "public.s3": None,
        "public.s4": None,
        "public.s5": None,
    }


@pytest.mark.parametrize("more", [{"cycles": True}, {"increment_by": -1}, {"of_integers": False}, {"readable": False}])
def test_a_sequence_that_may_be_behind_its_column_is_not_judged(more):
    session = Session({"pg_sequences": [{"name": "public.tickets", "last_value": 1}]})
    result = Reading([], [sequence("tickets", "orders", "ticket", **more)]).sequences(session, plans.Facts(), "shop")
    assert (result.status, session.asked) == (plans.PASS, ["pg_sequences"])


def test_a_table_that_goes_while_others_are_read_is_no_failure():
    gone = SqlError('relation "public.orders" does not exist', "42P01")
    session = Session({'"orders"': gone, '"it\'s"': [{"rows": 1, "bytes": 5}]})
    facts = plans.Facts()
    assert Reading(TABLES, []).run(session, facts) == (5, [])
    assert facts.tables == {"public.it's": 1}
