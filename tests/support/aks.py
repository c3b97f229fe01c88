"""AKS clusters of a sandbox, and kubectl as one account, for contract tests."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from pathlib import Path

import yaml
from aksops_sandbox.tools import Tools

AKS = "2026-04-01"
ROLES = "2022-04-01"
SERVER_APP = "6dae42f8-4368-4678-94ff-3960e28e3630"
CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"


def definition(**properties):
    """A cluster's body, as small as Azure takes it."""
    pool = {"name": "system", "mode": "System", "count": 2, "vmSize": "Standard_D4ds_v5"}
    return {
        "location": "westeurope",
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "dnsPrefix": "kube",
            "kubernetesVersion": "1.36",
            "disableLocalAccounts": True,
            "aadProfile": {"managed": True, "enableAzureRBAC": True},
            "securityProfile": {"workloadIdentity": {"enabled": True}},
            "agentPoolProfiles": [{**pool, "availabilityZones": ["1", "2", "3"]}],
            **properties,
        },
    }


class Cluster:
    """A cluster, and kubectl in its environment with an account's Entra token."""

    def __init__(self, client, path):
        self.client = client
        self.path = path
        answer = client.arm("POST", f"{path}/listClusterUserCredential", AKS)
        self.kubeconfig = yaml.safe_load(base64.b64decode(answer.json["kubeconfigs"][0]["value"]))
        self.entry = self.kubeconfig["clusters"][0]["cluster"]

    @property
    def properties(self):
        return self.client.arm("GET", self.path, AKS).json["properties"]

    def put(self, change):
        """Read, change and write the cluster, as aks_addons does."""
        body = self.client.arm("GET", self.path, AKS).json
        change(body["properties"])
        return self.client.arm("PUT", self.path, AKS, body)

    def kubectl(self, folder, *argv, who=None, stdin=None):
        """Exit code and output of kubectl; the token goes by a file that only this test reads."""
        who = who or self.client
        authority = Path(folder) / "ca.crt"
        authority.write_bytes(base64.b64decode(self.entry["certificate-authority-data"]))
        config = Path(folder) / "kubeconfig"
        user = {"name": "me", "user": {"token": who.token(SERVER_APP)}}
        cluster = {"name": "c", "cluster": {"server": self.entry["server"], "certificate-authority": str(authority)}}
        context = {"name": "c", "context": {"cluster": "c", "user": "me"}}
        content = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "c"}
        config.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
        argv = [str(Tools().path("kubectl")), "--kubeconfig", str(config), *argv]
        done = subprocess.run(
            argv, env={**who.env, "HOME": str(folder)}, capture_output=True, text=True, timeout=60, input=stdin
        )
        return done.returncode, done.stdout + done.stderr

    def json(self, folder, *argv):
        code, text = self.kubectl(folder, *argv, "-o", "json")
        assert code == 0, text
        return json.loads(text)


def assign(client, scope, role, principal):
    """Make a role assignment; returns its id."""
    full = scope if scope.startswith("/subscriptions/") else f"{client.subscription}{scope}"
    path = f"{full}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    role_id = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    properties = {"roleDefinitionId": role_id, "principalId": principal, "principalType": "ServicePrincipal"}
    answer = client.arm("PUT", path, ROLES, {"properties": properties})
    assert answer.status == 201, answer.body
    return path
