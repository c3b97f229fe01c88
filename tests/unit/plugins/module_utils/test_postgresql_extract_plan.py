"""Tables' copies in a side schema: names, definitions, what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_extract_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st

SOURCE = "/subscriptions/s/servers/Psql-R1"


def table(**change):
    columns = [
        {"name": "id", "type": "bigint", "not_null": True, "default": None, "collation": None},
        {"name": 'a "b"', "type": "text", "not_null": False, "default": "'x'::text", "collation": 'pg_catalog."C"'},
    ]
    values = {
        "schema": "public",
        "name": "orders",
        "partitioned": False,
        "columns": columns,
        "constraints": {"orders_pkey": "PRIMARY KEY (id)"},
        "indexes": {"by b": ('USING btree ("a ""b""")', False)},
        "left_out": [],
    }
    return plans.Table(**{**values, **change})


def test_a_copy_has_columns_then_constraints_and_indexes():
    assert plans.create(table(), "back") == [
        'CREATE TABLE "back"."orders" ("id" bigint NOT NULL, "a ""b""" text COLLATE pg_catalog."C" DEFAULT \'x\'::text)'
    ]
    assert plans.complete(table(), "back") == [
        'ALTER TABLE "back"."orders" ADD CONSTRAINT "orders_pkey" PRIMARY KEY (id)',
        'CREATE INDEX "by b" ON "back"."orders" USING btree ("a ""b""")',
    ]


@pytest.mark.parametrize(
    ("change", "binary", "form", "only"),
    [
        ({}, True, "binary", True),
        ({}, False, "text", True),
        ({"binary": False, "partitioned": True}, True, "text", False),
    ],
)
def test_the_binary_form_is_for_equal_servers_and_own_types(change, binary, form, only):
    read, write = plans.copy(table(**change), "back", binary=binary)
    assert f"(FORMAT {form})" in read
    assert f"(FORMAT {form})" in write
    assert ("FROM ONLY" in read) == only


@pytest.mark.parametrize(
    ("tables", "words"),
    [([], "at least one"), (["a.b.c"], "is no table"), (["a."], "is no table"), (["a.t", "b.t"], "into two")],
)
def test_tables_that_cannot_be_copied_are_refused(tables, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.wishes(tables)


@pytest.mark.parametrize("schema", ["", "pg_back", "information_schema", "x" * 64])
def test_a_schema_that_cannot_be_made_is_refused(schema):
    with pytest.raises(AksPlatformError, match="side schema"):
        plans.check_schema(schema)


@given(st.lists(st.text(alphabet="abc_", min_size=1), min_size=1, unique=True))
def test_a_finished_extraction_is_recognised_and_no_other(names):
    wanted = plans.wishes(names)
    copies = [{"table": f"{one.schema}.{one.name}", "rows": 1} for one in wanted]
    comment = plans.marker(SOURCE, "shop", copies)
    assert plans.existing("back", comment, SOURCE.upper(), "shop", wanted) == copies
    for other in (
        ("back", comment, SOURCE + "x", "shop", wanted),
        ("back", comment, SOURCE, "shop2", wanted),
        ("back", comment, SOURCE, "shop", plans.wishes([*names, "one_more"])),
        ("back", None, SOURCE, "shop", wanted),
        ("back", plans.MARKER + "{", SOURCE, "shop", wanted),
        ("back", "somebody's", SOURCE, "shop", wanted),
    ):
        with pytest.raises(AksPlatformError, match="is not this extraction's"):
            plans.existing(*other)


@pytest.mark.parametrize(
    ("definition", "tail"),
    [
        ("CREATE INDEX i ON public.t USING btree (a)", "USING btree (a)"),
        ('CREATE UNIQUE INDEX "i j" ON ONLY s."T" USING gin (doc) WHERE (a > 1)', "USING gin (doc) WHERE (a > 1)"),
    ],
)
def test_the_table_is_cut_off_an_index_definition(definition, tail):
    assert plans.index_tail(definition) == tail
