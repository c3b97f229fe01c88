"""The pure plan of the databases' people: what is missing becomes a statement, what is there does not."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_databases_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

OID = "3b1ac2a6-0b1f-4d1c-9f33-e9e1c52bd6a7"
OTHER = "8f4ba9c6-96a4-4dbf-8f19-53b2ac1e7d4b"


def entry(**change):
    return {"name": "shop", "roles": [{"name": "id-shop", "object_id": OID}], **change}


def empty(*databases):
    state = plans.ServerState(roles={plans.ADMINISTRATORS: False}, allowed_extensions=frozenset({"hstore"}))
    for name in databases or ("shop",):
        state.databases[name] = plans.DatabaseState(
            name,
            plans.ADMINISTRATORS,
            rights={"": frozenset({"CONNECT", "TEMPORARY"})},
            available=frozenset({"hstore", "pg_trgm"}),
            schemas={"public": (plans.ADMINISTRATORS, {"": frozenset({"USAGE", "CREATE"})})},
        )
    return state


def converged():
    """A server on which everything that entry() asks for is there."""
    state = empty()
    state.roles |= {"shop_owner": False, "shop_writer": False, "shop_reader": False, "id-shop": True}
    state.administered = frozenset({"shop_owner", "shop_writer", "shop_reader"})
    state.principals = {"id-shop": OID}
    state.members = frozenset({("shop_writer", "id-shop")})
    shop = state.databases["shop"]
    shop.owner = "shop_owner"
    shop.rights = {"shop_writer": frozenset({"CONNECT", "TEMPORARY"}), "shop_reader": frozenset({"CONNECT"})}
    usage = {"shop_writer": frozenset({"USAGE"}), "shop_reader": frozenset({"USAGE"})}
    shop.schemas = {"public": ("shop_owner", usage)}
    shop.defaults = {
        ("shop_owner", "public", "table"): {
            "shop_writer": plans.TABLE_RIGHTS["writer"],
            "shop_reader": plans.TABLE_RIGHTS["reader"],
        },
        ("shop_owner", "public", "sequence"): {
            "shop_writer": plans.SEQUENCE_RIGHTS["writer"],
            "shop_reader": plans.SEQUENCE_RIGHTS["reader"],
        },
    }
    return state


def statements(plan):
    return [step.statement for step in plan.steps]


def test_an_empty_database_gets_everything_in_an_order_that_works():
    wishes = plans.parse([entry(schemas=["public", "ledger"], extensions=[{"name": "HSTORE", "schema": "ledger"}])])
    plan = plans.present(wishes, empty())
    texts = statements(plan)
    assert texts[0] == 'CREATE ROLE "shop_owner" NOLOGIN'
    assert f"SELECT pgaadauth_create_principal_with_oid('id-shop', '{OID}', 'service', false, false)" in texts
    assert texts.index('ALTER DATABASE "shop" OWNER TO "shop_owner"') > texts.index('CREATE ROLE "shop_owner" NOLOGIN')
    schema = 'CREATE SCHEMA "ledger" AUTHORIZATION "shop_owner"'
    assert texts.index(schema) < texts.index('CREATE EXTENSION "hstore" SCHEMA "ledger"')
    assert all(step.database == "shop" for step in plan.steps if "SCHEMA" in step.statement)


def test_a_converged_database_gets_nothing():
    plan = plans.present(plans.parse([entry()]), converged())
    assert plan.steps == []
    assert plan.warnings == []


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        (lambda s: s.roles.pop("shop_reader"), 'CREATE ROLE "shop_reader" NOLOGIN'),
        (lambda s: setattr(s, "members", frozenset()), 'GRANT "shop_writer" TO "id-shop"'),
        (
            lambda s: setattr(s, "members", s.members | {("shop_owner", "id-shop")}),
            'REVOKE "shop_owner" FROM "id-shop"',
        ),
        (lambda s: setattr(s.databases["shop"], "owner", "bob"), 'ALTER DATABASE "shop" OWNER TO "shop_owner"'),
        (
            lambda s: s.databases["shop"].rights.update({"": frozenset({"CONNECT"})}),
            'REVOKE CONNECT, TEMPORARY ON DATABASE "shop" FROM PUBLIC',
        ),
        (
            lambda s: s.databases["shop"].defaults.pop(("shop_owner", "public", "table")),
            'ALTER DEFAULT PRIVILEGES FOR ROLE "shop_owner" IN SCHEMA "public" GRANT SELECT ON TABLES TO "shop_reader"',
        ),
        (
            lambda s: s.databases["shop"].relations.append(plans.Relation("public", 'a"b', "table", "shop_owner")),
            'GRANT SELECT ON TABLE "public"."a""b" TO "shop_reader"',
        ),
        (lambda s: s.settings.update({("shop", "id-shop"): {"role": "shop_owner"}}), "RESET role"),
    ],
)
def test_each_damage_is_repaired_by_its_statement(damage, repair):
    state = converged()
    damage(state)
    texts = statements(plans.present(plans.parse([entry()]), state))
    assert any(repair in text for text in texts), texts
    assert len(texts) <= 2


def test_an_owner_acts_as_the_owner_role():
    wishes = plans.parse([entry(roles=[{"name": "id-shop", "object_id": OID, "access": "owner"}])])
    texts = statements(plans.present(wishes, converged()))
    assert 'ALTER ROLE "id-shop" IN DATABASE "shop" SET role = \'shop_owner\'' in texts
    assert 'GRANT "shop_owner" TO "id-shop"' in texts
    assert 'REVOKE "shop_writer" FROM "id-shop"' in texts


def test_an_identity_that_was_made_anew_is_mapped_anew():
    wishes = plans.parse([entry(roles=[{"name": "id-shop", "object_id": OTHER}])])
    texts = statements(plans.present(wishes, converged()))
    assert texts[0] == 'DROP ROLE "id-shop"'
    assert OTHER in texts[1]
    assert 'GRANT "shop_writer" TO "id-shop"' in texts


def test_a_password_is_in_no_step():
    secret = "correct horse battery"
    wishes = plans.parse([entry(roles=[{"name": "app", "password": secret}])])
    plan = plans.present(wishes, empty())
    assert any("PASSWORD %VERIFIER%" in text for text in statements(plan))
    assert secret not in repr(plan)
    assert secret not in repr(wishes)


def test_a_password_that_works_is_left():
    wishes = plans.parse([entry(roles=[{"name": "app", "password": "x"}])])
    state = converged()
    state.roles["app"] = True
    state.members |= {("shop_writer", "app")}
    assert [step.text for step in plans.present(wishes, state).steps] == ["set the password of app"]
    state.logins = frozenset({"app"})
    assert plans.present(wishes, state).steps == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "other"}, "no database 'other'"),
        ({"extensions": [{"name": "pg_trgm"}]}, "azure.extensions"),
        ({"extensions": [{"name": "hstore", "schema": "nowhere"}]}, "neither there nor listed"),
    ],
)
def test_what_cannot_be_carried_out_is_refused(change, words):
    with pytest.raises(AksPlatformError, match=words):
        plans.check(plans.parse([entry(**change)]), empty())


def test_an_extension_that_the_server_lacks_is_refused():
    state = empty()
    state.allowed_extensions = frozenset({"pgcrypto"})
    with pytest.raises(AksPlatformError, match="does not have the extension pgcrypto"):
        plans.check(plans.parse([entry(extensions=[{"name": "pgcrypto"}])]), state)


def test_an_unmapped_role_of_the_same_name_is_refused():
    state = empty()
    state.roles["id-shop"] = True
    with pytest.raises(AksPlatformError, match="not mapped to Entra"):
        plans.check(plans.parse([entry()]), state)


@pytest.mark.parametrize(
    "entries",
    [
        [entry(), entry()],
        [entry(roles=[{"name": "a"}])],
        [entry(roles=[{"name": "a", "object_id": OID, "password": "p"}])],
        [entry(roles=[{"name": "shop_owner", "object_id": OID}])],
        [entry(), entry(name="b", roles=[{"name": "id-shop", "object_id": OTHER}])],
    ],
)
def test_contradictions_are_refused(entries):
    with pytest.raises(AksPlatformError):
        plans.parse(entries)


@pytest.mark.parametrize("name", ["x" * 64, "\N{LATIN SMALL LETTER E WITH ACUTE}" * 32, "pg_app"])
def test_names_that_postgresql_would_cut_or_refuse_are_refused(name):
    for wish in (entry(owner=name), entry(schemas=[name]), entry(roles=[{"name": name, "object_id": OID}])):
        with pytest.raises(AksPlatformError, match=r"63 bytes|belong to PostgreSQL"):
            plans.parse([wish])


def test_absent_drops_people_first_and_keeps_data():
    texts = statements(plans.absent(plans.parse([entry()]), converged()))
    assert texts[0] == 'DROP ROLE "id-shop"'
    assert texts[-1] == 'DROP ROLE "shop_writer"'
    assert not any("DROP TABLE" in text or "DROP DATABASE" in text for text in texts)
    assert plans.absent(plans.parse([entry()]), empty()).steps == []


def test_tables_of_others_are_left_with_a_warning():
    state = converged()
    state.databases["shop"].relations.append(plans.Relation("public", "t", "table", "stranger"))
    plan = plans.present(plans.parse([entry()]), state)
    assert plan.steps == []
    assert "stranger" in plan.warnings[0]
