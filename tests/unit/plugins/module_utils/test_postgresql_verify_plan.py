"""How findings are judged: manifests fail, live sources warn, moments are bounded on both sides."""

from __future__ import annotations

import datetime

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_verify_plan as plans

TARGET = datetime.datetime(2026, 11, 23, 10, 0, tzinfo=datetime.timezone.utc)  # noqa: UP017


def facts(**change):
    content = {
        "tables": {"public.a": 3, "public.b": 5},
        "exact": ["public.a", "public.b"],
        "columns": {"public.a": ["id integer not null"]},
        "constraints": {"public.a.pk": "PRIMARY KEY (id)"},
        "indexes": {"public.a_pk": "CREATE INDEX"},
        "extensions": {"hstore": "1.8"},
    }
    return plans.Facts(**{**content, **change})


def test_the_worst_counts():
    results = [plans.Result("a", "pass", ""), plans.Result("b", "warn", "")]
    assert plans.worst(results) == "warn"
    assert plans.worst([*results, plans.Result("c", "fail", "")]) == "fail"
    assert plans.worst([]) == "pass"


@pytest.mark.parametrize(("live", "status"), [(True, "warn"), (False, "fail")])
def test_a_difference_warns_against_a_live_source_and_fails_against_a_manifest(live, status):
    there = facts(tables={"public.a": 3}, constraints={}, indexes={"public.a_pk": "CREATE UNIQUE INDEX"}, extensions={})
    found = {item.check: item for item in plans.schema("shop", facts(), there, "it", live=live)}
    assert {name for name, item in found.items() if item.status == status} == {
        "tables",
        "constraints",
        "indexes",
        "extensions",
    }
    assert "public.b" in found["tables"].evidence
    assert found["columns"].status == "pass"


def test_columns_of_a_missing_table_are_not_told_twice():
    there = facts(tables={"public.b": 5}, columns={})
    found = {item.check: item for item in plans.schema("shop", facts(), there, "it", live=False)}
    assert found["columns"].status == "pass"
    assert found["tables"].status == "fail"


def test_more_than_expected_is_no_failure():
    there = facts(tables={"public.a": 3, "public.b": 5, "public.c": 0})
    assert all(item.status == "pass" for item in plans.schema("shop", facts(), there, "it", live=False))


def test_counts_compare_only_what_both_counted():
    wanted = facts(exact=["public.a"])
    assert plans.counts("shop", wanted, facts(tables={"public.a": 3, "public.b": 9}), "it", live=False).status == "pass"
    wrong = plans.counts("shop", wanted, facts(tables={"public.a": 2, "public.b": 5}), "it", live=False)
    assert wrong.status == "fail"
    assert "2 rows instead of 3" in wrong.evidence


def test_an_empty_table_is_worth_a_word_against_a_live_source():
    there = facts(tables={"public.a": 0, "public.b": 1})
    result = plans.counts("shop", facts(), there, "the source", live=True)
    assert (result.status, "public.a" in result.evidence, "public.b" in result.evidence) == ("warn", True, False)


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, "pass"), (299, "pass"), (301, "fail"), (-0.001, "fail"), (-86400, "fail")]
)
def test_moments_are_bounded_on_both_sides(seconds, status):
    newest = TARGET - datetime.timedelta(seconds=seconds)
    assert plans.moments("shop", "q", newest, TARGET, 300).status == status


def test_no_moment_is_a_failure():
    assert plans.moments("shop", "q", None, TARGET, 300).status == "fail"


@pytest.mark.parametrize(
    ("here", "there", "status"),
    [((10, 8), (10, 8), "pass"), ((12, 10), (10, 8), "pass"), ((9, 8), (10, 8), "warn"), ((9, 7), (10, 8), "fail")],
)
def test_rows_up_to_the_target(here, there, status):
    assert plans.rows_by_time("shop", "t", here, there, 5, 60).status == status


@pytest.mark.parametrize(
    ("item", "value", "status"),
    [
        ({"expect": "3"}, 3, "pass"),
        ({"expect": "3"}, 4, "fail"),
        ({"min": 1}, 1, "pass"),
        ({"min": 1, "max": 2}, 3, "fail"),
        ({"min": 1}, None, "fail"),
        ({"max": 0}, 0, "pass"),
        ({}, True, "pass"),
        ({}, None, "fail"),
        ({}, 0, "fail"),
    ],
)
def test_assertions(item, value, status):
    result = plans.assertion({"name": "n", "database": "shop", "query": "q", **item}, value)
    assert (result.check, result.status) == ("assertion:n", status)


