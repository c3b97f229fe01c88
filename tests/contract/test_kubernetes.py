"""AKS through plain HTTPS and kubectl: a real control plane, Azure RBAC, add-ons, mounts of Key Vault secrets."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from support.aks import AKS, CLUSTER_ADMIN, Cluster, assign, definition

READER = "7f6c6a51-bcf8-4ba2-9220-52d62157d7db"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"


def eventually(check, seconds=30.0):
    """Wait until check() gives something true; returns it."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def cluster(client):
    path = client.group("kube") + "/providers/Microsoft.ContainerService/managedClusters/kube"
    answer = client.arm("PUT", path, AKS, definition())
    assert answer.status == 200, answer.body
    found = Cluster(client, path)
    assign(client, path, CLUSTER_ADMIN, client.env["AKSOPS_PRINCIPAL_ID"])
    yield found
    assert client.arm("DELETE", path, AKS).status == 202


def test_a_cluster_looks_as_on_azure(cluster):
    properties = cluster.properties
    assert properties["provisioningState"] == "Succeeded"
    assert properties["fqdn"].endswith(".hcp.westeurope.azmk8s.io")
    assert properties["currentKubernetesVersion"].startswith("1.36.")
    assert properties["nodeResourceGroup"] == "MC_kube_kube_westeurope"
    assert properties["identityProfile"]["kubeletidentity"]["resourceId"].endswith("/kube-agentpool")
    assert cluster.entry["server"] == f"https://{properties['fqdn']}:443"
    assert cluster.kubeconfig["users"][0]["user"]["exec"]["command"] == "kubelogin"
    issuer = properties["oidcIssuerProfile"]["issuerURL"]
    document = cluster.client.send("GET", f"{issuer}.well-known/openid-configuration").json
    assert document["issuer"] == issuer
    assert cluster.client.send("GET", document["jwks_uri"]).json["keys"][0]["kty"] == "RSA"


def test_credentials_that_az_writes_work_with_kubectl(cluster, tmp_path):
    config = tmp_path / "config"
    config.write_text(json.dumps(cluster.kubeconfig))
    # A real kubelogin would come first, and its default mode asks a person.
    env = {**os.environ, **cluster.client.env, "KUBECONFIG": str(config)}
    env["PATH"] = os.pathsep.join(reversed(env["PATH"].split(os.pathsep)))
    for command in (["kubelogin", "convert-kubeconfig", "-l", "azurecli"], ["kubectl", "get", "namespaces"]):
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert "kube-system" in done.stdout


def test_local_accounts_are_refused(cluster):
    answer = cluster.client.arm("POST", f"{cluster.path}/listClusterAdminCredential", AKS)
    assert (answer.status, answer.code) == (400, "BadRequest")


def test_nodes_come_and_go_with_their_pool(cluster, tmp_path):
    pool = f"{cluster.path}/agentPools/user"
    body = {"properties": {"count": 2, "vmSize": "Standard_D8ds_v5", "nodeLabels": {"tier": "apps"}}}
    assert cluster.client.arm("PUT", pool, AKS, body).status == 200
    nodes = cluster.json(tmp_path, "get", "nodes", "-l", "agentpool=user")["items"]
    assert [item["metadata"]["labels"]["tier"] for item in nodes] == ["apps", "apps"]
    assert nodes[0]["metadata"]["name"].startswith("aks-user-")
    assert nodes[0]["metadata"]["name"].endswith("-vmss000000")
    assert nodes[0]["status"]["capacity"]["cpu"] == "8"
    body["properties"]["count"] = 1
    assert cluster.client.arm("PUT", pool, AKS, body).status == 200
    assert len(cluster.json(tmp_path, "get", "nodes", "-l", "agentpool=user")["items"]) == 1
    assert cluster.client.arm("DELETE", pool, AKS).status in {202, 204}
    assert cluster.json(tmp_path, "get", "nodes", "-l", "agentpool=user")["items"] == []


