"""Lists with filters and pages, tags of the subscription, the activity log: what az and the SDKs ask of ARM."""

from __future__ import annotations

import datetime
import uuid

import pytest

RESOURCES = "2021-04-01"
EVENTS = "2015-04-01"
IDENTITIES = "2023-01-31"
VALUES = "/providers/Microsoft.Insights/eventtypes/management/values"


@pytest.fixture(scope="module")
def group(client):
    path = client.group("lists")
    for name, tags in (("id-one", {"team": "a"}), ("id-two", {"team": "b", "a": "team"}), ("id-three", {})):
        made = client.arm("PUT", identity(path, name), IDENTITIES, {"location": "westeurope", "tags": tags})
        assert made.status == 201
    return path


def identity(group: str, name: str) -> str:
    return f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name eq 'ID-ONE'", ["id-one"]),
        ("name ne 'id-one'", ["id-three", "id-two"]),
        ("name eq 'id-one' or name eq 'id-two'", ["id-one", "id-two"]),
        ("substringof('-t', name)", ["id-three", "id-two"]),
        ("startswith(name, 'id-th')", ["id-three"]),
        ("tagName eq 'team'", ["id-one", "id-two"]),
        ("tagName eq 'team' and tagValue eq 'b'", ["id-two"]),
        ("tagName eq 'a' and tagValue eq 'b'", []),
        ("resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities' and name eq 'id-two'", ["id-two"]),
        ("location eq 'West Europe' and name eq 'id-one'", ["id-one"]),
        ("location eq 'northeurope'", []),
    ],
)
def test_resources_are_filtered_as_azure_filters_them(client, group, query, names):
    found = client.arm("GET", f"{group}/resources?$filter={query}", RESOURCES)
    assert sorted(item["name"] for item in found.json["value"]) == names


@pytest.mark.parametrize("query", ["name", "name eq 'a' xor name eq 'b'", "colour eq 'red'", "name eq 'a' and"])
def test_a_filter_that_azure_does_not_know_is_refused(client, group, query):
    answer = client.arm("GET", f"{group}/resources?$filter={query}", RESOURCES)
    assert (answer.status, answer.code) == (400, "InvalidFilterInQueryString")


def test_a_long_list_comes_in_pages(client, group):
    names, link = (
        [],
        f"https://management.azure.com{client.subscription}{group}/resources?api-version={RESOURCES}&$top=2",
    )
    sizes = []
    while link:
        page = client.bearer("GET", link).json
        sizes.append(len(page["value"]))
        names += [item["name"] for item in page["value"]]
        link = page.get("nextLink")
    assert (sizes, sorted(names)) == ([2, 1], ["id-one", "id-three", "id-two"])


@pytest.mark.parametrize("name", ["", "/x"])
def test_a_missing_group_is_named_before_what_would_be_in_it(client, name):
    path = f"/resourceGroups/nowhere/providers/Microsoft.Network/virtualNetworks{name}"
    answer = client.arm("GET", path, "2024-05-01")
    assert (answer.status, answer.code) == (404, "ResourceGroupNotFound")


def test_existence_is_asked_by_head(client, group):
    assert client.arm("HEAD", identity(group, "id-one"), IDENTITIES).status == 204
    assert client.arm("HEAD", identity(group, "id-none"), IDENTITIES).status == 404


def test_a_subscription_has_tags_of_its_own(client):
    path = "/providers/Microsoft.Resources/tags/default"
    body = {"operation": "Merge", "properties": {"tags": {"cost": "42"}}}
    assert client.arm("PATCH", path, RESOURCES, body).json["properties"]["tags"] == {"cost": "42"}
    assert client.arm("GET", path, RESOURCES).json["properties"]["tags"] == {"cost": "42"}
    assert client.arm("GET", client.subscription, RESOURCES).json["tags"] == {"cost": "42"}
    assert client.arm("DELETE", path, RESOURCES).status == 200


def test_the_names_of_tags_in_use_are_counted(client, group):
    names = {item["tagName"]: item for item in client.arm("GET", "/tagNames", RESOURCES).json["value"]}
    values = {item["tagValue"]: item["count"]["value"] for item in names["team"]["values"]}
    assert values == {"a": 1, "b": 1}


def test_the_activity_log_tells_who_wrote_what_and_how_it_ended(sandbox, client):
    path = client.group(f"act-{uuid.uuid4().hex[:8]}")
    name = path.rsplit("/", 1)[-1]
    made = identity(path, "id-act")
    client.arm("PUT", made, IDENTITIES, {"location": "westeurope"})
    client.arm("GET", made, IDENTITIES)
    assert sandbox.client(account="reader").arm("DELETE", made, IDENTITIES).status == 403
    client.arm("DELETE", made, IDENTITIES)
    zone = f"{path}/providers/Microsoft.Network/virtualNetworks/vnet-act"
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/24"]}}}
    client.arm("PUT", zone, "2024-05-01", body)

    def told(query: str) -> list[tuple[str, str]]:
        events = client.arm("GET", f"{VALUES}?$filter={query}", EVENTS).json["value"]
        return [(item["operationName"]["value"].split("/", 1)[1], item["status"]["value"]) for item in events]

    hour = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)).isoformat(timespec="seconds")
    hour = hour.replace("+00:00", "Z")
    since = f"eventTimestamp ge '{hour}' and resourceGroupName eq '{name}'"
    found = told(since)
    assert found[-4:] == [
        ("userAssignedIdentities/delete", "Succeeded"),
        ("userAssignedIdentities/delete", "Failed"),
        ("userAssignedIdentities/write", "Succeeded"),
        ("subscriptions/resourceGroups/write", "Succeeded"),
    ]
    assert found[0] == ("virtualNetworks/write", "Succeeded")
    assert told(f"{since} and caller eq '{client.env['AKSOPS_PRINCIPAL_ID']}' and status eq 'Failed'") == []
    whole = f"{client.subscription}{made}"
    event = client.arm("GET", f"{VALUES}?$filter=resourceUri eq '{whole}'", EVENTS).json["value"][0]
    assert event["resourceId"] == whole
    assert event["submissionTimestamp"] >= event["eventTimestamp"]
    only = client.arm("GET", f"{VALUES}?$filter={since}&$select=status,caller", EVENTS).json["value"]
    assert all(sorted(item) == ["caller", "status"] for item in only)
    assert told(f"eventTimestamp le '{hour}' and resourceGroupName eq '{name}'") == []


def test_the_activity_log_survives_the_sandbox_and_ends_after_ninety_days(sandbox, client):
    path = client.group(f"act-{uuid.uuid4().hex[:8]}")
    sandbox.run("down")
    sandbox.run("up")
    query = f"{VALUES}?$filter=resourceGroupName eq '{path.rsplit('/', 1)[-1]}'"
    assert len(client.arm("GET", query, EVENTS).json["value"]) == 1
    old = client.arm("GET", f"{VALUES}?$filter=eventTimestamp ge '2020-01-01T00:00:00Z'", EVENTS)
    assert (old.status, old.code) == (400, "BadRequest")
