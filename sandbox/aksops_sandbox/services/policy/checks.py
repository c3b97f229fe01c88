"""What Azure's built-in policies on Kubernetes objects ask, in CEL: one check for each constraint template.

The questions are those of the templates that the definitions name (Azure/azure-policy, built-in-references), in the
versions that the catalog's definitions and initiatives pin. Parameters become literals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]
_PODS = (("", "pods"), ("", "pods/ephemeralcontainers"))
_WORKLOADS = (("apps", "deployments"), ("apps", "statefulsets"), ("apps", "replicasets"))
_SERVICES = (("", "services"),)


@dataclass(frozen=True)
class Check:
    """A question to an object.

    resources: (API group, resource) pairs that it is asked of. passes: CEL, true for an object that complies.
    message: CEL, the text of the refusal. variables: name -> CEL, in their order. A check of pods reads their spec in
    `variables.spec`, which may be a template's.
    """

    resources: tuple[tuple[str, str], ...]
    passes: str
    message: str
    variables: dict[str, str] = field(default_factory=dict)


def literal(value: Any) -> str:
    """A text, number, boolean or list of one kind as CEL."""
    return json.dumps(value, ensure_ascii=False)


def _excluded(values: Values) -> list[str]:
    """CEL conditions on a container `c` that take it out of a policy."""
    found = []
    names = values.get("excludedContainers") or []
    if names:
        found.append(f"c.name in {literal(names)}")
    for image in values.get("excludedImages") or []:
        prefix = str(image).removesuffix("*")
        found.append(
            f"c.image.startsWith({literal(prefix)})" if prefix != image else f"c.image == {literal(str(image))}"
        )
    return found


_SPEC_CONTAINERS = "variables.spec.containers"
_INIT_AND_CONTAINERS = "variables.spec.containers + variables.spec.?initContainers.orValue([])"
_ALL_CONTAINERS = f"{_INIT_AND_CONTAINERS} + variables.spec.?ephemeralContainers.orValue([])"


def _containers(values: Values, bad: str, message: str, among: str = _ALL_CONTAINERS) -> Check:
    """A check of each container: `bad` is CEL on a container `c`; `message` is CEL and may use `variables.names`."""
    excluded = _excluded(values)
    judged = f"({bad}) && !({' || '.join(excluded)})" if excluded else bad
    variables = {
        "containers": among,
        "names": f"variables.containers.filter(c, {judged}).map(c, c.name)",
    }
    return Check(_PODS, "size(variables.names) == 0", message, variables)


def _named(before: str, after: str = "") -> str:
    """CEL of a message that names the containers."""
    return f'{literal(before)} + variables.names.join(", ") + {literal(after)}'


def _no_privilege(values: Values) -> Check:
    bad = "c.?securityContext.?privileged.orValue(false)"
    return _containers(values, bad, _named("Privileged container is not allowed: "))


def _no_escalation(values: Values) -> Check:
    asked = "c.?securityContext.?allowPrivilegeEscalation"
    user = "c.?securityContext.?runAsUser.orValue(variables.spec.?securityContext.?runAsUser.orValue(0))"
    bad = f"{asked}.orValue(true)"
    if not values.get("forcePrivilegeEscalationToBeFalse"):
        bad += f" && ({asked}.hasValue() || int({user}) == 0)"
    return _containers(values, bad, _named("Privilege escalation container is not allowed: "))


def _images(values: Values) -> Check:
    bad = f"!c.image.matches({literal(values.get('allowedContainerImagesRegex') or '')})"
    images = "variables.containers.filter(c, c.name in variables.names).map(c, c.image)"
    message = (
        f'"Container image " + {images}.join(", ") + " for container " + variables.names.join(", ") '
        '+ " has not been allowed."'
    )
    return _containers(values, bad, message)


def _latest(values: Values) -> Check:
    bad = "c.image.matches('(^|/)[^/:@]+(:latest)?$')"
    return _containers(values, bad, _named("Image tag latest, or none, is not allowed, container: "))


def _read_only(values: Values) -> Check:
    bad = "!c.?securityContext.?readOnlyRootFilesystem.orValue(false)"
    return _containers(values, bad, _named("only read-only root filesystem container is allowed: "))


def _capabilities(values: Values) -> Check:
    allowed = values.get("allowedCapabilities") or []
    required = values.get("requiredDropCapabilities") or []
    bad = []
    if "*" not in allowed:
        added = "c.?securityContext.?capabilities.?add.orValue([])"
        bad.append(f"{added}.exists(x, !(x in {literal(allowed)}))" if allowed else f"size({added}) > 0")
    if required:
        dropped = "c.?securityContext.?capabilities.?drop.orValue([])"
        bad.append(f"(!('ALL' in {dropped}) && {literal(required)}.exists(x, !(x in {dropped})))")
    after = f"> has a disallowed capability or does not drop all of {required}. Allowed capabilities are {allowed}"
    return _containers(values, " || ".join(bad) or "false", _named("container <", after))


def _limits(values: Values) -> Check:
    bad = []
    for resource, limit in (("cpu", values.get("cpuLimit")), ("memory", values.get("memoryLimit"))):
        held = f"c.?resources.?limits[?'{resource}']"
        over = f"quantity(string({held}.value())).isGreaterThan(quantity({literal(str(limit))}))"
        bad.append(f"!{held}.hasValue() || {over}")
    after = f"> has no limit of cpu or memory, or more than the maximum {values.get('cpuLimit')}, "
    message = _named("container <", f"{after}{values.get('memoryLimit')}")
    return _containers(values, " || ".join(bad), message, _INIT_AND_CONTAINERS)


def _probes(values: Values) -> Check:
    required = [str(item) for item in values.get("requiredProbes") or []]
    bad = " || ".join(f"!has(c.{item})" for item in required if re.fullmatch(r"\w+", item)) or "false"
    before = "Container <"
    after = f"> in your Pod has not every required probe. Required probes: {json.dumps(required)}"
    return _containers(values, bad, _named(before, after), _SPEC_CONTAINERS)


def _seccomp(values: Values) -> Check:
    profiles = [str(item) for item in values.get("allowedProfiles") or []]
    words = {"runtime/default": "RuntimeDefault", "docker/default": "RuntimeDefault", "unconfined": "Unconfined"}
    types = sorted({words.get(item, item) for item in profiles if not item.startswith("localhost/")})
    files = [item.removeprefix("localhost/") for item in profiles if item.startswith("localhost/")]
    own, pods = "c.?securityContext.?seccompProfile", "variables.spec.?securityContext.?seccompProfile"
    kind = f"{own}.?type.orValue({pods}.?type.orValue(''))"
    good = [f"{kind} in {literal(types)}"] if types else []
    if files:
        profile = f"{own}.?localhostProfile.orValue({pods}.?localhostProfile.orValue(''))"
        good.append(f"{kind} == 'Localhost'" + ("" if "*" in files else f" && {profile} in {literal(files)}"))
    bad = "false" if "*" in profiles else f"!({' || '.join(good) or 'false'})"
    return _containers(values, bad, _named("Seccomp profile is not allowed, container: ", f". Allowed: {profiles}"))


def _in_ranges(value: str, ranges: list[dict[str, Any]]) -> str:
    return (
        " || ".join(f"({value} >= {int(item['min'])} && {value} <= {int(item['max'])})" for item in ranges) or "false"
    )


def _ranges(values: Values, name: str) -> list[dict[str, Any]]:
    return (values.get(name) or {}).get("ranges") or []


def _users(values: Values) -> Check:
    parts = []
    user = "c.?securityContext.?runAsUser.or(variables.spec.?securityContext.?runAsUser)"
    non_root = "c.?securityContext.?runAsNonRoot.orValue(variables.spec.?securityContext.?runAsNonRoot.orValue(false))"
    rule = values.get("runAsUserRule")
    if rule == "MustRunAsNonRoot":
        parts.append(f"({user}.hasValue() ? int({user}.value()) == 0 : !{non_root})")
    elif rule == "MustRunAs":
        inside = _in_ranges(f"int({user}.value())", _ranges(values, "runAsUserRanges"))
        parts.append(f"(!{user}.hasValue() || !({inside}))")
    for name, place in (
        ("runAsGroup", "c.?securityContext.?runAsGroup.or(variables.spec.?securityContext.?runAsGroup)"),
        ("fsGroup", "variables.spec.?securityContext.?fsGroup"),
    ):
        inside = _in_ranges(f"int({place}.value())", _ranges(values, f"{name}Ranges"))
        if values.get(f"{name}Rule") == "MustRunAs":
            parts.append(f"(!{place}.hasValue() || !({inside}))")
        elif values.get(f"{name}Rule") == "MayRunAs":
            parts.append(f"({place}.hasValue() && !({inside}))")
    groups = "variables.spec.?securityContext.?supplementalGroups"
    outside = f"{groups}.value().exists(g, !({_in_ranges('int(g)', _ranges(values, 'supplementalGroupsRanges'))}))"
    if values.get("supplementalGroupsRule") == "MustRunAs":
        parts.append(f"(!{groups}.hasValue() || {outside})")
    elif values.get("supplementalGroupsRule") == "MayRunAs":
        parts.append(f"({groups}.hasValue() && {outside})")
    after = " is attempting to run as a disallowed user or group, or without a required securityContext/" + ", ".join(
        name
        for name in ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")
        if values.get(f"{name}Rule") not in (None, "RunAsAny")
    )
    return _containers(values, " || ".join(parts) or "false", _named("Container ", after))


def _volume_types(values: Values) -> Check:
    allowed = [str(item) for item in values.get("allowedVolumeTypes") or []]
    passes = "true" if "*" in allowed else "size(variables.types) == 0"
    known = f"k in {literal(allowed)}" if allowed else "false"
    variables = {
        "types": f"variables.spec.?volumes.orValue([]).filter(v, v.exists(k, k != 'name' && !({known}))).map(v, v.name)"
    }
    after = literal(f". Allowed volume types: {allowed}")
    message = f'"The volume type is not allowed, volume: " + variables.types.join(", ") + {after}'
    return Check(_PODS, passes, message, variables)


def _host_paths(values: Values) -> Check:
    allowed = (values.get("allowedHostPaths") or {}).get("paths") or []
    on_windows = (values.get("windowsAllowedHostPaths") or {}).get("paths") or []
    windows = (
        "(variables.spec.?os.?name.orValue('') == 'windows' "
        "|| variables.spec.?nodeSelector[?'kubernetes.io/os'].orValue('') == 'windows')"
    )
    good = f"({windows} ? ({_inside(on_windows, _BACKSLASH)}) : ({_inside(allowed, '/')}))"
    variables = {
        "containers": _ALL_CONTAINERS,
        "volumes": f"variables.spec.?volumes.orValue([]).filter(v, has(v.hostPath) && !{good}).map(v, v.name)",
    }
    after = literal(f" is not allowed. Allowed path: {allowed}, on Windows: {on_windows}")
    message = f'"HostPath volume " + variables.volumes.join(", ") + {after}'
    return Check(_PODS, "size(variables.volumes) == 0", message, variables)


_BACKSLASH = "\\"


def _inside(allowed: list[dict[str, Any]], separator: str) -> str:
    """CEL: a hostPath volume `v` lies in an allowed folder, and is only read where it may only be read."""
    parts = []
    for item in allowed:
        prefix = str(item.get("pathPrefix", "")).strip(separator)
        path = f"v.hostPath.path.replace({literal(separator)}, '/')"
        trimmed = f"({path}.startsWith('/') ? {path} : '/' + {path})"
        folder = literal("/" + prefix.replace(separator, "/"))
        inside = f"({trimmed} + '/').startsWith({folder} + '/')" if prefix else "true"
        if item.get("readOnly"):
            mounted = "c.?volumeMounts.orValue([]).exists(m, m.name == v.name && !m.?readOnly.orValue(false))"
            inside += f" && !variables.containers.exists(c, {mounted})"
        parts.append(f"({inside})")
    return " || ".join(parts) or "false"


def _host_network(values: Values) -> Check:
    ports = [int(item) for item in values.get("allowedHostPorts") or []]
    held = f"!(int(p.hostPort) in {literal(ports)})" if ports else "true"
    bad = f"c.?ports.orValue([]).exists(p, has(p.hostPort) && int(p.hostPort) > 0 && {held})"
    if not values.get("allowHostNetwork"):
        bad = f"variables.spec.?hostNetwork.orValue(false) || {bad}"
    after = f". Allowed host ports: {ports}"
    return _containers(
        values, bad, _named("The specified hostNetwork and hostPort are not allowed, container: ", after)
    )


def _host_namespace(values: Values) -> Check:
    passes = "!(variables.spec.?hostPID.orValue(false) || variables.spec.?hostIPC.orValue(false))"
    return Check(_PODS, passes, '"Sharing the host namespace is not allowed: " + object.metadata.name')


def _default_namespace(values: Values) -> Check:
    resources = (*_PODS[:1], ("", "services"), ("", "serviceaccounts"))
    own = {"ServiceAccount": "default", "Service": "kubernetes"}
    parts = [f"(object.kind == '{kind}' && object.metadata.name == '{name}')" for kind, name in own.items()]
    passes = f"object.metadata.namespace != 'default' || {' || '.join(parts)}"
    message = (
        '"Usage of the default namespace is not allowed, name: " + object.metadata.name + ", kind: " + object.kind'
    )
    return Check(resources, passes, message)


def _https(values: Values) -> Check:
    passes = (
        "size(object.spec.?tls.orValue([])) > 0 "
        "&& object.metadata.?annotations[?'kubernetes.io/ingress.allow-http'].orValue('') == 'false'"
    )
    message = (
        '"Ingress should be https. tls configuration and allow-http=false annotation are required for " '
        "+ object.metadata.name"
    )
    return Check((("networking.k8s.io", "ingresses"),), passes, message)


def _internal_balancer(values: Values) -> Check:
    note = "object.metadata.?annotations[?'service.beta.kubernetes.io/azure-load-balancer-internal'].orValue('')"
    passes = f"object.spec.?type.orValue('') != 'LoadBalancer' || {note} == 'true'"
    return Check(_SERVICES, passes, '"Load Balancers should not have public IPs: " + object.metadata.name')


def _service_ports(values: Values) -> Check:
    allowed = [str(item) for item in values.get("allowedServicePortsList") or []]
    bad = f"!(string(p.port) in {literal(allowed)})" if allowed else "true"
    kubernetes = "(object.metadata.namespace == 'default' && object.metadata.name == 'kubernetes')"
    passes = f"{kubernetes} || !object.spec.?ports.orValue([]).exists(p, {bad})"
    after = literal(f" has not been allowed. Allowed ports: {allowed}")
    return Check(_SERVICES, passes, f'"Port of service " + object.metadata.name + {after}')


def _pre_stop(values: Values) -> Check:
    names = "object.spec.template.spec.containers.filter(c, !c.?lifecycle.?preStop.hasValue()).map(c, c.name)"
    message = (
        '"Container <" + variables.names.join(", ") + "> of " + object.metadata.name + " must include a preStop hook."'
    )
    return Check(_WORKLOADS, "size(variables.names) == 0", message, {"names": names})


def _anti_affinity(values: Values) -> Check:
    spec = "object.spec.template.spec"
    passes = (
        "int(object.spec.?replicas.orValue(1)) <= 1 "
        f"|| {spec}.?affinity.?podAntiAffinity.hasValue() || size({spec}.?topologySpreadConstraints.orValue([])) > 0"
    )
    message = (
        'object.metadata.name + " with " + string(object.spec.?replicas.orValue(1)) + " replicas should have either '
        'podAntiAffinity or topologySpreadConstraints set to avoid disruptions due to nodes crashing"'
    )
    return Check(_WORKLOADS, passes, message)


def _budgets(values: Values) -> Check:
    passes = (
        "!(string(object.spec.?maxUnavailable.orValue('')) in ['0', '0%']) "
        "&& string(object.spec.?minAvailable.orValue('')) != '100%'"
    )
    message = '"PodDisruptionBudget " + object.metadata.name + " lets no pod be evicted."'
    return Check((("policy", "poddisruptionbudgets"),), passes, message)


#: definition -> (name of its constraint template, the check for its values)
TEMPLATES: dict[str, tuple[str, Callable[[Values], Check]]] = {
    "febd0533-8e55-448f-b837-bd0e06f16469": ("k8sazurev2containerallowedimages", _images),
    "95edb821-ddaf-4404-9732-666045e056b4": ("k8sazurev2noprivilege", _no_privilege),
    "1c6e92c9-99f0-4e55-9cf2-0c234dc48f99": ("k8sazurev4noprivilegeescalation", _no_escalation),
    "1a5b4dca-0b6f-4cf5-907c-56316bc1bf3d": ("k8sazurev2ingresshttpsonly", _https),
    "df49d893-a74c-421d-bc95-c663042e5b80": ("k8sazurev3readonlyrootfilesystem", _read_only),
    "e345eecc-fa47-480f-9e88-67dcc122b164": ("k8sazurev3containerlimits", _limits),
    "3fc4dc25-5baf-40d8-9b05-7fe74c1bc64e": ("k8sazurev1loadbalancernopublicips", _internal_balancer),
    "9f061a12-e40d-4183-a00e-171812443373": ("k8sazurev1blockdefault", _default_namespace),
    "021f8078-41a0-40e6-81b6-c6597da9f3ee": ("k8sazurev2containernolatestimage", _latest),
    "b1a9997f-2883-4f12-bdff-2280f99b5915": ("k8sazurev2containerenforceprobes", _probes),
    "1a3b9003-eac6-4d39-a184-4a567ace7645": ("k8sazurev1containerenforceprestophook", _pre_stop),
    "d9e8f2c1-4c5a-4f5c-8b5a-2abf1e9f7b4d": ("k8sazurev2disallowedbadpdb", _budgets),
    "34c88cd4-5d72-4dbb-bf77-12c3cafe8791": ("k8sazurev1antiaffinityrules", _anti_affinity),
    "233a2a17-77ca-4fb1-9b6b-69223d272a44": ("k8sazurev1serviceallowedports", _service_ports),
    "82985f06-dc18-4a48-bc1c-b9f4f0098cfe": ("k8sazurev4hostnetworkingports", _host_network),
    "47a1ee2f-2a2a-4576-bf2a-e0e36709c2b8": ("k8sazurev3blockhostnamespace", _host_namespace),
    "098fc59e-46c7-4d99-9b16-64990e543d75": ("k8sazurev4hostfilesystem", _host_paths),
    "c26596ff-4d70-4e6a-9a30-c2506bd2f80c": ("k8sazurev3allowedcapabilities", _capabilities),
    "16697877-1118-4fb1-9b65-9898ec2509ec": ("k8sazurev2volumetypes", _volume_types),
    "f06ddb64-5fa3-4b77-b166-acb36f7f6042": ("k8sazurev3allowedusersgroups", _users),
    "975ce327-682c-4f2e-aa46-b9598289b86c": ("k8sazurev3allowedseccomp", _seccomp),
}
