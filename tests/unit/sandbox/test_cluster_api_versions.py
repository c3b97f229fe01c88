"""What an older api-version does to a managed cluster."""

from __future__ import annotations

import copy

import pytest
from aksops_sandbox.services.containerservice import api_versions

CLUSTER = {
    "kind": "Base",
    "properties": {
        "kubernetesVersion": "1.36",
        "nodeProvisioningProfile": {"mode": "Manual"},
        "ingressProfile": {
            "gatewayAPI": {"installation": "Standard"},
            "webAppRouting": {"enabled": True, "gatewayAPIImplementations": {"appRoutingIstio": {"mode": "Enabled"}}},
        },
        "azureMonitorProfile": {
            "metrics": {"enabled": True, "controlPlane": {"enabled": True}},
            "appMonitoring": {"autoInstrumentation": {"enabled": True}},
        },
        "agentPoolProfiles": [{"name": "system", "localDNSProfile": {"mode": "Required"}, "count": 2}],
    },
}


def trimmed(version):
    return api_versions.trim(copy.deepcopy(CLUSTER), version)


@pytest.mark.parametrize("version", ["2026-04-01", "2026-09-01", "2025-09-02-preview"])
def test_newest_and_preview_versions_know_everything(version):
    assert trimmed(version) == CLUSTER


def test_the_version_of_terraforms_provider_loses_what_the_addons_module_sets():
    properties = trimmed("2025-10-01")["properties"]
    assert properties["ingressProfile"] == {"webAppRouting": {"enabled": True}}
    assert properties["azureMonitorProfile"] == {"metrics": {"enabled": True}}
    assert properties["agentPoolProfiles"] == CLUSTER["properties"]["agentPoolProfiles"]


def test_each_older_version_knows_less():
    counts = [len(api_versions.unknown(version)) for version in sorted([*api_versions.ADDED, "2025-02-01"])]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0] > counts[-1]) is True
    old = trimmed("2025-03-01")
    assert "kind" not in old
    assert "nodeProvisioningProfile" not in old["properties"]
    assert "localDNSProfile" not in old["properties"]["agentPoolProfiles"][0]
