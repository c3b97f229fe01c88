"""How a gap is counted in time, and how it is told. What PostgreSQL answers is tested against PostgreSQL."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_gap as gaps
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_rows as rows
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError


class Session:
    """One database whose tables hold some new rows each."""

    def __init__(self, tables, spent):
        self.tables, self.spent = tables, spent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def rows(self, statement, parameters=()):
        if "pg_database" in statement:
            return [{"datname": "shop"}]
        if "relkind" in statement:
            return [{"schema": "public", "name": name} for name in self.tables]
        if "count(*)" in statement:
            (name,) = (name for name in self.tables if f'"{name}"' in statement)
            self.spent[0] += 10
            return [{"n": self.tables[name]}]
        return []


def test_what_there_is_no_time_for_is_named():
    spent = [0]
    gap = gaps.Gap(lambda _name: Session({"a": 3, "b": 0, "c": 5}, spent), None, 7, 15, clock=lambda: spent[0])
    report = gap.report()
    assert (report["method"], report["newer"], report["back"]) == ("since", 3, None)
    assert report["tables"] == [{"database": "shop", "table": "public.a", "newer": 3, "back": None}]
    assert [item["table"] for item in report["untold"]] == ["public.c"]
    assert "shop.public.a 3" in report["text"]
    assert "not counted: shop.public.c" in report["text"]


def test_a_database_that_lets_nobody_in_is_named():
    def connect(name):
        if name == "shop":
            raise AksPlatformError("too many connections")
        return Session({}, [0])

    report = gaps.Gap(connect, None, 7, 15).report()
    assert report["untold"] == [{"database": "shop", "table": "", "why": "too many connections"}]


def test_a_gap_that_cannot_be_told_has_no_numbers():
    report = gaps.summary("", [], [], "The new server is a restore of another one.")
    assert (report["newer"], report["back"], report["text"]) == (
        None,
        None,
        "The new server is a restore of another one.",
    )


@pytest.mark.parametrize(("number", "short"), [(800, 800), (2**32 + 5, 5), (2**33 - 1, 2**32 - 1)])
def test_a_row_carries_the_lower_half_of_a_number(number, short):
    assert rows.short(number) == short


def test_where_one_server_lets_nobody_in_the_session_of_the_other_is_closed():
    opened = []

    class Counted(Session):
        def close(self):
            opened.remove(self)

    def source(_name):
        opened.append(Counted({"a": 3}, [0]))
        return opened[-1]

    def target(name):
        if name == "shop":
            raise AksPlatformError("too many connections")
        return Session({}, [0])

    report = gaps.Gap(source, target, 7, 15).report()
    assert report["untold"] == [{"database": "shop", "table": "", "why": "too many connections"}]
    assert opened == []
