from __future__ import annotations

import base64
import copy
from pathlib import Path

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _aks
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError

PATH = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/aks"
POLICY = {"azure_policy": {"enabled": True}}


class Arm:
    """A cluster that keeps what is PUT, checks the ETag and can be busy, deaf or written by someone else."""

    def __init__(self, cluster=None, *, rivals=0, busy_states=(), deaf=False):
        self.cluster = cluster
        self.rivals, self.busy_states, self.deaf = rivals, list(busy_states), deaf
        self.puts = []

    def get(self, path, version):
        assert (path, version) == (PATH, _aks.API_VERSION)
        if self.cluster is None:
            return None
        found = copy.deepcopy(self.cluster)
        if self.busy_states:
            found["properties"]["provisioningState"] = self.busy_states.pop(0)
        return found

    def put(self, path, version, body, etag=None, wait=True):
        self.puts.append((etag, wait))
        if self.rivals:
            self.rivals -= 1
            self.cluster["eTag"] += "x"
            self.cluster["tags"] = {"rival": str(self.rivals)}
        if etag != self.cluster["eTag"]:
            raise ArmError(status=412, code="PreconditionFailed", message="etag")
        if not self.deaf:
            self.cluster = {**copy.deepcopy(body), "eTag": etag + "+"}
        return self.cluster


def cluster():
    return {"eTag": "e", "tags": {}, "properties": {"provisioningState": "Succeeded"}}


def apply(arm, wish=POLICY, **kwargs):
    options = {"check_mode": False, "interval": 0, "timeout": 5, "sleep": lambda _s: None}
    return _aks.apply_addons(arm, PATH, wish, **{**options, **kwargs})


def test_second_run_writes_nothing():
    arm = Arm(cluster())
    assert apply(arm)[0].changes == ["azure_policy.enabled: off -> on"]
    assert apply(arm)[0].changes == []
    assert arm.puts == [("e", True)]


def test_check_mode_says_the_same_and_writes_nothing():
    arm = Arm(cluster())
    promised = apply(arm, check_mode=True)[0]
    assert arm.puts == []
    assert promised == apply(arm)[0]


def test_a_rivals_write_is_kept():
    arm = Arm(cluster(), rivals=2)
    apply(arm)
    assert len(arm.puts) == 3
    assert arm.cluster["tags"] == {"rival": "0"}
    assert arm.cluster["properties"]["addonProfiles"]["azurepolicy"]["enabled"] is True


def test_waits_while_another_operation_is_at_work():
    arm = Arm(cluster(), busy_states=["Updating", "Updating"])
    apply(arm)
    assert len(arm.puts) == 1


def test_what_aks_accepts_and_does_not_do_is_an_error():
    with pytest.raises(AksPlatformError, match=r"did not carry it out: azure_policy\.enabled"):
        apply(Arm(cluster(), deaf=True))


def test_a_refusal_comes_before_any_write_and_in_check_mode():
    for check_mode in (True, False):
        arm = Arm(cluster())
        with pytest.raises(AksPlatformError, match="needs workspace_id"):
            apply(arm, {"oms_agent": {"enabled": True}}, check_mode=check_mode)
        assert arm.puts == []


def test_absent_cluster():
    off = {"azure_policy": {"enabled": False}}
    assert apply(Arm(), off)[0].changes == []
    assert apply(Arm(), check_mode=True)[0].changes == ["azure_policy.enabled: off -> on, once the cluster aks exists"]
    with pytest.raises(AksPlatformError, match="no cluster aks"):
        apply(Arm())


def test_cluster_id_from_names_or_checked():
    names = {"resource_group": "g", "name": "aks", "subscription_id": "s"}
    assert _aks.cluster_id(names, {}) == PATH
    assert _aks.cluster_id({"cluster_id": PATH}, {}) == PATH
    with pytest.raises(AksPlatformError, match="not the id of"):
        _aks.cluster_id({"cluster_id": "/subscriptions/s"}, {})


class Kubeconfig:
    def __init__(self, text=None, error=None):
        self.text, self.error = text, error

    def post(self, path, _version, _body=None):
        assert path == f"{PATH}/listClusterUserCredential?format=exec"
        if self.error:
            raise self.error
        return {"kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(self.text.encode()).decode()}]}


def test_door_takes_address_and_ca_from_the_user_credential():
    data = base64.b64encode(b"PEM").decode()
    text = f"clusters: [{{name: aks, cluster: {{server: 'https://h:443', certificate-authority-data: {data}}}}}]"
    assert _aks.door(Kubeconfig(text), PATH) == ("https://h:443", "PEM")


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (Kubeconfig("clusters: []"), "no kubeconfig"),
        (Kubeconfig(error=ArmError(status=404, code="ResourceNotFound", message="")), "There is no cluster aks"),
        (Kubeconfig(error=ArmError(status=403, code="AuthorizationFailed", message="")), "Cluster User Role"),
    ],
)
def test_door_that_stays_shut_says_why(service, words):
    with pytest.raises(AksPlatformError, match=words):
        _aks.door(service, PATH)


def test_ca_file_is_private_and_stays_only_where_a_path_is_given(tmp_path):
    path = tmp_path / "new" / "ca.pem"
    with _aks.ca_file("PEM", str(path)) as kept:
        pass
    with _aks.ca_file("PEM", None) as temporary, open(temporary) as handle:
        assert handle.read() == "PEM"
    assert str(path) == kept
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["ca.pem"]
    assert not Path(temporary).exists()
