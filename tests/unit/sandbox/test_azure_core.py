"""Ids, merge patches, the store, roles, tokens and certificates of the sandbox, without a server."""

from __future__ import annotations

import ssl
import uuid

import pytest
from aksops_sandbox.azure.certificates import Certificates
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.ids import parse
from aksops_sandbox.azure.rbac import Rbac
from aksops_sandbox.azure.resource_type import merge
from aksops_sandbox.azure.status import accepted, choose
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.azure.tokens import Tokens
from aksops_sandbox.http.faults import Faults
from aksops_sandbox.http.message import Request
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", min_size=1, max_size=2), JSON, max_size=4)


@given(group=NAMES, names=st.lists(NAMES, min_size=1, max_size=3), collection=st.booleans())
def test_an_id_is_taken_apart_and_put_together_again(group, names, collection):
    types = [f"type{place}" for place in range(len(names))]
    path = f"{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Made"
    path += "".join(f"/{kind}/{name}" for kind, name in zip(types, names, strict=True))
    rid = parse(path + ("/more" if collection else ""))
    assert str(rid) == path + ("/more" if collection else "")
    assert rid.is_collection is collection
    assert rid.resource_group == group
    assert rid.type == "/".join(["Microsoft.Made", *types, *(["more"] if collection else [])])
    if collection:
        assert rid.parent == path


def test_an_extension_stands_below_the_resource_it_extends():
    vault = f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v"
    rid = parse(f"{vault}/providers/Microsoft.Authorization/locks/l")
    assert (rid.parent, rid.type, rid.name) == (vault, "Microsoft.Authorization/locks", "l")


@given(base=OBJECTS, change=OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(base, change):
    once = merge(base, change)
    assert merge(once, change) == once
    assert all(key not in once for key, value in change.items() if value is None)
    assert all(once[key] == base[key] for key in base.keys() - change.keys())


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), NAMES, st.integers()), max_size=20))
def test_the_store_is_a_mapping_without_case_that_survives_its_process(tmp_path_factory, steps):
    file = tmp_path_factory.mktemp("store") / "store.sqlite"
    store, model = Store(file), {}
    for keep, name, value in steps:
        id_ = f"{SUBSCRIPTION}/resourceGroups/{name}"
        if keep:
            store.put(Resource(id_, name, "made/up", properties={"value": value}))
            model[id_.lower()] = value
        else:
            assert store.delete(id_.upper()) is (model.pop(id_.lower(), None) is not None)
    again = Store(file)
    for held in (store, again):
        assert {item.id.lower(): item.properties["value"] for item in held.list(type="Made/Up")} == model
    store.close()
    again.close()


def test_what_the_store_gives_is_a_copy(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    store.put(Resource("/a", "a", "t", properties={"x": 1}))
    store.get("/A").properties["x"] = 2
    assert store.get("/a").properties == {"x": 1}


@pytest.mark.parametrize(
    ("role", "action", "scope", "data", "allowed"),
    [
        ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Microsoft.Made/ups/write", "/resourceGroups/g", False, True),
        ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Microsoft.KeyVault/vaults/secrets/getSecret/action", "", True, False),
        ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Microsoft.Made/ups/read", "/resourceGroups/g", False, True),
        ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Microsoft.Made/ups/write", "/resourceGroups/g", False, False),
        (
            "b24988ac-6180-42a0-ab88-20f7382dd24c",
            "Microsoft.Authorization/roleAssignments/write",
            "/resourceGroups/g",
            False,
            False,
        ),
        (
            "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
            "Microsoft.KeyVault/vaults/secrets/setSecret/action",
            "/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
            True,
            True,
        ),
    ],
)
def test_a_role_grants_its_actions_below_its_scope(tmp_path, role, action, scope, data, allowed):
    rbac = Rbac(Store(tmp_path / "store.sqlite"))
    rbac.assign("someone", role, SUBSCRIPTION)
    assert rbac.allowed("someone", action, SUBSCRIPTION + scope, data) is allowed
    assert not rbac.allowed("nobody", action, SUBSCRIPTION + scope, data)
    assert not rbac.allowed("someone", action, "/subscriptions/other" + scope, data)


def test_a_token_is_for_one_audience_and_from_one_key(tmp_path):
    tenant = str(uuid.uuid4())
    ours, theirs = Tokens(tmp_path / "ours.key", tenant), Tokens(tmp_path / "theirs.key", tenant)
    token = ours.issue("oid", tenant, "https://vault.azure.net", "app")
    assert ours.verify(token, ["https://vault.azure.net/"])["oid"] == "oid"
    for verify in (lambda: ours.verify(token, ["https://storage.azure.com"]), lambda: theirs.verify(token)):
        with pytest.raises(AzureError) as refused:
            verify()
        assert refused.value.status == 401
    expired = ours.issue("oid", tenant, "https://vault.azure.net", lifetime=-10)
    with pytest.raises(AzureError, match="expired"):
        ours.verify(expired)


def test_certificates_pass_strict_verification(tmp_path):
    certificates = Certificates(tmp_path)
    leaf, _ = certificates.leaf(["vault.example", "127.0.0.1"])
    store = x509.verification.Store([x509.load_pem_x509_certificate(certificates.ca_path.read_bytes())])
    verifier = x509.verification.PolicyBuilder().store(store).build_server_verifier(x509.DNSName("vault.example"))
    verifier.verify(x509.load_pem_x509_certificates(leaf.read_bytes())[0], [])
    assert Certificates(tmp_path).leaf(["vault.example", "127.0.0.1"])[0].read_bytes() == leaf.read_bytes()
    assert isinstance(certificates.server_context("vault.example"), ssl.SSLContext)


def test_the_status_table_decides_the_code():
    assert accepted("postgresql/2025-08-01/servers", "PUT") == {202}
    assert choose("postgresql/2025-08-01/servers", "PUT", (201, 200, 202)) == 202
    assert choose("not/in/table", "PUT", (201, 200)) == 201


def _request(host: str = "a.vault.azure.net") -> Request:
    return Request("GET", host, 443, "/secrets/x", {}, {}, b"")


def test_the_same_seed_hits_the_same_requests():
    def draws() -> list[int]:
        faults = Faults()
        faults.seed(7)
        faults.add({"kind": "status", "host": "*.vault.azure.net", "rate": 0.3})
        return [len(faults.draw(_request())) for _ in range(50)]

    assert draws() == draws()
    assert 0 < sum(draws()) < 50


def test_a_fault_for_another_host_hits_nothing():
    faults = Faults()
    faults.add({"kind": "reset", "host": "*.vault.azure.net"})
    assert not faults.draw(_request("management.azure.com"))
    with pytest.raises(AzureError, match="one of"):
        faults.add({"kind": "flood"})
