"""Which assignments reach a cluster, and as what."""

from __future__ import annotations

import pytest
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.services.policy import admission, catalog, checks, constraints, subjects

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg"
CLUSTER = Resource(
    f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/shop",
    "shop",
    "Microsoft.ContainerService/managedClusters",
    "westeurope",
)
BASELINE = "/providers/Microsoft.Authorization/policySetDefinitions/a8640138-9b0a-4a28-b8cb-1666c838647d"
PROBES = "/providers/Microsoft.Authorization/policyDefinitions/b1a9997f-2883-4f12-bdff-2280f99b5915"


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store.sqlite")
    made.put(CLUSTER)
    yield made
    made.close()


def assign(store, definition=BASELINE, scope=GROUP, name="a", effect="Deny", **properties):
    item = Resource(f"{scope}/providers/{constraints.ASSIGNMENT}/{name}", name, constraints.ASSIGNMENT)
    item.properties = {
        "policyDefinitionId": definition,
        "scope": scope,
        "parameters": {"effect": {"value": effect}},
        **properties,
    }
    store.put(item)
    return item


def exempt(store, assignment, scope=CLUSTER.id, name="e", **properties):
    item = Resource(f"{scope}/providers/{constraints.EXEMPTION}/{name}", name, constraints.EXEMPTION)
    item.properties = {"policyAssignmentId": assignment.id.upper(), **properties}
    store.put(item)


def effects(store):
    return {item.reference or item.template: item.effect for item in constraints.reach(store, CLUSTER)}


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        (GROUP.upper(), 5),
        (SUBSCRIPTION, 5),
        ("/providers/Microsoft.Management/managementGroups/root", 5),
        (CLUSTER.id, 5),
        (f"{GROUP}2", 0),
        (f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/shop2", 0),
    ],
)
def test_scope_decides(store, scope, count):
    assign(store, scope=scope)
    assert len(effects(store)) == count


def test_an_override_counts_for_the_members_that_it_selects(store):
    selectors = [{"kind": "policyDefinitionReferenceId", "in": ["NoHostPathVolume"]}]
    assign(store, overrides=[{"kind": "policyEffect", "value": "Audit", "selectors": selectors}])
    found = effects(store)
    assert [name for name, effect in found.items() if effect == "audit"] == ["NoHostPathVolume"]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("properties", "left"),
    [
        ({}, 0),
        ({"expiresOn": "2099-01-01T00:00:00Z"}, 0),
        ({"expiresOn": "2020-01-01T00:00:00Z"}, 5),
        ({"policyDefinitionReferenceIds": ["nohostpathvolume"]}, 4),
    ],
)
def test_an_exemption_takes_away_what_it_names_until_it_ends(store, properties, left):
    exempt(store, assign(store), **properties)
    assert len(effects(store)) == left


