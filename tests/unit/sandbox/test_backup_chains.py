"""Which backups build on which: a restore finds its line, and retention never takes a part of one away."""

from __future__ import annotations

import datetime

import pytest
from aksops_sandbox.engines.postgres import chains
from aksops_sandbox.engines.postgres.chains import Backup
from aksops_sandbox.engines.postgres.runtime import PostgresError
from hypothesis import given
from hypothesis import strategies as st

UTC = datetime.UTC
START = datetime.datetime(2026, 1, 1, tzinfo=UTC)
DAY = datetime.timedelta(days=1)


def daily(days: int, on_demand: frozenset[int] = frozenset()) -> list[Backup]:
    """What so many days leave behind, with a backup on demand beside the daily one on some of them."""
    made: list[Backup] = []
    for number in range(days):
        moment = START + number * DAY
        parent = chains.next_parent(made, moment)
        text = moment.isoformat()
        made.append(
            Backup(f"day{number}", chains.AUTOMATIC, text, text, f"{number:024X}", parent.name if parent else "")
        )
        if number in on_demand:
            text = (moment + DAY / 2).isoformat()
            made.append(Backup(f"mine{number}", chains.ON_DEMAND, text, text, f"{number:024X}"))
    return made


def test_a_week_is_one_line_and_the_next_begins_with_a_full_backup():
    made = daily(9)
    assert [item.name for item in made if not item.parent] == ["day0", "day7"]
    assert [item.name for item in chains.line(made, made[6])] == [f"day{number}" for number in range(7)]
    assert [item.name for item in chains.line(made, made[8])] == ["day7", "day8"]


@given(st.integers(0, 19), st.integers(0, 23))
def test_a_restore_begins_with_the_newest_backup_before_its_target(day, hour):
    target = START + day * DAY + datetime.timedelta(hours=hour)
    assert chains.choose(daily(20), target).name == f"day{day}"


def test_a_target_before_the_first_backup_is_refused():
    with pytest.raises(PostgresError, match="no backup from before"):
        chains.choose(daily(3), START - DAY)
    with pytest.raises(PostgresError, match="no backup to recover from"):
        chains.choose([], None)


def test_a_line_with_a_missing_part_is_no_backup():
    made = daily(5)
    del made[2]
    assert chains.choose(made, None).name == "day1"
    following = chains.next_parent(made, START + 5 * DAY)
    assert following is not None
    assert following.name == "day1"


@given(st.integers(1, 40), st.integers(7, 35), st.frozensets(st.integers(0, 39), max_size=5))
def test_retention_keeps_every_moment_of_its_window_within_reach(days, retention, on_demand):
    made = daily(days, on_demand)
    edge = START + (days - 1 - retention) * DAY + datetime.timedelta(hours=1)
    gone, kept = chains.outdated(made, edge)
    remaining = [Backup(**{**vars(item), "expired": item.name in kept}) for item in made if item.name not in gone]
    for hour in range(0, retention * 24, 6):
        target = edge + datetime.timedelta(hours=hour)
        if target >= START:
            assert chains.choose(remaining, target) == chains.choose(made, target)
    visible = chains.usable(remaining)
    assert sum(item.completed_at < edge for item in visible) <= 1
    assert all(chains.line(remaining, item) for item in remaining), "a part of a line was removed"
    assert len(kept) <= chains.LONGEST
    # A second round finds nothing more to do.
    assert chains.outdated(remaining, edge) == (set(), kept)
