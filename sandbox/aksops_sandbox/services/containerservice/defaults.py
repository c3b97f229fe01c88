"""What Azure fills in when a cluster or a node pool leaves it out."""

from __future__ import annotations

import hashlib
from typing import Any

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.tools import KUBERNETES_VERSION

NODE_IMAGE = "AKSUbuntu-2404gen2containerd-202611.10.0"
_MINOR = ".".join(KUBERNETES_VERSION.split(".")[:2])


def node_group(cluster: Resource) -> str:
    """Name of the resource group that AKS makes for the nodes."""
    group = cluster.id.split("/")[4]
    return f"MC_{group}_{cluster.name}_{cluster.location}"[:80]


def full_version(version: str | None) -> str:
    """The patch version that a version without a patch stands for."""
    return KUBERNETES_VERSION if not version or version == _MINOR else version


def number_of(cluster_id: str) -> str:
    """The eight digits in the names of a cluster's nodes."""
    return f"{int(hashlib.sha256(cluster_id.lower().encode()).hexdigest(), 16) % 90000000 + 10000000}"


def cluster(new: Resource, old: Resource | None) -> None:
    """Fill a managed cluster."""
    properties = new.properties
    shapes.carry(
        new,
        old,
        "kubernetesVersion",
        "dnsPrefix",
        "fqdnSubdomain",
        "nodeResourceGroup",
        "networkProfile",
        "identityProfile",
        "servicePrincipalProfile",
        "linuxProfile",
        "windowsProfile",
        "aadProfile",
        "oidcIssuerProfile",
        "storageProfile",
        "autoUpgradeProfile",
        "addonProfiles",
        "disableLocalAccounts",
        "enableRBAC",
        "supportPlan",
        "securityProfile",
        "nodeProvisioningProfile",
        "apiServerAccessProfile",
    )
    for name in [name for name, value in properties.items() if value is None]:
        del properties[name]
    properties.setdefault("kubernetesVersion", _MINOR)
    if not properties.get("nodeResourceGroup"):
        properties["nodeResourceGroup"] = node_group(new)
    shapes.defaults(
        properties,
        {
            "servicePrincipalProfile": {"clientId": "msi"},
            "enableRBAC": True,
            "supportPlan": "KubernetesOfficial",
            "disableLocalAccounts": False,
            "maxAgentPools": 100,
            "powerState": {"code": "Running"},
            "storageProfile": {
                "diskCSIDriver": {"enabled": True},
                "fileCSIDriver": {"enabled": True},
                "snapshotController": {"enabled": True},
            },
            "oidcIssuerProfile": {"enabled": True},
            "nodeProvisioningProfile": {"mode": "Manual"},
            "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
            "securityProfile": {},
            "metricsProfile": {"costAnalysis": {"enabled": False}},
        },
    )
    if properties["nodeProvisioningProfile"]["mode"] == "Manual":
        properties["nodeProvisioningProfile"].setdefault("defaultNodePools", "None")
    properties["currentKubernetesVersion"] = full_version(properties["kubernetesVersion"])
    shapes.computed(new, old, resourceUID=lambda: shapes.guid().replace("-", "")[:24])
    network(properties.setdefault("networkProfile", {}))
    if "aadProfile" in properties:
        shapes.defaults(properties["aadProfile"], {"managed": True, "enableAzureRBAC": False})
        properties["aadProfile"].setdefault("adminGroupObjectIDs", None)
    shapes.defaults(new.body, {"sku": {"name": "Base", "tier": "Free"}})


def network(profile: dict[str, Any]) -> None:
    """Fill a network profile; the plural fields mirror the single ones."""
    shapes.defaults(
        profile,
        {
            "networkPlugin": "azure",
            "loadBalancerSku": "standard",
            "outboundType": "loadBalancer",
            "serviceCidr": "10.0.0.0/16",
            "dnsServiceIP": "10.0.0.10",
            "ipFamilies": ["IPv4"],
            "podLinkLocalAccess": "IMDS",
        },
    )
    profile.setdefault("networkDataplane", "azure")
    if profile["networkDataplane"] == "cilium":
        profile["networkPolicy"] = "cilium"
    profile.setdefault("networkPolicy", "none")
    overlay = str(profile.get("networkPluginMode", "")).lower() == "overlay"
    if overlay or profile["networkPlugin"] == "kubenet":
        shapes.defaults(profile, {"podCidr": "10.244.0.0/16"})
        profile["podCidrs"] = [profile["podCidr"]]
    profile["serviceCidrs"] = [profile["serviceCidr"]]
    if profile["outboundType"] == "loadBalancer":
        shapes.defaults(
            profile,
            {"loadBalancerProfile": {"managedOutboundIPs": {"count": 1}, "backendPoolType": "nodeIPConfiguration"}},
        )


def pool(profile: dict[str, Any], cluster_properties: dict[str, Any]) -> None:
    """Fill a node pool's properties."""
    for name in [name for name, value in profile.items() if value is None]:
        del profile[name]
    overlay = str(cluster_properties["networkProfile"].get("networkPluginMode", "")).lower() == "overlay"
    windows = profile.get("osType") == "Windows"
    shapes.defaults(
        profile,
        {
            "count": profile.get("minCount") or 1,
            "vmSize": "Standard_D4ds_v5",
            "osDiskSizeGB": 128,
            "osDiskType": "Managed",
            "kubeletDiskType": "OS",
            "maxPods": 250 if overlay else 30,
            "type": "VirtualMachineScaleSets",
            "enableAutoScaling": False,
            "scaleDownMode": "Delete",
            "powerState": {"code": "Running"},
            "orchestratorVersion": cluster_properties["kubernetesVersion"],
            "enableNodePublicIP": False,
            "enableEncryptionAtHost": False,
            "enableUltraSSD": False,
            "enableFIPS": False,
            "mode": "User",
            "osType": "Linux",
            "osSKU": "Windows2025" if windows else "Ubuntu",
            "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"},
            "securityProfile": {"enableVTPM": False, "enableSecureBoot": False},
        },
    )
    profile["currentOrchestratorVersion"] = full_version(profile["orchestratorVersion"])
    profile["nodeImageVersion"] = profile.get("nodeImageVersion") or NODE_IMAGE
    if profile["enableAutoScaling"]:
        low, high = profile.get("minCount") or 0, profile.get("maxCount") or 0
        profile["count"] = min(max(profile["count"], low), high)


def cluster_of(pool_id: str) -> str:
    """Id of the cluster that holds a node pool."""
    parsed = ids.parse(pool_id)
    assert parsed is not None
    return parsed.parent