def test_azure_rbac_decides_inside_the_cluster(cluster, sandbox, tmp_path):
    second = sandbox.client(account="second")
    code, text = cluster.kubectl(tmp_path, "get", "pods", "-n", "kube-system", who=second)
    assert code == 1
    assert "Microsoft.ContainerService/managedClusters/pods/read" in text
    scope = f"{cluster.client.subscription}{cluster.path}/namespaces/kube-system"
    assign(cluster.client, scope, READER, second.env["AKSOPS_PRINCIPAL_ID"])
    time.sleep(1.1)  # the API server keeps a refusal for a second
    assert cluster.kubectl(tmp_path, "get", "pods", "-n", "kube-system", who=second)[0] == 0
    assert cluster.kubectl(tmp_path, "get", "pods", "-n", "default", who=second)[0] == 1
    assert cluster.kubectl(tmp_path, "delete", "pods", "--all", "-n", "kube-system", who=second)[0] == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kubernetesVersion": "1.29.4"}, "K8sVersionNotSupported"),
        ({"networkProfile": {"serviceCidr": "10.1.0.0/16", "dnsServiceIP": "10.2.0.10"}}, "InvalidDNSServiceIP"),
        ({"networkProfile": {"networkPluginMode": "overlay", "podCidr": "10.0.0.0/8"}}, "ServiceCidrOverlapPodCidr"),
        ({"networkProfile": {"networkPluginMode": "overlay", "podCidr": "172.30.0.0/16"}}, "ReservedCIDR"),
        ({"agentPoolProfiles": [{"name": "user", "mode": "User", "count": 1}]}, "MustDefineAtLeastOneSystemPool"),
        ({"agentPoolProfiles": [{"name": "Bad_Name", "mode": "System", "count": 1}]}, "InvalidParameter"),
        ({"aadProfile": None}, "BadRequest"),
    ],
)
def test_bad_clusters_are_refused_before_anything_is_made(client, change, code):
    path = client.group("kube-bad") + "/providers/Microsoft.ContainerService/managedClusters/bad"
    answer = client.arm("PUT", path, AKS, definition(**change))
    assert (answer.status, answer.code) == (400, code)
    assert client.arm("GET", path, AKS).status == 404


def test_a_stale_etag_is_refused(cluster):
    body = cluster.client.arm("GET", cluster.path, AKS).json
    url = f"https://management.azure.com{body['id']}?api-version={AKS}"
    headers = {"Authorization": f"Bearer {cluster.client.token()}", "If-Match": '"stale"'}
    answer = cluster.client.send("PUT", url, body, headers)
    assert (answer.status, answer.code) == (412, "EtagMismatch")


def test_an_add_on_comes_with_identity_and_leaves_with_it(cluster, tmp_path):
    workspace = "/resourceGroups/kube/providers/Microsoft.OperationalInsights/workspaces/kube-logs"
    cluster.client.arm("PUT", workspace, "2025-07-01", {"location": "westeurope", "properties": {}})

    def switch(enabled):
        def change(properties):
            properties["azureMonitorProfile"] = {"metrics": {"enabled": enabled}}
            config = {"logAnalyticsWorkspaceResourceID": f"{cluster.client.subscription}{workspace}"}
            properties["addonProfiles"] = {
                **(properties.get("addonProfiles") or {}),
                "azurepolicy": {"enabled": enabled},
                "omsagent": {"enabled": enabled, "config": config},
            }

        assert cluster.put(change).status == 200

    switch(True)
    identity = cluster.properties["addonProfiles"]["azurepolicy"]["identity"]
    assert identity["resourceId"].endswith("/userAssignedIdentities/azurepolicy-kube")
    for name in ("azure-policy", "ama-logs-rs", "ama-metrics-ksm"):
        wait = ("wait", "--for=condition=Available", f"deployment/{name}", "-n", "kube-system", "--timeout=30s")
        assert cluster.kubectl(tmp_path, *wait)[0] == 0
    switch(False)
    assert cluster.properties["addonProfiles"]["azurepolicy"] == {"enabled": False, "config": None}
    for name in ("azure-policy", "ama-logs-rs", "ama-metrics"):
        assert cluster.kubectl(tmp_path, "get", "deployment", name, "-n", "kube-system")[0] == 1
    assert cluster.client.arm("GET", identity["resourceId"], "2024-11-30").status == 404


