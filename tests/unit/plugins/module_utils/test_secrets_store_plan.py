from __future__ import annotations

import pytest
import yaml
from ansible_collections.aksops.platform.plugins.module_utils import _secrets_store_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st


def item(**over):
    return {
        "name": "shop",
        "namespace": "shop",
        "vault_name": "kv-shop",
        "client_id": "c",
        "tenant_id": "t",
        "objects": [{"name": "db-password", "alias": "DB_PASSWORD"}, {"name": "tls", "type": "cert"}],
        **over,
    }


def test_class_is_what_the_provider_reads():
    got = plan.provider_class(item(kubernetes_secret={"name": "shop", "keys": [{"key": "p", "object": "DB_PASSWORD"}]}))
    parameters = got["spec"]["parameters"]
    assert {k: parameters[k] for k in ("usePodIdentity", "clientID", "keyvaultName", "tenantId")} == {
        "usePodIdentity": "false",
        "clientID": "c",
        "keyvaultName": "kv-shop",
        "tenantId": "t",
    }
    array = yaml.safe_load(parameters["objects"])["array"]
    assert all(isinstance(text, str) for text in array)
    assert [yaml.safe_load(text) for text in array] == [
        {"objectName": "db-password", "objectType": "secret", "objectAlias": "DB_PASSWORD"},
        {"objectName": "tls", "objectType": "cert"},
    ]
    assert got["spec"]["secretObjects"] == [
        {"secretName": "shop", "type": "Opaque", "data": [{"objectName": "DB_PASSWORD", "key": "p"}]}
    ]
    assert all(isinstance(value, str) for value in parameters.values())
    assert plan.wanted_objects(got) == ("kv-shop", [("secret", "db-password", ""), ("cert", "tls", "")])


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"client_id": ""}, "lacks client_id"),
        ({"tenant_id": ""}, "lacks tenant_id"),
        ({"vault_name": "1bad"}, "cannot be the name of a Key Vault"),
        ({"objects": []}, "mounts no object"),
        ({"objects": [{"name": "a_b"}]}, "a_b"),
        ({"objects": [{"name": "a", "type": "password"}]}, "not 'password'"),
        ({"objects": [{"name": "a"}, {"name": "a", "type": "cert"}]}, "more than one object for the file a"),
        ({"kubernetes_secret": {"name": "s", "keys": [{"key": "k", "object": "other"}]}}, "wants other"),
    ],
)
def test_what_would_fail_when_a_pod_starts_fails_here(over, words):
    with pytest.raises(AksPlatformError, match=words):
        plan.provider_class(item(**over))


@pytest.mark.parametrize(("text", "number"), [("2m", 120), ("90s", 90), ("1h30m", 5400)])
def test_seconds(text, number):
    assert plan.seconds(text) == number


@pytest.mark.parametrize("text", ["", "0s", "2 m", "soon", "2d"])
def test_no_duration(text):
    with pytest.raises(AksPlatformError, match="not a duration"):
        plan.seconds(text)


def load(pods, objects, vault="kv-shop"):
    return {"vault_name": vault, "pods": pods, "objects": [{"name": f"o{n}"} for n in range(objects)]}


def test_rates_add_up_by_vault_and_name_the_way_out():
    (rate,) = plan.request_rates([load(100, 10), load(20, 10, "KV-shop")], interval="2m")
    assert (rate["objects"], rate["steady"], rate["refused"]) == (1200, 100.0, "")
    (rate,) = plan.request_rates([load(300, 10)], interval="10s")
    assert "make the interval at least 16 s" in rate["refused"]
    assert plan.request_rates([load(300, 10)], interval="16s")[0]["refused"] == ""
    (rate,) = plan.request_rates([load(500, 10)], interval="1h")
    assert "a start of all pods would send 5000 requests" in rate["refused"]
    (rate,) = plan.request_rates([load(300, 10)], rotation=False, interval="10s")
    assert (rate["steady"], rate["refused"]) == (0, "")


@given(pods=st.integers(1, 400), objects=st.integers(1, 10), seconds=st.integers(1, 600), share=st.floats(0.01, 1))
def test_the_interval_named_by_a_refusal_is_enough_and_the_least(pods, objects, seconds, share):
    (rate,) = plan.request_rates([load(pods, objects)], interval=f"{seconds}s", share=share)
    if "interval at least" in rate["refused"]:
        least = int(rate["refused"].split("at least ")[1].split(" s")[0])
        assert least > seconds or least - 1 <= seconds
        assert (
            "interval" not in plan.request_rates([load(pods, objects)], interval=f"{least}s", share=share)[0]["refused"]
        )


def pod(name="p1", phase="Running", class_="shop"):
    csi = {"driver": plan.DRIVER, "volumeAttributes": {"secretProviderClass": class_}}
    return {"metadata": {"name": name}, "spec": {"volumes": [{"csi": csi}]}, "status": {"phase": phase}}


