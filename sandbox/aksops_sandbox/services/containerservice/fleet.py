"""The control planes that run, and what they need of the sandbox: the gate, tunnels, keys of their issuers."""

from __future__ import annotations

import ipaddress
import shutil
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import Client, ClusterSpec, ControlPlane, authorization
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.engines.kubernetes.control_plane import Trust
from aksops_sandbox.engines.kubernetes.gate import Gate

from . import workload_identity

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

ISSUER_HOST = "westeurope.oic.prod-aks.azure.com"


def hosts(cluster: Resource) -> list[str]:
    """Names under which the API server is reached."""
    return [name for name in (cluster.properties.get("fqdn"), cluster.properties.get("privateFQDN")) if name]


def issuer(ctx: Sandbox, cluster: Resource) -> str:
    """Issuer of the cluster's service-account tokens."""
    return f"https://{ISSUER_HOST}/{ctx.principals.tenant_id}/{cluster.internal['issuer']}/"


class Fleet:
    """Starts, stops and finds the control planes, by cluster id (compared without case)."""

    def __init__(self, ctx: Sandbox) -> None:
        self._ctx = ctx
        self._planes: dict[str, ControlPlane] = {}
        self._lock = threading.Lock()
        certificate, key = ctx.certificates.leaf(["127.0.0.1", "localhost"])
        self._gate = Gate(ctx.ports.get("kubernetes-gate"), certificate, key)
        self._gate.documents["/issuer/.well-known/openid-configuration"] = lambda: {
            "issuer": ctx.tokens.issuer,
            "jwks_uri": f"{self._gate.url}/issuer/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self._gate.documents["/issuer/keys"] = ctx.tokens.jwks
        self._gate.start()

    def close(self) -> None:
        """Stop every control plane and the gate."""
        with self._lock:
            planes = list(self._planes.values())
            self._planes.clear()
        threads = [threading.Thread(target=plane.stop) for plane in planes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._gate.stop()

    def start(self, cluster: Resource) -> ControlPlane:
        """Start the cluster's control plane, or find it running."""
        key = cluster.internal["key"]
        with self._lock:
            plane = self._planes.get(cluster.id.lower())
        if plane is None:
            plane = self._make(cluster)
            plane.start()
            with self._lock:
                self._planes[cluster.id.lower()] = plane
        for host in hosts(cluster):
            self._ctx.tunnels[host.lower()] = ("127.0.0.1", plane.port)
            self._ctx.tunnel_guards[host.lower()] = self._door(cluster.id)
        self._ctx.oidc_issuers[issuer(self._ctx, cluster)] = plane.pki.jwks
        self._gate.functions[f"/clusters/{key}/authorize"] = self._authorizer(cluster.id)
        self._gate.functions[f"/clusters/{key}/mutate"] = workload_identity.mutator(
            self._ctx.principals.tenant_id, lambda namespace, name: self._account(cluster.id, namespace, name)
        )
        return plane

    def stop(self, cluster: Resource) -> None:
        """Stop the cluster's control plane; its data stay."""
        for host in hosts(cluster):
            self._ctx.tunnels.pop(host.lower(), None)
        with self._lock:
            plane = self._planes.pop(cluster.id.lower(), None)
        if plane is not None:
            plane.stop()

    def discard(self, cluster: Resource) -> None:
        """Stop it and remove its data."""
        self.stop(cluster)
        self._ctx.oidc_issuers.pop(issuer(self._ctx, cluster), None)
        key = cluster.internal["key"]
        for function in ("authorize", "mutate"):
            self._gate.functions.pop(f"/clusters/{key}/{function}", None)
        shutil.rmtree(self._ctx.home.sub("kubernetes") / key, ignore_errors=True)

    def find(self, cluster_id: str) -> ControlPlane | None:
        """The running control plane of a cluster, else None."""
        with self._lock:
            return self._planes.get(cluster_id.lower())

    def client(self, cluster_id: str) -> Client:
        """A cluster-admin client. Raises AzureError 409 where the cluster does not run."""
        plane = self.find(cluster_id)
        if plane is None:
            raise AzureError(409, "OperationNotAllowed", f"The cluster {cluster_id} is not running.")
        return plane.client

    def mutator(self, cluster: Resource) -> tuple[str, str]:
        """(URL, CA data in base64) of the cluster's workload-identity webhook."""
        return f"{self._gate.url}/clusters/{cluster.internal['key']}/mutate", workload_identity.authority_data(
            self._ctx
        )

    def _door(self, cluster_id: str) -> Callable[[str], bool]:
        """Whether a client at a vantage reaches the API server: private clusters and authorized ranges."""
        ctx = self._ctx

        def reachable(vantage: str) -> bool:
            cluster = ctx.store.get(cluster_id)
            access = (cluster.properties.get("apiServerAccessProfile") or {}) if cluster else {}
            if access.get("enablePrivateCluster"):
                return vantage == "inside"
            ranges = access.get("authorizedIPRanges") or []
            return not ranges or vantage == "inside" or ctx.network.lets_in(ranges, vantage)

        return reachable

    def _account(self, cluster_id: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.client(cluster_id).get(path("v1", "serviceaccounts", namespace, name))

    def _make(self, cluster: Resource) -> ControlPlane:
        ctx, key = self._ctx, cluster.internal["key"]
        network = cluster.properties["networkProfile"]
        names = hosts(cluster)
        spec = ClusterSpec(
            key=key,
            fqdns=tuple(names),
            oidc_issuer=issuer(ctx, cluster),
            service_cidr=network["serviceCidr"],
            pod_cidr=_pods(network),
        )
        trust = Trust(
            issuer=ctx.tokens.issuer,
            discovery_url=f"{self._gate.url}/issuer/.well-known/openid-configuration",
            authority=ctx.certificates.ca_path,
            authorizer_url=f"{self._gate.url}/clusters/{key}/authorize",
        )
        folder = ctx.home.sub("kubernetes") / key
        folder.mkdir(exist_ok=True)
        return ControlPlane(spec, trust, folder, ctx.ports, ctx.supervisor, ctx.tools)

    def _authorizer(self, cluster_id: str) -> Any:
        ctx = self._ctx

        def authorize(review: dict[str, Any]) -> dict[str, Any]:
            cluster = ctx.store.get(cluster_id)
            profile = (cluster.properties.get("aadProfile") or {}) if cluster else {}
            allowed, reason = False, ""
            if profile.get("enableAzureRBAC"):
                allowed, reason = authorization.review(ctx.rbac, cluster_id, review["spec"])
            return {
                "apiVersion": review["apiVersion"],
                "kind": "SubjectAccessReview",
                "status": {"allowed": allowed, "reason": reason},
            }

        return authorize


def _pods(network: dict[str, Any]) -> str:
    """The range that kwok draws pod addresses from: the overlay's, else the usual range of a virtual network."""
    text = network.get("podCidr") or "10.244.0.0/16"
    return str(ipaddress.ip_network(text))
