"""Azure Kubernetes Service (Microsoft.ContainerService)."""

from __future__ import annotations

import threading
import traceback
from re import Match
from typing import TYPE_CHECKING, Any

from aksops_sandbox import kubelogin
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import Client
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.policy.agent import PolicyAgent
from aksops_sandbox.tools import KUBERNETES_VERSION

from . import kubeconfigs
from .clusters import CLUSTER, ManagedCluster
from .fleet import ISSUER_HOST, Fleet, issuer
from .gateway_controller import GatewayController
from .image_pulls import ImagePulls
from .load_balancers import LoadBalancers
from .pools import AgentPool, MaintenanceConfiguration, Namespace
from .secrets_store import SecretsStore
from .volumes import Volumes

if TYPE_CHECKING:
    from pathlib import Path

    from aksops_sandbox.sandbox import Sandbox

Player = ImagePulls | SecretsStore | GatewayController | LoadBalancers | Volumes | PolicyAgent

_MINOR = ".".join(KUBERNETES_VERSION.split(".")[:2])
_ID = r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ContainerService/managedClusters/[^/]+"
_LOCATION = r"/subscriptions/[^/]+/providers/Microsoft\.ContainerService/locations/[^/]+"


class ContainerService(Service):
    """The control plane of AKS, and the Kubernetes control planes behind it."""

    def __init__(self) -> None:
        super().__init__()
        self._fleet: Fleet | None = None
        self._players: dict[str, list[Player]] = {}
        self._lock = threading.Lock()
        self._clusters = ManagedCluster(self)
        self.resource_types = [self._clusters, AgentPool(self), MaintenanceConfiguration(), Namespace()]
        self.arm_routes = [
            ("GET", rf"{_LOCATION}/kubernetesVersions", _versions),
            ("GET", rf"{_ID})/upgradeProfiles/default", _cluster_upgrades),
            ("GET", rf"{_ID}/agentPools/[^/]+)/upgradeProfiles/default", _pool_upgrades),
            ("GET", rf"{_ID})/availableAgentPoolVersions", _pool_versions),
        ]
        self.hosts = [(ISSUER_HOST.replace(".", r"\."), _issuer)]

    @property
    def fleet(self) -> Fleet:
        """The running control planes. Raises AzureError 503 before start."""
        if self._fleet is None:
            raise AzureError(503, "ServiceUnavailable", "The sandbox's Kubernetes service has not started.")
        return self._fleet

    def start(self, ctx: Sandbox) -> None:
        self._fleet = Fleet(ctx)
        kubelogin.install(ctx.home.sub("bin"))
        threads = []
        for cluster in ctx.store.list(type=CLUSTER):
            if cluster.properties.get("powerState", {}).get("code") == "Stopped":
                continue
            threads.append(threading.Thread(target=self._resume, args=(ctx, cluster), name=f"resume {cluster.name}"))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self, ctx: Sandbox) -> None:
        for player in [player for players in self._players.values() for player in players]:
            player.stop()
        self._players.clear()
        if self._fleet is not None:
            self._fleet.close()
            self._fleet = None

    def client(self, cluster_id: str) -> Client:
        """A cluster-admin client for the sandbox's other engines."""
        return self.fleet.client(cluster_id)

    def admin_kubeconfig(self, cluster_id: str) -> Path:
        """A cluster-admin kubeconfig on loopback, for the sandbox's own processes. Raises AzureError 409."""
        plane = self.fleet.find(cluster_id)
        if plane is None:
            raise AzureError(409, "OperationNotAllowed", f"The cluster {cluster_id} is not running.")
        return plane.admin_kubeconfig

    def follow(self, ctx: Sandbox, cluster: Resource) -> None:
        """Start the sandbox's own controllers of a cluster where they do not run."""
        with self._lock:
            if cluster.id.lower() not in self._players:
                client = self.fleet.client(cluster.id)
                agent = ctx.policy_agents[cluster.id.lower()] = PolicyAgent(ctx, cluster.id, client)
                players: list[Player] = [
                    ImagePulls(ctx, cluster.id, client),
                    SecretsStore(ctx, cluster.id, client),
                    GatewayController(ctx, cluster.id, client),
                    LoadBalancers(ctx, cluster.id, client),
                    Volumes(ctx, cluster.id, client),
                    agent,
                ]
                self._players[cluster.id.lower()] = players
                for player in players:
                    player.start()
        self.write_kubeconfig(ctx)

    def unfollow(self, ctx: Sandbox, cluster: Resource) -> None:
        """Stop them."""
        with self._lock:
            players = self._players.pop(cluster.id.lower(), [])
        for player in players:
            player.stop()
        ctx.policy_agents.pop(cluster.id.lower(), None)

    def write_kubeconfig(self, ctx: Sandbox) -> None:
        """Keep the file that KUBECONFIG names, with a context for each running cluster."""
        found = [(cluster, self.fleet.find(cluster.id)) for cluster in ctx.store.list(type=CLUSTER)]
        running = [(cluster, plane) for cluster, plane in found if plane is not None]
        with self._lock:
            kubeconfigs.write_for_people(ctx.home.path / "kubeconfig", running)

    def _resume(self, ctx: Sandbox, cluster: Resource) -> None:
        """Start a stored cluster; what a stop cut off is finished, as Azure would have."""
        properties = cluster.properties
        try:
            if properties.get("provisioningState") == "Deleting":
                self._clusters.remove(ctx, cluster)
                ctx.delete_tree(cluster, skip_remove=True)
                return
            if properties.get("provisioningState") == "Succeeded":
                self.fleet.start(cluster)
                self._clusters.connect(cluster)
                self.follow(ctx, cluster)
            else:
                self._clusters.provision(ctx, cluster, cluster)
                properties["provisioningState"] = "Succeeded"
        except Exception:  # one cluster that does not start must not keep the sandbox from starting
            traceback.print_exc()
            properties["provisioningState"] = "Failed"
        ctx.store.put(cluster)