def status(pod_name="p1", objects=(("secret/db-password", "v2"), ("cert/tls", "c1")), mounted=True):
    return {
        "metadata": {"name": "x"},
        "status": {
            "podName": pod_name,
            "secretProviderClassName": "shop",
            "mounted": mounted,
            "objects": [{"id": i, "version": v} for i, v in objects],
        },
    }


NEWEST = {"secret/db-password": "v2", "cert/tls": "c1"}


def problems(pods=(), statuses=(), events=(), newest=NEWEST, manifest=None):
    return plan.class_problems(manifest or plan.provider_class(item()), pods, statuses, events, newest)


def test_all_well():
    assert problems([pod(), pod("done", "Succeeded"), pod("other", class_="x")], [status()]) == (1, [])


def test_pod_held_back_is_named_with_the_drivers_last_reason():
    events = [
        {"reason": "FailedMount", "lastTimestamp": "1", "involvedObject": {"name": "p1"}, "message": "old"},
        {
            "reason": "FailedMount",
            "lastTimestamp": "2",
            "involvedObject": {"name": "p1"},
            "message": "AADSTS70021:\nno",
        },
    ]
    assert problems([pod()], [], events)[1] == ["shop/shop: pod p1 has not mounted it: AADSTS70021: no"]
    assert "not reported on it yet" in problems([pod()], [status(mounted=False)])[1][0]


def test_of_the_drivers_long_text_the_answer_of_azure_is_shown():
    text = (
        'MountVolume.SetUp failed for volume "v" : rpc error: code = Unknown desc = failed to mount objects, error: '
        "failed to get objectType:secret, objectName:a, objectVersion:: "
        "ClientAssertionCredential authentication failed. \n"
        f"POST https://login\n{'-' * 80}\nRESPONSE 401 Unauthorized\n"
        '{\n  "error": "invalid_client",\n  "error_description": "AADSTS700213: No matching'
    )
    event = {"reason": "FailedMount", "involvedObject": {"name": "p1"}, "message": text}
    (line,) = problems([pod()], [], [event])[1]
    assert line == (
        "shop/shop: pod p1 has not mounted it: failed to get objectType:secret, objectName:a, objectVersion:: "
        "ClientAssertionCredential authentication failed. AADSTS700213: No matching"
    )


def test_a_pod_that_rotation_leaves_behind_is_named_with_the_reason():
    event = {"reason": "MountRotationFailed", "involvedObject": {"name": "p1"}, "message": "provider mount err: gone"}
    old = status(objects=(("secret/db-password", "v1"), ("cert/tls", "c1")))
    assert problems([pod()], [old], [event])[1] == [
        "shop/shop: pod p1 holds version v1 of secret/db-password, the vault's newest is v2",
        "shop/shop: pod p1 cannot be brought up to date: provider mount err: gone",
    ]
    assert problems([pod()], [status()], [event])[1] == []


def test_stale_and_lacking_versions_are_named():
    assert problems([pod()], [status(objects=(("secret/db-password", "v1"),))])[1] == [
        "shop/shop: pod p1 holds version v1 of secret/db-password, the vault's newest is v2",
        "shop/shop: pod p1 lacks cert/tls, which the class names; restart the pod",
    ]


def test_pinned_version_is_compared_with_itself():
    manifest = plan.provider_class(item(objects=[{"name": "db-password", "version": "v1"}]))
    assert problems([pod()], [status(objects=(("secret/db-password", "v1"),))], manifest=manifest)[1] == []


def test_object_that_the_vault_does_not_have_is_named_before_any_pod_mounts_it():
    got = problems(newest={"secret/db-password": None, "cert/tls": "c1"})
    assert got == (0, ["shop/shop: secret/db-password does not exist, or is disabled, in the vault kv-shop"])
    assert problems([pod()], [status()], newest=None)[1] == []


def test_newest_version_is_enabled():
    versions = [
        {"id": "https://kv/secrets/s/v1", "attributes": {"created": 1}},
        {"id": "https://kv/secrets/s/v3", "attributes": {"created": 3, "enabled": False}},
        {"id": "https://kv/secrets/s/v2", "attributes": {"created": 2, "enabled": True}},
    ]
    assert plan.newest_version(versions) == "v2"
    assert plan.newest_version([]) is None
    assert plan.newest_version([{"kid": "https://kv/keys/k/v9"}]) == "v9"


def test_a_synced_secret_that_is_gone_is_named_while_a_pod_mounts_the_class():
    manifest = plan.provider_class(item(kubernetes_secret={"name": "shop-synced"}))

    def look(statuses, secrets, events=()):
        return plan.class_problems(manifest, [pod()], statuses, events, NEWEST, secrets)[1]

    assert look([status()], {"shop-synced"}) == []
    assert look([status()], None) == []
    assert "the Secret shop-synced is not there" in look([status()], set())[0]
    assert "Secret" not in look([status(mounted=False)], set())[0]
    why = {"reason": "FailedToCreateSecret", "involvedObject": {"name": "p1"}, "message": "no tls.key for shop-synced"}
    assert look([status()], set(), [why])[0].endswith("mount the class: no tls.key for shop-synced")
