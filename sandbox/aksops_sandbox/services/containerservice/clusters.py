"""Microsoft.ContainerService/managedClusters: the ARM resource whose creation starts a Kubernetes control plane."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType, etag_of
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes

from . import addons, api_versions, components, defaults, kubeconfigs, nodes, validation, workload_identity
from .fleet import Fleet, hosts, issuer

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

CLUSTER = "Microsoft.ContainerService/managedClusters"
POOL = f"{CLUSTER}/agentPools"
_BUSY = {"Creating", "Updating", "Deleting", "Starting", "Stopping", "Upgrading"}


def _as_of(response: Response, request: Request) -> Response:
    """The answer as the request's api-version shows it."""
    if response.status < 300 and response.body and api_versions.unknown(request.api_version):
        content = json.loads(response.body)
        for cluster in content.get("value") or [content]:
            api_versions.trim(cluster, request.api_version)
        response.body = json.dumps(content).encode()
    return response


def refuse_busy(resource: Resource | None) -> None:
    """Raise AzureError 409 while another operation is at work on the cluster or pool."""
    state = resource.properties.get("provisioningState") if resource else None
    if resource is not None and state in _BUSY:
        raise AzureError(
            409,
            "OperationNotAllowed",
            f"Operation is not allowed because there's an in progress {state.lower()} operation on {resource.name}. "
            "Please wait for it to finish before starting a new operation.",
        )