def _versions(ctx: Sandbox, request: Request, match: Match[str]) -> Response:
    value = {
        "version": _MINOR,
        "isDefault": True,
        "isPreview": None,
        "capabilities": {"supportPlan": ["KubernetesOfficial", "AKSLongTermSupport"]},
        "patchVersions": {KUBERNETES_VERSION: {"upgrades": []}},
    }
    return Response.json(200, {"values": [value]})


def _cluster_upgrades(ctx: Sandbox, request: Request, match: Match[str]) -> Response:
    cluster = _read(ctx, request, match)
    version = cluster.properties["currentKubernetesVersion"]
    profile = {"name": cluster.name, "kubernetesVersion": version, "osType": "Linux", "upgrades": None}
    return Response.json(
        200,
        {
            "id": f"{cluster.id}/upgradeprofiles/default",
            "name": "default",
            "type": f"{CLUSTER}/upgradeprofiles",
            "properties": {"controlPlaneProfile": profile, "agentPoolProfiles": [profile]},
        },
    )


def _pool_upgrades(ctx: Sandbox, request: Request, match: Match[str]) -> Response:
    pool = _read(ctx, request, match)
    return Response.json(
        200,
        {
            "id": f"{pool.id}/upgradeProfiles/default",
            "name": "default",
            "type": f"{CLUSTER}/agentPools/upgradeProfiles",
            "properties": {
                "kubernetesVersion": pool.properties["currentOrchestratorVersion"],
                "osType": pool.properties["osType"],
                "latestNodeImageVersion": pool.properties["nodeImageVersion"],
                "upgrades": None,
            },
        },
    )


def _pool_versions(ctx: Sandbox, request: Request, match: Match[str]) -> Response:
    cluster = _read(ctx, request, match)
    versions = [{"default": True, "kubernetesVersion": KUBERNETES_VERSION, "isPreview": None}]
    return Response.json(
        200,
        {
            "id": f"{cluster.id}/availableAgentPoolVersions",
            "name": "default",
            "type": f"{CLUSTER}/availableAgentpoolVersions",
            "properties": {"agentPoolVersions": versions},
        },
    )


def _read(ctx: Sandbox, request: Request, match: Match[str]) -> Resource:
    resource = ctx.require_resource(match.group(1))
    ctx.rbac.require(request, f"{resource.type}/read", resource.id)
    return resource


def _issuer(ctx: Sandbox, request: Request) -> Response:
    """The public documents of each cluster's service-account issuer."""
    for cluster in ctx.store.list(type=CLUSTER):
        url = issuer(ctx, cluster)
        base = url.removeprefix(f"https://{ISSUER_HOST}").rstrip("/")
        if request.path == f"{base}/.well-known/openid-configuration":
            document: dict[str, Any] = {
                "issuer": url,
                "jwks_uri": f"{url}openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
            return Response.json(200, document)
        keys = ctx.oidc_issuers.get(url)
        if keys is not None and request.path == f"{base}/openid/v1/jwks":
            return Response.json(200, keys())
    raise AzureError(404, "NotFound", f"No cluster issues tokens at {request.path}.")
