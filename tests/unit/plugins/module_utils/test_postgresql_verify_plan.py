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
