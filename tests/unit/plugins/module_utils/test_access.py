"""Opening and closing the platform's doors: nobody else's rule is lost, and nothing of ours stays."""

from __future__ import annotations

import copy
import datetime
import io
import json
from unittest import mock
from urllib.error import HTTPError

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _access, _access_plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 11, 24, 3, tzinfo=datetime.UTC)
ADDRESS = "198.51.100.7"
SERVICES = {"state": "/state", "vault": "/vault", "api_server": "/cluster"}


class Arm:
    """Keeps bodies as ARM does: PATCH replaces a property of the first level, tags are merged by their own route."""

    def __init__(self) -> None:
        self.bodies = {
            "/state": {
                "name": "state",
                "tags": {"owner": "team"},
                "properties": {
                    "primaryEndpoints": {"blob": "https://state"},
                    "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "192.0.2.1", "action": "Allow"}]},
                },
            },
            "/vault": {
                "name": "vault",
                "properties": {
                    "vaultUri": "https://vault",
                    "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "192.0.2.0/24"}]},
                },
            },
            "/cluster": {
                "name": "cluster",
                "eTag": "1",
                "properties": {"fqdn": "api", "apiServerAccessProfile": {"authorizedIPRanges": ["192.0.2.1/32"]}},
            },
        }
        self.writes: list[str] = []
        self.broken: set[str] = set()

    def get(self, path, version):
        return copy.deepcopy(self.bodies.get(path))

    def put(self, path, version, body, etag=None):
        old = self.bodies[path]
        assert etag == old["eTag"]
        assert "eTag" not in body
        return self._write(path, {**old, "properties": {**old["properties"], **body["properties"]}})

    def patch(self, path, version, body, etag=None):
        if path.endswith("/tags/default"):
            tags = self.bodies[path.partition("/providers")[0]]["tags"]
            for name, value in body["properties"]["tags"].items():
                if body["operation"] == "Merge":
                    tags[name] = value
                else:
                    assert tags.pop(name) == value
            return body
        whole = self.get(path, version)
        whole["properties"].update(body["properties"])
        return self._write(path, whole)

    def _write(self, path, body):
        if path in self.broken:
            raise AksPlatformError(f"{path} is broken.")
        self.bodies[path] = copy.deepcopy(body)
        self.writes.append(path)
        return body

    def rules(self):
        return {kind: _access_plan.rules(kind, self.bodies[path]) for kind, path in SERVICES.items()}


def doors(arm, holder="one", address=ADDRESS):
    """Doors of a host with that address, whose probe follows the firewalls."""
    kinds = {"state": "state", "vault": "vault", "cluster": "api_server"}

    def probe(endpoint, credential):
        kind = kinds[endpoint.name]
        listed = _access_plan.is_listed(kind, arm.bodies[SERVICES[kind]], address)
        return None if listed else f"{endpoint.name} is closed."

    return _access.Doors(arm, None, SERVICES, holder=holder, timeout=0, interval=0, probe=probe)


def test_opens_what_refuses_and_closes_it_again():
    arm = Arm()
    before = copy.deepcopy(arm.bodies)
    opened = doors(arm).open(["state", "vault", "api_server"], [], ADDRESS, dry=False)
    assert opened["opened"] == ["state", "vault", "api_server"]
    assert arm.rules() == {
        "state": ["192.0.2.1", ADDRESS],
        "vault": ["192.0.2.0/24", f"{ADDRESS}/32"],
        "api_server": ["192.0.2.1/32", f"{ADDRESS}/32"],
    }
    assert opened["record"] == {name: value for name, value in arm.bodies["/state"]["tags"].items() if name != "owner"}
    assert doors(arm).close(dry=False) == {"closed": ["api_server", "state", "vault"]}
    assert arm.bodies == before


