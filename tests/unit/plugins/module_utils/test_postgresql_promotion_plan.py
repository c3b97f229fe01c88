"""The record of a promotion, and who may be promoted."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_promotion_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 11, 24, 4, 0, tzinfo=datetime.UTC)
ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DBforPostgreSQL/flexibleServers/new"


def server(name="new", **change):
    tags = {"aksops-restore-id": "abc", "aksops-restore-phase": "configured"}
    properties = {"state": "Ready", "version": "18", "backup": {"geoRedundantBackup": "Enabled"}, **change}
    return {"id": ID, "name": name, "location": "westeurope", "tags": tags, "properties": properties}


def receipt(**change):
    return {"server": {"id": ID}, "restore_id": "abc", "status": "pass", "finished": "2026-11-24T03:00:00Z", **change}


class World:
    """Two servers, the tags of their group, and an application that takes its server from its secret."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.state = {"old": "open", "new": "open"}
        self.secret = "old"
        self.wrong: list[str] = []

    def store(self, record: plans.Record) -> None:
        setting, gone = plans.write(self.tags, record)
        self.tags.update(setting)
        for name in gone:
            del self.tags[name]

    def fence(self, name: str, state: str) -> None:
        # As the module does: a closed server stays closed where read-only is asked.
        if state != "read_only" or self.state[name] == "open":
            self.state[name] = state

    def look(self, begun: bool) -> None:
        if self.state[self.secret] == "closed":
            self.wrong.append("no server is reached")
        # Until the first fence the restore stands beside the server in use, as it did before.
        if begun and list(self.state.values()).count("open") > 1:
            self.wrong.append("two servers take writes")

    def run(self, kind: str, steps: int) -> None:
        """One run that is killed after some steps; the steps are those of the role, in its order."""
        record = plans.begin(plans.read(self.tags, "old"), kind, "new", "t")
        change = record.change
        if change is None:
            return

        def point() -> None:
            self.secret = change.target

        def commit() -> None:
            self.store(plans.switch(plans.read(self.tags, "old")))

        def end() -> None:
            self.store(plans.finish(plans.read(self.tags, "old")))

        work = [lambda: self.store(record)]
        if change.kind == plans.PROMOTE and change.phase == plans.FENCING:
            work.append(lambda: self.fence(change.target, "read_only"))
        work += [
            lambda: self.fence(change.source, "read_only"),
            lambda: self.fence(change.target, "open"),
            commit,
            point,
            lambda: self.fence(change.source, "closed"),
            end,
        ]
        for number, step in enumerate(work[:steps]):
            step()
            self.look(begun=number > 0)


RUNS = st.lists(st.tuples(st.sampled_from([plans.PROMOTE, plans.ROLL_BACK]), st.integers(0, 8)), max_size=12)


@given(RUNS, st.booleans())
def test_killed_anywhere_it_ends_where_the_last_whole_run_leads(runs, forward):
    world = World()
    for kind, steps in runs:
        # A promotion is refused while its undoing is under way.
        with contextlib.suppress(AksPlatformError):
            world.run(kind, steps)
    if forward:
        if plans.ROLL_BACK in world.tags.get(plans.TAG_CHANGE, ""):
            world.run(plans.ROLL_BACK, 8)
        world.run(plans.PROMOTE, 8)
        assert (world.secret, world.state) == ("new", {"old": "closed", "new": "open"})
    else:
        world.run(plans.ROLL_BACK, 8)
        assert world.state[world.secret] == "open"
        assert world.secret == plans.read(world.tags, "old").active
    assert world.wrong == []
    assert plans.TAG_CHANGE not in world.tags


def test_another_change_is_refused_while_one_is_under_way():
    record = plans.begin(plans.Record("old"), plans.PROMOTE, "new")
    with pytest.raises(AksPlatformError, match="Another change is under way"):
        plans.begin(record, plans.PROMOTE, "other")
    assert plans.begin(record, plans.PROMOTE, "new") == record


def test_a_change_under_way_can_be_undone_and_keeps_the_one_before():
    record = plans.Record("b", previous="a")
    record = plans.begin(record, plans.PROMOTE, "c")
    record = plans.begin(record, plans.ROLL_BACK)
    record = plans.finish(plans.switch(record))
    assert record == plans.Record("b", previous="a")


@pytest.mark.parametrize(
    ("receipts", "words"),
    [
        ([], "has no receipt"),
        ([receipt(server={"id": ID + "2"})], "has no receipt"),
        ([receipt(restore_id="other")], "of another restore"),
        ([receipt(status="fail")], "says fail"),
        ([receipt(finished="2026-11-22T03:00:00Z")], "24 hours old at most"),
        ([receipt(finished="2026-11-24T05:00:00Z")], "24 hours old at most"),
        ([receipt(finished="soon")], "24 hours old at most"),
        ([receipt(), receipt(status="fail", finished="2026-11-24T03:30:00Z")], "says fail"),
    ],
)
def test_without_a_fresh_passing_receipt_of_its_own_nothing_is_promoted(receipts, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.gate(receipts, server(), 24, NOW)


def test_the_newest_receipt_decides():
    old = receipt(status="fail", finished="2026-11-24T01:00:00Z")
    assert plans.gate([old, receipt(status="warn")], server(), 24, NOW)["status"] == "warn"


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (None, "There is no PostgreSQL server new"),
        ({**server(), "tags": {}}, "no restore"),
        ({**server(), "tags": {"aksops-restore-id": "abc", "aksops-restore-phase": "restoring"}}, "is restoring"),
        (server(state="Updating"), "is Updating"),
        (server(version="17"), "has version 17"),
        (server(backup={"geoRedundantBackup": "Disabled"}), "geo-redundant backup Disabled"),
        ({**server(), "location": "northeurope"}, "is in northeurope"),
    ],
)
def test_what_cannot_take_over_is_refused(candidate, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.check_candidate("new", candidate, server("old"))


def test_a_change_knows_itself_again_and_one_of_the_first_version_is_read():
    change = plans.begin(plans.Record("old"), plans.PROMOTE, "new", "20261124T030000Z").change
    assert plans.read({plans.TAG_CHANGE: str(change)}, "old").change == change
    assert change.identity == "promote-old-new-20261124T030000Z"
    assert plans.read({plans.TAG_CHANGE: "promote old new fencing"}, "old").change == plans.Change(
        "promote", "old", "new"
    )


def test_a_tag_that_somebody_else_wrote_is_refused():
    with pytest.raises(AksPlatformError, match="which no promotion writes"):
        plans.read({plans.TAG_CHANGE: "busy"}, "old")
