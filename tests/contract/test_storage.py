"""Storage accounts and blobs: keys that are refused, roles that are asked, rules that hold, data that stays."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import time
from email.utils import formatdate

import pytest

V = "2025-08-01"
STORAGE = "https://storage.azure.com"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
HEADERS = {"x-ms-version": "2023-11-03"}


def account(**properties):
    return {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": properties}


@pytest.fixture(scope="module")
def place(client):
    return client.group("contract-storage") + "/providers/Microsoft.Storage/storageAccounts"


@pytest.fixture(scope="module")
def store(client, place):
    """An account without keys, with a container; the operator may write blobs, the reader account may read them."""
    assert client.arm("PUT", f"{place}/contractblobs", V, account(allowSharedKeyAccess=False)).status == 200
    path = f"{place}/contractblobs/blobServices/default/containers/data"
    assert client.arm("PUT", path, V, {"properties": {"publicAccess": "None"}}).status == 201
    role = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{CONTRIBUTOR}"
    body = {"properties": {"principalId": client.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": role}}
    name = "00000000-0000-0000-0000-0000000000b1"
    client.arm(
        "PUT", f"{place}/contractblobs/providers/Microsoft.Authorization/roleAssignments/{name}", "2022-04-01", body
    )
    return "https://contractblobs.blob.core.windows.net"


def blob(client, method, url, body=None, **headers):
    content = {**HEADERS, **headers, "Authorization": f"Bearer {client.token(STORAGE)}"}
    if method == "PUT" and "comp=" not in url:
        content |= {"x-ms-blob-type": "BlockBlob", "Content-Type": "text/plain"}
    return client.send(method, url, body, content)


def code_of(answer):
    return answer.headers.get("X-Ms-Error-Code") or answer.headers.get("x-ms-error-code")


@pytest.mark.parametrize(
    ("name", "change", "status", "code"),
    [
        ("Contract", {}, 400, "InvalidResourceName"),
        ("contractbad", {"kind": "Storage"}, 400, "LegacyAccountKindNotSupported"),
        ("contractbad", {"sku": {"name": "Standard_XXX"}}, 400, "InvalidSku"),
        ("contractbad", {"properties": {"minimumTlsVersion": "TLS1_0"}}, 400, "TlsVersionRetired"),
        (
            "contractbad",
            {"properties": {"networkAcls": {"ipRules": [{"value": "10.0.0.1"}]}}},
            400,
            "InvalidValuesForRequestParameters",
        ),
        (
            "contractbad",
            {"properties": {"networkAcls": {"ipRules": [{"value": "203.0.113.0/31"}]}}},
            400,
            "InvalidValuesForRequestParameters",
        ),
    ],
)
def test_an_account_that_azure_refuses_is_refused(client, place, name, change, status, code):
    answer = client.arm("PUT", f"{place}/{name}", V, {**account(), **change})
    assert (answer.status, answer.code) == (status, code)


def test_what_is_decided_at_creation_stays(client, place):
    path = f"{place}/contractfixed"
    client.arm("PUT", path, V, account(isHnsEnabled=True))
    assert client.arm("PATCH", path, V, {"properties": {"isHnsEnabled": False}}).status == 400
    assert client.arm("PATCH", path, V, {"sku": {"name": "Standard_ZRS"}}).code == "StorageAccountSkuUpdateNotAllowed"
    kept = client.arm("PUT", path, V, account()).json["properties"]
    assert kept["isHnsEnabled"] is True


def test_a_name_is_taken_once(client, place, store):
    other = client.group("contract-storage-2") + "/providers/Microsoft.Storage/storageAccounts/contractblobs"
    assert client.arm("PUT", other, V, account()).code == "StorageAccountAlreadyTaken"
    question = {"name": "contractblobs", "type": "Microsoft.Storage/storageAccounts"}
    answer = client.arm("POST", "/providers/Microsoft.Storage/checkNameAvailability", V, question).json
    assert (answer["nameAvailable"], answer["reason"]) == (False, "AlreadyExists")


def shared_key(client, place, name, method="GET", target="/?comp=list"):
    """Headers signed with the account's first key, as the Storage documentation says."""
    keys = client.arm("POST", f"{place}/{name}/listKeys", V).json["keys"]
    assert len(base64.b64decode(keys[0]["value"])) == 64
    moment = formatdate(usegmt=True)
    text = f"{method}\n" + "\n" * 11 + f"x-ms-date:{moment}\nx-ms-version:2023-11-03\n/{name}/\ncomp:list"
    digest = hmac.new(base64.b64decode(keys[0]["value"]), text.encode(), hashlib.sha256).digest()
    return {**HEADERS, "x-ms-date": moment, "Authorization": f"SharedKey {name}:{base64.b64encode(digest).decode()}"}


