"""A small Kubernetes client for the sandbox's own controllers: typed by nothing but paths and dictionaries."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from .pki import KeyPair

_MANAGER = "aks-addon-manager"

#: Kinds that the sandbox writes and reads: kind -> (plural, namespaced).
_KINDS: dict[str, tuple[str, bool]] = {
    "APIService": ("apiservices", False),
    "CSIDriver": ("csidrivers", False),
    "CSINode": ("csinodes", False),
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "ConfigMap": ("configmaps", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "DaemonSet": ("daemonsets", True),
    "Deployment": ("deployments", True),
    "Event": ("events", True),
    "IngressClass": ("ingressclasses", False),
    "Lease": ("leases", True),
    "MutatingWebhookConfiguration": ("mutatingwebhookconfigurations", False),
    "Namespace": ("namespaces", False),
    "Node": ("nodes", False),
    "Pod": ("pods", True),
    "PriorityClass": ("priorityclasses", False),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "Secret": ("secrets", True),
    "SecretProviderClass": ("secretproviderclasses", True),
    "SecretProviderClassPodStatus": ("secretproviderclasspodstatuses", True),
    "Service": ("services", True),
    "ServiceAccount": ("serviceaccounts", True),
    "StorageClass": ("storageclasses", False),
    "ValidatingAdmissionPolicy": ("validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": ("validatingadmissionpolicybindings", False),
    "ValidatingWebhookConfiguration": ("validatingwebhookconfigurations", False),
}


class KubernetesError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status code.
        reason: Kubernetes' reason, for example `NotFound` or `Conflict`.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


def path_of(manifest: dict[str, Any]) -> str:
    """The API path of an object. Raises KeyError for a kind that is not in the table."""
    plural, namespaced = _KINDS[manifest["kind"]]
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace", "default") if namespaced else None
    return path(manifest["apiVersion"], plural, namespace, metadata["name"])


def path(version: str, plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """An API path: `path("apps/v1", "deployments", "kube-system", "coredns")`."""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    middle = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{middle}/{plural}" + (f"/{name}" if name else "")


class Client:
    """Requests to one API server with a client certificate; safe to use from several threads.

    Args:
        port: loopback port of the API server.
        authority: CA file.
        pair: client certificate.
        timeout: seconds for one request (watches set their own).
    """

    def __init__(self, port: int, authority: str, pair: KeyPair, timeout: float = 60.0) -> None:
        self._port = port
        self._timeout = timeout
        self._local = threading.local()
        self._context = ssl.create_default_context(cafile=authority)
        self._context.load_cert_chain(pair.certificate, pair.key)

    def _connection(self) -> http.client.HTTPSConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=self._timeout, context=self._context
            )
            self._local.connection = connection
        return connection

    def _forget(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

    def request(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        query: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send one request; returns the decoded answer. Raises KubernetesError or OSError."""
        return self._send(method, target, body, query, {"Content-Type": content_type})[0]

    def warnings(self, target: str, body: dict[str, Any], user: str) -> list[str]:
        """What the API server warns of when a user replaces an object by this one; nothing is stored."""
        headers = {"Impersonate-User": user, "Impersonate-Group": "system:masters"}
        answer = self._send("PUT", target, body, {"dryRun": "All"}, headers)[1]
        return [_unquoted(text) for name, text in answer if name.lower() == "warning"]

    def _send(
        self, method: str, target: str, body: Any, query: dict[str, Any] | None, extra: dict[str, str]
    ) -> tuple[Any, list[tuple[str, str]]]:
        if query:
            target = f"{target}?{urlencode(query)}"
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json", **extra}
        for attempt in (1, 2):  # an idle connection may have been closed by a restart of the server
            connection = self._connection()
            try:
                connection.request(method, target, payload, headers)
                response = connection.getresponse()
                data = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self._forget()
                if attempt == 2:
                    raise OSError(f"the API server does not answer {method} {target}: {error}") from error
        return _decode(response.status, data), response.getheaders()

    def ready(self) -> bool:
        """True once /readyz says so."""
        try:
            connection = self._connection()
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._forget()
            return False
        return response.status == 200

    def get(self, target: str) -> dict[str, Any] | None:
        """The object, or None where it does not exist."""
        try:
            return self.request("GET", target)
        except KubernetesError as error:
            if error.status == 404:
                return None
            raise

    def list(self, target: str, **query: str) -> list[dict[str, Any]]:
        """Items of a collection; selectors as `labelSelector=...`, `fieldSelector=...`."""
        return self.request("GET", target, query=query).get("items") or []

    def create(self, target: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.request("POST", target, body)

    def apply(self, manifest: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        """Server-side apply as the add-on manager; it owns every field that the manifest names."""
        target = path_of(manifest) + (f"/{subresource}" if subresource else "")
        return self.request(
            "PATCH",
            target,
            manifest,
            query={"fieldManager": _MANAGER, "force": "true"},
            content_type="application/apply-patch+yaml",
        )

    def merge(self, target: str, change: dict[str, Any]) -> dict[str, Any]:
        """JSON merge patch."""
        return self.request("PATCH", target, change, content_type="application/merge-patch+json")

    def delete(self, target: str) -> bool:
        """Delete an object in the background; False where it was not there."""
        try:
            self.request("DELETE", target, {"propagationPolicy": "Background"})
        except KubernetesError as error:
            if error.status == 404:
                return False
            raise
        return True

    def remove(self, manifest: dict[str, Any]) -> bool:
        """Delete the object that a manifest names."""
        return self.delete(path_of(manifest))

    def token(self, namespace: str, account: str, audience: str, bound_to: dict[str, Any] | None = None) -> str:
        """A service-account token for an audience, bound to a pod where one is given."""
        spec: dict[str, Any] = {"audiences": [audience], "expirationSeconds": 3600}
        if bound_to is not None:
            metadata = bound_to["metadata"]
            spec["boundObjectRef"] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        answer = self.create(
            path("v1", "serviceaccounts", namespace, account) + "/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])

    def watch(self, target: str, seconds: int, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(event type, object) pairs from now on, until `seconds` are over; on a connection of its own."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=seconds + 10, context=self._context)
        try:
            options = {**query, "watch": "true", "timeoutSeconds": str(seconds)}
            connection.request("GET", f"{target}?{urlencode(options)}", headers={"Accept": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                _decode(response.status, response.read())
            while line := response.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()


def _decode(status: int, data: bytes) -> Any:
    try:
        content = json.loads(data) if data else {}
    except ValueError:
        content = {"message": data.decode(errors="replace")}
    if status >= 400:
        raise KubernetesError(status, content.get("reason") or "Unknown", content.get("message") or "")
    return content


def _unquoted(warning: str) -> str:
    """The text of a Warning header: `299 - "text"`."""
    text = warning.split(" ", 2)[-1].removeprefix('"').removesuffix('"')
    return text.replace('\\"', '"')
