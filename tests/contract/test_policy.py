"""Azure Policy in a cluster: assignments refuse, by name, after their delay; compliance says what is there."""

from __future__ import annotations

import copy
import datetime
import re
import time

import pytest
import yaml
from test_kubernetes import AKS, CLUSTER_ADMIN, Cluster, assign, definition, eventually

POLICY = "2025-01-01"
EXEMPTION = "2022-07-01-preview"
INSIGHTS = "2024-10-01"
AUTHORIZATION = "/providers/Microsoft.Authorization"
SETS = f"{AUTHORIZATION}/policySetDefinitions"
DEFINITIONS = f"{AUTHORIZATION}/policyDefinitions"
BASELINE = f"{SETS}/a8640138-9b0a-4a28-b8cb-1666c838647d"
RESTRICTED = f"{SETS}/42b8ef37-b724-4e24-bbc8-7a7708edfe00"
NO_PRIVILEGE = "95edb821-ddaf-4404-9732-666045e056b4"
PRE_STOP = "1a3b9003-eac6-4d39-a184-4a567ace7645"
GROUPS = {"ranges": [{"min": 1, "max": 65535}]}


def pod(**spec):
    """A pod that every policy here admits, with changes of its spec."""
    container = {
        "name": "app",
        "image": "registry.example/shop/app@sha256:" + "0" * 64,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"exec": {"command": ["true"]}},
        "livenessProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
    }
    context = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "supplementalGroups": [1000],
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {"kind": "Pod", "apiVersion": "v1", "spec": {"securityContext": context, "containers": [container], **spec}}


def changed(path, value, among="containers"):
    """A pod whose only container has another value at a path (None: none); in initContainers on request."""
    found = pod()
    spec = found["spec"]
    if among != "containers":
        spec[among] = [copy.deepcopy(spec["containers"][0]) | {"name": "other"}]
        for name in ("readinessProbe", "livenessProbe", "lifecycle"):
            del spec[among][0][name]
    *steps, last = path.split(".")
    node = spec[among][0]
    for step in steps:
        node = node.setdefault(step, {})
    if value is None:
        node.pop(last, None)
    else:
        node[last] = value
    return found


def context(**changes):
    """A pod whose own security context differs; None takes a field away."""
    found = pod()
    merged = {**found["spec"]["securityContext"], **changes}
    found["spec"]["securityContext"] = {name: value for name, value in merged.items() if value is not None}
    return found


def deployment(template=None, **spec):
    labels = {"app": "shop"}
    inner = {"metadata": {"labels": labels}, "spec": (template or pod())["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": inner, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}


def template(kind, spec=None, labels=None):
    """A controller of a kind whose template has a pod's spec; labels are the template's, beside those it needs."""
    labels = {"app": "shop", **(labels or {})}
    inner = {"metadata": {"labels": labels}, "spec": copy.deepcopy((spec or pod())["spec"])}
    if kind in {"Job", "CronJob"}:
        inner["spec"]["restartPolicy"] = "Never"
        job = {"spec": {"template": inner}}
        body = job["spec"] if kind == "Job" else {"schedule": "0 3 * * *", "jobTemplate": job}
        return {"apiVersion": "batch/v1", "kind": kind, "spec": body}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": inner},
    }


def on_windows(path):
    """A pod of a Windows node with a folder of the host; Kubernetes knows no Linux settings there."""
    found = pod(os={"name": "windows"}, volumes=[{"name": "host", "hostPath": {"path": path}}])
    del found["spec"]["securityContext"], found["spec"]["containers"][0]["securityContext"]
    return found


def service(annotations=None, **spec):
    spec = {"ports": [{"port": 443}], "selector": {"app": "shop"}, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"annotations": annotations or {}}, "spec": spec}


def ingress(annotations=None, **spec):
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"annotations": annotations or {}},
        "spec": {"defaultBackend": backend, **spec},
    }


HTTPS = {"kubernetes.io/ingress.allow-http": "false"}
INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
HOST_PATH = [{"name": "host", "hostPath": {"path": "/var/log/shop"}}]
NFS = [{"name": "share", "nfs": {"server": "nfs.example", "path": "/"}}]
PRIVILEGED = {"privileged": True}