def test_keys_work_where_they_are_allowed_and_nowhere_else(client, place, store):
    client.arm("PUT", f"{place}/contractkeys", V, account())
    url = "https://contractkeys.blob.core.windows.net/?comp=list"
    assert client.send("GET", url, None, shared_key(client, place, "contractkeys")).status == 200
    refused = client.send("GET", f"{store}/?comp=list", None, shared_key(client, place, "contractblobs"))
    assert (refused.status, code_of(refused)) == (403, "KeyBasedAuthenticationNotPermitted")
    client.arm("PATCH", f"{place}/contractkeys", V, {"properties": {"allowSharedKeyAccess": False}})
    assert client.send("GET", url, None, shared_key(client, place, "contractkeys")).status == 403


def test_blobs_ask_for_data_roles(client, sandbox, store):
    assert blob(client, "PUT", f"{store}/data/a.txt", b"hello").status == 201
    assert blob(client, "GET", f"{store}/data/a.txt").body == b"hello"
    reader = sandbox.client(account="reader")
    refused = blob(reader, "GET", f"{store}/data/a.txt")
    assert (refused.status, code_of(refused)) == (403, "AuthorizationPermissionMismatch")
    assert client.send("GET", f"{store}/data/a.txt", None, HEADERS).status == 401
    wrong = client.send("GET", f"{store}/data/a.txt", None, {**HEADERS, "Authorization": f"Bearer {client.token()}"})
    assert wrong.status == 401


