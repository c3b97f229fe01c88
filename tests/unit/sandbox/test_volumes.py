"""Volumes that the played CSI drivers make for claims."""

from __future__ import annotations

import pytest
from aksops_sandbox.services.containerservice.volumes import DISK, FILE, gibibytes, volume

GROUP = "/subscriptions/s/resourcegroups/mc_kube"


def claim(size="10Gi"):
    metadata = {"name": "data", "namespace": "shop", "uid": "1-2", "resourceVersion": "7"}
    return {
        "metadata": metadata,
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    }


def storage(driver=DISK, **given):
    return {"metadata": {"name": "managed-csi"}, "provisioner": driver, "reclaimPolicy": "Delete", **given}


@pytest.mark.parametrize(
    ("quantity", "expected"), [("1500Mi", 2), ("8Gi", 8), ("10G", 10), ("1", 1), ("1.5Gi", 2), ("1Ti", 1024)]
)
def test_sizes_are_whole_gibibytes(quantity, expected):
    assert gibibytes(quantity) == expected


def test_a_disk_is_bound_to_the_zone_of_the_node_unless_it_lies_in_all():
    made = volume(claim(), storage(), GROUP, "westeurope-2")
    assert made["metadata"]["name"] == "pvc-1-2"
    assert made["spec"]["csi"]["volumeHandle"] == f"{GROUP}/providers/Microsoft.Compute/disks/pvc-1-2"
    assert made["spec"]["claimRef"]["uid"] == "1-2"
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["westeurope-2"]
    everywhere = storage(parameters={"skuName": "Premium_ZRS"})
    assert "nodeAffinity" not in volume(claim(), everywhere, GROUP, "westeurope-2")["spec"]


def test_a_file_share_has_no_zone_and_the_options_of_its_class():
    made = volume(claim(), storage(FILE, mountOptions=["mfsymlinks"]), GROUP, "westeurope-2")["spec"]
    assert "nodeAffinity" not in made
    assert made["mountOptions"] == ["mfsymlinks"]
    assert made["csi"]["volumeHandle"].startswith("mc_kube#f12#pvc-1-2#")