def test_what_still_answers_though_its_firewall_is_closed_is_opened():
    arm = Arm()
    late = _access.Doors(arm, None, SERVICES, holder="one", timeout=0, interval=0, probe=lambda *_: None)
    assert late.open(["state", "vault", "api_server"], [], ADDRESS, dry=False)["opened"] == [
        "state",
        "vault",
        "api_server",
    ]


def test_what_answers_by_a_private_endpoint_or_a_standing_block_is_left_alone():
    arm = Arm()
    arm.bodies["/state"]["properties"]["networkAcls"]["ipRules"].append({"value": ADDRESS.rpartition(".")[0] + ".0/24"})
    arm.bodies["/vault"]["properties"]["privateEndpointConnections"] = [{"id": "/connection"}]
    before = copy.deepcopy(arm.bodies)
    near = _access.Doors(arm, None, SERVICES, holder="one", timeout=0, interval=0, probe=lambda *_: None)
    assert near.open(["state", "vault"], [], ADDRESS, dry=False)["opened"] == []
    assert arm.bodies == before


def test_a_standing_rule_of_the_same_address_stays():
    arm = Arm()
    arm.bodies["/vault"]["properties"]["networkAcls"]["ipRules"].append({"value": f"{ADDRESS}/32"})
    before = copy.deepcopy(arm.bodies)
    assert doors(arm).open(["state", "vault"], [], ADDRESS, dry=False)["opened"] == ["state"]
    doors(arm).close(dry=False)
    assert arm.bodies == before


def test_two_hosts_behind_one_address_do_not_shut_each_other_out():
    arm = Arm()
    before = copy.deepcopy(arm.bodies)
    doors(arm, "one").open(["state", "vault"], [], ADDRESS, dry=False)
    record = _access_plan.Record("two", ADDRESS, ("state", "vault"), _access._now())
    arm.bodies["/state"]["tags"][_access_plan.TAG + "two"] = record.value
    doors(arm, "one").close(dry=False)
    assert f"{ADDRESS}/32" in arm.rules()["vault"]
    doors(arm, "two").close(dry=False)
    assert arm.bodies == before


def test_the_next_run_closes_what_a_killed_one_left_even_from_another_address():
    arm = Arm()
    before = copy.deepcopy(arm.bodies)
    doors(arm).open(["state", "vault", "api_server"], [], ADDRESS, dry=False)
    other = doors(arm, address="198.51.100.8")
    assert other.open(["state"], [], "198.51.100.8", dry=False)["opened"] == ["state"]
    assert arm.rules()["vault"] == ["192.0.2.0/24"]
    other.close(dry=False)
    assert arm.bodies == before


def test_another_host_is_closed_only_after_half_a_day():
    arm = Arm()
    before = copy.deepcopy(arm.bodies)
    doors(arm, "gone").open(["vault"], [], ADDRESS, dry=False)
    assert doors(arm).close(dry=False) == {"closed": []}
    tag = _access_plan.TAG + "gone"
    arm.bodies["/state"]["tags"][tag] = f"{ADDRESS} vault 2026-01-01T00:00:00Z"
    assert doors(arm).close(dry=False) == {"closed": ["vault"]}
    assert arm.bodies == before


@pytest.mark.parametrize("access", ["inside", "allowlist"])
@pytest.mark.parametrize("dry", [False, True])
def test_a_run_of_either_access_closes_what_a_killed_one_of_its_host_left(monkeypatch, access, dry):
    arm = Arm()
    before = copy.deepcopy(arm.bodies)
    doors(arm).open(["state", "vault"], [], ADDRESS, dry=False)
    left = copy.deepcopy(arm.bodies)
    monkeypatch.setattr(_access._arm, "ArmClient", lambda *_, **__: arm)
    monkeypatch.setattr(_access._auth, "credential", lambda params: None)
    monkeypatch.setattr(_access._auth, "arm_endpoint", lambda params: "")
    module = mock.Mock(check_mode=dry)
    module.params = {
        "state": "closed",
        "access": access,
        "services": SERVICES,
        "holder": "one",
        "wait_timeout": 0,
        "wait_sleep": 0,
    }
    module.exit_json.side_effect = SystemExit
    with pytest.raises(SystemExit):
        _access.run(module)
    module.exit_json.assert_called_once_with(changed=True, closed=["state", "vault"])
    assert arm.bodies == (left if dry else before)


