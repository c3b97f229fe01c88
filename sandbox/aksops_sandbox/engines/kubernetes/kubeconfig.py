"""Kubeconfig documents: for the components on loopback and for users, as AKS hands them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from aksops_sandbox.settings import write_private

from .pki import ClusterPki, KeyPair


def document(cluster: str, server: str, authority_data: str, user: str, credentials: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig with one cluster, one user and one context named after the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": cluster, "cluster": {"certificate-authority-data": authority_data, "server": server}},
        ],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
        "preferences": {},
        "users": [{"name": user, "user": credentials}],
    }


def certificate_user(pair: KeyPair) -> dict[str, str]:
    """The `user` entry of a client certificate."""
    return {"client-certificate-data": pair.certificate_data(), "client-key-data": pair.key_data()}


def write(path: Path, pki: ClusterPki, server: str, user: str, pair: KeyPair) -> Path:
    """Write (mode 0600) a component's kubeconfig with a client certificate; returns the path."""
    content = document("sandbox", server, pki.authority.certificate_data(), user, certificate_user(pair))
    write_private(path, yaml.safe_dump(content, sort_keys=False))
    return path
