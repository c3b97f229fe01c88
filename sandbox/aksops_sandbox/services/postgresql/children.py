"""What lies below a Flexible Server: databases, parameters, firewall rules, administrators, backups, endpoints."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import AzureError, not_found
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.postgres import backups
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.postgresql import parameters
from aksops_sandbox.services.postgresql.state import SERVER, State, server_of, utc_text

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_KINDS = {"User": "user", "Group": "group", "ServicePrincipal": "service"}
_MOST_ON_DEMAND = 7
_SYSTEM_DATABASES = frozenset({"postgres", "azure_maintenance", "azure_sys"})


class Child(ResourceType):
    """A child that is written to the store and to the cluster, one operation at a time."""

    tracked = False

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        self._state.running(ctx, server_of(new.id))
        self.check(ctx, new, old)
        self._state.begin(server_of(new.id))

    def provision(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        with self._state.ending(server_of(new.id)):
            self.apply(ctx, new, old)

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        shown = resource.copy()
        shown.properties.pop("provisioningState", None)
        return super().render(ctx, shown)

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        resource = ctx.store.get(str(rid))
        if resource is None:
            return super().delete(ctx, request, rid)
        ctx.check_deletable(resource)
        self._state.running(ctx, server_of(str(rid)))
        self.check_removal(ctx, resource)
        self._state.begin(server_of(str(rid)))
        try:
            return super().delete(ctx, request, rid)
        except BaseException:
            self._state.end(server_of(str(rid)))
            raise

    def remove(self, ctx: Sandbox, resource: Resource) -> None:
        server = ctx.store.get(server_of(resource.id))
        if server is None or server.properties.get("state") == "Dropping":
            return  # it goes with its server
        with self._state.ending(server.id):
            if self._state.cluster(ctx, server).is_running():
                self.unapply(ctx, resource)

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        """Refuse what Azure refuses."""

    def check_removal(self, ctx: Sandbox, resource: Resource) -> None:
        """Refuse a deletion."""

    def apply(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        """Carry it out in the cluster."""

    def unapply(self, ctx: Sandbox, resource: Resource) -> None:
        """Undo it in the cluster."""


class Databases(Child):
    """Real databases: also those that SQL made, and those that came with a restore."""

    type = f"{SERVER}/databases"
    status = "postgresql/2025-08-01/databases"
    name_pattern = r"[^\x00/\\?#%]{1,63}"

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._refresh(ctx, rid.parent)
        return super().get(ctx, request, rid)

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._refresh(ctx, rid.parent)
        return super().list(ctx, request, rid)

    def _refresh(self, ctx: Sandbox, server_id: str) -> None:
        """Make the store agree with the cluster."""
        server = ctx.store.get(server_id)
        if server is None:
            raise not_found(server_id)
        cluster = self._state.cluster(ctx, server)
        if not cluster.is_running() or server.properties.get("state") not in ("Ready", "Updating"):
            return
        present = {row["name"]: row for row in cluster.databases()}
        known = {resource.name: resource for resource in ctx.store.list(type=self.type, prefix=server.id)}
        for name, row in present.items():
            if name not in known:
                properties = {"charset": row["charset"], "collation": "en_US.utf8"}
                ctx.store.put(Resource(f"{server.id}/databases/{name}", name, self.type, properties=properties))
        for name, resource in known.items():
            if name not in present and resource.properties.get("provisioningState") not in ("Creating", "Deleting"):
                ctx.store.delete(resource.id)

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        new.properties = {"charset": "UTF8", "collation": "en_US.utf8", **new.properties}
        if new.name in {"template0", "template1"}:
            raise AzureError(400, "InvalidDatabaseName", f"The database name '{new.name}' is reserved.")
        if old is None or old.properties.get("provisioningState") == "Failed":
            return
        for name in ("charset", "collation"):
            if old.properties.get(name, "").lower() != new.properties[name].lower():
                raise AzureError(400, "PropertyChangeNotAllowed", f"The {name} of a database cannot be changed.")

    def apply(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        _, cluster = self._state.running(ctx, server_of(new.id))
        if new.name not in {row["name"] for row in cluster.databases()}:
            cluster.create_database(new.name, new.properties["charset"], new.properties["collation"])

    def check_removal(self, ctx: Sandbox, resource: Resource) -> None:
        if resource.name in _SYSTEM_DATABASES:
            raise AzureError(400, "InvalidDatabaseName", f"The system database '{resource.name}' cannot be dropped.")

    def unapply(self, ctx: Sandbox, resource: Resource) -> None:
        _, cluster = self._state.running(ctx, server_of(resource.id))
        if resource.name not in _SYSTEM_DATABASES:
            cluster.drop_database(resource.name)


class FirewallRules(Child):
    """Address ranges that may connect where public access is on; the front enforces them."""

    type = f"{SERVER}/firewallRules"
    status = "postgresql/2025-08-01/firewallrules"
    name_pattern = r"[a-zA-Z0-9_-]{1,80}"

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        server = ctx.require_resource(server_of(new.id))
        if server.properties["network"].get("delegatedSubnetResourceId"):
            raise AzureError(
                400, "FirewallRulesNotSupported", "Firewall rules are not supported for a server in a virtual network."
            )
        try:
            start = ipaddress.IPv4Address(new.properties.get("startIpAddress", ""))
            end = ipaddress.IPv4Address(new.properties.get("endIpAddress", ""))
        except ValueError as error:
            raise AzureError(
                400, "InvalidParameterValue", f"A firewall rule needs two IPv4 addresses: {error}."
            ) from None
        if start > end:
            raise AzureError(400, "InvalidParameterValue", f"The range {start} to {end} ends before it starts.")


class Administrators(Child):
    """Entra administrators: a role each, named after the principal, mapped to its object id."""

    type = f"{SERVER}/administrators"
    status = "postgresql/2025-08-01/administratormicrosoftentras"
    name_pattern = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        server = ctx.require_resource(server_of(new.id))
        if server.properties["authConfig"]["activeDirectoryAuth"] != "Enabled":
            raise AzureError(
                400,
                "MicrosoftEntraAuthenticationNotEnabled",
                f"Microsoft Entra authentication is not enabled on the server '{server.name}'.",
            )
        if new.properties.get("principalType") not in _KINDS:
            raise AzureError(400, "InvalidParameterValue", f"principalType must be one of {', '.join(_KINDS)}.")
        if not new.properties.get("principalName"):
            raise AzureError(400, "InvalidParameterValue", "principalName is required.")
        new.properties["objectId"] = new.name
        new.properties.setdefault("tenantId", ctx.principals.tenant_id)

    def apply(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        _, cluster = self._state.running(ctx, server_of(new.id))
        cluster.set_entra_administrator(
            new.properties["principalName"], new.name, _KINDS[new.properties["principalType"]]
        )

    def unapply(self, ctx: Sandbox, resource: Resource) -> None:
        _, cluster = self._state.running(ctx, server_of(resource.id))
        cluster.remove_entra_administrator(resource.name)


class VirtualEndpoints(Child):
    """Names that follow the primary: `<name>.writer.` and `<name>.reader.postgres.database.azure.com`."""

    type = f"{SERVER}/virtualEndpoints"
    status = "postgresql/2025-08-01/virtualendpoints"
    name_pattern = r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])"

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        for other in ctx.store.list(type=self.type):
            if other.name.lower() == new.name.lower() and other.id.lower() != new.id.lower():
                raise AzureError(
                    409, "VirtualEndpointNameAlreadyExists", f"The virtual endpoint '{new.name}' exists already."
                )
        server = ctx.require_resource(server_of(new.id))
        new.properties.setdefault("endpointType", "ReadWrite")
        new.properties.setdefault("members", [server.name])
        new.properties["virtualEndpoints"] = [
            f"{new.name}.{kind}.postgres.database.azure.com" for kind in ("writer", "reader")
        ]


class Backups(Child):
    """The automatic backups, which nobody makes or deletes here, and those that users ask for."""

    type = f"{SERVER}/backups"
    status = "postgresql/2025-08-01/backupautomaticandondemands"
    name_pattern = r"[a-zA-Z0-9_-]{1,128}"

    def _listed(self, ctx: Sandbox, server_id: str) -> dict[str, dict[str, Any]]:
        server = ctx.store.get(server_id)
        if server is None:
            raise not_found(server_id)
        found = {}
        for backup in backups.listed(self._state.cluster(ctx, server)):
            on_demand = backup.kind != "Full"
            found[backup.name] = {
                "id": f"{server.id}/backups/{backup.name}",
                "name": backup.name,
                "type": self.type,
                "properties": {
                    "backupType": backup.kind,
                    "completedTime": utc_text(backup.completed_at),
                    "source": "Customer Initiated" if on_demand else "Automatic",
                },
            }
        return found

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        found = self._listed(ctx, rid.parent).get(rid.name)
        if found is None:
            raise not_found(str(rid))
        return Response.json(200, found)

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        return Response.json(200, {"value": list(self._listed(ctx, rid.parent).values())})

    def check(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        server = ctx.require_resource(server_of(new.id))
        found = self._listed(ctx, server.id)
        if new.name in found:
            raise AzureError(409, "BackupAlreadyExists", f"There is a backup '{new.name}' already.")
        if server.body["sku"]["tier"] == "Burstable":
            raise AzureError(
                400, "OnDemandBackupNotSupported", "On-demand backups are not offered for the tier Burstable."
            )
        if sum(item["properties"]["source"] != "Automatic" for item in found.values()) >= _MOST_ON_DEMAND:
            raise AzureError(
                400, "OnDemandBackupLimitReached", f"A server has at most {_MOST_ON_DEMAND} on-demand backups."
            )

    def apply(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        _, cluster = self._state.running(ctx, server_of(new.id))
        backups.take(cluster, new.name, "Customer On-Demand")

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        found = self._listed(ctx, rid.parent).get(rid.name)
        if found is not None and found["properties"]["source"] == "Automatic":
            raise AzureError(400, "AutomaticBackupCannotBeDeleted", "An automatic backup cannot be deleted.")
        return super().delete(ctx, request, rid)

    def unapply(self, ctx: Sandbox, resource: Resource) -> None:
        server = ctx.require_resource(server_of(resource.id))
        backups.remove(self._state.cluster(ctx, server), resource.name)


class Configurations(ResourceType):
    """Server parameters. They exist with the server; ARM keeps what the user overrode."""

    type = f"{SERVER}/configurations"
    status = "postgresql/2025-08-01/configurations"
    tracked = False
    implicit = True

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state

    def _one(self, ctx: Sandbox, server_id: str, name: str) -> tuple[Resource, str, dict[str, Any]]:
        server = ctx.store.get(server_id)
        if server is None:
            raise not_found(server_id)
        for known, properties in self._state.parameters(ctx, server).items():
            if known.lower() == name.lower():
                return server, known, properties
        raise AzureError(404, "InvalidServerParameterName", f"The server parameter '{name}' does not exist.")

    def _shown(self, server: Resource, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        return {"id": f"{server.id}/configurations/{name}", "name": name, "type": self.type, "properties": properties}

    def get(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        return Response.json(200, self._shown(*self._one(ctx, rid.parent, rid.name)))

    def list(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        server = ctx.store.get(rid.parent)
        if server is None:
            raise not_found(rid.parent)
        found = self._state.parameters(ctx, server)
        return Response.json(200, {"value": [self._shown(server, name, item) for name, item in found.items()]})

    def put(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        self._state.running(ctx, rid.parent)
        server, name, properties = self._one(ctx, rid.parent, rid.name)
        given = request.json().get("properties") or {}
        value = str(given.get("value") if given.get("value") is not None else properties["defaultValue"])
        parameters.check(name, properties, value)
        self._state.begin(server.id)

        def work() -> None:
            with self._state.ending(server.id):
                with ctx.store.lock:
                    current = ctx.require_resource(server.id)
                    overrides = dict(current.internal.get("parameters", {}))
                    if value == properties["defaultValue"]:
                        overrides.pop(name, None)
                    else:
                        overrides[name] = value
                    current.internal["parameters"] = overrides
                    ctx.store.put(current)
                self._state.apply_parameters(ctx, current)

        path = ctx.operations.start(rid.subscription, rid.namespace, server.location or "global", str(rid), work)
        return Response.empty(202, ctx.operations.headers(path, request))

    patch = put

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        raise AzureError(405, "MethodNotAllowed", "A server parameter cannot be deleted; set it to its default value.")