#: definition, its values, objects that it refuses, objects that it admits.
CASES = {
    "febd0533-8e55-448f-b837-bd0e06f16469": (
        {"allowedContainerImagesRegex": r"^registry\.example/.+@sha256:[0-9a-f]{64}$"},
        [changed("image", "docker.io/app:1"), changed("image", "docker.io/app:1", "initContainers")],
        [pod()],
    ),
    NO_PRIVILEGE: (
        {},
        [changed("securityContext", PRIVILEGED), changed("securityContext", PRIVILEGED, "initContainers")],
        [pod()],
    ),
    "1c6e92c9-99f0-4e55-9cf2-0c234dc48f99": (
        {"forcePrivilegeEscalationToBeFalse": True},
        [changed("securityContext.allowPrivilegeEscalation", None)],
        [pod()],
    ),
    "1a5b4dca-0b6f-4cf5-907c-56316bc1bf3d": (
        {},
        [ingress(), ingress(HTTPS), ingress(tls=[{"secretName": "t"}])],
        [ingress(HTTPS, tls=[{"secretName": "t"}])],
    ),
    "df49d893-a74c-421d-bc95-c663042e5b80": (
        {},
        [changed("securityContext.readOnlyRootFilesystem", None)],
        [pod()],
    ),
    "e345eecc-fa47-480f-9e88-67dcc122b164": (
        {"cpuLimit": "200m", "memoryLimit": "1Gi"},
        [
            changed("resources", None),
            changed("resources.limits.cpu", "1"),
            changed("resources.limits.memory", "2Gi"),
            changed("resources.limits.memory", None),
        ],
        [pod(), changed("resources.limits.memory", "1024Mi")],
    ),
    "3fc4dc25-5baf-40d8-9b05-7fe74c1bc64e": (
        {},
        [service(type="LoadBalancer")],
        [service(), service(INTERNAL, type="LoadBalancer")],
    ),
    "021f8078-41a0-40e6-81b6-c6597da9f3ee": (
        {},
        [changed("image", "registry.example:5000/app"), changed("image", "app:latest")],
        [pod(), changed("image", "registry.example:5000/app:1.2")],
    ),
    "b1a9997f-2883-4f12-bdff-2280f99b5915": (
        {},
        [changed("livenessProbe", None), changed("readinessProbe", None)],
        [pod(), changed("livenessProbe", None, "initContainers")],
    ),
    PRE_STOP: (
        {},
        [deployment(changed("lifecycle", None))],
        [deployment(), changed("lifecycle", None)],
    ),
    "34c88cd4-5d72-4dbb-bf77-12c3cafe8791": (
        {},
        [deployment(replicas=2)],
        [
            deployment(),
            deployment(
                pod(
                    topologySpreadConstraints=[
                        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
                    ]
                ),
                replicas=2,
            ),
        ],
    ),
    "233a2a17-77ca-4fb1-9b6b-69223d272a44": (
        {"allowedServicePortsList": ["443"]},
        [service(ports=[{"name": "a", "port": 443}, {"name": "b", "port": 80}])],
        [service()],
    ),
    "82985f06-dc18-4a48-bc1c-b9f4f0098cfe": (
        {"allowedHostPorts": [8443]},
        [pod(hostNetwork=True), changed("ports", [{"containerPort": 80, "hostPort": 8080}])],
        [pod(), changed("ports", [{"containerPort": 80, "hostPort": 8443}])],
    ),
    "47a1ee2f-2a2a-4576-bf2a-e0e36709c2b8": ({}, [pod(hostPID=True), pod(hostIPC=True)], [pod()]),
    "098fc59e-46c7-4d99-9b16-64990e543d75": (
        {
            "allowedHostPaths": {"paths": [{"pathPrefix": "/var/log", "readOnly": True}]},
            "windowsAllowedHostPaths": {"paths": [{"pathPrefix": "C:\\k\\logs", "readOnly": False}]},
        },
        [
            on_windows("C:\\k\\logs2"),
            on_windows("/var/log/shop"),
            pod(volumes=[{"name": "host", "hostPath": {"path": "C:\\k\\logs"}}]),
            pod(volumes=[{"name": "host", "hostPath": {"path": "/var/logs"}}]),
            changed("volumeMounts", [{"name": "host", "mountPath": "/l"}]) | {"volumes": HOST_PATH},
        ],
        [pod(), pod(volumes=HOST_PATH), on_windows("C:\\k\\logs"), on_windows("C:\\k\\logs\\shop")],
    ),
    "c26596ff-4d70-4e6a-9a30-c2506bd2f80c": (
        {"allowedCapabilities": ["NET_BIND_SERVICE"], "requiredDropCapabilities": ["ALL"]},
        [
            changed("securityContext.capabilities", None),
            changed("securityContext.capabilities.add", ["NET_ADMIN"]),
            changed("securityContext.capabilities.drop", ["CHOWN"]),
        ],
        [pod(), changed("securityContext.capabilities.add", ["NET_BIND_SERVICE"])],
    ),
    "16697877-1118-4fb1-9b65-9898ec2509ec": (
        {"allowedVolumeTypes": ["emptyDir", "projected"]},
        [pod(volumes=NFS)],
        [pod(volumes=[{"name": "tmp", "emptyDir": {}}])],
    ),
    "f06ddb64-5fa3-4b77-b166-acb36f7f6042": (
        {
            "runAsGroupRule": "MustRunAs",
            "runAsGroupRanges": GROUPS,
            "fsGroupRule": "MustRunAs",
            "fsGroupRanges": GROUPS,
            "supplementalGroupsRule": "MustRunAs",
            "supplementalGroupsRanges": GROUPS,
        },
        [
            context(runAsUser=0, runAsNonRoot=None),
            context(runAsUser=None, runAsNonRoot=None),
            context(runAsGroup=None),
            context(fsGroup=0),
            context(supplementalGroups=[1000, 0]),
            changed("securityContext.runAsGroup", 0),
        ],
        [pod(), context(runAsUser=None)],
    ),
    "975ce327-682c-4f2e-aa46-b9598289b86c": (
        {"allowedProfiles": ["runtime/default"]},
        [
            context(seccompProfile=None),
            context(seccompProfile={"type": "Unconfined"}),
            changed("securityContext.seccompProfile", {"type": "Unconfined"}),
        ],
        [pod(), changed("securityContext.seccompProfile", {"type": "RuntimeDefault"})],
    ),
}


