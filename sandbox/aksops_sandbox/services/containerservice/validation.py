"""What AKS refuses before it makes anything. Codes and sentences follow the service's own."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.tools import KUBERNETES_VERSION

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_MINOR = ".".join(KUBERNETES_VERSION.split(".")[:2])
SUPPORTED = (_MINOR, KUBERNETES_VERSION)
_OPERATOR = "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action"
_ZONE_WRITE = "Microsoft.Network/privateDnsZones/write"
_RESERVED = ("169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24")


def cluster(ctx: Sandbox, new: Resource, old: Resource | None) -> None:
    """Refuse a managed cluster that Azure would refuse."""
    properties = new.properties
    version(properties["kubernetesVersion"], new.name)
    prefix = properties.get("dnsPrefix") or properties.get("fqdnSubdomain")
    if not prefix:
        raise bad_request("DnsPrefixRequired", "Required parameter dnsPrefix is missing (null or empty).")
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,52}[A-Za-z0-9])?", prefix):
        raise bad_request(
            "InvalidParameter",
            f"The value of parameter dnsPrefix is invalid: '{prefix}' must have 1 to 54 letters, "
            "digits and hyphens, and must start and end with a letter or digit.",
        )
    shapes.fixed(
        new,
        old,
        "dnsPrefix",
        "fqdnSubdomain",
        "nodeResourceGroup",
        "networkProfile.serviceCidr",
        "networkProfile.podCidr",
        "networkProfile.dnsServiceIP",
        "networkProfile.networkPlugin",
        "apiServerAccessProfile.enablePrivateCluster",
    )
    if not new.body.get("identity") and properties["servicePrincipalProfile"].get("clientId") == "msi":
        raise bad_request("InvalidParameter", "Either an identity or a service principal is needed.")
    if properties["disableLocalAccounts"] and "aadProfile" not in properties:
        raise bad_request(
            "BadRequest",
            "Disabling local accounts requires managed Microsoft Entra integration (aadProfile).",
        )
    pools = properties.get("agentPoolProfiles") or []
    if old is None and not any(item.get("mode") == "System" for item in pools):
        raise bad_request("MustDefineAtLeastOneSystemPool", "Must define at least one system pool.")
    _network(ctx, new, pools)
    _permissions(ctx, new)


def version(value: str, name: str) -> None:
    """Refuse a Kubernetes version that this region does not offer."""
    if value not in SUPPORTED:
        raise bad_request(
            "K8sVersionNotSupported",
            f"Managed cluster {name} is on version {value}, which is not supported in this region. Please use "
            f"[az aks get-versions] command to get the supported version list in this region. For more information, "
            f"please check https://aka.ms/supported-version-list (supported here: {', '.join(SUPPORTED)}).",
        )


def pool(profile: dict[str, Any], name: str) -> None:
    """Refuse a node pool that Azure would refuse."""
    limit = 6 if profile.get("osType") == "Windows" else 12
    if not re.fullmatch(rf"[a-z][a-z0-9]{{0,{limit - 1}}}", name):
        raise bad_request(
            "InvalidParameter",
            f"The value of parameter agentPoolProfile.name is invalid: '{name}' must start with a lower-case letter "
            f"and have at most {limit} lower-case letters and digits.",
        )
    count, low, high = profile["count"], profile.get("minCount"), profile.get("maxCount")
    shapes.between(count, 0, 1000, "agentPoolProfile.count")
    if profile["mode"] == "System" and count < 1:
        raise bad_request("InvalidParameter", f"The system node pool {name} must have at least one node.")
    if profile["enableAutoScaling"]:
        if low is None or high is None or low > high:
            raise bad_request(
                "InvalidParameter",
                f"The node pool {name} has auto-scaling enabled and needs minCount <= maxCount (have {low}, {high}).",
            )
    elif low is not None or high is not None:
        raise bad_request("InvalidParameter", f"minCount and maxCount of node pool {name} need enableAutoScaling.")
    if profile["osDiskType"] == "Ephemeral" and re.search(r"_[DEF]\d+a?s?_v[56]$", profile["vmSize"]):
        raise bad_request(
            "VMTemporaryDiskTooSmall",
            f"The virtual machine size {profile['vmSize']} has no temporary disk for an ephemeral OS disk.",
        )
    shapes.between(profile["maxPods"], 10, 250, "agentPoolProfile.maxPods")
    for taint in profile.get("nodeTaints") or []:
        if not re.fullmatch(r"[^=:]+(=[^=:]*)?:(NoSchedule|PreferNoSchedule|NoExecute)", taint):
            raise bad_request("InvalidParameter", f"The taint '{taint}' of node pool {name} is invalid.")


def _range(value: str, field: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise bad_request("InvalidCIDR", f"The value '{value}' of {field} is not an address range.") from None


def _network(ctx: Sandbox, new: Resource, pools: list[dict[str, Any]]) -> None:
    profile = new.properties["networkProfile"]
    services = _range(profile["serviceCidr"], "networkProfile.serviceCidr")
    if services.num_addresses > 2**20:
        raise bad_request("ServiceCidrTooLarge", "The specified service CIDR must be smaller than /12.")
    try:
        dns = ipaddress.ip_address(profile["dnsServiceIP"])
    except ValueError:
        raise bad_request("InvalidDNSServiceIP", f"'{profile['dnsServiceIP']}' is not an address.") from None
    if dns not in services or dns in (services[0], services[1], services[-1]):
        raise bad_request(
            "InvalidDNSServiceIP",
            f"The DNS service IP {dns} must be within the service CIDR {services}, and neither its first nor its last "
            "address.",
        )
    ranges = [("service CIDR", services)]
    if profile.get("podCidr"):
        ranges.append(("pod CIDR", _range(profile["podCidr"], "networkProfile.podCidr")))
    for label, item in ranges:
        for reserved in _RESERVED:
            if item.version == 4 and item.overlaps(ipaddress.ip_network(reserved)):
                raise bad_request("ReservedCIDR", f"The {label} {item} must not overlap {reserved}.")
    if len(ranges) == 2 and ranges[0][1].overlaps(ranges[1][1]):
        raise bad_request(
            "ServiceCidrOverlapPodCidr", f"The service CIDR {ranges[0][1]} overlaps the pod CIDR {ranges[1][1]}."
        )
    for subnet_id in {item.get("vnetSubnetID") for item in pools if item.get("vnetSubnetID")}:
        _subnet(ctx, new, str(subnet_id), ranges)


def _subnet(ctx: Sandbox, new: Resource, subnet_id: str, ranges: list[tuple[str, Any]]) -> None:
    subnet = shapes.reference(ctx, subnet_id, new.id, "InvalidSubnet")
    network_id = subnet_id.rsplit("/subnets/", 1)[0]
    for sibling in ctx.store.list(type=subnet.type, prefix=network_id):
        own = sibling.properties
        for prefix in own.get("addressPrefixes") or [own.get("addressPrefix")]:
            for label, item in ranges:
                if prefix and item.overlaps(ipaddress.ip_network(prefix)):
                    code = "ServiceCidrOverlapExistingSubnetsCidr" if label == "service CIDR" else "PodCidrOverlap"
                    raise bad_request(
                        code, f"The specified {label} {item} is conflicted with an existing subnet CIDR {prefix}."
                    )
    outbound = new.properties["networkProfile"]["outboundType"]
    needed = {"userAssignedNATGateway": "natGateway", "userDefinedRouting": "routeTable"}.get(outbound)
    if needed and not (subnet.properties.get(needed) or {}).get("id"):
        code = {
            "natGateway": "ExistingNatGatewayNotAssociatedWithSubnet",
            "routeTable": "ExistingRouteTableNotAssociatedWithSubnet",
        }[needed]
        raise bad_request(
            code, f"The outbound type {outbound} needs a {needed} on the subnet, and {subnet_id} has none."
        )


def _permissions(ctx: Sandbox, new: Resource) -> None:
    """The control plane's identity must hold what AKS needs before it makes the cluster."""
    assigned = (new.body.get("identity") or {}).get("userAssignedIdentities") or {}
    principals = [str((value or {}).get("principalId") or "") for value in assigned.values()]
    kubelet = (new.properties.get("identityProfile") or {}).get("kubeletidentity") or {}
    target = kubelet.get("resourceId")
    if target and principals:
        identity = shapes.reference(ctx, target, new.id, "CustomKubeletIdentityNotFound")
        kubelet.update(
            resourceId=identity.id,
            clientId=identity.properties["clientId"],
            objectId=identity.properties["principalId"],
        )
        if not any(ctx.rbac.allowed(item, _OPERATOR, identity.id) for item in principals):
            raise AzureError(
                400,
                "CustomKubeletIdentityMissingPermissionError",
                "The cluster using user-assigned managed identity must be granted 'Managed Identity Operator' role to "
                f"assign kubelet identity. Scope: '{identity.id}'.",
            )
    zone = (new.properties.get("apiServerAccessProfile") or {}).get("privateDNSZone") or ""
    if zone.lower() not in ("", "system", "none"):
        shapes.reference(ctx, zone, new.id, "CustomPrivateDNSZoneNotFound")
        if not any(ctx.rbac.allowed(item, _ZONE_WRITE, zone) for item in principals):
            raise AzureError(
                400,
                "CustomPrivateDNSZoneMissingPermissionError",
                "Service principal or user-assigned identity must be given permission to read and write to custom "
                f"private dns zone {zone}.",
            )
