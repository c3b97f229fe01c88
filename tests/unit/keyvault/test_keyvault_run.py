"""Seeding runs against a vault in this process: what is done, what is not, and in how many requests."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from keyvault_support import READER, LocalVault, actions, generate, item, seed

DAY = 86_400


@pytest.fixture
def vault() -> LocalVault:
    return LocalVault()


def test_first_run_creates_second_writes_nothing(vault):
    secrets = [item(f"s{number}", value=f"value-{number}", tags={"a": "b"}) for number in range(60)]
    report = seed(vault, secrets)
    assert report.summary() == {"created": 60}
    before = vault.writes()
    vault.paths.clear()
    again = seed(vault, secrets)
    assert not again.changed
    assert vault.writes() == before
    assert sum(path == "GET /secrets" for path in vault.paths) == 3
    assert len(vault.paths) == 3 + 60


def test_a_changed_value_is_one_new_version_and_keeps_foreign_tags(vault):
    vault.put("a", "old-value", tags={"foreign": "1"}, contentType="text/plain")
    report = seed(vault, [item("a", value="new-value", tags={"mine": "2"})])
    assert actions(report) == {"a": "new_version"}
    assert vault.values("a") == ["old-value", "new-value"]
    newest = vault.newest("a")
    assert newest["tags"] == {"foreign": "1", "mine": "2"}
    assert newest["contentType"] == "text/plain"


def test_metadata_alone_is_an_update_of_the_same_version(vault):
    vault.put("a", "the-value", attributes={"exp": 1_900_000_000})
    options = {"value": "the-value", "content_type": "text/plain", "expires": "never"}
    report = seed(vault, [item("a", **options)])
    assert report.outcomes[0].change.fields == ("content_type", "expires")
    assert vault.values("a") == ["the-value"]
    assert vault.newest("a")["exp"] is None
    assert not seed(vault, [item("a", **options)]).changed


def test_purge_tags_removes_foreign_tags_only_where_tags_are_given(vault):
    vault.put("a", "the-value", tags={"foreign": "1"})
    vault.put("b", "the-value", tags={"foreign": "1"})
    seed(vault, [item("a", value="the-value", tags={}), item("b", value="the-value")], purge_tags=True)
    assert vault.newest("a")["tags"] == {}
    assert vault.newest("b")["tags"] == {"foreign": "1"}


def test_recovered_and_set_in_one_run(vault):
    vault.put("a", "old-value", tags={"foreign": "1"})
    vault.remove("a")
    predicted = seed(vault, [item("a", value="new-value")], check_mode=True)
    assert actions(predicted) == {"a": "recovered"}
    report = seed(vault, [item("a", value="new-value")])
    assert actions(report) == {"a": "recovered"}
    assert vault.values("a") == ["old-value", "new-value"]
    assert not seed(vault, [item("a", value="new-value")]).changed


def test_recovered_with_the_same_value_gets_no_new_version(vault):
    vault.put("a", "the-value")
    vault.remove("a")
    assert actions(seed(vault, [item("a", value="the-value")])) == {"a": "recovered"}
    assert vault.values("a") == ["the-value"]


def test_recover_off_is_refused_before_any_write(vault):
    vault.put("a", "the-value")
    vault.remove("a")
    before = vault.writes()
    with pytest.raises(AksPlatformError, match="a: is soft-deleted and recover is off"):
        seed(vault, [item("a", value="the-value"), item("b", value="the-value")], recover=False)
    assert vault.writes() == before


def test_a_deletion_under_way_is_waited_for(vault):
    vault.put("a", "old-value")
    vault.space.delete("a", vault.plane.policy(vault.store.list()[0]))
    report = seed(vault, [item("a", value="new-value")])
    assert not report.failures
    assert vault.values("a") == ["old-value", "new-value"]


def test_absent_is_complete_when_the_run_ends(vault):
    vault.put("a", "the-value")
    assert actions(seed(vault, [item("a", state="absent")])) == {"a": "deleted"}
    assert vault.space.get_deleted("a")
    assert not seed(vault, [item("a", state="absent")]).changed


def test_purge_only_when_asked_and_explained_under_protection(vault):
    vault.put("a", "the-value")
    assert actions(seed(vault, [item("a", state="absent", purge=True)])) == {"a": "purged"}
    assert vault.space.find("a") is None
    protected = LocalVault(enablePurgeProtection=True)
    protected.put("a", "the-value")
    report = seed(protected, [item("a", state="absent", purge=True)])
    assert "purge protection is on" in str(report.failures[0].error)


def test_disabled_secrets_break_nothing(vault):
    vault.put("a", "the-value", attributes={"enabled": False})
    report = seed(vault, [item("a", value="other-value")])
    assert actions(report) == {"a": "unchanged"}
    assert "not compared" in report.outcomes[0].change.note


def test_enabling_compares_the_value_in_the_same_run(vault):
    vault.put("a", "old-value", attributes={"enabled": False})
    vault.put("b", "the-value", attributes={"enabled": False})
    report = seed(vault, [item("a", value="new-value", enabled=True), item("b", value="the-value", enabled=True)])
    assert actions(report) == {"a": "new_version", "b": "metadata"}
    assert vault.values("a") == ["old-value", "new-value"]
    assert vault.values("b") == ["the-value"]


def test_a_certificates_secret_is_refused_before_any_write(vault):
    vault.space.set_managed("tls", "pfx", "application/x-pkcs12", {})
    before = vault.writes()
    with pytest.raises(AksPlatformError, match="tls: belongs to the certificate"):
        seed(vault, [item("tls", value="mine"), item("b", value="the-value")])
    assert vault.writes() == before


def test_generated_values_are_made_once_and_rotate_by_age(vault):
    options = {"generate": generate(length=20), "rotate_after": "90d", "disable_previous_after": "7d"}
    seed(vault, [item("key", **options)])
    first = vault.values("key")
    vault.clock.sleep(89 * DAY)
    assert not seed(vault, [item("key", **options)]).changed
    vault.clock.sleep(2 * DAY)
    assert actions(seed(vault, [item("key", **options)])) == {"key": "new_version"}
    assert vault.values("key")[0] == first[0]
    assert len(set(vault.values("key"))) == 2
    assert not seed(vault, [item("key", **options)]).changed
    vault.clock.sleep(8 * DAY)
    assert actions(seed(vault, [item("key", **options)], check_mode=True)) == {"key": "expired_previous"}
    assert actions(seed(vault, [item("key", **options)])) == {"key": "expired_previous"}
    old, new = vault.space.find("key")["versions"]
    assert (old["enabled"], new["enabled"]) == (False, True)
    assert not seed(vault, [item("key", **options)]).changed


def test_no_overlap_disables_at_once(vault):
    vault.put("a", "old-value")
    vault.clock.sleep(5)
    seed(vault, [item("a", value="new-value", disable_previous_after="0d")])
    assert [version["enabled"] for version in vault.space.find("a")["versions"]] == [False, True]
    assert not seed(vault, [item("a", value="new-value", disable_previous_after="0d")]).changed


def test_a_raised_version_rotates_a_generated_value(vault):
    seed(vault, [item("key", generate=generate(), value_version="1")])
    assert not seed(vault, [item("key", generate=generate(), value_version="1")]).changed
    assert actions(seed(vault, [item("key", generate=generate(), value_version="2")])) == {"key": "new_version"}


def test_templates_take_values_of_the_same_run_and_of_the_vault(vault):
    vault.put("outside", "p/w")
    secrets = [
        item("url", template="pg://${secret:pw|urlencode}@${secret:outside|urlencode}/$$"),
        item("pw", generate=generate(length=12, alphabet="password")),
    ]
    seed(vault, secrets)
    assert vault.values("url")[0].endswith("@p%2Fw/$")
    assert not seed(vault, secrets).changed
    vault.put("outside", "changed")
    assert actions(seed(vault, secrets)) == {"url": "new_version", "pw": "unchanged"}


def test_a_template_is_not_written_where_its_secret_failed(vault):
    vault.put("pw", "old-value")
    secrets = [item("url", template="x ${secret:pw}"), item("pw", value="new-value")]
    seed(vault, secrets)
    original = vault.answer

    def refuse(method, path, headers, body):
        if method == "PUT" and path.startswith("/secrets/pw"):
            path = "/secrets/not_a_name?api-version=7.6"
        return original(method, path, headers, body)

    vault.answer = refuse
    report = seed(vault, [item("url", template="x ${secret:pw}"), item("pw", value="newest-value")])
    assert actions(report) == {"url": "failed", "pw": "failed"}
    assert vault.values("url") == ["x new-value"]
    assert "pw failed" in str(report.outcomes[0].error)


def test_missing_reference_is_refused_before_any_write(vault):
    with pytest.raises(AksPlatformError, match="url: the template needs the secret 'nowhere'"):
        seed(vault, [item("url", template="${secret:nowhere}"), item("b", value="the-value")])
    assert vault.writes() == 0


def test_prune_deletes_only_owned_secrets_and_minds_its_ceiling(vault):
    secrets = [item(f"s{number}", value="the-value") for number in range(4)]
    vault.put("foreign", "the-value")
    seed(vault, secrets, owner="me")
    with pytest.raises(AksPlatformError, match="3 owned secrets are not wanted any more, more than"):
        seed(vault, secrets[:1], owner="me", prune={"max": 2})
    report = seed(vault, secrets[:1], owner="me", prune={"match": "s[12]", "max": 2})
    assert actions(report) == {"s0": "unchanged", "s1": "deleted", "s2": "deleted"}
    assert vault.values("foreign")
    assert vault.values("s3")


def test_another_owners_secret_is_refused_unless_adopted(vault):
    seed(vault, [item("a", value="the-value")], owner="you")
    with pytest.raises(AksPlatformError, match="a: is owned by 'you', not by 'me'"):
        seed(vault, [item("a", value="the-value")], owner="me")
    assert actions(seed(vault, [item("a", value="the-value")], owner="me", adopt=True)) == {"a": "metadata"}


def test_fingerprints_need_no_right_to_read_values(vault):
    options = {"compare": "fingerprint", "fingerprint_key": "k" * 32}
    secrets = [item("a", value="value-a"), item("b", value="value-b")]
    seed(vault, secrets, **options)
    vault.paths.clear()
    assert not seed(vault, secrets, **options).changed
    assert vault.paths == ["GET /secrets"]
    assert actions(seed(vault, [item("a", value="other"), secrets[1]], **options)) == {
        "a": "new_version",
        "b": "unchanged",
    }
    tag = vault.newest("b")["tags"]["aksops-fingerprint"]
    assert tag.startswith("v1:1:")
    assert "value-b" not in tag


def test_a_write_of_somebody_else_drops_the_fingerprint_and_is_found(vault):
    options = {"compare": "fingerprint", "fingerprint_key": "k" * 32}
    seed(vault, [item("a", value="value-a")], **options)
    vault.put("a", "tampered")
    assert actions(seed(vault, [item("a", value="value-a")], **options)) == {"a": "new_version"}


def test_versions_are_compared_by_their_tag(vault):
    secrets = [item("a", value="value-a", value_version="1", compare="version")]
    seed(vault, secrets)
    vault.paths.clear()
    assert not seed(vault, [item("a", value="ignored", value_version="1", compare="version")]).changed
    assert vault.paths == ["GET /secrets"]
    assert actions(seed(vault, [item("a", value="value-b", value_version="2", compare="version")])) == {
        "a": "new_version"
    }


def test_exists_writes_only_what_is_missing(vault):
    vault.put("a", "somebody-elses")
    report = seed(vault, [item("a", value="mine"), item("b", value="mine")], compare="exists")
    assert actions(report) == {"a": "unchanged", "b": "created"}


def test_keys_of_azure_are_read_and_failures_named(vault):
    source = {"resource_id": "/subscriptions/x", "action": "listKeys", "api_version": "1", "path": "key"}

    def listed(options):
        if options["path"] == "missing":
            raise AksPlatformError("no text at 'missing'")
        return "the-account-key"

    secrets = [item("good", arm_key=source), item("bad", arm_key={**source, "path": "missing"})]
    report = seed(vault, secrets, arm_value=listed)
    assert actions(report) == {"good": "created", "bad": "failed"}
    assert vault.values("good") == ["the-account-key"]
    assert not vault.values("bad")


TARGET = {"resource_id": "/subscriptions/x", "api_version": "1", "path": "properties.password"}


def test_a_new_value_is_handed_to_its_resource_once(vault):
    given = []
    secrets = [item("admin", generate=generate(), apply_to=TARGET)]

    def apply(target, value):
        assert target == TARGET
        assert "aksops-apply-pending" in vault.newest("admin")["tags"]
        given.append(value)

    assert actions(seed(vault, secrets, check_mode=True, apply_value=apply)) == {"admin": "created"}
    assert given == []
    assert actions(seed(vault, secrets, apply_value=apply)) == {"admin": "created"}
    assert given == vault.values("admin")
    assert vault.newest("admin")["tags"] == {"aksops-applied-to": "/subscriptions/x"}
    assert not seed(vault, secrets, apply_value=apply).changed
    assert len(given) == 1


def test_a_secret_that_is_enabled_and_set_is_handed_over_too(vault):
    vault.put("admin", "old-value", attributes={"enabled": False})
    given = []
    secrets = [item("admin", value="new-value", enabled=True, apply_to=TARGET)]
    seed(vault, secrets, apply_value=lambda target, value: given.append(value))
    assert given == ["new-value"]
    assert not seed(vault, secrets, apply_value=lambda target, value: given.append(value)).changed


def test_another_resource_is_given_the_value_that_is_there(vault):
    given = []
    seed(vault, [item("admin", generate=generate(), apply_to=TARGET)], apply_value=lambda *_: None)
    moved = [item("admin", generate=generate(), apply_to={**TARGET, "resource_id": "/subscriptions/Y"})]
    assert actions(seed(vault, moved, check_mode=True)) == {"admin": "applied"}
    report = seed(vault, moved, apply_value=lambda target, value: given.append((target["resource_id"], value)))
    assert actions(report) == {"admin": "applied"}
    assert given == [("/subscriptions/Y", value) for value in vault.values("admin")]
    assert len(vault.values("admin")) == 1
    assert not seed(vault, moved).changed


def test_a_hand_over_that_failed_is_made_up_for(vault):
    given = []
    secrets = [item("admin", generate=generate(), apply_to=TARGET)]

    def refuse(target, value):
        raise AksPlatformError("the server is busy")

    report = seed(vault, secrets, apply_value=refuse)
    assert actions(report) == {"admin": "failed"}
    assert report.changed
    assert vault.values("admin")[0] not in report.table()
    assert actions(seed(vault, secrets, check_mode=True)) == {"admin": "applied"}
    assert actions(seed(vault, secrets, apply_value=lambda target, value: given.append(value))) == {"admin": "applied"}
    assert given == vault.values("admin")
    assert not seed(vault, secrets).changed


def test_every_problem_is_named_before_the_first_request(vault):
    secrets = [
        item("under_score", value="the-value"),
        item("Twice", value="the-value"),
        item("twice", value="the-value"),
        item("short", value="abc"),
        item("big", value="x" * 25_601),
        item("env", value_env="NOT_SET"),
        item("naive", value="the-value", expires="2027-01-01T00:00:00"),
        item("order", value="the-value", not_before="2028-01-01T00:00:00Z", expires="2027-01-01T00:00:00Z"),
        item("many", value="the-value", tags={str(number): "x" for number in range(16)}),
        item("x", template="${secret:y}"),
        item("y", template="${secret:x}"),
    ]
    with pytest.raises(AksPlatformError) as caught:
        seed(vault, secrets)
    assert len(caught.value.details["problems"]) == 9
    assert vault.seen == {}
    assert "the-value" not in str(caught.value)


def test_check_mode_writes_nothing_and_predicts(vault):
    vault.put("b", "old-value")
    vault.put("c", "the-value")
    secrets = [
        item("a", value="new-value"),
        item("b", value="new-value"),
        item("c", value="the-value", tags={"x": "y"}),
        item("d", generate=generate()),
        item("e", template="${secret:d}"),
    ]
    predicted = seed(vault, secrets, check_mode=True)
    assert vault.writes() == 0
    assert actions(predicted) == actions(seed(vault, secrets))


def test_rights_that_have_not_arrived_are_waited_for():
    vault = LocalVault(role=None)
    client = vault.client(rbac_wait=300)
    original = client._sleep

    def sleep(seconds):
        original(seconds)
        if client.rbac_waited > 20:
            vault.grant("b86a8fe4-44ce-4948-aee5-eccb2c155cd7")

    client._sleep = sleep
    assert seed(vault, [item("a", value="the-value")], client=client).summary() == {"created": 1}
    assert client.rbac_waited > 20


def test_missing_rights_end_with_the_missing_action():
    vault = LocalVault(role=None)
    with pytest.raises(AksPlatformError, match=r"missing: Microsoft.KeyVault/vaults/secrets/readMetadata/action"):
        seed(vault, [item("a", value="the-value")], client=vault.client(rbac_wait=30))


def test_a_reader_gets_a_table_of_failures():
    vault = LocalVault(role=READER)
    report = seed(vault, [item("a", value="the-value"), item("b", value="the-value")], client=vault.client(rbac_wait=5))
    assert report.summary() == {"failed": 2}
    assert not report.changed
    assert "a: created, 403 Forbidden/ForbiddenByRbac" in report.table()


def test_a_closed_network_is_explained_at_once():
    vault = LocalVault(publicNetworkAccess="Disabled")
    vault.vantage = "outside"
    with pytest.raises(AksPlatformError, match="comes through no private endpoint"):
        seed(vault, [item("a", value="the-value")])
    assert vault.clock.now < 1_800_000_010


def test_a_thousand_writes_keep_to_the_limit_without_a_429(vault):
    secrets = [item(f"s{number}", value=f"value-{number}") for number in range(1000)]
    client = vault.client()
    start = vault.clock.now
    assert seed(vault, secrets, client=client).summary() == {"created": 1000}
    assert client.retries["throttled"] == 0
    assert vault.clock.now - start >= (1000 - 300) / 30


def test_a_drained_limit_is_waited_out(vault):
    for number in range(300):
        vault.answer("PUT", f"/secrets/x{number}?api-version=7.6", {"authorization": "Bearer x"}, b'{"value": "abcd"}')
    client = vault.client()
    report = seed(vault, [item(f"s{number}", value="the-value") for number in range(50)], client=client)
    assert not report.failures
    assert client.retries["throttled"] > 0