@pytest.fixture(scope="module")
def cluster(client, sandbox):
    path = client.group("policy") + "/providers/Microsoft.ContainerService/managedClusters/policy"
    addons = {"addonProfiles": {"azurepolicy": {"enabled": True}}}
    answer = client.arm("PUT", path, AKS, definition(dnsPrefix="policy", **addons))
    assert answer.status == 200, answer.body
    assign(client, path, CLUSTER_ADMIN, client.env["AKSOPS_PRINCIPAL_ID"])
    sandbox.run("fault", "policy-delay", "--seconds", "0")
    yield Cluster(client, path)
    sandbox.run("fault", "policy-delay", "--seconds", "3")
    client.arm("DELETE", path, AKS)


def put(cluster, name, definition_id, scope="", **properties):
    """Assign at the resource group, or where told; returns the path."""
    given = {key: {"value": value} for key, value in properties.pop("parameters", {}).items()}
    path = f"{scope or cluster.path.split('/providers/')[0]}{AUTHORIZATION}/policyAssignments/{name}"
    body = {"properties": {"policyDefinitionId": definition_id, "parameters": given, **properties}}
    assert cluster.client.arm("PUT", path, POLICY, body).status == 201
    return path


def submit(cluster, folder, objects):
    """Refusals of a server-side dry run: name of the object -> the sentence."""
    text = yaml.safe_dump_all(objects)
    _code, out = cluster.kubectl(folder, "create", "--dry-run=server", "-f", "-", stdin=text)
    refused = {}
    for line in out.splitlines():
        if line.startswith("Error"):
            found = re.search(r'[a-z]+(?:\.[\w.]+)? "([\w-]+)" is forbidden', line)
            assert found, line
            refused[found.group(1)] = line
    return refused


def named(item, name, namespace):
    item = copy.deepcopy(item)
    if "volumes" in item:
        item["spec"]["volumes"] = item.pop("volumes")
    item.setdefault("metadata", {}).update(name=name, namespace=namespace)
    return item


def policies(cluster, folder):
    items = cluster.json(folder, "get", "validatingadmissionpolicybindings", "-l", "managed-by=azure-policy-addon")
    return {item["metadata"]["name"] for item in items["items"]}