def test_an_exemption_elsewhere_or_of_another_assignment_takes_nothing(store):
    other = assign(store, PROBES, name="other")
    assign(store)
    exempt(store, other, name="e1")
    exempt(store, assign(store), f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/none", "e2")
    assert len(effects(store)) == 5


def test_an_initiative_of_ones_own_hands_its_parameters_on(store):
    own = Resource(f"{SUBSCRIPTION}/providers/{constraints.SET_DEFINITION}/own", "own", constraints.SET_DEFINITION)
    effect = {"effect": {"value": "[parameters('strength')]"}, "requiredProbes": {"value": ["livenessProbe"]}}
    own.properties = {
        "parameters": {"strength": {"type": "String", "defaultValue": "Deny"}},
        "policyDefinitions": [{"policyDefinitionId": PROBES, "policyDefinitionReferenceId": "p", "parameters": effect}],
    }
    store.put(own)
    assign(store, own.id, parameters={})
    [found] = constraints.reach(store, CLUSTER)
    assert (found.effect, found.reference, found.values["requiredProbes"]) == ("deny", "p", ["livenessProbe"])


@pytest.mark.parametrize(
    ("level", "standard", "expected"),
    [("Warn", "Privileged", {"audit"}), ("Enforce", "Restricted", {"deny"})],
)
def test_deployment_safeguards_count_without_an_assignment(store, level, standard, expected):
    item = Resource(f"{CLUSTER.id}/providers/{constraints.SAFEGUARD}/default", "default", constraints.SAFEGUARD)
    item.properties = {"level": level, "podSecurityStandardsLevel": standard, "excludedNamespaces": ["legacy"]}
    store.put(item)
    found = constraints.reach(store, CLUSTER)
    assert {one.effect for one in found} == expected
    assert len(found) == (3 if standard == "Privileged" else 11)
    assert {one.values["source"] for one in found if one.reference in constraints._BEST_PRACTICES} == {"All"}
    assert all("legacy" in one.values["excludedNamespaces"] for one in found)


def test_names_are_those_of_the_add_on_and_stay(store):
    assign(store)
    names = {item.name for item in constraints.reach(store, CLUSTER)}
    assert {len(name) <= 63 for name in names} == {True}
    assert len([name for name in names if name.startswith("azurepolicy-k8sazurev2noprivilege-")]) == 1
    assert names == {item.name for item in constraints.reach(store, CLUSTER)}


def test_every_template_belongs_to_a_definition_and_every_member_of_the_standards_has_one():
    known = {item.id for item in catalog.DEFINITIONS}
    assert set(checks.TEMPLATES) <= known
    for item in catalog.INITIATIVES:
        assert {member for _reference, member, _passed in item.members} <= set(checks.TEMPLATES)


def test_what_a_constraint_becomes(store):
    assign(store, PROBES, effect="Audit", parameters={"effect": {"value": "Audit"}, "warn": {"value": True}})
    [found] = constraints.reach(store, CLUSTER)
    policy, binding, audit, audit_binding = admission.manifests(found)
    assert binding["spec"]["validationActions"] == ["Warn", "Audit"]
    assert policy["metadata"]["annotations"]["azure-policy-definition-id"] == PROBES
    conditions = {item["name"]: item["expression"] for item in policy["spec"]["matchConditions"]}
    assert "gatekeeper-system" in conditions["excluded"]
    assert audit["spec"]["validations"] == policy["spec"]["validations"]
    assert audit_binding["spec"]["policyName"] == audit["metadata"]["name"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("shop", '== "shop"'),
        ("shop-*", 'startsWith("shop-")'),
        ("*-test", 'endsWith("-test")'),
        ("*x*", 'contains("x")'),
    ],
)
def test_namespaces_may_have_stars_at_their_ends(pattern, words):
    assert words in admission.namespace_condition([pattern])


def test_the_audit_reads_its_own_warnings_only():
    warnings = [
        "Validation failed for ValidatingAdmissionPolicy 'azurepolicy-audit-ab12' with binding 'x': no",
        "Validation failed for ValidatingAdmissionPolicy 'other' with binding 'other': no",
        "unknown field",
    ]
    assert admission.violations(warnings) == {"azurepolicy-audit-ab12": "no"}


PRE_STOP = "1a3b9003-eac6-4d39-a184-4a567ace7645"
PDB = "d9e8f2c1-4c5a-4f5c-8b5a-2abf1e9f7b4d"


@pytest.mark.parametrize(
    ("definition", "source", "expected"),
    [
        (PROBES, "Original", {"pods", "pods/ephemeralcontainers"}),
        (PROBES, "Generated", {"deployments", "daemonsets", "statefulsets", "replicasets", "replicationcontrollers"}),
        (PROBES, "Generated", {"jobs", "cronjobs"}),
        (PROBES, "All", {"pods", "pods/ephemeralcontainers", "deployments", "jobs", "cronjobs"}),
        (PRE_STOP, "All", {"deployments", "statefulsets", "replicasets"}),
        (PRE_STOP, "Generated", set()),
        (PDB, "Generated", set()),
    ],
)
def test_source_decides_who_is_judged(store, definition, source, expected):
    parameters = {"effect": {"value": "Deny"}, "source": {"value": source}}
    assign(store, f"{PROBES.rsplit('/', 1)[0]}/{definition.rsplit('/', 1)[-1]}", parameters=parameters)
    [found] = constraints.reach(store, CLUSTER)
    names = {name for _group, name in found.subject.resources}
    assert expected <= names if expected else not names
    assert ("pods" in names) == (source != "Generated" and definition == PROBES)
    assert bool(admission.manifests(found)) == bool(names)


def test_a_label_selector_asks_the_labels_of_what_is_judged():
    selector = {
        "matchLabels": {"tier": "gold"},
        "matchExpressions": [
            {"key": "env", "operator": "NotIn", "values": ["test"]},
            {"key": "app", "operator": "Exists"},
        ],
    }
    assert subjects.label_condition(selector, "l") == (
        'l[?"tier"] == optional.of("gold") && !("env" in l && l[?"env"].orValue(\'\') in ["test"]) && ("app" in l)'
    )
    assert not subjects.label_condition({}, "l")
