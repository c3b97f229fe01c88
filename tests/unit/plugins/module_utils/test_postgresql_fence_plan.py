"""What fences a server and what opens it again, against PostgreSQL's own order of settings."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_fence_plan as fences
from hypothesis import given
from hypothesis import strategies as st

DATABASES = ("shop", "stock")
ROLES = ("app", "report")
OTHERS = (None, "off", "OFF", "no", "0", "f", "on", "yes", "TRUE", "1")
PLACES = [(d, r) for d in ("", *DATABASES, "postgres") for r in ("", *ROLES) if d or r]

SETTINGS = st.fixed_dictionaries({place: st.sampled_from(OTHERS) for place in PLACES})


def rows(world):
    return [fences.Setting(d, r, value) for (d, r), value in world.items() if value is not None]


def carry_out(world, changes):
    return {**world, **{(item.database, item.role): item.value for item in changes}}


def effective(world, database, role):
    """What a session gets: the role's own in this database, the role's, the database's; off without any."""
    for place in ((database, role), ("", role), (database, "")):
        if world.get(place) is not None:
            return world[place].lower() not in ("off", "no", "0", "f")
    return False


@given(SETTINGS, st.integers(0, 20), st.integers(0, 20))
def test_whatever_was_set_nobody_writes_and_all_of_it_comes_back(world, sealed, unsealed):
    # Killed after some statements, and begun again.
    now = carry_out(world, fences.seal(DATABASES, rows(world))[:sealed])
    now = carry_out(now, fences.seal(DATABASES, rows(now)))
    assert all(effective(now, database, role) for database in DATABASES for role in (*ROLES, "anybody"))
    assert fences.seal(DATABASES, rows(now)) == []
    now = carry_out(now, fences.unseal(DATABASES, rows(now))[:unsealed])
    now = carry_out(now, fences.unseal(DATABASES, rows(now)))
    for place, value in world.items():
        meant_off = value is not None and effective({place: value}, *place) is False
        assert now[place] == ("off" if meant_off and now[place] == "off" else value)
    assert {place: effective(now, *place) for place in PLACES} == {place: effective(world, *place) for place in PLACES}


def test_a_database_that_somebody_made_read_only_stays_so():
    archive = [fences.Setting("archive", "", "on")]
    assert fences.seal(["archive"], archive) == []
    assert fences.unseal(["archive"], archive) == []


@pytest.mark.parametrize("tag", [None, "", "[]", "1", "nonsense", '{"opened": "x"}'])
def test_a_mark_that_nobody_can_read_is_none(tag):
    assert fences.read_mark(tag) == fences.Mark()


@given(st.builds(fences.Mark, st.integers(0, 2**64), st.integers(0, 2**64), st.integers(-1, 2**64)))
def test_a_mark_comes_back_and_fits_into_a_tag(mark):
    assert fences.read_mark(fences.write_mark(mark)) == mark
    assert len(fences.write_mark(mark)) <= 256


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(-1, 100), max_size=8), st.integers(0, 5))
def test_a_fence_that_was_killed_halfway_is_taken_away_whole(limits, done):
    record = fences.record(limits, None)
    now = dict(limits)
    for name, limit in list(fences.fence(now).items())[:done]:
        now[name] = limit
    assert fences.record(now, record) == record
    now.update(fences.unfence(now, record))
    assert now == limits


def test_a_fence_closes_every_database():
    limits = {"a": -1, "b": 0, "c": 5}
    assert {**limits, **fences.fence(limits)} == {"a": 0, "b": 0, "c": 0}