def test_a_door_that_does_not_close_stays_on_record():
    arm = Arm()
    doors(arm).open(["state", "vault"], [], ADDRESS, dry=False)
    arm.broken = {"/vault"}
    with pytest.raises(AksPlatformError, match="vault is broken"):
        doors(arm).close(dry=False)
    arm.broken = set()
    assert doors(arm).close(dry=False) == {"closed": ["state", "vault"]}


def test_check_mode_opens_nothing():
    arm = Arm()
    with pytest.raises(AksPlatformError, match="Check mode opens no door, and vault is closed"):
        doors(arm).open(["vault"], [], ADDRESS, dry=True)
    assert arm.writes == []


@pytest.mark.parametrize(
    ("kind", "properties", "said"),
    [
        ("api_server", {"apiServerAccessProfile": {"enablePrivateCluster": True}}, "is private"),
        ("vault", {"publicNetworkAccess": "Disabled"}, "run playbooks/infrastructure.yml"),
        ("postgresql", {}, "PostgreSQL server x is refused with access allowlist"),
    ],
)
def test_what_cannot_be_opened_is_told(kind, properties, said):
    assert said in _access_plan.cannot_open(kind, {"name": "x", "properties": properties})


@pytest.mark.parametrize("text", ["10.1.2.3", "172.20.0.1", "2001:db8::1", "nonsense", "198.51.100.7/24"])
def test_addresses_that_no_firewall_takes(text):
    with pytest.raises(AksPlatformError, match=text.replace(".", r"\.")):
        _access_plan.checked_address(text)


def test_the_vault_tells_the_address():
    message = (
        "Client address is not authorized and caller is not a trusted service.\r\nClient address: 198.51.100.7\r\n"
    )
    body = json.dumps({"error": {"code": "Forbidden", "message": message}}).encode()

    class Credential:
        def get_token(self, scope):
            return type("Token", (), {"token": "x"})

    def opener(url, **_):
        raise HTTPError(url, 403, "Forbidden", {}, io.BytesIO(body))

    assert _access.refused_address("https://vault", Credential(), opener) == ADDRESS


RULES = st.lists(st.ip_addresses(v=4).map(str), max_size=6, unique=True)


@given(st.sampled_from(_access_plan.OPENABLE), RULES, st.ip_addresses(v=4).map(str))
def test_listing_and_unlisting_gives_back_what_was_there(kind, listed, address):
    listed = [item for item in listed if item != address]
    if kind == "api_server":
        body = {"properties": {"apiServerAccessProfile": {"authorizedIPRanges": listed, "enableVnetIntegration": True}}}
    else:
        rules = [{"value": item, "action": "Allow"} for item in listed]
        body = {"properties": {"networkAcls": {"bypass": "None", "defaultAction": "Deny", "ipRules": rules}}}
    opened = _access_plan.changed_body(kind, body, address, listed=True)
    assert _access_plan.is_listed(kind, opened, address)
    assert _access_plan.rules(kind, opened)[:-1] == listed
    assert _access_plan.changed_body(kind, opened, address, listed=True) is None
    assert _access_plan.changed_body(kind, opened, address, listed=False) == body


@given(st.sampled_from(_access_plan.OPENABLE), st.text("aZ9-_. ", max_size=80))
def test_a_record_is_read_as_it_was_written(door, name):
    record = _access_plan.Record(_access_plan.holder_of(name), ADDRESS, (door,), NOW)
    assert _access_plan.records({_access_plan.TAG + record.holder: record.value, "other": "x"}) == [record]
