"""SecretProviderClass objects as the CSI driver and its Azure provider read them, and the Secrets made of them."""

from __future__ import annotations

import pytest
from aksops_sandbox.services.containerservice.secrets_store import SyncError, owners, secret_data
from aksops_sandbox.services.containerservice.vault_objects import ObjectError, VaultObject, objects, vault_host


def given(*entries):
    return {"objects": "array:\n" + "".join("  - |\n" + "".join(f"    {line}\n" for line in item) for item in entries)}


def test_an_alias_is_the_file_and_the_name_is_the_id():
    (found,) = objects(given(["objectName: password", "objectType: secret", "objectAlias: db/password"]))
    assert (found.file, found.uid) == ("db/password", "secret/password")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["objectName: a", "objectType: key", "objectEncoding: hex"], "objectEncoding only supported"),
        (
            ["objectName: a", "objectType: cert", "objectFormat: pfx"],
            "PFX format only supported for objectType: secret",
        ),
        (
            ["objectName: a", "objectType: secret", "objectFormat: der"],
            "invalid objectFormat: der, should be PEM or PFX",
        ),
        (["objectName: a", "objectType: secret", "objectAlias: ../a"], "file name must not contain '..'"),
        (["objectName: a", "objectType: secret", "objectAlias: /a"], "file name must be a relative path"),
        (["objectType: secret"], "file name must not be empty"),
    ],
)
def test_what_cannot_be_mounted_is_refused_by_name(lines, text):
    with pytest.raises(ObjectError) as caught:
        objects(given(lines))
    assert text in str(caught.value)
    assert str(caught.value).startswith("failed to get objectType:")


def test_a_class_without_objects_or_with_text_for_one_is_refused():
    for parameters, text in (({}, "objects is not set"), (given(["plain"]), "keyVaultObjects at index 0")):
        with pytest.raises(ObjectError, match=text):
            objects(parameters)


def test_the_history_of_an_object_is_files_by_number_the_newest_first():
    item = VaultObject(name="a", kind="secret", history=2)
    found = item.versions([("one", 1), ("three", 3), ("two", 2)])
    assert [(one.file, one.version, one.uid) for one in found][:2] == [
        ("a/0", "three", "secret/a/0"),
        ("a/1", "two", "secret/a/1"),
    ]
    assert [
        one.version for one in VaultObject(name="a", version="one", history=2).versions([("one", 1), ("two", 2)])
    ] == ["one"]


@pytest.mark.parametrize("name", ["kv", "kv_shop", "a-name-of-more-than-24-chars"])
def test_what_cannot_be_a_vault_is_refused(name):
    with pytest.raises(ObjectError, match="Invalid vault name"):
        vault_host(name)


def test_a_synced_secret_takes_files_by_their_path_not_by_the_objects_name():
    item = {"secretName": "s", "data": [{"objectName": "password", "key": "p"}]}
    assert secret_data(item, {"password": b"x"}) == {"p": b"x"}
    with pytest.raises(SyncError, match="file matching objectName password not found in the pod"):
        secret_data(item, {"db/password": b"x"})


def test_a_synced_secret_is_owned_by_all_that_own_its_pods():
    def pod(*references):
        return {"metadata": {"name": "p", "ownerReferences": [*references]}}

    def reference(name):
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"u-{name}", "controller": True}

    status = {"metadata": {"name": "p-ns-class", "uid": "u-status"}}
    first = owners(pod(reference("a")), status, [])
    assert first == [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "u-a"}]
    assert [one["name"] for one in owners(pod(reference("b")), status, first)] == ["a", "b"]
    assert [one["kind"] for one in owners(pod(), status, [])] == ["SecretProviderClassPodStatus"]