def test_each_definition_refuses_what_it_should_and_nothing_else(cluster, tmp_path):
    namespaces = {guid: f"case-{guid[:8]}" for guid in CASES}
    made = yaml.safe_dump_all(
        [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces.values()]
    )
    assert cluster.kubectl(tmp_path, "create", "-f", "-", stdin=made)[0] == 0
    paths = []
    for guid, (values, _bad, _good) in CASES.items():
        parameters = {"effect": "Deny", "namespaces": [namespaces[guid]], **values}
        paths.append(put(cluster, f"case-{guid[:8]}", f"{DEFINITIONS}/{guid}", parameters=parameters))
    eventually(lambda: len(policies(cluster, tmp_path)) == 2 * len(CASES))
    objects, expected = [], {}
    for guid, (_values, bad, good) in CASES.items():
        for kind, items in (("bad", bad), ("good", good)):
            for position, item in enumerate(items):
                name = f"{kind}-{guid[:8]}-{position}"
                objects.append(named(item, name, namespaces[guid]))
                expected[name] = kind == "bad"
    # A policy counts a moment after it was stored.
    eventually(lambda: len(submit(cluster, tmp_path, objects)) >= sum(expected.values()))
    refused = submit(cluster, tmp_path, objects)
    assert sorted(refused) == sorted(name for name, bad in expected.items() if bad)
    for name, line in refused.items():
        guid = next(guid for guid in CASES if guid[:8] in name)
        binding = re.search(r"ValidatingAdmissionPolicy '(azurepolicy-k8sazurev\d\w+-[0-9a-f]{20})'", line)
        assert binding, line
        found = cluster.json(tmp_path, "get", "validatingadmissionpolicy", binding.group(1))
        assert found["metadata"]["annotations"]["azure-policy-definition-id"].endswith(guid)
    for path in paths:
        cluster.client.arm("DELETE", path, POLICY)
    eventually(lambda: not policies(cluster, tmp_path))
    eventually(lambda: submit(cluster, tmp_path, objects) == {})


def test_restricted_is_kubernetes_restricted_with_the_right_parameters(cluster, tmp_path):
    weak = changed("securityContext.capabilities", None)
    path = put(cluster, "pss", RESTRICTED, parameters={"effect": "Deny", "namespaces": ["default"]})
    eventually(lambda: len(policies(cluster, tmp_path)) == 16)
    privileged = named(changed("securityContext", PRIVILEGED), "privileged", "default")
    eventually(lambda: "privileged" in submit(cluster, tmp_path, [privileged]))
    assert submit(cluster, tmp_path, [named(weak, "weak", "default")]) == {}
    parameters = {"effect": "Deny", "namespaces": ["default"], "requiredDropCapabilities": ["ALL"]}
    put(cluster, "pss", RESTRICTED, parameters={**parameters, "allowedCapabilities": ["NET_BIND_SERVICE"]})
    refused = eventually(lambda: submit(cluster, tmp_path, [named(weak, "weak", "default")]))
    assert "azurepolicy-k8sazurev3allowedcapabilities-" in refused["weak"]
    cluster.client.arm("DELETE", path, POLICY)


def test_source_brings_templates_in_and_takes_pods_out(cluster, tmp_path):
    bad = changed("securityContext", PRIVILEGED)
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
    objects = [named(template(kind, bad), f"bad-{kind.lower()}", "default") for kind in kinds]
    objects += [named(template(kind), f"good-{kind.lower()}", "default") for kind in kinds]
    objects += [named(bad, "bad-pod", "default"), named(pod(), "good-pod", "default")]
    controllers = {f"bad-{kind.lower()}" for kind in kinds}

    def assigned(**parameters):
        return put(cluster, "source", f"{DEFINITIONS}/{NO_PRIVILEGE}", parameters={"effect": "Deny", **parameters})

    def refuses(expected):
        eventually(lambda: set(submit(cluster, tmp_path, objects)) == expected)

    path = assigned()
    refuses({"bad-pod"})
    assigned(source="Generated")
    refuses(controllers)
    assigned(source="All")
    refuses({*controllers, "bad-pod"})
    assert re.search("azurepolicy-k8sazurev2noprivilege-", submit(cluster, tmp_path, objects)["bad-cronjob"])
    # A template's pod has the template's labels, whatever its controller's are.
    assigned(source="All", labelSelector={"matchLabels": {"tier": "gold"}})
    refuses(set())
    gold = named(template("CronJob", bad, {"tier": "gold"}), "gold", "default")
    plain = named(template("CronJob", bad), "plain", "default")
    plain["metadata"]["labels"] = {"tier": "gold"}
    assert set(submit(cluster, tmp_path, [gold, plain])) == {"gold"}
    # The audit judges templates too.
    made = named(template("CronJob", bad), "offender", "default")
    assert cluster.kubectl(tmp_path, "create", "-f", "-", stdin=yaml.safe_dump(made))[0] in {0, 1}
    assigned(source="Generated", effect="Audit")
    eventually(lambda: cluster.kubectl(tmp_path, "apply", "-f", "-", stdin=yaml.safe_dump(made))[0] == 0)
    query = "?$expand=components&$filter=complianceState eq 'NonCompliant'"
    [state] = eventually(lambda: states(cluster, "queryResults", query))
    assert [item["id"] for item in state["components"]] == ["default/CronJob/offender"]
    cluster.kubectl(tmp_path, "delete", "cronjob", "offender")
    cluster.client.arm("DELETE", path, POLICY)


