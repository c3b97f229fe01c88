# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few questions to a Kubernetes API server, with time-outs.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Objects are kubernetes.core's business; this is what must be known before it is called, since it knows no time-out.
"""

from __future__ import annotations

import json
import socket
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll

KUBERNETES_ARG_SPEC: dict[str, t.Any] = {
    "type": "dict",
    "options": {
        "host": {"type": "str", "required": True},
        "ca_path": {"type": "path"},
        "token": {"type": "str", "required": True, "no_log": True},
    },
}

#: feature of aks_addons -> the workloads that AKS deploys for it: (namespace, kind, name)
WORKLOADS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "keyvault_secrets_provider": (
        ("kube-system", "daemonsets", "aks-secrets-store-csi-driver"),
        ("kube-system", "daemonsets", "aks-secrets-store-provider-azure"),
    ),
    "ingress_application_gateway": (("kube-system", "deployments", "ingress-appgw-deployment"),),
    "azure_policy": (
        ("kube-system", "deployments", "azure-policy"),
        ("kube-system", "deployments", "azure-policy-webhook"),
        ("gatekeeper-system", "deployments", "gatekeeper-controller"),
        ("gatekeeper-system", "deployments", "gatekeeper-audit"),
    ),
    "oms_agent": (
        ("kube-system", "daemonsets", "ama-logs"),
        ("kube-system", "deployments", "ama-logs-rs"),
    ),
    "managed_prometheus": (
        ("kube-system", "daemonsets", "ama-metrics-node"),
        ("kube-system", "deployments", "ama-metrics"),
        ("kube-system", "deployments", "ama-metrics-ksm"),
    ),
}

Opener = t.Callable[..., t.Any]


class KubernetesClient:
    """Reads JSON from an API server with a bearer token; the token is shown nowhere."""

    def __init__(self, host: str, token: str, ca_path: str | None = None, *, opener: Opener | None = None) -> None:
        self._host = host.rstrip("/")
        self._token = token
        self._ca_path = ca_path
        self._opener = opener

    def __repr__(self) -> str:
        return f"KubernetesClient(host={self._host!r})"

    def call(
        self,
        path: str,
        body: t.Any = None,
        timeout: float = 15,
        *,
        merge: bool = False,
        accept: str = "application/json",
    ) -> tuple[int, t.Any]:
        """Return status and parsed body of a GET, or of a POST where C(body) is given.

        :param merge: C(body) is merged into what is there, by a PATCH.
        :param accept: the form of the answer, for those that Kubernetes shortens.
        :raises AksPlatformError: the server was not reached.
        """
        opener = self._opener
        if opener is None:
            from ansible.module_utils.urls import open_url

            opener = open_url
        try:
            answer = opener(
                f"{self._host}{path}",
                method="PATCH" if merge else "GET" if body is None else "POST",
                data=None if body is None else json.dumps(body),
                headers={
                    "Authorization": f"Bearer {self._token}",
                    "Accept": accept,
                    "Content-Type": "application/merge-patch+json" if merge else "application/json",
                },
                ca_path=self._ca_path,
                timeout=timeout,
                http_agent="aksops.platform",
            )
            return answer.status, _parsed(answer.read())
        except HTTPError as error:
            return error.code, _parsed(error.read())
        except (URLError, OSError) as error:
            raise AksPlatformError(self._unreachable(error)) from None

    def _unreachable(self, error: Exception) -> str:
        reason = getattr(error, "reason", error)
        name = urlsplit(self._host).hostname
        if isinstance(reason, socket.gaierror) or "Name or service not known" in str(reason):
            return (
                f"The name of the API server {name} does not resolve here: the cluster is private, so run inside its "
                "network or a peered one, or work by az aks command invoke."
            )
        return (
            f"The API server {name} is not reached: {one_sentence(str(reason), 200)}; if the cluster is private or "
            "allows certain addresses only, run inside its network."
        )


def _parsed(raw: bytes | str) -> t.Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace") if isinstance(raw, bytes) else raw


def wait_ready(client: KubernetesClient, *, timeout: float, interval: float, progress: Progress | None = None) -> None:
    """Wait until the API server answers /readyz with ok.

    A name that does not resolve is told at once: waiting does not cure it.
    """

    def check() -> tuple[bool, str]:
        try:
            status, body = client.call("/readyz")
        except AksPlatformError as error:
            if "does not resolve" in str(error):
                raise
            return False, str(error)
        if status in (401, 403):
            raise AksPlatformError(
                f"The API server refuses the token (HTTP {status}); is the cluster's Entra integration on and in the "
                "same tenant as the credential?"
            )
        return status == 200, f"HTTP {status} {one_sentence(str(body), 120)}"

    poll(check, timeout=timeout, interval=interval, describe="the API server's /readyz", progress=progress)


def wait_allowed(
    client: KubernetesClient, *, timeout: float, interval: float, progress: Progress | None = None
) -> None:
    """Wait until the caller may write everywhere: a new role assignment needs minutes to reach the API server."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}},
    }

    def check() -> tuple[bool, str]:
        status, body = client.call("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        answer = body.get("status") or {} if isinstance(body, dict) else {}
        return bool(answer.get("allowed")), f"HTTP {status}, {answer.get('reason') or 'not allowed'}"

    poll(
        check,
        timeout=timeout,
        interval=interval,
        describe="the caller's right to administer the cluster (role Azure Kubernetes Service RBAC Cluster Admin)",
        progress=progress,
    )


def unready(objects: t.Mapping[tuple[str, str, str], dict[str, t.Any] | None]) -> list[str]:
    """Return one sentence for each workload that is absent or has not all of its pods ready in its newest form."""
    lines = []
    for (namespace, kind, name), found in objects.items():
        label = f"{kind[:-1]} {namespace}/{name}"
        if found is None:
            lines.append(f"{label} is absent")
            continue
        status = found.get("status") or {}
        if kind == "daemonsets":
            desired, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
            current = desired > 0
        else:
            desired, ready = (found.get("spec") or {}).get("replicas", 1), status.get("readyReplicas", 0)
            current = True
        seen = status.get("observedGeneration", 0) >= (found.get("metadata") or {}).get("generation", 0)
        if ready < desired or not current or not seen:
            lines.append(f"{label} has {ready} of {desired} pods ready")
    return lines


def wait_workloads(
    client: KubernetesClient,
    features: t.Iterable[str],
    *,
    timeout: float,
    interval: float,
    progress: Progress | None = None,
) -> None:
    """Wait until all workloads of C(features) are ready; two to four requests a look."""
    wanted = [item for feature in features for item in WORKLOADS.get(feature, ())]
    if not wanted:
        return

    def check() -> tuple[bool, str]:
        objects: dict[tuple[str, str, str], dict[str, t.Any] | None] = dict.fromkeys(wanted)
        for namespace, kind in sorted({item[:2] for item in wanted}):
            status, body = client.call(f"/apis/apps/v1/namespaces/{namespace}/{kind}")
            if status in (401, 403):
                raise AksPlatformError(
                    f"The caller may not read {kind} in {namespace} (HTTP {status}); it needs the role "
                    "Azure Kubernetes Service RBAC Reader or more on the cluster."
                )
            for item in body.get("items") or [] if isinstance(body, dict) else []:
                key = (namespace, kind, item["metadata"]["name"])
                if key in objects:
                    objects[key] = item
        lines = unready(objects)
        return not lines, "; ".join(lines) or "ready"

    poll(check, timeout=timeout, interval=interval, describe="the add-ons' workloads", progress=progress)
