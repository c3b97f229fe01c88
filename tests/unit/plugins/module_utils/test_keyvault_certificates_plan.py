"""Which certificates Key Vault is asked for, and when a new version is needed."""

from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_certificates_plan as plan
from hypothesis import given
from hypothesis import strategies as st


def item(**changes):
    return {
        "name": "shop",
        "dns_names": ["shop.example.com"],
        "subject": None,
        "issuer": "Self",
        "key_size": 2048,
        "validity_months": 12,
        "renew_at_percent": 80,
    } | changes


def bundle(**changes):
    return {"id": "https://kv/certificates/shop/1", "policy": plan.policy(item(**changes))}


def test_an_absent_certificate_is_made():
    assert plan.differences(None, item()) == ["absent"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dns_names": ["shop.example.com", "www.example.com"]}, "names"),
        ({"subject": "CN=other"}, "subject"),
        ({"issuer": "DigiCert"}, "issuer"),
    ],
)
def test_other_names_or_another_authority_need_a_new_version(changes, named):
    assert named in " ".join(plan.differences(bundle(), item(**changes)))


def test_what_only_shapes_the_next_version_replaces_nothing():
    assert plan.differences(bundle(), item(key_size=4096, validity_months=24, renew_at_percent=50)) == []


@given(names=st.lists(st.sampled_from(["a.example", "b.example", "c.example"]), min_size=1, unique=True))
def test_what_was_made_by_a_policy_is_not_made_again(names):
    wanted = item(dns_names=names, subject="CN=A, O=Shop")
    held = bundle(dns_names=list(reversed(names)), subject="CN=a,O=shop")
    assert plan.differences(held, wanted) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "no_dots"}, "no name"),
        ({"dns_names": []}, "needs a subject"),
        ({"validity_months": 0}, "months"),
        ({"renew_at_percent": 100}, "percent"),
    ],
)
def test_what_key_vault_would_refuse_is_named_before(changes, said):
    assert said in " ".join(plan.problems([item(**changes)]))


def test_a_name_twice_is_refused():
    assert plan.problems([item(), item(name="Shop")])
    assert plan.problems([item()]) == []