def test_the_default_namespace_keeps_what_kubernetes_makes_there(cluster, tmp_path):
    guid = "9f061a12-e40d-4183-a00e-171812443373"
    path = put(cluster, "nodefault", f"{DEFINITIONS}/{guid}", parameters={"effect": "Audit"})
    ports = put(
        cluster,
        "ports",
        f"{DEFINITIONS}/233a2a17-77ca-4fb1-9b6b-69223d272a44",
        parameters={"effect": "Audit", "allowedServicePortsList": ["80"], "namespaces": ["default"]},
    )
    # Kubernetes' own Service (port 443) and account stand there, and comply.
    eventually(lambda: len(states(cluster, "queryResults")) == 2)
    assert all(item["isCompliant"] for item in states(cluster, "queryResults"))
    put(cluster, "nodefault", f"{DEFINITIONS}/{guid}", parameters={"effect": "Deny"})
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    objects = [named(account, "shop", "default"), named(service(), "front", "default"), named(pod(), "one", "default")]
    eventually(lambda: set(submit(cluster, tmp_path, objects)) == {"shop", "front", "one"})
    cluster.client.arm("DELETE", path, POLICY)
    cluster.client.arm("DELETE", ports, POLICY)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"effect": "Audit"}},
        {"parameters": {"effect": "Disabled"}},
        {"parameters": {"effect": "Deny", "excludedNamespaces": ["def*"]}},
        {"parameters": {"effect": "Deny", "labelSelector": {"matchLabels": {"tier": "gold"}}}},
        {"parameters": {"effect": "Deny"}, "enforcementMode": "DoNotEnforce"},
        {"parameters": {"effect": "Deny"}, "notScopes": ["the cluster"]},
        {"parameters": {"effect": "Deny"}, "overrides": [{"kind": "policyEffect", "value": "Audit"}]},
        {
            "parameters": {"effect": "Deny"},
            "resourceSelectors": [{"selectors": [{"kind": "resourceLocation", "in": ["northeurope"]}]}],
        },
    ],
    ids=["audit", "disabled", "excluded", "label", "not enforced", "not scope", "override", "elsewhere"],
)
def test_what_softens_an_assignment_counts(cluster, tmp_path, change):
    bad = [named(changed("securityContext", PRIVILEGED), "bad", "default")]
    path = put(cluster, "soft", f"{DEFINITIONS}/{NO_PRIVILEGE}", cluster.client.subscription)
    eventually(lambda: "bad" in submit(cluster, tmp_path, bad))
    if "notScopes" in change:
        change = {**change, "notScopes": [cluster.client.subscription + cluster.path]}
    put(cluster, "soft", f"{DEFINITIONS}/{NO_PRIVILEGE}", cluster.client.subscription, **change)
    eventually(lambda: not submit(cluster, tmp_path, bad))
    cluster.client.arm("DELETE", path, POLICY)