MANIFEST = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: shop, annotations: {azure.workload.identity/client-id: "%(client)s"}}
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: shop}
spec:
  provider: azure
  parameters:
    keyvaultName: %(vault)s
    clientID: %(client)s
    tenantId: %(tenant)s
    objects: |
      array:
        - |
          objectName: password
          objectType: secret
  secretObjects:
  - secretName: shop-synced
    type: Opaque
    data: [{objectName: password, key: password}]
---
apiVersion: v1
kind: Pod
metadata: {name: shop, labels: {azure.workload.identity/use: "true"}}
spec:
  serviceAccountName: shop
  containers:
  - name: shop
    image: example.azurecr.io/shop@sha256:0
    volumeMounts: [{name: secrets, mountPath: /secrets, readOnly: true}]
  volumes:
  - name: secrets
    csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: shop}}
"""


def test_a_pod_starts_once_its_identity_may_read_the_vault(cluster, tmp_path):
    client = cluster.client

    def enable(properties):
        config = {"enableSecretRotation": "true", "rotationPollInterval": "2s"}
        properties.setdefault("addonProfiles", {})["azureKeyvaultSecretsProvider"] = {"enabled": True, "config": config}

    assert cluster.put(enable).status == 200
    vault = f"kube-{uuid.uuid4().hex[:10]}"
    vault_id = f"/resourceGroups/kube/providers/Microsoft.KeyVault/vaults/{vault}"
    tenant = client.env["ARM_TENANT_ID"]
    settings = {"tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": True}
    body = {"location": "westeurope", "properties": settings}
    assert client.arm("PUT", vault_id, "2026-02-01", body).status in {200, 201}
    assign(client, vault_id, SECRETS_OFFICER, client.env["AKSOPS_PRINCIPAL_ID"])
    secret = f"https://{vault}.vault.azure.net/secrets/password?api-version=7.6"
    first = client.bearer("PUT", secret, {"value": "horse battery"}, "https://vault.azure.net").json

    identity_id = "/resourceGroups/kube/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
    identity = client.arm("PUT", identity_id, "2024-11-30", {"location": "westeurope"}).json["properties"]
    text = MANIFEST % {"client": identity["clientId"], "vault": vault, "tenant": tenant}
    code, output = cluster.kubectl(tmp_path, "apply", "-f", "-", stdin=text)
    assert code == 0, output

    def last_failure(part):
        events = cluster.json(tmp_path, "get", "events", "--field-selector", "involvedObject.name=shop")["items"]
        return [item for item in events if item["reason"] == "FailedMount" and part in item["message"]]

    def pod():
        return cluster.json(tmp_path, "get", "pod", "shop")

    eventually(lambda: last_failure("AADSTS700213"))  # no federated credential yet
    assert pod()["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    federated = {
        "issuer": cluster.properties["oidcIssuerProfile"]["issuerURL"],
        "subject": "system:serviceaccount:default:shop",
        "audiences": ["api://AzureADTokenExchange"],
    }
    path = f"{identity_id}/federatedIdentityCredentials/kube"
    assert client.arm("PUT", path, "2024-11-30", {"properties": federated}).status in {200, 201}
    eventually(lambda: last_failure("RESPONSE 403"))  # a token, but no role on the vault
    assert pod()["status"]["phase"] == "Pending"
    assign(client, vault_id, SECRETS_USER, identity["principalId"])
    eventually(lambda: pod()["status"]["phase"] == "Running")

    environment = {item["name"]: item.get("value") for item in pod()["spec"]["containers"][0]["env"]}
    assert environment["AZURE_CLIENT_ID"] == identity["clientId"]

    def mounted():
        name = "shop-default-shop"
        status = cluster.json(tmp_path, "get", "secretproviderclasspodstatus", name)["status"]
        return {item["id"]: item["version"] for item in status["objects"]}

    assert mounted() == {"secret/password": first["id"].rsplit("/", 1)[-1]}
    second = client.bearer("PUT", secret, {"value": "rotated"}, "https://vault.azure.net").json
    eventually(lambda: mounted() == {"secret/password": second["id"].rsplit("/", 1)[-1]})
    synced = cluster.json(tmp_path, "get", "secret", "shop-synced")
    assert base64.b64decode(synced["data"]["password"]) == b"rotated"
    (owner,) = synced["metadata"]["ownerReferences"]
    assert owner["kind"] == "SecretProviderClassPodStatus"

    def reasons():
        items = cluster.json(tmp_path, "get", "events", "--field-selector", "involvedObject.name=shop")["items"]
        return {item["reason"]: item for item in items}

    assert reasons()["MountRotationComplete"]["source"]["component"] == "csi-secrets-store-rotation"
    client.bearer(
        "PATCH", second["id"] + "?api-version=7.6", {"attributes": {"enabled": False}}, "https://vault.azure.net"
    )
    failed = eventually(lambda: reasons().get("MountRotationFailed"))
    assert "provider mount err" in failed["message"]
    assert "objectName:password" in failed["message"]
    assert pod()["status"]["phase"] == "Running"


INGRESS = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: web, image: "example.azurecr.io/web@sha256:0", ports: [{containerPort: 8080}]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {appgw.ingress.kubernetes.io/health-probe-path: /healthz}}
spec:
  ingressClassName: azure-application-gateway
  rules:
  - host: shop.example
    http:
      paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]
"""


