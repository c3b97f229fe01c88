from __future__ import annotations

import copy
import ipaddress
import re
from pathlib import Path

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _names, _preflight_inputs
from ansible_collections.aksops.platform.plugins.module_utils._preflight_rules import Each, Field, network
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[4]
GOOD = {
    "subscription_id": "11111111-1111-1111-1111-111111111111",
    "tenant_id": "22222222-2222-2222-2222-222222222222",
    "environment": "production-weu",
    "location": "westeurope",
    "operators": {"team": {"object_id": "33333333-3333-3333-3333-333333333333"}},
}
VNET = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/spoke"


def check(**changes):
    return _preflight_inputs.check({**copy.deepcopy(GOOD), **changes}, "infrastructure_")


def test_the_defaults_work():
    assert check() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": "a--b"}, "environment is a--b: it must be 2 to 14"),
        ({"environment": "a" * 15}, "environment is"),
        ({"location": "West Europe"}, "short name in lower case, as in westeurope"),
        ({"locaton": "westeurope"}, "infrastructure_locaton is not an input of the platform: did you mean infrastr"),
        ({"operators": {}}, "operators is empty"),
        ({"operators": None}, "operators is missing"),
        ({"operators": {"me": {}}}, "operators.me.object_id is missing"),
        ({"operators": {"me": {"object_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12}}}, "a GUID of your own"),
        ({"zones": ["1", "1"]}, "a list without repetitions"),
        ({"zones": [1]}, "each item is 1, 2 or 3"),
        ({"access": "outside"}, "it must be inside or allowlist"),
        (
            {"kubernetes": {"verison": "1.36"}},
            "kubernetes.verison is not known and would be ignored: did you mean version",
        ),
        ({"kubernetes": {"version": 1.36}}, "a minor version as text"),
        ({"kubernetes": {"version": "1.36.3"}}, "AKS chooses the patch"),
        ({"kubernetes": "1.36"}, 'kubernetes is "1.36": it must be a dictionary'),
        ({"kubernetes": {"user_pools": {"system": {}}}}, "and not system"),
        ({"kubernetes": {"user_pools": {}}}, "user_pools is empty"),
        ({"kubernetes": {"system_pool": {"min_count": 4, "max_count": 2}}}, "min_count 4 above max_count 2"),
        ({"kubernetes": {"api_server": {"authorized_ip_ranges": ["1.2.3.4/32"]}}}, "no effect on a private API server"),
        ({"kubernetes": {"pod_cidr": "10.40.0.0/16"}}, "overlaps infrastructure_network.address_space"),
        ({"kubernetes": {"service_cidr": "192.168.128.0/20"}}, "overlaps infrastructure_kubernetes.service_cidr"),
        ({"kubernetes": {"service_cidr": "172.30.4.0/24"}}, "the range that AKS keeps for itself"),
        ({"kubernetes": {"pod_cidr": "192.168.0.0/21"}}, "has room for 8 nodes"),
        ({"network": {"address_space": ["10.40.0.1/16"]}}, "did you mean 10.40.0.0/16?"),
        ({"network": {"subnets": {"aks": "10.40.0.0/20"}}}, "lacks api_server"),
        ({"network": {"vnet_id": VNET}}, "subnet_ids lacks aks, api_server"),
        ({"network": {"vnet_id": "spoke"}}, "the id of a resource of type Microsoft.Network/virtualNetworks"),
        ({"postgresql": {"version": "13"}}, "it must be 14, 15, 16, 17 or 18"),
        ({"postgresql": {"version": 18}}, "postgresql.version is 18"),
        ({"postgresql": {"sku_name": "B_Standard_B2s"}}, "burstable sizes"),
        ({"postgresql": {"storage_mb": 100000}}, "postgresql.storage_mb is 100000"),
        ({"postgresql": {"zone": "2"}}, "they must differ"),
        ({"postgresql": {"databases": {"postgres": {}}}}, "none of the server's own databases"),
        ({"zones": ["1"]}, "postgresql.standby_zone is 2, which is not among"),
        ({"zones": []}, "zones is empty: choose SameZone"),
        ({"service_bus": {"capacity": 1, "partitions": 2}}, "no multiple of"),
        ({"redis": {"sku_name": "Premium"}}, "as in Balanced_B3"),
        ({"key_vault": {"soft_delete_retention_days": 91}}, "from 7 to 90"),
        ({"key_vault": {"purge_protection": "yes"}}, "true or false"),
        ({"storage": {"containers": ["A"]}}, "3 to 63 lower-case letters"),
        ({"application_gateway": {"min_capacity": 9, "max_capacity": 3}}, "is above max_capacity"),
        ({"workload_identities": {"kubelet": {"namespace": "a", "service_account": "b"}}}, "and not control-plane"),
    ],
)
def test_one_sentence_names_what_is_wrong(changes, words):
    found = [text for text in check(**changes) if words in text]
    assert len(found) == 1
    assert found[0].endswith((".", "?", ").", ")"))


def test_all_problems_come_at_once():
    assert len(check(environment="X", location="Y", redis={"kind": "none"})) == 3


def test_a_given_network_is_not_judged_by_the_default_subnets():
    ids = {key: f"{VNET}/subnets/{key}" for key in _preflight_inputs.SUBNETS}
    assert check(network={"vnet_id": VNET, "subnet_ids": ids}, kubernetes={"pod_cidr": "10.40.0.0/16"}) == []


blocks = st.builds(
    lambda address, length: str(ipaddress.ip_network((address, length), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


def contains_common_address(one, two):
    left, right = ipaddress.ip_network(one), ipaddress.ip_network(two)
    low = max(int(left.network_address), int(right.network_address))
    return low <= min(int(left.broadcast_address), int(right.broadcast_address))


@given(st.lists(blocks, max_size=6))
def test_overlaps_are_the_pairs_that_share_an_address(values):
    named = [(str(index), value) for index, value in enumerate(values)]
    expected = {
        (one, two)
        for one, left in named
        for two, right in named
        if int(one) < int(two) and contains_common_address(left, right)
    }
    assert set(_preflight_inputs.overlaps(named)) == expected


@given(blocks, st.integers(1, 2**31))
def test_a_block_with_host_bits_is_no_block(value, bits):
    block = ipaddress.ip_network(value)
    spoiled = ipaddress.ip_address(int(block.network_address) | (bits % block.num_addresses))
    assert (network(f"{spoiled}/{block.prefixlen}") is None) == (spoiled != block.network_address)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_nonsense_is_a_sentence_and_never_an_error(value):
    for key in _preflight_inputs.SCHEMA:
        assert all(isinstance(text, str) for text in check(**{key: value}))


def test_nonsense_inside_objects_is_never_an_error():
    for key, part in _preflight_inputs.SCHEMA.items():
        if isinstance(part, dict):
            for inner in part:
                for value in (None, 7, "x", [], {}, ["x"], {"x": None}, {"x": "y"}, True):
                    check(**{key: {inner: value}})


# -- the same facts stand in terraform/ -------------------------------------------------------------------------------


def terraform(name):
    return (ROOT / "terraform" / name).read_text()


def terraform_block(variable):
    text = terraform("variables.tf")
    start = text.index(f'variable "{variable}"')
    return text[start : text.find("\nvariable ", start + 1)]


def test_the_inputs_are_terraforms_variables():
    declared = set(re.findall(r'^variable "(\w+)"', terraform("variables.tf"), re.M))
    ephemeral = {name for name in declared if re.search(r"^  ephemeral\s+= true", terraform_block(name), re.M)}
    assert set(_preflight_inputs.SCHEMA) == declared - ephemeral


def leaves(part):
    for key, item in part.items():
        if isinstance(item, Field):
            yield key, item.default
        elif isinstance(item, dict):
            yield from leaves(item)
        elif isinstance(item, Each) and isinstance(item.values, dict):
            yield from leaves(item.values)


@pytest.mark.parametrize("variable", [key for key, part in _preflight_inputs.SCHEMA.items() if isinstance(part, dict)])
def test_keys_and_defaults_are_terraforms(variable):
    block = terraform_block(variable)
    for key, default in leaves(_preflight_inputs.SCHEMA[variable]):
        found = re.findall(rf"^\s*{key}\s+= optional\((?:\w+(?:\(\w+\))?)(?:, (.+))?\)$", block, re.M)
        found += re.findall(rf"[{{,] {key} = optional\(\w+, ([^)]*)\)", block)
        if not found:
            assert default is None, f"{variable}.{key}"
            assert re.search(rf"\b{key}\s*=", block), f"{variable}.{key} is not an attribute of the variable"
            continue
        words = {str(value).strip('"').replace('"', "") for value in found}
        shown = (
            ""
            if default is None
            else str(default).lower()
            if isinstance(default, bool)
            else str(default).replace("'", "")
        )
        assert shown in words, f"{variable}.{key}: {shown} is not among {words}"


@pytest.mark.parametrize("variable", [key for key, part in _preflight_inputs.SCHEMA.items() if isinstance(part, dict)])
def test_no_key_of_terraforms_objects_is_unknown_here(variable):
    known = set()

    def collect(part):
        for key, item in part.items():
            known.add(key)
            if isinstance(item, dict):
                collect(item)
            elif isinstance(item, Each) and isinstance(item.values, dict):
                collect(item.values)

    collect(_preflight_inputs.SCHEMA[variable])
    declared = set(re.findall(r"(\w+)\s*= optional\(", terraform_block(variable)))
    assert declared <= known


def test_names_are_terraforms():
    text = terraform("main.tf")
    assert 'sha1("${var.subscription_id}/${var.name_prefix}/${var.environment}"), 0, 6' in text
    names = _names.names(_preflight_inputs.effective({**GOOD, "name_prefix": "shop"}))
    tail = names["key_vault"].rsplit("-", 1)[-1]
    assert re.fullmatch("[0-9a-f]{6}", tail)
    local = {
        "${local.name}": "shop-production-weu",
        "${local.compact}": f"productionweu{tail}",
        "${local.unique}": f"production-weu-{tail}",
    }
    for key, expression in {
        "resource_group": "rg-${local.name}",
        "node_resource_group": "rg-${local.name}-nodes",
        "cluster": "aks-${local.name}",
        "key_vault": "kv-${local.unique}",
        "storage": "st${local.compact}",
        "registry": "acr${local.compact}",
        "service_bus": "sb-${local.unique}",
        "redis": "redis-${local.unique}",
        "postgresql": "psql-${local.unique}",
    }.items():
        assert f'"{expression}"' in text
        for word, value in local.items():
            expression = expression.replace(word, value)
        assert names[key] == expression
    assert len(names["key_vault"]) <= 24
    assert len(names["storage"]) <= 24
