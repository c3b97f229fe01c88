"""Node pools and maintenance configurations of a managed cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType, etag_of
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes

from . import defaults, nodes, validation
from .clusters import CLUSTER, POOL, refuse_busy

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_SCHEDULES = ("aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")


class AgentPool(ResourceType):
    """Node pools: their nodes come and go with the count."""

    type = POOL
    status = "containerservice/2025-10-01/agentpools"
    name_pattern = r".{1,12}"
    tracked = False

    def __init__(self, service: Any) -> None:
        super().__init__()
        self._service = service

    def put(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._idle(ctx, rid)
        return super().put(ctx, request, rid)

    def patch(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._idle(ctx, rid)
        return super().patch(ctx, request, rid)

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._idle(ctx, rid)
        pool = ctx.store.get(str(rid))
        systems = [
            item for item in ctx.store.list(type=POOL, prefix=rid.parent) if item.properties.get("mode") == "System"
        ]
        if pool is not None and pool.properties.get("mode") == "System" and len(systems) == 1:
            raise bad_request(
                "MustDefineAtLeastOneSystemPool",
                f"Cannot delete node pool {pool.name}: a cluster must have at least one system pool.",
            )
        return super().delete(ctx, request, rid)

    @staticmethod
    def _idle(ctx: Sandbox, rid: ResourceId) -> None:
        refuse_busy(ctx.store.get(rid.parent))
        refuse_busy(ctx.store.get(str(rid)))

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        cluster = ctx.require_resource(defaults.cluster_of(new.id))
        defaults.pool(new.properties, cluster.properties)
        validation.pool(new.properties, new.name)
        validation.version(new.properties["orchestratorVersion"], cluster.name)
        subnet = new.properties.get("vnetSubnetID")
        if subnet:
            shapes.reference(ctx, subnet, new.id, "InvalidSubnet")
        shapes.fixed(new, old, "vmSize", "osType", "osDiskType", "vnetSubnetID", "maxPods")

    def provision(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        cluster = ctx.require_resource(defaults.cluster_of(new.id))
        pools = [pool for pool in ctx.store.list(type=POOL, prefix=cluster.id) if pool.id.lower() != new.id.lower()]
        if self._service.fleet.find(cluster.id) is not None:
            nodes.reconcile(self._service.fleet.client(cluster.id), cluster, [*pools, new])

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        content = super().render(ctx, resource)
        content["properties"] = {**resource.properties, "eTag": etag_of(resource).strip('"')}
        return content

    def remove(self, ctx: Sandbox, resource: Resource) -> None:
        cluster = ctx.store.get(defaults.cluster_of(resource.id))
        if cluster is None or self._service.fleet.find(cluster.id) is None:
            return
        pools = [
            item for item in ctx.store.list(type=POOL, prefix=cluster.id) if item.id.lower() != resource.id.lower()
        ]
        nodes.reconcile(self._service.fleet.client(cluster.id), cluster, pools)


class MaintenanceConfiguration(ResourceType):
    """Maintenance windows."""

    type = f"{CLUSTER}/maintenanceConfigurations"
    status = "containerservice/2025-10-01/maintenanceconfigurations"
    tracked = False

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        window = new.properties.get("maintenanceWindow")
        if new.name in _SCHEDULES:
            if not window:
                raise bad_request("InvalidParameter", f"The configuration '{new.name}' needs maintenanceWindow.")
            shapes.between(window.get("durationHours"), 4, 24, "maintenanceWindow.durationHours")
            if not window.get("startTime") or not window.get("schedule"):
                raise bad_request("InvalidParameter", "maintenanceWindow needs schedule, durationHours and startTime.")
            shapes.defaults(window, {"utcOffset": "+00:00"})
            window.setdefault("startDate", shapes.now()[:10])
        elif new.name == "default":
            if window:
                raise bad_request(
                    "InvalidParameter", "The configuration 'default' takes timeInWeek, not maintenanceWindow."
                )
        else:
            raise AzureError(
                400,
                "InvalidParameter",
                f"Maintenance configuration name '{new.name}' is invalid; use default, {' or '.join(_SCHEDULES)}.",
            )

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        content = super().render(ctx, resource)
        content["properties"] = {
            name: value for name, value in resource.properties.items() if name != "provisioningState"
        }
        return content


class Namespace(ResourceType):
    """A namespace as a scope of role assignments. Managed namespaces, as ARM resources, are not emulated."""

    type = f"{CLUSTER}/namespaces"
    tracked = False
    implicit = True

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        raise AzureError(501, "NotImplementedInSandbox", f"The sandbox has no managed namespaces ({rid}).")

    put = patch = delete = list = get