def test_the_reader_role_reads_only(client, sandbox, place, store):
    reader = sandbox.client(account="reader")
    role = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    body = {"properties": {"principalId": reader.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": role}}
    name = "00000000-0000-0000-0000-0000000000b2"
    scope = f"{place}/contractblobs/blobServices/default/containers/data"
    client.arm("PUT", f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}", "2022-04-01", body)
    blob(client, "PUT", f"{store}/data/b.txt", b"x")
    assert blob(reader, "GET", f"{store}/data/b.txt").status == 200
    assert blob(reader, "PUT", f"{store}/data/b.txt", b"y").status == 403
    assert blob(reader, "GET", f"{store}/other/b.txt").status == 403


def test_a_lease_keeps_others_out(client, store):
    """What Terraform's state lock is made of."""
    url = f"{store}/data/state"
    blob(client, "PUT", url, b"{}")
    lease = blob(
        client, "PUT", f"{url}?comp=lease", b"", **{"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1"}
    )
    assert lease.status == 201
    assert blob(client, "PUT", url, b"{}").status == 412
    held = {"x-ms-lease-id": lease.headers.get("x-ms-lease-id") or lease.headers["X-Ms-Lease-Id"]}
    assert blob(client, "PUT", url, b"{1}", **held).status == 201
    assert blob(client, "PUT", f"{url}?comp=lease", b"", **{"x-ms-lease-action": "break"}).status == 202
    assert blob(client, "PUT", url, b"{2}").status == 201


def test_containers_are_the_same_for_both_planes(client, place, store):
    base = f"{place}/contractblobs/blobServices/default/containers"
    blob(client, "PUT", f"{store}/fromdata?restype=container", b"")
    assert client.arm("GET", f"{base}/fromdata", V).status == 200
    assert client.arm("DELETE", f"{base}/fromdata", V).status == 200
    assert blob(client, "GET", f"{store}/fromdata?restype=container").status == 404
    assert client.arm("PUT", f"{base}/Bad_Name", V, {"properties": {}}).code == "InvalidResourceName"
    public = client.arm("PUT", f"{base}/public", V, {"properties": {"publicAccess": "Blob"}})
    assert (public.status, public.code) == (409, "PublicAccessNotPermitted")


def test_the_network_decides_who_comes_near(client, sandbox, place):
    path = f"{place}/contractclosed"
    closed = account(publicNetworkAccess="Disabled")
    client.arm("PUT", path, V, closed)
    url = "https://contractclosed.blob.core.windows.net/?restype=account&comp=properties"
    outside = sandbox.client(vantage="outside")
    assert code_of(blob(outside, "GET", url)) == "AuthorizationFailure"
    assert blob(client, "GET", url).status == 403
    opened = {"publicNetworkAccess": "Enabled", "networkAcls": {"defaultAction": "Deny", "ipRules": []}}
    client.arm("PATCH", path, V, {"properties": opened})
    assert blob(outside, "GET", url).status == 403
    opened["networkAcls"]["ipRules"] = [{"value": "203.0.113.10"}]
    client.arm("PATCH", path, V, {"properties": opened})
    assert blob(outside, "GET", url).status == 200


def test_a_subnet_with_its_service_endpoint_comes_in(client, sandbox, place):
    net = f"{place.removesuffix('/Microsoft.Storage/storageAccounts')}/Microsoft.Network/virtualNetworks/endpoints"
    subnet = {"name": "s", "properties": {"addressPrefixes": ["10.0.0.0/24"]}}
    body = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]}
    client.arm("PUT", net, "2025-01-01", {"location": "westeurope", "properties": body})
    rules = [{"id": f"{client.subscription}{net}/subnets/s"}]
    guarded = account(networkAcls={"defaultAction": "Deny", "virtualNetworkRules": rules})
    path = f"{place}/contractsubnet"
    assert client.arm("PUT", path, V, guarded).code == "SubnetsHaveNoServiceEndpointsConfigured"
    subnet["properties"]["serviceEndpoints"] = [{"service": "Microsoft.Storage"}]
    client.arm("PUT", net, "2025-01-01", {"location": "westeurope", "properties": body})
    assert client.arm("PUT", path, V, guarded).status == 200
    url = "https://contractsubnet.blob.core.windows.net/?restype=account&comp=properties"
    assert blob(client, "GET", url).status == 200
    assert blob(sandbox.client(vantage="outside"), "GET", url).status == 403


def test_services_are_there_from_the_start(client, place, store):
    path = f"{place}/contractblobs/blobServices/default"
    assert client.arm("GET", path, V).json["properties"]["deleteRetentionPolicy"] == {"enabled": False}
    change = {"properties": {"isVersioningEnabled": True, "deleteRetentionPolicy": {"enabled": True, "days": 400}}}
    assert client.arm("PUT", path, V, change).status == 400
    change["properties"]["deleteRetentionPolicy"]["days"] = 30
    assert client.arm("PUT", path, V, change).status == 200
    assert client.arm("DELETE", path, V).status == 405


def test_blobs_outlive_a_restart_and_a_new_account(client, sandbox, place, store):
    blob(client, "PUT", f"{store}/data/kept.txt", b"kept")
    client.arm("PUT", f"{place}/contractlater", V, account())
    later = "https://contractlater.blob.core.windows.net/?comp=list"
    assert client.send("GET", later, None, shared_key(client, place, "contractlater")).status == 200
    assert blob(client, "GET", f"{store}/data/kept.txt").body == b"kept"
    sandbox.run("down")
    sandbox.run("up")
    assert blob(client, "GET", f"{store}/data/kept.txt").body == b"kept"


def test_blobs_outlive_a_kill(client, sandbox, store):
    assert blob(client, "PUT", f"{store}/data/state", b"before the kill").status == 201
    time.sleep(0.5)
    pid = json.loads(sandbox.home.state.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    sandbox.run("up")
    assert blob(client, "GET", f"{store}/data/state").body == b"before the kill"