class ManagedCluster(ResourceType):
    """Managed clusters. Creation, change and deletion are long-running."""

    type = CLUSTER
    status = "containerservice/2025-10-01/managedclusters"
    name_pattern = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
    write_only = ("properties.servicePrincipalProfile.secret", "properties.windowsProfile.adminPassword")

    def __init__(self, service: Any) -> None:
        super().__init__()
        self._service = service
        self.actions = {
            "listClusterUserCredential": self._user_credential,
            "listClusterMonitoringUserCredential": self._user_credential,
            "listClusterAdminCredential": self._admin_credential,
            "stop": self._stop,
            "start": self._start,
        }

    @property
    def _fleet(self) -> Fleet:
        return self._service.fleet

    # Verbs -----------------------------------------------------------------------------------------------------------

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        return _as_of(super().get(ctx, request, rid), request)

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        return _as_of(super().list(ctx, request, rid), request)

    def put(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """A PUT replaces the cluster: what the caller's api-version does not know is lost."""
        refuse_busy(ctx.store.get(str(rid)))
        content = request.json()
        if isinstance(content, dict):
            request.body = json.dumps(api_versions.trim(content, request.api_version)).encode()
        return _as_of(super().put(ctx, request, rid), request)

    def patch(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        """PATCH of a managed cluster changes tags and nothing else."""
        refuse_busy(ctx.store.get(str(rid)))
        content = request.json()
        if set(content) - {"tags"}:
            raise AzureError(400, "InvalidParameter", "PATCH of a managed cluster takes tags only.")
        return _as_of(super().patch(ctx, request, rid), request)

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        refuse_busy(ctx.store.get(str(rid)))
        return super().delete(ctx, request, rid)

    @staticmethod
    def _check_match(request: Request, old: Resource | None) -> None:
        try:
            ResourceType._check_match(request, old)
        except AzureError as error:
            raise AzureError(412, "EtagMismatch", error.message) from None

    # Hooks -----------------------------------------------------------------------------------------------------------

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        self._internal(ctx, new)
        defaults.cluster(new, old)
        validation.cluster(ctx, new, old)
        self._computed(ctx, new, old)
        for profile in new.properties.get("agentPoolProfiles") or []:
            defaults.pool(profile, new.properties)
            validation.pool(profile, profile.get("name") or "")
        addons.prepare(ctx, new, old)

    def provision(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        group = ctx.ensure_group(new.properties["nodeResourceGroup"], new.id)
        identities = new.properties.setdefault("identityProfile", {})
        if not (identities.get("kubeletidentity") or {}).get("resourceId"):
            own = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{new.name}-agentpool"
            identities["kubeletidentity"] = addons.make_identity(ctx, own, new)
        self._pools(ctx, new)
        if new.properties["powerState"]["code"] == "Stopped":
            return
        self.converge(ctx, new)

    def converge(self, ctx: Sandbox, cluster: Resource) -> None:
        """Start the control plane and bring nodes, system pods and add-ons in line with the resource."""
        plane = self._fleet.start(cluster)
        client = plane.client
        nodes.reconcile(client, cluster, ctx.store.list(type=POOL, prefix=cluster.id))
        addons.install(client, components.system(cluster))
        self._entra_admins(client, cluster)
        self.connect(cluster)
        applied = cluster.internal.get("addons", [])
        cluster.internal["addons"] = addons.provision(ctx, client, cluster, applied)
        self._service.follow(ctx, cluster)

    def connect(self, cluster: Resource) -> None:
        """Tell the running cluster where the workload-identity webhook is; its port may be new after a restart."""
        if (cluster.properties["securityProfile"].get("workloadIdentity") or {}).get("enabled"):
            configuration = workload_identity.configuration(*self._fleet.mutator(cluster))
            self._fleet.client(cluster.id).apply(configuration)

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        content = super().render(ctx, resource)
        properties = dict(resource.properties)
        properties["agentPoolProfiles"] = [
            {"name": pool.name, **pool.properties} for pool in ctx.store.list(type=POOL, prefix=resource.id)
        ] or resource.properties.get("agentPoolProfiles", [])
        content["properties"] = properties
        content["eTag"] = etag_of(resource).strip('"')
        return content

    def remove(self, ctx: Sandbox, resource: Resource) -> None:
        self._service.unfollow(ctx, resource)
        self._fleet.discard(resource)
        self._service.write_kubeconfig(ctx)
        subscription = "/".join(resource.id.split("/")[:3])
        group = ctx.store.get(f"{subscription}/resourceGroups/{resource.properties['nodeResourceGroup']}")
        if group is not None and group.body.get("managedBy", "").lower() == resource.id.lower():
            ctx.delete_tree(group)

    # Parts -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def _internal(ctx: Sandbox, new: Resource) -> None:
        new.internal.setdefault("key", f"aks-{new.name.lower()[:24]}-{secrets.token_hex(3)}")
        new.internal.setdefault("issuer", shapes.guid())
        new.internal.setdefault("suffix", secrets.token_hex(4))
        new.internal.setdefault("zone", shapes.guid())

    @staticmethod
    def _computed(ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        properties, internal = new.properties, new.internal
        prefix = str(properties.get("dnsPrefix") or properties.get("fqdnSubdomain")).lower()
        name = f"{prefix}-{internal['suffix']}"
        if properties.get("fqdnSubdomain"):
            name = prefix
        access = properties.get("apiServerAccessProfile") or {}
        region = new.location
        for field in ("fqdn", "privateFQDN", "azurePortalFQDN"):
            properties.pop(field, None)
        public = f"{name}.hcp.{region}.azmk8s.io"
        if access.get("enablePrivateCluster"):
            zone = str(access.get("privateDNSZone") or "system")
            if zone.lower() in ("system", "none"):
                access["privateDNSZone"] = zone.lower()
                properties["privateFQDN"] = f"{name}.{internal['zone']}.privatelink.{region}.azmk8s.io"
            else:
                properties["privateFQDN"] = f"{name}.{zone.rsplit('/', 1)[-1]}"
            if access.get("enablePrivateClusterPublicFQDN"):
                properties["fqdn"] = public
            properties["azurePortalFQDN"] = f"{internal['suffix']}.portal.hcp.{region}.azmk8s.io"
        else:
            properties["fqdn"] = public
            properties["azurePortalFQDN"] = public.replace(".hcp.", ".portal.hcp.")
        if properties["oidcIssuerProfile"].get("enabled"):
            properties["oidcIssuerProfile"]["issuerURL"] = issuer(ctx, new)
        if "aadProfile" in properties:
            properties["aadProfile"].setdefault("tenantID", ctx.principals.tenant_id)

    def _pools(self, ctx: Sandbox, new: Resource) -> None:
        """Store the pools of the request's agentPoolProfiles as resources of their own."""
        for profile in new.properties.pop("agentPoolProfiles", None) or []:
            profile = dict(profile)
            name = profile.pop("name")
            profile["provisioningState"] = "Succeeded"
            pool_id = f"{new.id}/agentPools/{name}"
            pool = ctx.store.get(pool_id) or Resource(pool_id, name, POOL)
            pool.properties = {**pool.properties, **profile}
            ctx.store.put(pool)

    @staticmethod
    def _entra_admins(client: Any, cluster: Resource) -> None:
        groups = (cluster.properties.get("aadProfile") or {}).get("adminGroupObjectIDs") or []
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "aks-cluster-admin-binding-aad"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group} for group in groups],
        }
        if groups:
            client.apply(binding)
        else:
            client.remove(binding)

    # Actions ---------------------------------------------------------------------------------------------------------

    def _user_credential(
        self, ctx: Sandbox, cluster: Resource, body: dict[str, Any], request: Request
    ) -> dict[str, Any]:
        plane = self._running(cluster)
        style = next((value for name, value in request.query.items() if name.lower() == "format"), "exec")
        return kubeconfigs.user(cluster, plane, self._host(cluster, request), ctx.principals.tenant_id, style.lower())

    def _admin_credential(
        self, ctx: Sandbox, cluster: Resource, body: dict[str, Any], request: Request
    ) -> dict[str, Any]:
        if cluster.properties.get("disableLocalAccounts"):
            raise AzureError(
                400,
                "BadRequest",
                "Getting static credential is not allowed because this cluster is set to disable local accounts.",
            )
        return kubeconfigs.admin(cluster, self._running(cluster), self._host(cluster, request))

    def _running(self, cluster: Resource) -> Any:
        plane = self._fleet.find(cluster.id)
        if plane is None:
            state = cluster.properties.get("provisioningState")
            raise AzureError(409, "OperationNotAllowed", f"The cluster {cluster.name} is not running (state {state}).")
        return plane

    @staticmethod
    def _host(cluster: Resource, request: Request) -> str:
        """The public name where the caller asks for it or there is no other, else the private one."""
        properties = cluster.properties
        private = properties.get("privateFQDN")
        wants_public = request.query.get("server-fqdn") == properties.get("fqdn")
        return properties["fqdn"] if not private or (wants_public and properties.get("fqdn")) else private

    def _stop(self, ctx: Sandbox, cluster: Resource, body: dict[str, Any], request: Request) -> Response:
        return self._power(ctx, cluster, request, "Stopped")

    def _start(self, ctx: Sandbox, cluster: Resource, body: dict[str, Any], request: Request) -> Response:
        return self._power(ctx, cluster, request, "Running")

    def _power(self, ctx: Sandbox, cluster: Resource, request: Request, code: str) -> Response:
        refuse_busy(cluster)
        cluster.properties["provisioningState"] = "Stopping" if code == "Stopped" else "Starting"
        ctx.store.put(cluster)

        def work() -> None:
            try:
                if code == "Stopped":
                    self._service.unfollow(ctx, cluster)
                    self._fleet.stop(cluster)
                else:
                    self.converge(ctx, cluster)
                cluster.properties["powerState"] = {"code": code}
                cluster.properties["provisioningState"] = "Succeeded"
            except BaseException:
                cluster.properties["provisioningState"] = "Failed"
                raise
            finally:
                ctx.store.put(cluster)

        subscription = ctx.subscription_of(cluster.id)
        path = ctx.operations.start(subscription, CLUSTER.split("/")[0], cluster.location or "", cluster.id, work)
        return Response.empty(202, ctx.operations.headers(path, request))


__all__ = ["CLUSTER", "POOL", "ManagedCluster", "hosts", "refuse_busy"]
