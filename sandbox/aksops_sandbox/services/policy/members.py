"""Members of Azure's initiatives on Kubernetes: reference id, definition, parameters (Azure/azure-policy, 2026-04)."""

from __future__ import annotations

from typing import Any

Member = tuple[str, str, dict[str, Any]]

CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]
_VOLUMES = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"]
_GROUPS = {"ranges": [{"min": 1, "max": 65535}]}


def _member(reference: str, definition: str, *passed: str, **fixed: Any) -> Member:
    """passed: parameters of the initiative that are handed on under the same name. fixed: literal values."""
    handed = {name: f"[parameters('{name}')]" for name in passed}
    return reference, definition, {**handed, **fixed}


def _standard(reference: str, definition: str, *passed: str, **fixed: Any) -> Member:
    return _member(reference, definition, "effect", "excludedNamespaces", "namespaces", *passed, **fixed)


def _safeguard(reference: str, definition: str, *passed: str, **fixed: Any) -> Member:
    return _member(reference, definition, "effect", "excludedNamespaces", "source", "warn", *passed, **fixed)


_NO_PRIVILEGE = _standard("NoPrivilegedContainers", "95edb821-ddaf-4404-9732-666045e056b4")
_HOST_NETWORK = _standard("BlockUsingHostNetwork", "82985f06-dc18-4a48-bc1c-b9f4f0098cfe", allowHostNetwork=False)
_HOST_PROCESSES = _standard("BlockUsingHostProcessIDAndIPC", "47a1ee2f-2a2a-4576-bf2a-e0e36709c2b8")

BASELINE: tuple[Member, ...] = (
    _NO_PRIVILEGE,
    _HOST_NETWORK,
    _HOST_PROCESSES,
    _standard(
        "ContainerCapabilities",
        "c26596ff-4d70-4e6a-9a30-c2506bd2f80c",
        allowedCapabilities=CAPABILITIES,
        requiredDropCapabilities=[],
    ),
    _standard("NoHostPathVolume", "098fc59e-46c7-4d99-9b16-64990e543d75", "allowedHostPaths"),
)

RESTRICTED: tuple[Member, ...] = (
    _NO_PRIVILEGE,
    # The initiative pins version 7, which knows no parameter and asks for an explicit false.
    _standard(
        "NoPrivilegeEscalation",
        "1c6e92c9-99f0-4e55-9cf2-0c234dc48f99",
        forcePrivilegeEscalationToBeFalse=True,
    ),
    _HOST_NETWORK,
    _HOST_PROCESSES,
    _standard(
        "ContainerCapabilities",
        "c26596ff-4d70-4e6a-9a30-c2506bd2f80c",
        "allowedCapabilities",
        "requiredDropCapabilities",
    ),
    _standard("AllowedVolumeTypes", "16697877-1118-4fb1-9b65-9898ec2509ec", allowedVolumeTypes=_VOLUMES),
    _standard(
        "AllowedUsersGroups",
        "f06ddb64-5fa3-4b77-b166-acb36f7f6042",
        runAsUserRule="MustRunAsNonRoot",
        runAsUserRanges={"ranges": []},
        runAsGroupRule="MustRunAs",
        runAsGroupRanges=_GROUPS,
        supplementalGroupsRule="MustRunAs",
        supplementalGroupsRanges=_GROUPS,
        fsGroupRule="MustRunAs",
        fsGroupRanges=_GROUPS,
    ),
    _standard(
        "AllowedSeccompProfiles",
        "975ce327-682c-4f2e-aa46-b9598289b86c",
        allowedProfiles=["runtime/default", "docker/default"],
    ),
)

_SKIPPED = ("excludedImages", "excludedContainers")

#: Those of the 27 members that the catalog has.
SAFEGUARDS: tuple[Member, ...] = (
    _safeguard("podEnforceAntiaffinityInKubernetesCluster", "34c88cd4-5d72-4dbb-bf77-12c3cafe8791"),
    _safeguard(
        "ensureAllowedContainerImagesInKubernetesCluster",
        "febd0533-8e55-448f-b837-bd0e06f16469",
        "allowedContainerImagesRegex",
        "excludedContainers",
    ),
    _safeguard(
        "ensureProbesConfiguredInKubernetesCluster",
        "b1a9997f-2883-4f12-bdff-2280f99b5915",
        "requiredProbes",
        *_SKIPPED,
    ),
    _safeguard("imagesDoNotUseLatest", "021f8078-41a0-40e6-81b6-c6597da9f3ee"),
    _safeguard("blockHostNamespaces", "47a1ee2f-2a2a-4576-bf2a-e0e36709c2b8"),
    _safeguard("hostNetworkPorts", "82985f06-dc18-4a48-bc1c-b9f4f0098cfe", "allowedHostPorts"),
    _safeguard(
        "allowedUsersGroups",
        "f06ddb64-5fa3-4b77-b166-acb36f7f6042",
        "runAsUserRule",
        "runAsUserRanges",
        *_SKIPPED,
    ),
    _safeguard(
        "containerNoPrivilegeEscalation",
        "1c6e92c9-99f0-4e55-9cf2-0c234dc48f99",
        "forcePrivilegeEscalationToBeFalse",
        *_SKIPPED,
    ),
    _safeguard(
        "allowedHostPaths",
        "098fc59e-46c7-4d99-9b16-64990e543d75",
        "allowedHostPaths",
        "windowsAllowedHostPaths",
        *_SKIPPED,
    ),
    _safeguard("privilegedContainers", "95edb821-ddaf-4404-9732-666045e056b4", *_SKIPPED),
    _safeguard(
        "containerAllowedCapabilities",
        "c26596ff-4d70-4e6a-9a30-c2506bd2f80c",
        "allowedCapabilities",
        "requiredDropCapabilities",
        *_SKIPPED,
    ),
    _safeguard(
        "allowedSeccompProfiles",
        "975ce327-682c-4f2e-aa46-b9598289b86c",
        *_SKIPPED,
        allowedProfiles="[parameters('allowedSeccompProfiles')]",
    ),
    _safeguard("allowedVolumeTypes", "16697877-1118-4fb1-9b65-9898ec2509ec", "allowedVolumeTypes", "excludedImages"),
)
