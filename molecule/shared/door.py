"""The API server that a scenario's `door` leads to."""

from __future__ import annotations

import os

from kubernetes import client


def api_client(door: dict[str, str]) -> client.ApiClient:
    """Return a client of the cluster, through the sandbox's proxy."""
    settings = client.Configuration()
    settings.host, settings.ssl_ca_cert = door["host"], door["ca_path"]
    settings.api_key = {"authorization": "Bearer " + door["token"]}
    settings.proxy = os.environ["HTTPS_PROXY"]
    return client.ApiClient(settings)
