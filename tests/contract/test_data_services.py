"""Service Bus, Redis, registries, identities: rules, keys that look like keys, and keys that are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import urllib.parse

import pytest

SB = "2024-01-01"
REDIS = "2025-07-01"
CACHE = "2024-11-01"
ACR = "2025-11-01"
ID = "2024-11-30"
WEST = {"location": "westeurope"}
OWNER_OF_MESSAGES = "090c5cfd-751d-490a-894a-3ce6f1109419"


@pytest.fixture(scope="module")
def group(client):
    return client.group("contract-data") + "/providers"


def assign(client, scope, role, name):
    definition = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    body = {"properties": {"principalId": client.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": definition}}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert client.arm("PUT", path, "2022-04-01", body).status in {200, 201}


def premium(**properties):
    return {**WEST, "sku": {"name": "Premium", "capacity": 1}, "properties": properties}


@pytest.fixture(scope="module")
def bus(client, group):
    path = f"{group}/Microsoft.ServiceBus/namespaces/contract-bus"
    assert client.arm("PUT", path, SB, premium()).status == 201
    assert client.arm("PUT", f"{path}/queues/jobs", SB, {"properties": {}}).status == 200
    assert client.arm("PUT", f"{path}/topics/events", SB, {"properties": {}}).status == 200
    for name in ("one", "two"):
        assert client.arm("PUT", f"{path}/topics/events/subscriptions/{name}", SB, {"properties": {}}).status == 200
    assign(client, path, OWNER_OF_MESSAGES, "00000000-0000-0000-0000-0000000000c1")
    return path


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("short", premium(), "InvalidResourceName"),
        ("contract-sb", premium(), "InvalidNamespaceName"),
        ("contract-bad", {**WEST, "sku": {"name": "Gold"}}, "InvalidSku"),
        ("contract-bad", {**WEST, "sku": {"name": "Premium", "capacity": 3}}, "BadRequest"),
        ("contract-bad", {**premium(premiumMessagingPartitions=2)}, "BadRequest"),
        ("contract-bad", {**premium(minimumTlsVersion="1.0")}, "TlsVersionRetired"),
        (
            "contract-bad",
            {**WEST, "sku": {"name": "Standard"}, "properties": {"publicNetworkAccess": "Disabled"}},
            "BadRequest",
        ),
    ],
)
def test_a_namespace_that_azure_refuses_is_refused(client, group, name, body, code):
    answer = client.arm("PUT", f"{group}/Microsoft.ServiceBus/namespaces/{name}", SB, body)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    "properties",
    [
        {"lockDuration": "PT10M"},
        {"lockDuration": "ten"},
        {"maxSizeInMegabytes": 1000},
        {"enableExpress": True},
        {"enablePartitioning": True},
        {"forwardTo": "nowhere"},
        {"autoDeleteOnIdle": "PT1M"},
    ],
)
def test_a_queue_that_azure_refuses_is_refused(client, bus, properties):
    answer = client.arm("PUT", f"{bus}/queues/bad", SB, {"properties": properties})
    assert (answer.status, answer.code) == (400, "BadRequest")


def test_what_a_queue_is_stays(client, bus):
    client.arm("PUT", f"{bus}/queues/plain", SB, {"properties": {}})
    answer = client.arm("PUT", f"{bus}/queues/plain", SB, {"properties": {"requiresSession": True}})
    assert answer.status == 400
    partitions = client.arm(
        "PUT", bus, SB, premium(premiumMessagingPartitions=4) | {"sku": {"name": "Premium", "capacity": 4}}
    )
    assert partitions.status == 400
    assert client.arm("PUT", bus, SB, {**WEST, "sku": {"name": "Standard"}}).status == 400


def signature(client, bus, resource):
    keys = client.arm("POST", f"{bus}/authorizationRules/RootManageSharedAccessKey/listKeys", SB).json
    assert len(base64.b64decode(keys["primaryKey"])) == 32
    assert keys["primaryKey"] in keys["primaryConnectionString"]
    until = int(time.time()) + 300
    text = f"{urllib.parse.quote_plus(resource)}\n{until}".encode()
    digest = base64.b64encode(hmac.new(keys["primaryKey"].encode(), text, hashlib.sha256).digest()).decode()
    parts = {"sr": resource, "sig": digest, "se": until, "skn": keys["keyName"]}
    return {"Authorization": f"SharedAccessSignature {urllib.parse.urlencode(parts)}"}


def test_messages_travel_and_keys_stop_with_local_authentication(client, bus):
    url = "https://contract-bus.servicebus.windows.net/jobs"
    audience = "https://servicebus.azure.net"
    assert client.bearer("POST", f"{url}/messages", b"one", audience).status == 201
    assert client.send("POST", f"{url}/messages", b"two", signature(client, bus, url)).status == 201
    assert client.arm("GET", f"{bus}/queues/jobs", SB).json["properties"]["messageCount"] == 2
    assert client.bearer("DELETE", f"{url}/messages/head", None, audience).body == b"one"

    client.arm("PATCH", bus, SB, {"properties": {"disableLocalAuth": True}})
    refused = client.send("POST", f"{url}/messages", b"three", signature(client, bus, url))
    assert (refused.status, refused.code) == (401, "LocalAuthDisabled")
    assert client.bearer("DELETE", f"{url}/messages/head", None, audience).body == b"two"
    assert client.bearer("DELETE", f"{url}/messages/head", None, audience).status == 204


def test_a_topic_reaches_each_subscription(client, bus):
    url = "https://contract-bus.servicebus.windows.net/events"
    audience = "https://servicebus.azure.net"
    assert client.bearer("POST", f"{url}/messages", b"news", audience).status == 201
    for name in ("one", "two"):
        assert client.bearer("DELETE", f"{url}/subscriptions/{name}/messages/head", None, audience).body == b"news"


def test_a_stranger_sends_nothing(sandbox, bus):
    reader = sandbox.client(account="reader")
    url = "https://contract-bus.servicebus.windows.net/jobs/messages"
    assert reader.bearer("POST", url, b"x", "https://servicebus.azure.net").status == 401


def test_a_closed_namespace_answers_nobody(client, sandbox, group):
    path = f"{group}/Microsoft.ServiceBus/namespaces/contract-closed"
    client.arm("PUT", path, SB, premium(publicNetworkAccess="Disabled"))
    url = "https://contract-closed.servicebus.windows.net/jobs/messages"
    for vantage in ("inside", "outside"):
        assert sandbox.client(vantage).bearer("POST", url, b"x", "https://servicebus.azure.net").status == 403


# Redis ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "version", "body", "code"),
    [
        ("redisEnterprise", REDIS, {"sku": {"name": "Enterprise_E10"}}, "InvalidSku"),
        ("redisEnterprise", REDIS, {"sku": {"name": "Balanced_B2"}}, "InvalidSku"),
        (
            "redisEnterprise",
            REDIS,
            {"sku": {"name": "Balanced_B3"}, "properties": {"minimumTlsVersion": "1.0"}},
            "TlsVersionRetired",
        ),
        ("redis", CACHE, {"properties": {"sku": {"name": "Premium", "family": "C", "capacity": 1}}}, "InvalidSku"),
        ("redis", CACHE, {"properties": {"sku": {"name": "Basic", "family": "C", "capacity": 9}}}, "InvalidSku"),
        (
            "redis",
            CACHE,
            {
                "properties": {
                    "sku": {"name": "Basic", "family": "C", "capacity": 0},
                    "disableAccessKeyAuthentication": True,
                }
            },
            "InvalidParameter",
        ),
    ],
)
def test_a_cache_that_azure_refuses_is_refused(client, group, kind, version, body, code):
    answer = client.arm("PUT", f"{group}/Microsoft.Cache/{kind}/contractbad", version, {**WEST, **body})
    assert (answer.status, answer.code) == (400, code)


def test_managed_redis_runs_and_keeps_its_keys_to_itself(client, group):
    path = f"{group}/Microsoft.Cache/redisEnterprise/contractredis"
    made = client.arm("PUT", path, REDIS, {**WEST, "sku": {"name": "Balanced_B3"}}).json["properties"]
    assert made["resourceState"] == "Running"
    assert made["hostName"] == "contractredis.westeurope.redis.azure.net"
    database = f"{path}/databases/default"
    assert client.arm("PUT", database, REDIS, {"properties": {}}).status == 201
    assert client.arm("POST", f"{database}/listKeys", REDIS).code == "AccessKeysAuthenticationDisabled"
    client.arm("PATCH", database, REDIS, {"properties": {"accessKeysAuthentication": "Enabled"}})
    keys = client.arm("POST", f"{database}/listKeys", REDIS).json
    assert {len(base64.b64decode(key)) for key in keys.values()} == {32}
    change = {"properties": {"clusteringPolicy": "EnterpriseCluster"}}
    assert client.arm("PATCH", database, REDIS, change).status == 400
    assert client.arm("PUT", path, REDIS, {**WEST, "sku": {"name": "Balanced_B1"}}).code == "ScalingNotSupported"


# Registries ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry(client, group):
    path = f"{group}/Microsoft.ContainerRegistry/registries/contractacr"
    assert client.arm("PUT", path, ACR, {**WEST, "sku": {"name": "Premium"}}).status == 201
    return path


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("bad-name", {"sku": {"name": "Premium"}}, "InvalidResourceName"),
        ("contractbad", {"sku": {"name": "Tiny"}}, "InvalidSku"),
        (
            "contractbad",
            {"sku": {"name": "Basic"}, "properties": {"publicNetworkAccess": "Disabled"}},
            "SkuNotSupported",
        ),
        (
            "contractbad",
            {"sku": {"name": "Premium"}, "properties": {"policies": {"exportPolicy": {"status": "disabled"}}}},
            "ExportPolicyConflict",
        ),
    ],
)
def test_a_registry_that_azure_refuses_is_refused(client, group, name, body, code):
    answer = client.arm("PUT", f"{group}/Microsoft.ContainerRegistry/registries/{name}", ACR, {**WEST, **body})
    assert (answer.status, answer.code) == (400, code)


def test_the_admin_user_is_off_until_it_is_on(client, registry):
    assert client.arm("POST", f"{registry}/listCredentials", ACR).code == "UnAuthorizedForCredentialOperations"
    client.arm("PATCH", registry, ACR, {"properties": {"adminUserEnabled": True}})
    found = client.arm("POST", f"{registry}/listCredentials", ACR).json
    login = base64.b64encode(f"{found['username']}:{found['passwords'][0]['value']}".encode()).decode()
    url = "https://contractacr.azurecr.io/oauth2/token?service=contractacr.azurecr.io&scope=registry:catalog:*"
    assert client.send("GET", url, None, {"Authorization": f"Basic {login}"}).status == 200
    client.arm("PATCH", registry, ACR, {"properties": {"adminUserEnabled": False}})
    assert client.send("GET", url, None, {"Authorization": f"Basic {login}"}).status == 401


def pull_token(client):
    """Entra token -> refresh token -> access token, as docker and the azure SDK do."""
    base = "https://contractacr.azurecr.io/oauth2"
    form = {"grant_type": "access_token", "service": "contractacr.azurecr.io", "access_token": client.token()}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    refresh = client.send("POST", f"{base}/exchange", urllib.parse.urlencode(form).encode(), headers).json[
        "refresh_token"
    ]
    form = {"grant_type": "refresh_token", "service": "contractacr.azurecr.io", "scope": "x", "refresh_token": refresh}
    return client.send("POST", f"{base}/token", urllib.parse.urlencode(form).encode(), headers).json["access_token"]


def test_an_import_can_be_read_back_by_tag_and_digest(client, registry):
    digest = "sha256:" + "ab" * 32
    source = {"registryUri": "quay.io", "sourceImage": f"argoproj/argocd@{digest}"}
    body = {"source": source, "targetTags": ["mirror/argocd:v3"], "mode": "NoForce"}
    client.arm("POST", f"{registry}/importImage", ACR, body)
    assert client.arm("POST", f"{registry}/importImage", ACR, body, wait=False).status == 409
    body["source"] = {"registryUri": "quay.io", "sourceImage": "no tag"}
    assert client.arm("POST", f"{registry}/importImage", ACR, body, wait=False).status == 400

    url = "https://contractacr.azurecr.io/v2"
    challenge = client.send("GET", f"{url}/")
    assert challenge.status == 401
    assert 'realm="https://contractacr.azurecr.io/oauth2/token"' in challenge.headers["WWW-Authenticate"]
    headers = {"Authorization": f"Bearer {pull_token(client)}"}
    manifest = client.send("GET", f"{url}/mirror/argocd/manifests/v3", None, headers)
    assert manifest.headers["Docker-Content-Digest"] == digest
    assert client.send("HEAD", f"{url}/mirror/argocd/manifests/{digest}", None, headers).status == 200
    assert client.send("GET", f"{url}/mirror/argocd/tags/list", None, headers).json["tags"] == ["v3"]
    assert client.send("GET", f"{url}/mirror/argocd/manifests/v4", None, headers).status == 404


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ({"registryUri": "images.invalid", "sourceImage": "a/b:1"}, "ImportSourceUnreachable"),
        ({"registryUri": "contractacr.azurecr.io", "sourceImage": "a/b:1"}, "UNAUTHORIZED"),
        ({"registryUri": "quay.io", "sourceImage": "a/b:1@sha256:" + "ab" * 32}, "InvalidParameterValue"),
    ],
)
def test_an_import_that_cannot_be_fails_with_its_reason(client, registry, source, code):
    answer = client.arm("POST", f"{registry}/importImage", ACR, {"source": source, "targetTags": ["c/d:1"]})
    assert (answer.status, answer.code) == (400, code)


def test_a_manifest_is_deleted_with_its_tags_and_only_with_the_right(client, registry):
    digest = "sha256:" + "cd" * 32
    body = {
        "source": {"registryUri": "quay.io", "sourceImage": f"a/b@{digest}"},
        "targetTags": ["gone/b:1", "gone/b:2"],
    }
    client.arm("POST", f"{registry}/importImage", ACR, body)
    url, headers = "https://contractacr.azurecr.io/v2/gone/b", {"Authorization": f"Bearer {pull_token(client)}"}
    assert client.send("GET", f"{url}/tags/list", None, headers).json["tags"] == ["1", "2"]
    assert client.send("DELETE", f"{url}/manifests/{digest}", None).status == 401
    assert client.send("DELETE", f"{url}/manifests/{digest}", None, headers).status == 202
    assert client.send("DELETE", f"{url}/manifests/{digest}", None, headers).status == 404
    assert client.send("GET", f"{url}/tags/list", None, headers).status == 404


def test_replications_are_of_a_premium_registry(client, group, registry):
    assert [item["name"] for item in client.arm("GET", f"{registry}/replications", ACR).json["value"]] == ["westeurope"]
    assert client.arm("DELETE", f"{registry}/replications/westeurope", ACR).status == 400
    other = f"{group}/Microsoft.ContainerRegistry/registries/contractbasic"
    client.arm("PUT", other, ACR, {**WEST, "sku": {"name": "Basic"}})
    body = {"location": "northeurope", "properties": {}}
    assert client.arm("PUT", f"{other}/replications/northeurope", ACR, body).code == "SkuNotSupported"
    assert client.arm("PUT", f"{registry}/replications/northeurope", ACR, body).status == 201


# Identities ----------------------------------------------------------------------------------------------------------


def credential(subject, **changes):
    values = {"issuer": "https://issuer.example/", "subject": subject, "audiences": ["api://AzureADTokenExchange"]}
    return {"properties": {**values, **changes}}


def test_an_identity_has_twenty_credentials_and_no_two_alike(client, group):
    path = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/contract-id"
    made = client.arm("PUT", path, ID, WEST).json["properties"]
    assert made["tenantId"] == client.env["ARM_TENANT_ID"]
    again = client.arm("PUT", path, ID, {**WEST, "tags": {"a": "b"}}).json["properties"]
    assert (again["principalId"], again["clientId"]) == (made["principalId"], made["clientId"])
    base = f"{path}/federatedIdentityCredentials"
    assert client.arm("PUT", f"{base}/bad", ID, credential("s", issuer="http://plain.example")).status == 400
    assert client.arm("PUT", f"{base}/bad", ID, credential("s", audiences=[])).status == 400
    for number in range(20):
        assert client.arm("PUT", f"{base}/fic-{number}", ID, credential(f"s{number}")).status == 201
    assert client.arm("PUT", f"{base}/fic-20", ID, credential("s20")).status == 400
    assert client.arm("PUT", f"{base}/fic-1", ID, credential("s0")).status == 409
    assert client.arm("PUT", f"{base}/fic-1", ID, credential("other")).status == 200


def test_credentials_of_one_identity_have_one_writer(client, sandbox, group):
    from concurrent.futures import ThreadPoolExecutor

    path = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/contract-id2"
    client.arm("PUT", path, ID, WEST)

    def write(number):
        body = credential(f"s{number}")
        return client.arm("PUT", f"{path}/federatedIdentityCredentials/fic-{number}", ID, body).code

    with ThreadPoolExecutor(6) as pool:
        codes = set(pool.map(write, range(6)))
    assert codes == {"", "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"}