def test_an_exemption_counts_until_it_ends(cluster, tmp_path):
    bad = [named(changed("securityContext", PRIVILEGED), "bad", "default")]
    scope = cluster.path.split("/providers/")[0]
    assigned = put(cluster, "base", BASELINE, parameters={"effect": "Deny", "excludedNamespaces": []})
    eventually(lambda: "bad" in submit(cluster, tmp_path, bad))
    path = f"{cluster.path}{AUTHORIZATION}/policyExemptions/ends"
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=15)
    properties = {
        "policyAssignmentId": f"{cluster.client.subscription}{scope}{AUTHORIZATION}/policyAssignments/base",
        "exemptionCategory": "Waiver",
        "policyDefinitionReferenceIds": ["NoPrivilegedContainers"],
        "expiresOn": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert cluster.client.arm("PUT", path, EXEMPTION, {"properties": properties}).status == 201
    eventually(lambda: not submit(cluster, tmp_path, bad))
    assert submit(cluster, tmp_path, [named(pod(hostPID=True), "other", "default")])
    waived = "?$filter=complianceState eq 'Exempt'"
    [exempt] = eventually(lambda: states(cluster, "queryResults", waived))
    assert exempt["policyDefinitionReferenceId"] == "noprivilegedcontainers"
    eventually(lambda: "bad" in submit(cluster, tmp_path, bad))
    cluster.client.arm("DELETE", assigned, POLICY)
    cluster.client.arm("DELETE", path, EXEMPTION)


def test_an_assignment_counts_after_its_delay_and_not_without_the_add_on(cluster, sandbox, tmp_path):
    bad = [named(changed("securityContext", PRIVILEGED), "bad", "default")]
    # The API server forgets a policy a moment after its object is gone.
    eventually(lambda: not policies(cluster, tmp_path) and "bad" not in submit(cluster, tmp_path, bad))
    sandbox.run("fault", "policy-delay", "--seconds", "4")
    begun = time.monotonic()
    path = put(cluster, "late", f"{DEFINITIONS}/{NO_PRIVILEGE}")
    eventually(lambda: "bad" in submit(cluster, tmp_path, bad))
    assert time.monotonic() - begun >= 4
    sandbox.run("fault", "policy-delay", "--seconds", "0")
    exempt = [named(changed("securityContext", PRIVILEGED), "bad", "kube-system")]
    assert submit(cluster, tmp_path, exempt) == {}
    cluster.put(lambda properties: properties["addonProfiles"]["azurepolicy"].update(enabled=False))
    eventually(lambda: not submit(cluster, tmp_path, bad))
    cluster.put(lambda properties: properties["addonProfiles"]["azurepolicy"].update(enabled=True))
    eventually(lambda: "bad" in submit(cluster, tmp_path, bad))
    cluster.client.arm("DELETE", path, POLICY)


def states(cluster, operation, query=""):
    path = f"{cluster.path}/providers/Microsoft.PolicyInsights/policyStates/latest/{operation}{query}"
    answer = cluster.client.arm("POST", path, INSIGHTS)
    assert answer.status == 200, answer.body
    return answer.json["value"]


def test_compliance_says_what_is_in_the_cluster(cluster, tmp_path):
    group = cluster.path.split("/providers/")[0]
    offender = named(changed("securityContext", PRIVILEGED), "offender", "default")
    eventually(lambda: cluster.kubectl(tmp_path, "create", "-f", "-", stdin=yaml.safe_dump(offender))[0] == 0)
    path = put(cluster, "audited", BASELINE, parameters={"effect": "Audit", "excludedNamespaces": []})
    expand = "?$expand=components"
    bad = eventually(lambda: [item for item in states(cluster, "queryResults", expand) if not item["isCompliant"]])
    assert [item["policyDefinitionReferenceId"] for item in bad] == ["noprivilegedcontainers"]
    assert [item["name"] for item in bad[0]["components"]] == ["offender"]
    assert bad[0]["policyAssignmentName"] == "audited"
    found = states(cluster, "summarize")[0]["policyAssignments"][0]
    assert found["results"]["nonCompliantPolicies"] == 1
    assert len(found["policyDefinitions"]) == 5
    filtered = states(cluster, "queryResults", "?$filter=complianceState eq 'Compliant'")
    assert len(filtered) == 4
    assert cluster.kubectl(tmp_path, "delete", "pod", "offender", "--now")[0] == 0
    trigger = f"{group}/providers/Microsoft.PolicyInsights/policyStates/latest/triggerEvaluation"
    answer = cluster.client.arm("POST", trigger, "2019-10-01")
    assert answer.status == 202
    eventually(lambda: cluster.client.bearer("GET", answer.headers["Location"]).status == 200)
    assert all(item["isCompliant"] for item in states(cluster, "queryResults"))
    cluster.client.arm("DELETE", path, POLICY)
    eventually(lambda: not states(cluster, "queryResults"))


def test_rego_of_ones_own_is_refused_and_says_why(cluster):
    path = f"{DEFINITIONS}/own"
    rule = {"if": {"field": "type", "equals": "Microsoft.ContainerService/managedClusters"}, "then": {"effect": "Deny"}}
    answer = cluster.client.arm(
        "PUT", path, "2025-01-01", {"properties": {"mode": "Microsoft.Kubernetes.Data", "policyRule": rule}}
    )
    assert (answer.status, "Rego" in answer.json["error"]["message"]) == (501, True)
