"""One Kubernetes control plane as supervised processes on loopback."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aksops_sandbox.settings import Ports, write_private

from . import kubeconfig
from .client import Client
from .pki import ClusterPki

if TYPE_CHECKING:
    from aksops_sandbox.engines.process import Supervisor
    from aksops_sandbox.tools import Tools

AAD_SERVER_APP = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""audience of Entra tokens for every AKS cluster"""

STAGES = Path(__file__).with_name("stages.yaml")


@dataclass(frozen=True)
class Trust:
    """What the API server is told about the outside: the Entra issuer and the authorizer.

    issuer: issuer in Entra tokens. discovery_url: its configuration on loopback. authority: CA file of both.
    authorizer_url: the webhook of this cluster.
    """

    issuer: str
    discovery_url: str
    authority: Path
    authorizer_url: str


@dataclass(frozen=True)
class ClusterSpec:
    """What decides a control plane.

    key: short unique name (processes, logs, ports). fqdns: its host names. oidc_issuer: issuer of service-account
    tokens, an https URL that ends with '/'. service_cidr, pod_cidr: address ranges.
    """

    key: str
    fqdns: tuple[str, ...]
    oidc_issuer: str
    service_cidr: str
    pod_cidr: str


class ControlPlane:
    """Starts and stops one cluster; its data stay in the folder.

    Args:
        spec, trust: see there.
        folder: private folder of this cluster.
        ports: persistent ports.
    """

    def __init__(
        self, spec: ClusterSpec, trust: Trust, folder: Path, ports: Ports, supervisor: Supervisor, tools: Tools
    ) -> None:
        self.spec = spec
        self._trust = trust
        self._folder = folder
        self._ports = ports
        self._supervisor = supervisor
        self._tools = tools
        self.pki = ClusterPki(folder / "pki")
        self.port = 0
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """A cluster-admin client. Raises RuntimeError before start."""
        if self._client is None:
            raise RuntimeError(f"the control plane of {self.spec.key} is not running")
        return self._client

    @property
    def admin_kubeconfig(self) -> Path:
        """A cluster-admin kubeconfig on loopback, for the sandbox's own processes."""
        return self._folder / "admin.kubeconfig"

    def start(self) -> None:
        """Start the processes; returns when the API server is ready. Raises RuntimeError or ToolMissingError."""
        tools = {name: self._tools.path(name) for name in _BINARIES}
        self.port = self._ports.get(f"{self.spec.key}-apiserver")
        admin = self.pki.client("admin", "aksops-sandbox", "system:masters")
        self._client = Client(self.port, str(self.pki.authority.certificate), admin)
        kubeconfig.write(self.admin_kubeconfig, self.pki, self._server, "admin", admin)
        etcd_port = self._start_etcd(tools["etcd"])
        self._start_api_server(tools["kube-apiserver"], etcd_port)
        self._start_controllers(tools)

    def stop(self) -> None:
        """Stop controllers, then the API server (at most 5 s), etcd last; at once where nothing of it is kept."""
        patience = 0.0 if self._supervisor.hurried else 1.0
        names = ("kwok", "scheduler", "controllers")
        stop = self._supervisor.stop
        threads = [threading.Thread(target=stop, args=(self._name(name), 3.0 * patience)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop(self._name("apiserver"), timeout=5.0 * patience)
        stop(self._name("etcd"), timeout=5.0 * patience)
        self._client = None

    @property
    def _server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def _name(self, part: str) -> str:
        return f"{self.spec.key}-{part}"

    def _launch(self, part: str, argv: list[str | Path], memory: str, ready: Callable[[], bool] | None = None) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        # A soft limit with rare collections: half the processor time of a tight heap while it starts.
        environ |= {"GOMEMLIMIT": memory, "GOGC": "200"}
        self._supervisor.start(self._name(part), argv, env=environ, cwd=self._folder, ready=ready, timeout=120)

    def _start_etcd(self, binary: Path) -> int:
        client, peer = self._ports.get(self._name("etcd")), self._ports.get(self._name("etcd-peer"))
        pair = self.pki.server("etcd", ["127.0.0.1", "localhost"])
        authority = self.pki.authority.certificate
        client_url, peer_url = f"https://127.0.0.1:{client}", f"https://127.0.0.1:{peer}"
        argv: list[str | Path] = [
            binary,
            "--name=default",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            f"--cert-file={pair.certificate}",
            f"--key-file={pair.key}",
            f"--trusted-ca-file={authority}",
            "--client-cert-auth",
            f"--peer-cert-file={pair.certificate}",
            f"--peer-key-file={pair.key}",
            f"--peer-trusted-ca-file={authority}",
            "--peer-client-cert-auth",
            # A killed process loses nothing: the kernel holds what was written. Only a power cut could.
            "--unsafe-no-fsync",
            "--snapshot-count=5000",
            "--log-level=warn",
        ]
        self._launch("etcd", argv, "150MiB", lambda: _listens(client))
        return client

    def _start_api_server(self, binary: Path, etcd_port: int) -> None:
        spec, pki = self.spec, self.pki
        first = str(next(ipaddress.ip_network(spec.service_cidr).hosts()))
        names = [
            *spec.fqdns,
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            first,
        ]
        server = pki.server("apiserver", names)
        etcd = pki.client("apiserver-etcd-client", "kube-apiserver")
        signing = pki.service_account_key()
        argv: list[str | Path] = [
            binary,
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={pki.authority.certificate}",
            f"--etcd-servers=https://127.0.0.1:{etcd_port}",
            f"--etcd-cafile={pki.authority.certificate}",
            f"--etcd-certfile={etcd.certificate}",
            f"--etcd-keyfile={etcd.key}",
            f"--authentication-config={self._authentication()}",
            "--authorization-mode=Node,RBAC,Webhook",
            f"--authorization-webhook-config-file={self._authorizer()}",
            "--authorization-webhook-version=v1",
            "--authorization-webhook-cache-authorized-ttl=15s",
            "--authorization-webhook-cache-unauthorized-ttl=1s",
            f"--service-account-issuer={spec.oidc_issuer}",
            f"--service-account-jwks-uri={spec.oidc_issuer}openid/v1/jwks",
            f"--service-account-key-file={signing}",
            f"--service-account-signing-key-file={signing}",
            f"--api-audiences={spec.oidc_issuer}",
            f"--service-cluster-ip-range={spec.service_cidr}",
            "--allow-privileged=true",
            "--enable-admission-plugins=NodeRestriction",
            "--profiling=false",
            "--delete-collection-workers=1",
            "--max-requests-inflight=200",
            "--max-mutating-requests-inflight=100",
        ]
        self._launch("apiserver", argv, "450MiB", self.client.ready)

    def _start_controllers(self, tools: dict[str, Path]) -> None:
        authority, signing = self.pki.authority, self.pki.service_account_key()
        manager = self._component("controllers", "system:kube-controller-manager")
        self._launch(
            "controllers",
            [
                tools["kube-controller-manager"],
                f"--kubeconfig={manager}",
                "--secure-port=0",
                "--leader-elect=false",
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={signing}",
                f"--root-ca-file={authority.certificate}",
                f"--cluster-signing-cert-file={authority.certificate}",
                f"--cluster-signing-key-file={authority.key}",
                "--controllers=*,-node-ipam-controller,-node-route-controller,-service-lb-controller",
                "--profiling=false",
                "--horizontal-pod-autoscaler-sync-period=3s",
                "--kube-api-qps=100",
                "--kube-api-burst=200",
            ],
            "150MiB",
        )
        scheduler = self._component("scheduler", "system:kube-scheduler")
        self._launch(
            "scheduler",
            [
                tools["kube-scheduler"],
                f"--kubeconfig={scheduler}",
                "--secure-port=0",
                "--leader-elect=false",
                "--profiling=false",
            ],
            "100MiB",
        )
        nodes = self._component("kwok", "system:kwok", "system:masters")
        self._launch(
            "kwok",
            [
                tools["kwok"],
                f"--kubeconfig={nodes}",
                f"--config={STAGES}",
                "--manage-all-nodes=true",
                f"--cidr={self.spec.pod_cidr}",
                "--node-ip=10.0.0.4",
                "--node-lease-duration-seconds=40",
                "--server-address=127.0.0.1:0",
                "--v=warn",
            ],
            "100MiB",
        )

    def _component(self, part: str, user: str, group: str | None = None) -> Path:
        pair = self.pki.client(part, user, group)
        return kubeconfig.write(self._folder / f"{part}.kubeconfig", self.pki, self._server, user, pair)

    def _authentication(self) -> Path:
        trust = self._trust
        content = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {
                        "url": trust.issuer,
                        "discoveryURL": trust.discovery_url,
                        "certificateAuthority": trust.authority.read_text(encoding="ascii"),
                        "audiences": [AAD_SERVER_APP, f"spn:{AAD_SERVER_APP}"],
                        "audienceMatchPolicy": "MatchAny",
                    },
                    "claimMappings": {
                        "username": {"claim": "oid", "prefix": ""},
                        "groups": {"claim": "groups", "prefix": ""},
                    },
                }
            ],
        }
        path = self._folder / "authentication.json"
        write_private(path, json.dumps(content, indent=2))
        return path

    def _authorizer(self) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "azure",
                    "cluster": {
                        "server": self._trust.authorizer_url,
                        "certificate-authority": str(self._trust.authority),
                    },
                }
            ],
            "contexts": [{"name": "azure", "context": {"cluster": "azure", "user": "apiserver"}}],
            "current-context": "azure",
            "users": [{"name": "apiserver", "user": {}}],
        }
        path = self._folder / "authorizer.kubeconfig"
        write_private(path, json.dumps(content, indent=2))
        return path


_BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
