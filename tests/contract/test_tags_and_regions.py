"""Tags by themselves, and what a region has."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.contract
TAGS = "2024-11-01"


def tags(answer):
    assert answer.status == 200, answer.body
    return answer.json["properties"]["tags"]


def test_tags_are_merged_replaced_and_removed_by_themselves(client):
    group = client.group("rg-tags")
    path = f"{group}/providers/Microsoft.Resources/tags/default"

    def patch(operation, **change):
        return client.arm("PATCH", path, TAGS, {"operation": operation, "properties": {"tags": change}})

    assert tags(client.arm("PUT", path, TAGS, {"properties": {"tags": {"Team": "a"}}})) == {"Team": "a"}
    assert tags(patch("Merge", team="b", env="dev")) == {"Team": "b", "env": "dev"}
    assert tags(patch("Delete", env="other")) == {"Team": "b", "env": "dev"}
    assert tags(patch("Delete", ENV="dev")) == {"Team": "b"}
    assert client.arm("GET", group, "2023-07-01").json["tags"] == {"Team": "b"}
    assert patch("Merge", **{"a/b": "x"}).code == "InvalidTagNameCharacters"
    assert patch("Merge", **{f"t{number}": "x" for number in range(50)}).code == "InvalidTags"
    assert client.arm("DELETE", path, TAGS).status == 200
    assert tags(client.arm("GET", path, TAGS)) == {}


def test_a_reader_writes_no_tags(client, sandbox):
    path = f"{client.group('rg-tags-reader')}/providers/Microsoft.Resources/tags/default"
    refused = sandbox.client(account="reader").arm("PUT", path, TAGS, {"properties": {"tags": {"a": "b"}}})
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")


def test_regions_have_their_pairs_and_zones(client):
    regions = {item["name"]: item for item in client.arm("GET", "/locations", "2022-12-01").json["value"]}
    assert [pair["name"] for pair in regions["eastus2"]["metadata"]["pairedRegion"]] == ["centralus"]
    assert regions["polandcentral"]["metadata"]["pairedRegion"] == []
    assert len(regions["swedencentral"]["availabilityZoneMappings"]) == 3
    assert regions["westus"]["availabilityZoneMappings"] == []


def test_geo_redundancy_needs_a_paired_region(client):
    group = client.group("rg-regions")
    body = {"location": "polandcentral", "sku": {"name": "Standard_GRS"}, "kind": "StorageV2", "properties": {}}
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/stregionsx1"
    assert client.arm("PUT", account, "2023-05-01", body).code == "AccountTypeNotSupported"
    made = client.arm("PUT", account, "2023-05-01", {**body, "location": "Sweden Central"})
    assert made.json["properties"]["secondaryLocation"] == "swedensouth"
    nowhere = client.arm("PUT", account + "y", "2023-05-01", {**body, "location": "atlantis"})
    assert nowhere.code == "LocationNotAvailableForResourceType"
