"""Nodes of a cluster's pools, with the names, labels and sizes that AKS gives them."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import Client

from . import defaults

_MEMORY_PER_CPU = {"B": 4, "D": 4, "E": 8, "F": 2, "M": 16, "N": 14}
POOL_LABEL = "kubernetes.azure.com/agentpool"


def size(vm_size: str) -> tuple[int, int]:
    """(vCPUs, GiB of memory) of an Azure VM size, by its name: `Standard_D4ds_v5` has 4 and 16."""
    found = re.match(r"Standard_([A-Z])[A-Z]*(\d+)", vm_size)
    if not found:
        return 4, 16
    cpus = int(found.group(2))
    return cpus, cpus * _MEMORY_PER_CPU.get(found.group(1), 4)


def manifests(cluster: Resource, pool: Resource, addresses: int) -> list[dict[str, Any]]:
    """Node objects (with status) of one pool; addresses: how many nodes of other pools come before it."""
    profile = pool.properties
    if (profile.get("powerState") or {}).get("code") == "Stopped":
        return []
    return [_node(cluster, pool.name, profile, index, addresses + index) for index in range(profile["count"])]


def _node(cluster: Resource, pool: str, profile: dict[str, Any], index: int, address: int) -> dict[str, Any]:
    number = defaults.number_of(cluster.id)
    scale_set = f"aks-{pool}-{number}-vmss"
    name = f"{scale_set}{_base36(index):0>6}"
    group = cluster.properties["nodeResourceGroup"]
    region = cluster.location or "westeurope"
    zones = profile.get("availabilityZones") or []
    zone = f"{region}-{zones[index % len(zones)]}" if zones else "0"
    labels = {
        "agentpool": pool,
        POOL_LABEL: pool,
        "kubernetes.azure.com/cluster": group,
        "kubernetes.azure.com/mode": profile["mode"].lower(),
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/os-sku": profile["osSKU"],
        "kubernetes.azure.com/node-image-version": profile["nodeImageVersion"],
        "kubernetes.azure.com/storagetier": "Premium_LRS",
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": profile["osType"].lower(),
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": profile["osType"].lower(),
        "kubernetes.io/hostname": name,
        "node.kubernetes.io/instance-type": profile["vmSize"],
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
        "topology.disk.csi.azure.com/zone": zone if zones else "",
        **(profile.get("nodeLabels") or {}),
    }
    cpus, memory = size(profile["vmSize"])
    subscription = cluster.id.split("/")[2]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "providerID": f"azure:///subscriptions/{subscription}/resourceGroups/{group.lower()}/providers/"
            f"Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/{index}",
            "taints": [_taint(text) for text in profile.get("nodeTaints") or []],
        },
        "status": {
            "capacity": {"cpu": str(cpus), "memory": f"{memory}Gi", "pods": str(profile["maxPods"])},
            "allocatable": {
                "cpu": f"{cpus * 1000 - 140}m",
                "memory": f"{int(memory * 1024 * 0.9)}Mi",
                "pods": str(profile["maxPods"]),
            },
            "addresses": [
                {"type": "InternalIP", "address": f"10.224.{address // 250}.{address % 250 + 4}"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "kubeletVersion": f"v{profile['currentOrchestratorVersion']}",
                "kubeProxyVersion": "",
                "containerRuntimeVersion": "containerd://2.0.5",
                "kernelVersion": "6.8.0-1031-azure",
                "osImage": "Ubuntu 24.04.3 LTS",
                "operatingSystem": profile["osType"].lower(),
                "architecture": "amd64",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    }


def reconcile(client: Client, cluster: Resource, pools: list[Resource]) -> None:
    """Make the cluster's nodes those of its pools."""
    wanted: dict[str, dict[str, Any]] = {}
    for pool in pools:
        for node in manifests(cluster, pool, len(wanted)):
            wanted[node["metadata"]["name"]] = node
    have = {item["metadata"]["name"]: item for item in client.list("/api/v1/nodes")}
    for name in have.keys() - wanted.keys():
        for pod in client.list("/api/v1/pods", fieldSelector=f"spec.nodeName={name}"):
            metadata = pod["metadata"]
            client.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")
        client.delete(f"/api/v1/nodes/{name}")
    for name, node in wanted.items():
        if name in have:
            del node["status"]
            client.apply(node)
        else:
            # A kubelet too registers its node with its status in one request: kwok must not see it without sizes.
            client.create("/api/v1/nodes", node)


def _taint(text: str) -> dict[str, str]:
    key, effect = text.rsplit(":", 1)
    name, _, value = key.partition("=")
    return {"key": name, "effect": effect, **({"value": value} if value else {})}


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while True:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
        if number == 0:
            return text
