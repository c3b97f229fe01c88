"""The kubeconfigs that the credential operations return, shaped as AKS shapes them."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import yaml

from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import ControlPlane
from aksops_sandbox.engines.kubernetes.control_plane import AAD_SERVER_APP
from aksops_sandbox.engines.kubernetes.kubeconfig import certificate_user, document
from aksops_sandbox.settings import write_private

_CLIENT_APP = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"


def user(cluster: Resource, plane: ControlPlane, host: str, tenant: str, style: str) -> dict[str, Any]:
    """clusterUser credentials; style: `exec` (kubelogin) or `azure` (legacy auth provider), for Entra clusters only."""
    name = f"clusterUser_{cluster.id.split('/')[4]}_{cluster.name}"
    if "aadProfile" not in cluster.properties:
        pair = plane.pki.client("masterclient", "masterclient", "system:masters")
        return _result("clusterUser", _document(cluster, plane, host, name, certificate_user(pair)))
    if style == "azure":
        credentials: dict[str, Any] = {
            "auth-provider": {
                "name": "azure",
                "config": {
                    "apiserver-id": AAD_SERVER_APP,
                    "client-id": _CLIENT_APP,
                    "config-mode": "1",
                    "environment": "AzurePublicCloud",
                    "tenant-id": tenant,
                },
            }
        }
    else:
        credentials = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "command": "kubelogin",
                "args": [
                    "get-token",
                    "--environment",
                    "AzurePublicCloud",
                    "--server-id",
                    AAD_SERVER_APP,
                    "--client-id",
                    _CLIENT_APP,
                    "--tenant-id",
                    tenant,
                    "--login",
                    "devicecode",
                ],
                "env": None,
                "installHint": "\nkubelogin is not installed which is required to connect to AAD enabled cluster.\n\n"
                "To learn more, please go to https://aka.ms/aks/kubelogin\n",
                "provideClusterInfo": False,
            }
        }
    return _result("clusterUser", _document(cluster, plane, host, name, credentials))


def admin(cluster: Resource, plane: ControlPlane, host: str) -> dict[str, Any]:
    """clusterAdmin credentials: a certificate of the cluster's own authority."""
    name = f"clusterAdmin_{cluster.id.split('/')[4]}_{cluster.name}"
    pair = plane.pki.client("masterclient", "masterclient", "system:masters")
    return _result("clusterAdmin", _document(cluster, plane, host, name, certificate_user(pair), "-admin"))


def write_for_people(path: Path, running: list[tuple[Resource, ControlPlane]]) -> None:
    """Write the kubeconfig of `aksops-sandbox env`: a context for each cluster; the newest is current.

    kubectl gets its token as the caller, from the sandbox's own stand-in for kubelogin.
    """
    login = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": sys.executable,
            "args": ["-P", "-m", "aksops_sandbox.kubelogin", "get-token", "--server-id", AAD_SERVER_APP],
            "interactiveMode": "Never",
            "provideClusterInfo": False,
        }
    }
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": ""}
    merged |= {"clusters": [], "contexts": [], "users": []}
    for cluster, plane in running:
        properties = cluster.properties
        host = properties.get("fqdn") or properties["privateFQDN"]
        one = document(cluster.name, f"https://{host}:443", plane.pki.authority.certificate_data(), cluster.name, login)
        for part in ("clusters", "contexts", "users"):
            merged[part] += one[part]
        merged["current-context"] = cluster.name
    write_private(path, yaml.safe_dump(merged, sort_keys=False))


def _document(
    cluster: Resource, plane: ControlPlane, host: str, user_name: str, credentials: dict[str, Any], suffix: str = ""
) -> str:
    authority = plane.pki.authority.certificate_data()
    content = document(cluster.name, f"https://{host}:443", authority, user_name, credentials)
    content["contexts"][0]["name"] += suffix
    content["current-context"] += suffix
    return yaml.safe_dump(content, sort_keys=False)


def _result(name: str, text: str) -> dict[str, Any]:
    return {"kubeconfigs": [{"name": name, "value": base64.b64encode(text.encode()).decode()}]}
