"""metrics.k8s.io for clusters whose pods run nothing: what metrics-server answers to autoscalers and `kubectl top`.

A pod uses a fixed share of what it requests, or what its annotation `sandbox.aksops.platform/cpu` says.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from aksops_sandbox.engines.kubernetes import ControlPlane, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path as api_path

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

ANNOTATION = "sandbox.aksops.platform/cpu"
_GROUP = "metrics.k8s.io/v1beta1"
_ROOT = f"/apis/{_GROUP}"
_SERVICE, _NAMESPACE = "metrics-server", "kube-system"
_CPU_SHARE, _MEMORY_SHARE = 0.3, 0.5
_PODS = re.compile(rf"{_ROOT}(?:/namespaces/([^/]+))?/pods(?:/([^/]+))?")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9}


class MetricsServer:
    """One cluster's metrics API on loopback, registered as its APIService.

    Args:
        ctx: the sandbox.
        plane: the cluster's running control plane.
    """

    def __init__(self, ctx: Sandbox, plane: ControlPlane) -> None:
        self._ctx = ctx
        self.plane = plane
        self._port = ctx.ports.get(f"{plane.spec.key}-metrics")
        certificate, key = ctx.certificates.leaf([f"{_SERVICE}.{_NAMESPACE}.svc", "127.0.0.1"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Server(("127.0.0.1", self._port), _handler(self), context)

    def start(self) -> None:
        """Serve, and register with the API server."""
        name = f"{self.plane.spec.key} metrics"
        threading.Thread(target=self._server.serve_forever, name=name, daemon=True).start()
        threading.Thread(target=self._register, name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop serving; the registration stays in the cluster."""
        self._server.shutdown()
        self._server.server_close()

    def _register(self) -> None:
        authority = base64.b64encode(self._ctx.certificates.ca_path.read_bytes()).decode()
        service = {"name": _SERVICE, "namespace": _NAMESPACE, "port": self._port}
        objects = [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": _SERVICE, "namespace": _NAMESPACE},
                # The API server asks the name itself, without a pod network in between.
                "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": "v1beta1.metrics.k8s.io"},
                "spec": {
                    "group": "metrics.k8s.io",
                    "version": "v1beta1",
                    "service": service,
                    "caBundle": authority,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            },
        ]
        for _ in range(20):
            try:
                for manifest in objects:
                    self.plane.client.apply(manifest)
                return
            except (OSError, KubernetesError, RuntimeError):
                time.sleep(0.5)

    def answer(self, target: str) -> tuple[int, dict[str, Any]]:
        """(status, document) for a GET."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == _ROOT:
            kinds = [("nodes", "NodeMetrics", False), ("pods", "PodMetrics", True)]
            resources = [
                {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}
                for name, kind, namespaced in kinds
            ]
            return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": _GROUP, "resources": resources}
        if parts.path == f"{_ROOT}/nodes":
            nodes = self.plane.client.list(api_path("v1", "nodes"))
            return 200, _list("NodeMetricsList", [_node(node) for node in nodes])
        found = _PODS.fullmatch(parts.path)
        if not found:
            return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        selectors = {name: query[name] for name in ("labelSelector", "fieldSelector") if name in query}
        pods = self.plane.client.list(api_path("v1", "pods", found[1]), **selectors)
        items = [pod_metrics(pod) for pod in pods if pod.get("status", {}).get("phase") == "Running"]
        if found[2]:
            named = [item for item in items if item["metadata"]["name"] == found[2]]
            return (200, named[0]) if named else (404, {"kind": "Status", "apiVersion": "v1", "code": 404})
        return 200, _list("PodMetricsList", items)


def pod_metrics(pod: dict[str, Any]) -> dict[str, Any]:
    """PodMetrics of a running pod."""
    metadata = pod["metadata"]
    fixed = (metadata.get("annotations") or {}).get(ANNOTATION)
    containers = []
    for container in pod["spec"]["containers"]:
        requests = (container.get("resources") or {}).get("requests") or {}
        cpu = cores(fixed) if fixed else cores(requests.get("cpu", "10m")) * _CPU_SHARE
        memory = size(requests.get("memory", "32Mi")) * _MEMORY_SHARE
        usage = {"cpu": f"{max(1, round(cpu * 1000))}m", "memory": f"{round(memory / 1024)}Ki"}
        containers.append({"name": container["name"], "usage": usage})
    return {
        **_head("PodMetrics", metadata["name"], metadata["namespace"], metadata.get("labels")),
        "containers": containers,
    }


def _node(node: dict[str, Any]) -> dict[str, Any]:
    capacity = node.get("status", {}).get("allocatable") or {"cpu": "4", "memory": "16Gi"}
    cpu, memory = cores(capacity["cpu"]) * 0.2, size(capacity["memory"]) * 0.3
    usage = {"cpu": f"{round(cpu * 1000)}m", "memory": f"{round(memory / 1024)}Ki"}
    return {**_head("NodeMetrics", node["metadata"]["name"], None, None), "usage": usage}


def _head(kind: str, name: str, namespace: str | None, labels: dict[str, str] | None) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    metadata = {"name": name, "creationTimestamp": now}
    if namespace:
        metadata["namespace"] = namespace
    # A short window: autoscalers leave out pods that were not ready for the whole of it.
    return {
        "kind": kind,
        "apiVersion": _GROUP,
        "metadata": {**metadata, "labels": labels or {}},
        "timestamp": now,
        "window": "1s",
    }


def _list(kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": kind, "apiVersion": _GROUP, "metadata": {}, "items": items}


def cores(quantity: str) -> float:
    """CPU cores of a quantity: '250m' is 0.25."""
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def size(quantity: str) -> float:
    """Bytes of a quantity: '128Mi' is 134217728."""
    text = str(quantity)
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def _handler(server: MetricsServer) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 300

        def do_GET(self) -> None:
            try:
                status, content = server.answer(self.path)
            except (OSError, KubernetesError, RuntimeError, ValueError) as error:
                status, content = 503, {"kind": "Status", "apiVersion": "v1", "message": str(error), "code": 503}
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """No access log: the API server asks often."""

    return Answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext
    ) -> None:
        self._context = context
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(10)
        with contextlib.suppress(OSError, ssl.SSLError):
            secure = self._context.wrap_socket(request, server_side=True)
            with contextlib.closing(secure):
                super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""
