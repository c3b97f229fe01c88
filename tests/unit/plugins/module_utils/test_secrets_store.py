from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _secrets_store, _secrets_store_plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

ITEM = {
    "name": "shop",
    "namespace": "shop",
    "vault_name": "kv-shop",
    "client_id": "c",
    "tenant_id": "t",
    "objects": [{"name": "db-password"}, {"name": "tls", "type": "cert"}],
}


class Cluster:
    def __init__(self, classes=(), status=200):
        self.classes, self.status = list(classes), status
        self.secrets = ("other",)

    def call(self, path, accept=""):
        if path.endswith("/secrets"):
            assert "PartialObjectMetadata" in accept
            return 200, {"items": [{"metadata": {"name": name}} for name in self.secrets]}
        if self.status != 200 and "secretproviderclasses" in path:
            return self.status, {}
        return 200, {"items": self.classes if path.endswith("/secretproviderclasses") else []}


class Vault:
    asked: list

    def __init__(self, name, asked):
        self.name, self.asked = name, asked

    def list(self, path, _version):
        self.asked.append((self.name, path))
        return [] if "tls" in path else [{"id": f"https://x{path}/v1", "attributes": {"created": 1}}]


def test_each_object_is_looked_up_once_in_its_own_collection():
    asked = []
    cluster = Cluster([_secrets_store_plan.provider_class(ITEM)])
    mounts, problems = _secrets_store.look(cluster, [ITEM, ITEM], lambda name: Vault(name, asked))
    assert sorted(asked) == [("kv-shop", "/certificates/tls/versions"), ("kv-shop", "/secrets/db-password/versions")]
    assert mounts == {"shop/shop": 0}
    assert problems == ["shop/shop: cert/tls does not exist, or is disabled, in the vault kv-shop"]


def test_absent_class_is_a_problem_and_absent_driver_an_error():
    assert _secrets_store.look(Cluster(), [ITEM], None)[1] == ["shop/shop: there is no such SecretProviderClass"]
    with pytest.raises(AksPlatformError, match="add-on is not"):
        _secrets_store.look(Cluster(status=404), [ITEM], None)
    with pytest.raises(AksPlatformError, match=r"may not read .* \(HTTP 403\)"):
        _secrets_store.look(Cluster(status=403), [ITEM], None)


def test_names_of_secrets_are_asked_for_where_a_class_syncs_one():
    class Recording(Cluster):
        asked = 0

        def call(self, path, accept=""):
            self.asked += path.endswith("/secrets")
            return super().call(path, accept)

    plain = Recording([_secrets_store_plan.provider_class(ITEM)])
    _secrets_store.look(plain, [ITEM], None)
    synced = Recording([_secrets_store_plan.provider_class({**ITEM, "kubernetes_secret": {"name": "shop"}})])
    _secrets_store.look(synced, [ITEM], None)
    assert (plain.asked, synced.asked) == (0, 1)