def make_gateway(client, group):
    """A gateway as Terraform makes it, with one empty listener; returns its path and its address."""
    network = f"{group}/providers/Microsoft.Network"
    subnet = f"{network}/virtualNetworks/edge/subnets/gateway"
    space = {"addressSpace": {"addressPrefixes": ["10.60.0.0/16"]}}
    where = {"location": "westeurope"}
    client.arm("PUT", f"{network}/virtualNetworks/edge", "2025-01-01", {**where, "properties": space})
    client.arm("PUT", subnet, "2025-01-01", {"properties": {"addressPrefix": "10.60.0.0/24"}})
    address = {**where, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    public = client.arm("PUT", f"{network}/publicIPAddresses/edge", "2025-01-01", address).json
    gateway = f"{network}/applicationGateways/edge"
    own = f"{client.subscription}{gateway}"

    def entry(name, **properties):
        return [{"name": name, "properties": properties}]

    def reference(collection, name):
        return {"id": f"{own}/{collection}/{name}"}

    parts = {
        "sku": {"name": "Standard_v2", "tier": "Standard_v2", "capacity": 1},
        "gatewayIPConfigurations": entry("gateway", subnet={"id": f"{client.subscription}{subnet}"}),
        "frontendIPConfigurations": entry("public", publicIPAddress={"id": public["id"]}),
        "frontendPorts": entry("http", port=80),
        "backendAddressPools": entry("empty", backendAddresses=[]),
        "backendHttpSettingsCollection": entry("empty", port=80, protocol="Http", requestTimeout=30),
        "httpListeners": entry(
            "empty",
            frontendIPConfiguration=reference("frontendIPConfigurations", "public"),
            frontendPort=reference("frontendPorts", "http"),
            protocol="Http",
        ),
        "requestRoutingRules": entry(
            "empty",
            ruleType="Basic",
            priority=100,
            httpListener=reference("httpListeners", "empty"),
            backendAddressPool=reference("backendAddressPools", "empty"),
            backendHttpSettings=reference("backendHttpSettingsCollection", "empty"),
        ),
    }
    answer = client.arm("PUT", gateway, "2025-01-01", {**where, "properties": parts})
    assert answer.status in {200, 201}, answer.body
    return gateway, subnet, public["properties"]["ipAddress"]


def test_agic_writes_the_gateway_once_its_identity_may(cluster, tmp_path):
    client = cluster.client
    gateway, subnet, address = make_gateway(client, client.group("kube"))

    def enable(properties):
        config = {"applicationGatewayId": f"{client.subscription}{gateway}"}
        properties.setdefault("addonProfiles", {})["ingressApplicationGateway"] = {"enabled": True, "config": config}

    assert cluster.put(enable).status == 200
    profile = cluster.properties["addonProfiles"]["ingressApplicationGateway"]
    assert profile["config"]["effectiveApplicationGatewayId"].lower() == f"{client.subscription}{gateway}".lower()
    code, output = cluster.kubectl(tmp_path, "apply", "-f", "-", stdin=INGRESS)
    assert code == 0, output

    def complaints(part):
        items = cluster.json(tmp_path, "get", "events", "-n", "kube-system")["items"]
        return [item for item in items if item["reason"] == "FailedApplyingAppGwConfig" and part in item["message"]]

    def status():
        return cluster.json(tmp_path, "get", "ingress", "web")["status"]["loadBalancer"]

    eventually(lambda: complaints("AuthorizationFailed"))
    assert status() == {}
    who = profile["identity"]["objectId"]
    assign(client, gateway, "b24988ac-6180-42a0-ab88-20f7382dd24c", who)
    assign(client, "/resourceGroups/kube", "acdd72a7-3385-48ef-bd42-f606fba81ae7", who)
    eventually(lambda: complaints("ApplicationGatewayInsufficientPermissionOnSubnet"))
    assign(client, subnet, "4d97b98b-1d4f-4787-a291-c67834d212e7", who)
    eventually(lambda: status() == {"ingress": [{"ip": address}]})
    shown = client.arm("GET", gateway, "2025-01-01").json
    (listener,) = shown["properties"]["httpListeners"]
    assert listener["properties"]["hostNames"] == ["shop.example"]
    pools = {
        pool["name"]: pool["properties"]["backendAddresses"] for pool in shown["properties"]["backendAddressPools"]
    }
    pod = cluster.json(tmp_path, "get", "pod", "web")["status"]["podIP"]
    assert pools["pool-default-web-http-bp-8080"] == [{"ipAddress": pod}]
    assert shown["tags"]["managed-by-k8s-ingress"]
    assert cluster.kubectl(tmp_path, "delete", "-f", "-", stdin=INGRESS)[0] == 0

    def names():
        parts = client.arm("GET", gateway, "2025-01-01").json["properties"]
        return [pool["name"] for pool in parts["backendAddressPools"]]

    eventually(lambda: names() == ["defaultaddresspool"])


def listening(pid):
    """(address in hexadecimal, port) of every TCP socket that a process listens on."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(handle)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def is_loopback(address):
    """Of an address as the kernel prints it: little-endian words."""
    return (
        address.endswith("7F")
        if len(address) == 8
        else address in {"0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}
    )


def test_every_process_listens_on_loopback_only(cluster, sandbox):
    folder = sandbox.home.path / "run"
    pids = [int(file.read_text().split()[0]) for file in folder.glob("*.pid")]
    pids.append(json.loads(sandbox.home.state.read_text())["pid"])
    sockets = {pid: listening(pid) for pid in pids if Path(f"/proc/{pid}").exists()}
    assert sum(len(found) for found in sockets.values()) >= 4  # proxies, etcd, API server
    open_to_others = {
        (Path(f"/proc/{pid}/comm").read_text().strip(), address, port)
        for pid, found in sockets.items()
        for address, port in found
        if not is_loopback(address)
    }
    assert open_to_others == set()


def test_a_private_api_server_is_reached_from_inside_only(sandbox, client, tmp_path):
    path = client.group("kube-private") + "/providers/Microsoft.ContainerService/managedClusters/private"
    body = definition(apiServerAccessProfile={"enablePrivateCluster": True}, dnsPrefix="private")
    answer = client.arm("PUT", path, AKS, body)
    assert answer.status == 200, answer.body
    try:
        assert "fqdn" not in answer.json["properties"]
        private = Cluster(client, path)
        assert ".privatelink.westeurope.azmk8s.io" in private.entry["server"]
        assign(client, path, CLUSTER_ADMIN, client.env["AKSOPS_PRINCIPAL_ID"])
        assert private.kubectl(tmp_path, "get", "nodes")[0] == 0
        assert private.kubectl(tmp_path, "get", "nodes", who=sandbox.client("outside"))[0] == 1
    finally:
        assert client.arm("DELETE", path, AKS).status == 202
    assert client.arm("GET", "/resourceGroups/MC_kube-private_private_westeurope", "2023-07-01").status == 404


def test_a_cluster_survives_down_and_up(cluster, sandbox, tmp_path):
    code, text = cluster.kubectl(tmp_path, "create", "configmap", "kept", "--from-literal=a=b")
    assert code == 0, text
    before = cluster.entry["server"]
    sandbox.run("down")
    sandbox.run("up")
    again = Cluster(sandbox.client(), cluster.path)
    assert again.entry["server"] == before
    assert again.json(tmp_path, "get", "configmap", "kept")["data"] == {"a": "b"}
    assert cluster.kubectl(tmp_path, "delete", "configmap", "kept")[0] == 0
