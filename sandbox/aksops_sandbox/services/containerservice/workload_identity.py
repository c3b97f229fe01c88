"""The workload-identity webhook: what AKS' mutating webhook writes into pods that ask for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

USE_LABEL = "azure.workload.identity/use"
CLIENT_ID = "azure.workload.identity/client-id"
TENANT_ID = "azure.workload.identity/tenant-id"
TOKEN_FOLDER = "/var/run/secrets/azure/tokens"
TOKEN_FILE = "azure-identity-token"
AUDIENCE = "api://AzureADTokenExchange"
VOLUME = "azure-identity-token"
NAME = "azure-wi-webhook-mutating-webhook-configuration"

Accounts = Callable[[str, str], dict[str, Any] | None]


def authority_data(ctx: Sandbox) -> str:
    """Base64 of the CA of the gate."""
    return base64.b64encode(ctx.certificates.ca_path.read_bytes()).decode()


def configuration(url: str, authority: str) -> dict[str, Any]:
    """The MutatingWebhookConfiguration, under AKS' name."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": {"azure-workload-identity.io/system": "true"}},
        "webhooks": [
            {
                "name": "mutation.azure-workload-identity.io",
                "clientConfig": {"url": url, "caBundle": authority},
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "objectSelector": {"matchLabels": {USE_LABEL: "true"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }
        ],
    }


def mutator(tenant_id: str, account_of: Accounts) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The webhook's function: AdmissionReview in, AdmissionReview out.

    account_of: (namespace, name) -> the service account, or None.
    """

    def mutate(review: dict[str, Any]) -> dict[str, Any]:
        request = review["request"]
        pod = request["object"]
        account = account_of(request["namespace"], pod["spec"].get("serviceAccountName") or "default") or {}
        annotations = account.get("metadata", {}).get("annotations") or {}
        operations = patch(pod, annotations.get(TENANT_ID) or tenant_id, annotations.get(CLIENT_ID, ""))
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
        if operations:
            answer["patchType"] = "JSONPatch"
            answer["patch"] = base64.b64encode(json.dumps(operations).encode()).decode()
        return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer}

    return mutate


def patch(pod: dict[str, Any], tenant_id: str, client_id: str = "") -> list[dict[str, Any]]:
    """JSON patch that gives a pod the token volume and the AZURE_* variables; empty where it has them."""
    spec = pod["spec"]
    operations: list[dict[str, Any]] = []
    if not any(volume["name"] == VOLUME for volume in spec.get("volumes") or []):
        source = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": 3600, "path": TOKEN_FILE}}
        volume = {"name": VOLUME, "projected": {"sources": [source], "defaultMode": 420}}
        _append(operations, spec, "/spec", "volumes", volume)
    variables = {
        "AZURE_CLIENT_ID": client_id,
        "AZURE_TENANT_ID": tenant_id,
        "AZURE_FEDERATED_TOKEN_FILE": f"{TOKEN_FOLDER}/{TOKEN_FILE}",
        "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
    }
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            place = f"/spec/{kind}/{index}"
            have = {item["name"] for item in container.get("env") or []}
            for name, value in variables.items():
                if value and name not in have:
                    _append(operations, container, place, "env", {"name": name, "value": value})
            if not any(mount["mountPath"] == TOKEN_FOLDER for mount in container.get("volumeMounts") or []):
                mount = {"name": VOLUME, "mountPath": TOKEN_FOLDER, "readOnly": True}
                _append(operations, container, place, "volumeMounts", mount)
    return operations


def _append(operations: list[dict[str, Any]], holder: dict[str, Any], place: str, field: str, item: Any) -> None:
    """Add an item to a list that may not be there yet."""
    path = f"{place}/{field}"
    if holder.get(field) or any(operation["path"] == path for operation in operations):
        operations.append({"op": "add", "path": f"{path}/-", "value": item})
    else:
        operations.append({"op": "add", "path": path, "value": [item]})
