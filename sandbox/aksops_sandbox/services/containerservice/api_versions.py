"""Which fields of a managed cluster an api-version knows: a PUT drops the others, a GET does not show them.

Read from the models of go-azure-sdk (resource-manager v0.20260811.1225050), GA versions only: a preview version is
taken to know everything.
"""

from __future__ import annotations

import re
from typing import Any

#: api-version -> dotted paths that it was the first to know; `[]` stands for each entry of a list.
ADDED: dict[str, tuple[str, ...]] = {
    "2025-03-01": (
        "properties.agentPoolProfiles[].upgradeSettings.maxUnavailable",
        "properties.agentPoolProfiles[].upgradeSettings.undrainableNodeBehavior",
        "properties.apiServerAccessProfile.enableVnetIntegration",
        "properties.apiServerAccessProfile.subnetId",
    ),
    "2025-05-01": (
        "properties.agentPoolProfiles[].gatewayProfile",
        "properties.agentPoolProfiles[].podIPAllocationMode",
        "properties.agentPoolProfiles[].status",
        "properties.agentPoolProfiles[].virtualMachineNodesStatus",
        "properties.agentPoolProfiles[].virtualMachinesProfile",
        "properties.aiToolchainOperatorProfile",
        "properties.networkProfile.staticEgressGatewayProfile",
        "properties.nodeProvisioningProfile",
        "properties.status",
    ),
    "2025-07-01": ("kind",),
    "2025-10-01": (
        "properties.agentPoolProfiles[].localDNSProfile",
        "properties.agentPoolProfiles[].securityProfile.sshAccess",
        "properties.networkProfile.advancedNetworking.security.advancedNetworkPolicies",
    ),
    "2026-04-01": (
        "properties.agentPoolProfiles[].artifactStreamingProfile",
        "properties.azureMonitorProfile.appMonitoring",
        "properties.azureMonitorProfile.metrics.controlPlane",
        "properties.hostedSystemProfile",
        "properties.httpProxyConfig.enabled",
        "properties.ingressProfile.gatewayAPI",
        "properties.ingressProfile.webAppRouting.gatewayAPIImplementations",
        "properties.networkProfile.advancedNetworking.performance",
        "properties.networkProfile.advancedNetworking.security.transitEncryption",
        "properties.serviceMeshProfile.istio.components.proxyRedirectionMechanism",
    ),
}


def unknown(version: str) -> list[str]:
    """The paths that an api-version does not know."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", version):
        return []
    return [path for first, paths in ADDED.items() if first > version for path in paths]


def trim(cluster: dict[str, Any], version: str) -> dict[str, Any]:
    """Take out, in place, what an api-version does not know; returns the cluster."""
    for path in unknown(version):
        _drop(cluster, path.split("."))
    return cluster


def _drop(node: Any, steps: list[str]) -> None:
    if not isinstance(node, dict):
        return
    step, *rest = steps
    if not rest:
        node.pop(step, None)
    elif step.endswith("[]"):
        for entry in node.get(step[:-2]) or []:
            _drop(entry, rest)
    else:
        _drop(node.get(step), rest)
