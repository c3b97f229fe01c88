"""Azure's built-in policies and initiatives that the platform uses (Azure/azure-policy, 2026-04)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import members
from .members import Member

_KUBERNETES_DATA = "Microsoft.Kubernetes.Data"
_EXCLUDED = ["kube-system", "gatekeeper-system", "azure-arc", "azure-extensions-usage-system"]
_EFFECTS = ["Audit", "Deny", "Disabled"]


def _array(default: list[str] | None = None) -> dict[str, Any]:
    return {"type": "Array", "defaultValue": default or []}


def _effect(default: str, allowed: list[str] | None = None) -> dict[str, Any]:
    return {"type": "String", "defaultValue": default, "allowedValues": allowed or _EFFECTS}


_CLUSTER_SCOPE: dict[str, Any] = {
    "excludedNamespaces": _array(_EXCLUDED),
    "namespaces": _array(),
    "labelSelector": {"type": "Object", "defaultValue": {}},
}
_CONTAINERS: dict[str, Any] = {"excludedContainers": _array(), "excludedImages": _array()}


@dataclass(frozen=True)
class BuiltIn:
    """A built-in definition (`members` empty) or initiative."""

    id: str
    name: str
    version: str
    parameters: dict[str, Any] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    mode: str = _KUBERNETES_DATA
    category: str = "Kubernetes"


def _kubernetes(
    id: str, name: str, version: str, effect: str = "Audit", without: tuple[str, ...] = (), **more: Any
) -> BuiltIn:
    """A policy on Kubernetes objects; `without` names common parameters that it does not have."""
    source = {"type": "String", "defaultValue": "Original", "allowedValues": ["All", "Generated", "Original"]}
    common = {"effect": _effect(effect), "source": source, "warn": {"type": "Boolean", "defaultValue": False}}
    parameters = {**common, **_CLUSTER_SCOPE, **_CONTAINERS, **more}
    kept = {key: value for key, value in parameters.items() if key not in without}
    return BuiltIn(id, name, version, kept)


def _choices(default: str, *allowed: str) -> dict[str, Any]:
    return {"type": "String", "defaultValue": default, "allowedValues": list(allowed)}


def _object(default: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Object", "defaultValue": default}


_NO_CONTAINERS = ("excludedContainers", "excludedImages")
_BASIC = _array(["kube-system", "gatekeeper-system", "azure-arc"])
_RANGES = _object({"ranges": []})
_GROUP_RULES = ("MustRunAs", "MayRunAs", "RunAsAny")


def _resource(id: str, name: str, category: str, effects: list[str], version: str = "1.0.0") -> BuiltIn:
    return BuiltIn(id, name, version, {"effect": _effect(effects[0], effects)}, mode="Indexed", category=category)


_AUDIT_DENY = ["Audit", "Deny", "Disabled"]
_MDVM = "powered by Microsoft Defender Vulnerability Management"
DEFINITIONS: tuple[BuiltIn, ...] = (
    _kubernetes(
        "febd0533-8e55-448f-b837-bd0e06f16469",
        "Kubernetes cluster containers should only use allowed images",
        "9.3.0",
        "Deny",
        allowedContainerImagesRegex={"type": "String"},
        without=("excludedImages",),
    ),
    _kubernetes(
        "95edb821-ddaf-4404-9732-666045e056b4",
        "Kubernetes cluster should not allow privileged containers",
        "9.2.0",
        "Deny",
    ),
    _kubernetes(
        "1c6e92c9-99f0-4e55-9cf2-0c234dc48f99",
        "Kubernetes clusters should not allow container privilege escalation",
        "8.0.0",
        forcePrivilegeEscalationToBeFalse={"type": "Boolean", "defaultValue": False},
    ),
    _kubernetes(
        "1a5b4dca-0b6f-4cf5-907c-56316bc1bf3d",
        "Kubernetes clusters should be accessible only over HTTPS",
        "9.0.0",
        "Deny",
        without=_NO_CONTAINERS,
    ),
    _kubernetes(
        "df49d893-a74c-421d-bc95-c663042e5b80",
        "Kubernetes cluster containers should run with a read only root file system",
        "6.3.0",
    ),
    _kubernetes(
        "e345eecc-fa47-480f-9e88-67dcc122b164",
        "Kubernetes cluster containers CPU and memory resource limits should not exceed the specified limits",
        "9.3.0",
        "Deny",
        cpuLimit={"type": "String"},
        memoryLimit={"type": "String"},
    ),
    _kubernetes(
        "3fc4dc25-5baf-40d8-9b05-7fe74c1bc64e",
        "Kubernetes clusters should use internal load balancers",
        "8.2.0",
        "Deny",
        without=_NO_CONTAINERS,
    ),
    _kubernetes(
        "9f061a12-e40d-4183-a00e-171812443373",
        "Kubernetes clusters should not use the default namespace",
        "4.2.0",
        without=_NO_CONTAINERS,
        namespaces=_array(["default"]),
    ),
    _kubernetes(
        "021f8078-41a0-40e6-81b6-c6597da9f3ee",
        "Kubernetes cluster container images should not include latest image tag",
        "2.0.1",
        without=_NO_CONTAINERS,
        excludedNamespaces=_BASIC,
    ),
    _kubernetes(
        "b1a9997f-2883-4f12-bdff-2280f99b5915",
        "Ensure cluster containers have readiness or liveness probes configured",
        "3.3.0",
        requiredProbes=_array(["readinessProbe", "livenessProbe"]),
    ),
    _kubernetes(
        "1a3b9003-eac6-4d39-a184-4a567ace7645",
        "Kubernetes cluster container images must include the preStop hook",
        "1.1.1",
        without=_NO_CONTAINERS,
        excludedNamespaces=_BASIC,
    ),
    _kubernetes(
        "d9e8f2c1-4c5a-4f5c-8b5a-2abf1e9f7b4d",
        "[Preview]: Kubernetes cluster should implement accurate Pod Disruption Budgets",
        "1.3.1-preview",
        without=_NO_CONTAINERS,
        excludedNamespaces=_BASIC,
    ),
    _kubernetes(
        "34c88cd4-5d72-4dbb-bf77-12c3cafe8791",
        "Must Have Anti Affinity Rules or Topology Spread Constraints Set",
        "1.2.2",
        without=_NO_CONTAINERS,
        excludedNamespaces=_BASIC,
    ),
    _kubernetes(
        "233a2a17-77ca-4fb1-9b6b-69223d272a44",
        "Kubernetes cluster services should listen only on allowed ports",
        "8.2.0",
        "Deny",
        allowedServicePortsList={"type": "Array"},
        without=_NO_CONTAINERS,
    ),
    _kubernetes(
        "82985f06-dc18-4a48-bc1c-b9f4f0098cfe",
        "Kubernetes cluster pods should only use approved host network and port list",
        "7.0.0",
        allowHostNetwork={"type": "Boolean", "defaultValue": False},
        without=("excludedContainers",),
        allowedHostPorts=_array(),
    ),
    _kubernetes(
        "47a1ee2f-2a2a-4576-bf2a-e0e36709c2b8",
        "Kubernetes cluster containers should not share host namespaces",
        "6.0.0",
        without=("excludedContainers",),
    ),
    _kubernetes(
        "098fc59e-46c7-4d99-9b16-64990e543d75",
        "Kubernetes cluster pod hostPath volumes should only use allowed host paths",
        "6.3.0",
        allowedHostPaths={"type": "Object", "defaultValue": {"paths": []}},
        windowsAllowedHostPaths=_object({"paths": []}),
    ),
    _kubernetes(
        "c26596ff-4d70-4e6a-9a30-c2506bd2f80c",
        "Kubernetes cluster containers should only use allowed capabilities",
        "6.2.0",
        allowedCapabilities=_array(),
        requiredDropCapabilities=_array(),
    ),
    _kubernetes(
        "16697877-1118-4fb1-9b65-9898ec2509ec",
        "Kubernetes cluster pods should only use allowed volume types",
        "5.2.0",
        allowedVolumeTypes=_array(),
        without=("excludedContainers",),
    ),
    _kubernetes(
        "f06ddb64-5fa3-4b77-b166-acb36f7f6042",
        "Kubernetes cluster pods and containers should only run with approved user and group IDs",
        "6.2.0",
        runAsUserRule=_choices("MustRunAsNonRoot", "MustRunAs", "MustRunAsNonRoot", "RunAsAny"),
        runAsGroupRule=_choices("RunAsAny", *_GROUP_RULES),
        supplementalGroupsRule=_choices("RunAsAny", *_GROUP_RULES),
        fsGroupRule=_choices("RunAsAny", *_GROUP_RULES),
        runAsUserRanges=_RANGES,
        runAsGroupRanges=_RANGES,
        supplementalGroupsRanges=_RANGES,
        fsGroupRanges=_RANGES,
    ),
    _kubernetes(
        "975ce327-682c-4f2e-aa46-b9598289b86c",
        "Kubernetes cluster containers should only use allowed seccomp profiles",
        "7.2.0",
        allowedProfiles=_array(),
    ),
    _resource(
        "993c2fcd-2b29-49d2-9eb0-df2c3a730c32",
        "Azure Kubernetes Service Clusters should have local authentication methods disabled",
        "Kubernetes",
        _AUDIT_DENY,
        "1.0.1",
    ),
    _resource(
        "040732e8-d947-40b8-95d6-854c95024bf8",
        "Azure Kubernetes Service Private Clusters should be enabled",
        "Kubernetes",
        _AUDIT_DENY,
        "1.0.1",
    ),
    _resource(
        "2cc2e023-0dac-4046-875b-178f683929d5",
        "Azure Kubernetes Service Clusters should enable workload identity",
        "Kubernetes",
        ["Audit", "Disabled"],
    ),
    _resource(
        "a8eff44f-8c92-45c3-a3fb-9880802d67a7",
        "Deploy Azure Policy Add-on to Azure Kubernetes Service clusters",
        "Kubernetes",
        ["DeployIfNotExists", "Disabled"],
        "4.2.0",
    ),
    _resource(
        "090c7b07-b4ed-4561-ad20-e9075f3ccaff",
        f"Azure registry container images should have vulnerabilities resolved ({_MDVM})",
        "Security Center",
        ["AuditIfNotExists", "Disabled"],
        "1.0.1",
    ),
    _resource(
        "17f4b1cc-c55c-4d94-b1f9-2978f6ac2957",
        f"Azure running container images should have vulnerabilities resolved ({_MDVM})",
        "Security Center",
        ["AuditIfNotExists", "Disabled"],
        "1.0.1",
    ),
    _resource(
        "12d4fa5e-1f9f-4c21-97a9-b99b3c6611b5",
        "Azure Key Vault should use RBAC permission model",
        "Key Vault",
        _AUDIT_DENY,
        "1.0.1",
    ),
    _resource(
        "405c5871-3e91-4644-8a63-58e19d68ff5b",
        "Azure Key Vault should disable public network access",
        "Key Vault",
        _AUDIT_DENY,
        "1.1.0",
    ),
    _resource(
        "98728c90-32c7-4049-8429-847dc0f4fe37",
        "Key Vault secrets should have an expiration date",
        "Key Vault",
        _AUDIT_DENY,
        "1.0.2",
    ),
    _resource(
        "0fdf0491-d080-4575-b627-ad0e843cba0f",
        "Public network access should be disabled for Container registries",
        "Container Registry",
        _AUDIT_DENY,
    ),
    _resource(
        "dc921057-6b28-4fbe-9b83-f7bec05db6c2",
        "Container registries should have local admin account disabled.",
        "Container Registry",
        _AUDIT_DENY,
        "1.0.1",
    ),
    _resource(
        "cee2f9fd-3968-44be-a863-bd62c9884423",
        "Geo-redundant backup should be enabled for Azure Database for PostgreSQL flexible servers",
        "PostgreSQL",
        ["Audit", "Disabled"],
    ),
    _resource(
        "ce39a96d-bf09-4b60-8c32-e85d52abea0f",
        "A Microsoft Entra administrator should be provisioned for PostgreSQL flexible servers",
        "PostgreSQL",
        ["AuditIfNotExists", "Disabled"],
    ),
    _resource(
        "cfb11c26-f069-4c14-8e36-56c394dae5af",
        "Azure Service Bus namespaces should have local authentication methods disabled",
        "Service Bus",
        _AUDIT_DENY,
        "1.0.1",
    ),
)

_PSS = {name: _CLUSTER_SCOPE[name] for name in ("excludedNamespaces", "namespaces")} | {"effect": _effect("Audit")}

_SAFEGUARDS: dict[str, Any] = {
    "effect": _effect("Audit"),
    "effectForMutationPolicies": _choices("Disabled", "Mutate", "Disabled"),
    "excludedNamespaces": _BASIC,
    "source": _choices("All", "All", "Generated", "Original"),
    "warn": {"type": "Boolean", "defaultValue": False},
    "forcePrivilegeEscalationToBeFalse": {"type": "Boolean", "defaultValue": False},
    "allowedContainerImagesRegex": {"type": "String"},
    "messages": _object({}),
    "requiredProbes": _array(["readinessProbe", "livenessProbe"]),
    "allowedAppArmorProfiles": _array(["runtime/default"]),
    "allowedSeccompProfiles": _array(["RuntimeDefault", "Localhost"]),
    "allowedHostPaths": _object({"paths": []}),
    "windowsAllowedHostPaths": _object({"paths": []}),
    "runAsUserRule": _choices("MustRunAsNonRoot", "MustRunAs", "MustRunAsNonRoot", "RunAsAny"),
    "runAsUserRanges": _RANGES,
    **{name: {"type": "Array"} for name in ("allowedGroups", "allowedUsers", "labels", "reservedTaints")},
    **{
        name: _array()
        for name in (
            "allowedCapabilities",
            "allowedHostPorts",
            "allowedVolumeTypes",
            "excludedContainers",
            "excludedImages",
            "requiredDropCapabilities",
        )
    },
    "allowedSysctls": _array(
        [
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.ip_unprivileged_port_start",
            "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range",
            "net.ipv4.ip_local_reserved_ports",
            "net.ipv4.tcp_keepalive_time",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl",
            "net.ipv4.tcp_keepalive_probes",
        ]
    ),
}

INITIATIVES: tuple[BuiltIn, ...] = (
    BuiltIn(
        "a8640138-9b0a-4a28-b8cb-1666c838647d",
        "Kubernetes cluster pod security baseline standards for Linux-based workloads",
        "1.4.0",
        {**_PSS, "allowedHostPaths": _object({"paths": []})},
        members.BASELINE,
    ),
    BuiltIn(
        "42b8ef37-b724-4e24-bbc8-7a7708edfe00",
        "Kubernetes cluster pod security restricted standards for Linux-based workloads",
        "2.5.0",
        {**_PSS, "allowedCapabilities": _array(members.CAPABILITIES), "requiredDropCapabilities": _array()},
        members.RESTRICTED,
    ),
    BuiltIn(
        "c047ea8e-9c78-49b2-958b-37e56d291a44",
        "Deployment safeguards should help guide developers towards AKS recommended best practices",
        "3.0.0",
        _SAFEGUARDS,
        members.SAFEGUARDS,
    ),
)


def find(definition_id: str) -> BuiltIn | None:
    """The built-in definition or initiative of an id."""
    name = definition_id.rstrip("/").rsplit("/", 1)[-1].lower()
    pool = INITIATIVES if "/policysetdefinitions/" in definition_id.lower() else DEFINITIONS
    return next((item for item in pool if item.id == name), None)


def definition(name: str) -> BuiltIn:
    """The built-in definition of a name. Raises KeyError."""
    return {item.id: item for item in DEFINITIONS}[name]