def test_sequences_and_parameters():
    behind = [{"sequence": "public.s", "last": 1, "largest": 9}]
    assert plans.sequences("shop", behind, 1).status == "fail"
    assert plans.sequences("shop", [], 4).status == "pass"
    lost = plans.parameters({"work_mem": "8192"}, {}, "the source")
    assert (lost.check, lost.status, "work_mem" in lost.evidence) == ("parameters", "fail", True)


def test_a_manifest_of_another_version_is_read():
    assert plans.Facts.from_dict({"tables": {"a": 1}, "unknown": 2}).tables == {"a": 1}


def test_long_lists_are_cut():
    assert plans.some(str(n) for n in range(30)).endswith("and 10 more")


def access(**change):
    content = {
        "attributes": {"app": "login limit -1", "owner": "limit -1"},
        "memberships": {"app in owner": "inherit"},
        "settings": {"of app in shop work_mem": "d1", "in shop timezone": "d2"},
        "databases": {"shop": "UTF8, owner: owner=CTc/owner", "other": "UTF8"},
    }
    return plans.Access(**{**content, **change})


@pytest.mark.parametrize(("live", "status"), [(True, "warn"), (False, "fail")])
@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"attributes": {"app": "limit -1", "owner": "limit -1"}}, "role_attributes"),
        ({"memberships": {}}, "memberships"),
        ({"memberships": {"app in owner": ""}}, "memberships"),
        ({"settings": {"in shop timezone": "d2"}}, "role_settings"),
        ({"settings": {"of app in shop work_mem": "d1"}}, "role_settings"),
        ({"databases": {"shop": "UTF8, owner: =Tc/owner"}}, "database_access"),
    ],
)
def test_lost_access_is_found_by_its_own_check_alone(change, check, live, status):
    found = plans.access(access(), access(**change), ["shop"], "it", live=live)
    assert {item.check for item in found if item.status == status} == {check}
    assert {item.status for item in found} == {status, "pass"}


def test_what_a_missing_role_was_and_had_is_not_told_again():
    there = access(attributes={"owner": "limit -1"}, memberships={}, settings={"in shop timezone": "d2"})
    assert {item.status for item in plans.access(access(), there, ["shop"], "it", live=False)} == {"pass"}


def test_databases_that_are_not_checked_are_not_judged():
    there = access(databases={"shop": access().databases["shop"], "other": "LATIN1"})
    assert {item.status for item in plans.access(access(), there, ["shop"], "it", live=False)} == {"pass"}


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"grants": {"table public.a": "owner: "}}, "grants"),
        ({"default_privileges": {}}, "default_privileges"),
        ({"definitions": {"table public.a": "d"}}, "definitions"),
        ({"large_objects": 1}, "large_objects"),
    ],
)
def test_grants_definitions_and_large_objects_have_their_own_checks(change, check):
    more = {
        "grants": {"table public.a": "owner: app=r/owner", "function public.f()": "owner: "},
        "default_privileges": {"what owner makes of kind r": "app=r/owner"},
        "definitions": {"table public.a": "d", "view public.v": "d"},
        "large_objects": 2,
    }
    found = plans.schema("shop", facts(**more), facts(**{**more, **change}), "it", live=False)
    assert [item.check for item in found if item.status == "fail"] == [check]


def test_a_missing_table_is_told_once():
    more = {"grants": {"table public.b": "owner: "}, "definitions": {"table public.b": "d"}}
    there = facts(tables={"public.a": 3})
    found = plans.schema("shop", facts(**more), there, "it", live=False)
    assert [item.check for item in found if item.status == "fail"] == ["tables"]


def test_facts_that_an_older_manifest_lacks_are_not_compared():
    old = plans.Facts.from_dict({"tables": {"public.a": 3}, "exact": ["public.a"]})
    there = facts(grants={"table public.a": "owner: "}, definitions={"view public.v": "d"}, large_objects=4)
    assert {item.status for item in plans.schema("shop", old, there, "the manifest", live=False)} == {"pass"}


def test_an_estimate_of_nothing_is_no_empty_table():
    there = facts(tables={"public.a": 0, "public.b": 0}, exact=["public.b"])
    result = plans.counts("shop", facts(), there, "the live source", live=True)
    assert (result.status, "public.b" in result.evidence, "public.a" in result.evidence) == ("warn", True, False)
