"""The CSI drivers of Azure disks and files, played: volumes for claims, of which the control plane does the binding.

A volume is an object of Kubernetes only: no disk and no share is made, and nothing is written to one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path

from .controllers import Controller, Manifest
from .events import warn

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

DISK, FILE = "disk.csi.azure.com", "file.csi.azure.com"
_SWITCHES = {DISK: "diskCSIDriver", FILE: "fileCSIDriver"}
_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
_NODE = "volume.kubernetes.io/selected-node"
_BY = "pv.kubernetes.io/provisioned-by"
_ZONE = "topology.disk.csi.azure.com/zone"
_STORAGE = "/apis/storage.k8s.io/v1"
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_MANY = {"ReadWriteMany": "MULTI_NODE_MULTI_WRITER", "ReadOnlyMany": "MULTI_NODE_READER_ONLY"}


def gibibytes(quantity: str) -> int:
    """Whole GiB that hold a quantity, at least one: Azure sells no parts."""
    number, unit = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", quantity).groups()  # type: ignore[union-attr]
    return max(1, -int(-float(number) * _UNITS[unit] // 2**30))


def volume(claim: Manifest, storage: Manifest, group: str, zone: str) -> Manifest:
    """The PersistentVolume for a claim.

    Args:
        storage: the claim's StorageClass.
        group: id of the nodes' resource group.
        zone: that of the node which the scheduler chose; empty for none.
    """
    metadata, spec, driver = claim["metadata"], claim["spec"], storage["provisioner"]
    name, size = f"pvc-{metadata['uid']}", gibibytes(spec["resources"]["requests"]["storage"])
    parameters = storage.get("parameters") or {}
    handle = f"{group}/providers/Microsoft.Compute/disks/{name}"
    if driver == FILE:
        share = "f" + metadata["uid"].replace("-", "")[:23]
        handle = f"{group.rsplit('/', 1)[-1]}#{share}#{name}###{metadata['namespace']}"
    of_claim = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
    made: dict[str, Any] = {
        "accessModes": spec["accessModes"],
        "capacity": {"storage": f"{size}Gi"},
        "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **of_claim},
        "csi": {
            "driver": driver,
            "volumeHandle": handle,
            "volumeAttributes": {
                **parameters,
                "requestedsizegib": str(size),
                "csi.storage.k8s.io/pvc/name": metadata["name"],
                "csi.storage.k8s.io/pvc/namespace": metadata["namespace"],
                "csi.storage.k8s.io/pv/name": name,
            },
        },
        "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy") or "Delete",
        "storageClassName": storage["metadata"]["name"],
        "volumeMode": spec.get("volumeMode") or "Filesystem",
    }
    if storage.get("mountOptions"):
        made["mountOptions"] = storage["mountOptions"]
    sku = {key.lower(): value for key, value in parameters.items()}.get("skuname", "")
    if driver == DISK and zone and not sku.endswith("_ZRS"):
        term = {"matchExpressions": [{"key": _ZONE, "operator": "In", "values": [zone]}]}
        made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_BY: driver}},
        "spec": made,
    }


class Volumes(Controller):
    """Provisioner, resizer and attacher of one cluster."""

    name = "volumes"

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        super().__init__(client)
        self._ctx = ctx
        self._cluster_id = cluster_id

    def handlers(self) -> dict[str, Callable[[Manifest], None]]:
        return {
            "/api/v1/persistentvolumeclaims": self._claim,
            "/api/v1/persistentvolumes": self._released,
            f"{_STORAGE}/volumeattachments": self._attach,
        }

    def _claim(self, claim: Manifest) -> None:
        annotations = claim["metadata"].get("annotations") or {}
        driver = annotations.get(_PROVISIONER)
        if claim["metadata"].get("deletionTimestamp") or driver not in _SWITCHES or not self._runs(driver):
            return
        if claim["spec"].get("volumeName"):
            self._resize(claim)
            return
        storage = self._client.get(f"{_STORAGE}/storageclasses/{claim['spec'].get('storageClassName')}")
        if storage is None:
            return
        node = annotations.get(_NODE, "")
        if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not node:
            return
        refused = [_MANY[mode] for mode in claim["spec"]["accessModes"] if mode in _MANY]
        if driver == DISK and refused and claim["spec"].get("volumeMode") != "Block":
            text = (
                f'failed to provision volume with StorageClass "{storage["metadata"]["name"]}": rpc error: code = '
                f"InvalidArgument desc = mountVolume is not supported for access mode: {refused[0]}"
            )
            warn(self._client, {**claim, "kind": "PersistentVolumeClaim"}, "ProvisioningFailed", text, driver)
            return
        there = self._client.get(f"/api/v1/nodes/{node}") if node else None
        labels = there["metadata"]["labels"] if there else {}
        cluster = self._ctx.require_resource(self._cluster_id)
        group = f"/subscriptions/{cluster.id.split('/')[2]}/resourceGroups/{cluster.properties['nodeResourceGroup']}"
        made = volume(claim, storage, group.lower(), labels.get(_ZONE, ""))
        try:
            self._client.create("/api/v1/persistentvolumes", made)
        except KubernetesError as error:
            if error.status != 409:
                raise

    def _resize(self, claim: Manifest) -> None:
        """Grow a bound claim's volume to what the claim asks for by now."""
        wanted = gibibytes(claim["spec"]["resources"]["requests"]["storage"])
        have = (claim["status"].get("capacity") or {}).get("storage")
        if claim["status"].get("phase") != "Bound" or have is None or wanted <= gibibytes(have):
            return
        capacity = {"capacity": {"storage": f"{wanted}Gi"}}
        metadata = claim["metadata"]
        self._client.merge(path("v1", "persistentvolumes", None, claim["spec"]["volumeName"]), {"spec": capacity})
        target = path("v1", "persistentvolumeclaims", metadata["namespace"], metadata["name"])
        self._client.merge(f"{target}/status", {"status": {**capacity, "conditions": None}})

    def _released(self, found: Manifest) -> None:
        """Delete a volume of ours that its claim has left, unless it is to be kept."""
        metadata, spec = found["metadata"], found["spec"]
        ours = (metadata.get("annotations") or {}).get(_BY) in _SWITCHES
        left = found["status"].get("phase") == "Released" and not metadata.get("deletionTimestamp")
        if ours and left and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            self._client.delete(path("v1", "persistentvolumes", None, metadata["name"]))

    def _attach(self, attachment: Manifest) -> None:
        if attachment["spec"]["attacher"] in _SWITCHES and not (attachment.get("status") or {}).get("attached"):
            target = f"{_STORAGE}/volumeattachments/{attachment['metadata']['name']}/status"
            self._client.merge(target, {"status": {"attached": True}})

    def _runs(self, driver: str) -> bool:
        cluster = self._ctx.store.get(self._cluster_id)
        profile = (cluster.properties.get("storageProfile") or {}) if cluster else {}
        return bool((profile.get(_SWITCHES[driver]) or {}).get("enabled"))
