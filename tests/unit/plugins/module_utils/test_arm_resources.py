from __future__ import annotations

import copy

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _arm_resources as res
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError

GROUP = "/subscriptions/s/resourceGroups/g"
ALERT = f"{GROUP}/providers/Microsoft.Insights/actionGroups/a"
RULE = f"{GROUP}/providers/Microsoft.Insights/dataCollectionRules/r"
PRINCIPAL = "99999999-0000-0000-0000-000000000001"


class Arm:
    """A store of resources that counts writes; C(lag) answers so many PUTs of assignments with PrincipalNotFound."""

    def __init__(self, resources=(), lag=0):
        self.store = dict(resources)
        self.lag = lag
        self.log = []

    def get(self, path, _version):
        return copy.deepcopy(self.store.get(path))

    def list(self, path, _version):
        scope = path.partition("/providers/Microsoft.Authorization")[0]
        return [item for item in self.store.values() if (item.get("properties") or {}).get("scope") == scope]

    def put(self, path, _version, body):
        if "roleAssignments" in path and self.lag:
            self.lag -= 1
            raise ArmError(status=400, code="PrincipalNotFound", message="not yet")
        self.log.append(("put", path.rsplit("/", 1)[-1]))
        self.store[path] = {"id": path, **copy.deepcopy(body)}
        if "roleAssignments" in path:
            self.store[path]["properties"]["scope"] = path.partition("/providers/Microsoft.Authorization")[0]
        return self.store[path]

    def delete(self, path, _version):
        self.log.append(("delete", path.rsplit("/", 1)[-1]))
        return self.store.pop(path, None) is not None


def converge(arm, resources=(), roles=(), check_mode=False, patience=10):
    steps = res.read(arm, resources, roles, check_mode=check_mode)
    if not check_mode:
        res.write(arm, steps, patience=patience, interval=0, sleep=lambda _s: None)
    return [step.action for step in steps]


RESOURCES = [{"id": RULE, "body": {"properties": {"v": 1}}}, {"id": ALERT, "body": {"location": "global"}}]
ROLES = [{"scope": RULE, "role": "Monitoring Metrics Publisher", "principal_id": PRINCIPAL}]


def test_create_in_order_then_rest_then_remove_in_reverse():
    arm = Arm()
    assert converge(arm, RESOURCES, ROLES, check_mode=True) == ["create"] * 3
    assert arm.log == []
    assert converge(arm, RESOURCES, ROLES) == ["create"] * 3
    assert [name for _, name in arm.log][:2] == ["r", "a"]
    made = len(arm.log)
    assert converge(arm, RESOURCES, ROLES) == ["none"] * 3
    assert len(arm.log) == made
    gone = [{**item, "state": "absent"} for item in RESOURCES], [{**item, "state": "absent"} for item in ROLES]
    assert converge(arm, *gone) == ["delete"] * 3
    assert [name for _, name in arm.log][-2:] == ["a", "r"]
    assert arm.store == {}
    assert converge(arm, *gone) == ["none", "none"]


def test_update_keeps_what_others_wrote():
    arm = Arm({RULE: {"id": RULE, "tags": {"x": "y"}, "properties": {"v": 0, "w": 2}}})
    steps = res.read(arm, RESOURCES[:1], [], check_mode=False)
    assert steps[0].differences == ["properties.v"]
    res.write(arm, steps, patience=0)
    assert arm.store[RULE] == {"id": RULE, "tags": {"x": "y"}, "properties": {"v": 1, "w": 2}}


def test_principal_that_entra_does_not_know_yet_is_awaited_for_a_bounded_time():
    assert converge(Arm(lag=3), roles=ROLES) == ["create"]
    with pytest.raises(ArmError, match="PrincipalNotFound"):
        converge(Arm(lag=3), roles=ROLES, patience=0)


def test_assignment_under_another_name_counts_as_present():
    other = f"{RULE}/providers/Microsoft.Authorization/roleAssignments/by-hand"
    properties = {
        "scope": RULE,
        "principalId": PRINCIPAL,
        "roleDefinitionId": "/x/3913510d-42f4-4e42-8a64-420c390055eb",
    }
    arm = Arm({other: {"id": other, "properties": properties}})
    assert converge(arm, roles=ROLES) == ["none"]
    assert converge(arm, roles=[{**ROLES[0], "state": "absent"}]) == ["delete"]
    assert arm.store == {}


def test_principal_may_be_unknown_in_check_mode_only():
    role = [{"scope": RULE, "role": "Reader", "principal_id": ""}]
    assert converge(Arm(), roles=role, check_mode=True) == ["create"]
    with pytest.raises(AksPlatformError, match="needs a principal_id"):
        converge(Arm(), roles=role)


def test_unknown_type_needs_a_version():
    with pytest.raises(AksPlatformError, match="api_version"):
        converge(Arm(), [{"id": f"{GROUP}/providers/Microsoft.New/things/t"}])


def test_value_that_the_service_keeps_differently_is_a_warning():
    class Stubborn(Arm):
        def put(self, path, version, body):
            super().put(path, version, body)
            return {"properties": {"v": 7}}

    arm = Stubborn()
    steps = res.read(arm, RESOURCES[:1], [], check_mode=False)
    assert res.write(arm, steps, patience=0) == [f"{RULE}: the service keeps another value at properties.v."]
