"""Microsoft.DBforPostgreSQL/flexibleServers: create, restore, change, stop, start, restart and drop."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.resource_type import ResourceType, merge
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.postgres import backups
from aksops_sandbox.engines.postgres.cluster import Cluster
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.postgresql import catalog, quota
from aksops_sandbox.services.postgresql.state import DROPPED_DAYS, SERVER, State, find_server, parse_time, utc_text

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

UTC = datetime.UTC
_PASSWORD = "properties.administratorLoginPassword"
_RESTORES = ("PointInTimeRestore", "GeoRestore", "ReviveDropped")
_CREATE_ONLY = ("createMode", "pointInTimeUTC", "sourceServerResourceId", "administratorLoginPassword")


def refuse(code: str, message: str, status: int = 400) -> AzureError:
    return AzureError(status, code, message)


class Servers(ResourceType):
    """The server itself. Its cluster is made, recovered and dropped by the engine."""

    type = SERVER
    status = "postgresql/2025-08-01/servers"
    name_pattern = r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])"
    write_only = (_PASSWORD,)

    def __init__(self, state: State) -> None:
        super().__init__()
        self._state = state
        self._passwords: dict[str, str | None] = {}
        self.actions = {"start": self._start, "stop": self._stop, "restart": self._restart}

    # -- PUT and PATCH ---

    def prepare(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        if old is not None and not self._state.cluster(ctx, old).exists:
            old = None  # a creation that failed is tried again
        mode = new.properties.get("createMode") or "Default"
        if old is None:
            self._prepare_new(ctx, new, mode)
        else:
            self._prepare_update(new, old)
        _check(new)
        if old is None:
            quota.check(ctx, new)
        self._state.begin(new.id)
        # Kept in memory only, for as long as the operation takes: the store is a file.
        self._passwords[new.id.lower()] = new.internal.pop(_PASSWORD, None)
        new.properties["state"] = "Provisioning" if old is None else "Updating"

    def _prepare_new(self, ctx: Sandbox, new: Resource, mode: str) -> None:
        holder = find_server(ctx, new.name)
        if holder is not None and holder.id.lower() != new.id.lower():
            raise refuse("ServerNameAlreadyExists", f"The server name '{new.name}' is already in use.", 409)
        restore: dict[str, Any] = {"mode": mode}
        if mode in _RESTORES:
            restore |= self._prepare_restore(ctx, new, mode)
        elif mode not in ("Default", "Create"):
            raise refuse("UnsupportedCreateMode", f"The sandbox does not create servers in the mode '{mode}'.")
        given = {key: value for key, value in new.properties.items() if key not in _CREATE_ONLY}
        new.properties = merge(_defaults(ctx, new), given)
        new.internal["restore"] = restore
        new.internal["parameters"] = {}
        if mode not in _RESTORES and new.properties["authConfig"]["passwordAuth"] == "Enabled":
            login, password = new.properties.get("administratorLogin"), new.internal.get(_PASSWORD)
            if not login or not password:
                raise refuse(
                    "InvalidParameterValue",
                    "administratorLogin and administratorLoginPassword are required for password authentication.",
                )
            _check_login(login)
        if new.internal.get(_PASSWORD):
            _check_password(new.internal[_PASSWORD], new.properties.get("administratorLogin", ""))

    def _prepare_restore(self, ctx: Sandbox, new: Resource, mode: str) -> dict[str, Any]:
        """Refuse what cannot be restored; take over what a restore copies. Returns what provision() needs."""
        source_id = new.properties.get("sourceServerResourceId") or ""
        text = new.properties.get("pointInTimeUTC")
        moment = parse_time(text) if text else None
        if mode in ("PointInTimeRestore", "ReviveDropped") and moment is None:
            raise refuse("InvalidParameterValue", f"pointInTimeUTC is required where createMode is {mode}.")
        if mode == "ReviveDropped":
            key, record = self._dropped(ctx, source_id)
            source, cluster = Resource(**record["resource"]), self._state.engine(ctx).dropped(key)
        else:
            found = ctx.store.get(source_id)
            if found is None or found.type.lower() != SERVER.lower():
                raise refuse("SourceServerNotFound", f"The source server '{source_id}' could not be found.", 404)
            source, cluster = found, self._state.cluster(ctx, found)
            key = ""
            if mode == "PointInTimeRestore":
                self._state.begin(source.id)  # refuses a busy source
                self._state.end(source.id)
        _check_region(new, source, mode)
        _check_network(new, source, mode)
        if mode != "GeoRestore" and moment is not None:
            _check_window(cluster, source, moment)
        if new.properties.get("version") not in (None, source.properties["version"]):
            raise refuse(
                "InvalidParameterValue",
                f"A restored server has its source's version, {source.properties['version']}.",
            )
        for name in ("version", "administratorLogin"):
            if source.properties.get(name):
                new.properties[name] = source.properties[name]
        if (
            new.properties.get("storage", {}).get("storageSizeGB", 1 << 30)
            < source.properties["storage"]["storageSizeGB"]
        ):
            raise refuse("InvalidStorageSize", "A restored server cannot have less storage than its source.")
        new.properties["storage"] = {**source.properties["storage"], **new.properties.get("storage", {})}
        retention = {"backupRetentionDays": source.properties["backup"]["backupRetentionDays"]}
        new.properties["backup"] = {**retention, **new.properties.get("backup", {})}
        new.properties.setdefault("authConfig", source.properties["authConfig"])
        new.properties.pop("highAvailability", None)
        new.body["sku"] = new.body.get("sku") or source.body.get("sku")
        dropped = {"dropped": key} if key else {"source": source.id}
        return {**dropped, "moment": utc_text(moment) if moment and mode != "GeoRestore" else None}

    @staticmethod
    def _dropped(ctx: Sandbox, source_id: str) -> tuple[str, dict[str, Any]]:
        edge = (datetime.datetime.now(UTC) - datetime.timedelta(days=DROPPED_DAYS)).isoformat()
        newest = sorted(
            (
                (record["at"], key, record)
                for key, record in ctx.store.table("postgresql.dropped").items()
                if record["resource"]["id"].lower() == source_id.lower() and record["at"] >= edge
            ),
            key=lambda item: item[:2],
        )
        if not newest:
            raise refuse(
                "SourceServerNotFound",
                f"No server '{source_id}' was dropped within the last {DROPPED_DAYS} days.",
                404,
            )
        return newest[-1][1], newest[-1][2]

    @staticmethod
    def _prepare_update(new: Resource, old: Resource) -> None:
        given = {key: value for key, value in new.properties.items() if key not in _CREATE_ONLY}
        new.properties = merge(old.properties, given)
        new.internal["parameters"] = old.internal.get("parameters", {})
        new.body = {**old.body, **new.body}
        before, after = old.properties, new.properties
        for path in (
            ("administratorLogin",),
            ("version",),
            ("backup", "geoRedundantBackup"),
            ("network", "delegatedSubnetResourceId"),
        ):
            was, will = _dig(before, path), _dig(after, path)
            if was is not None and str(was).lower() != str(will).lower():
                raise refuse("PropertyChangeNotAllowed", f"The property '{'.'.join(path)}' cannot be changed.")
        if after["storage"]["storageSizeGB"] < before["storage"]["storageSizeGB"]:
            raise refuse("InvalidStorageSize", "The storage of a server can only grow.")
        if after["storage"]["storageSizeGB"] != before["storage"]["storageSizeGB"]:
            tier, iops = catalog.STORAGE.get(after["storage"]["storageSizeGB"], ("P4", 120))
            after["storage"] |= {"iops": iops, **({} if "tier" in given.get("storage", {}) else {"tier": tier})}
        if new.internal.get(_PASSWORD):
            _check_password(new.internal[_PASSWORD], after.get("administratorLogin", ""))

    def provision(self, ctx: Sandbox, new: Resource, old: Resource | None) -> None:
        with self._state.ending(new.id):
            cluster = self._state.cluster(ctx, new)
            if not cluster.exists:
                new.properties["state"] = "Disabled"  # what stays where the creation fails
                cluster = self._make(ctx, new)
            password = self._passwords.pop(new.id.lower(), None)
            login = new.properties.get("administratorLogin")
            if password and login:
                if not cluster.is_running():
                    raise refuse("ServerIsNotReady", f"The server '{new.name}' must run to change its password.", 409)
                cluster.set_administrator(login, password)
            high = new.properties["highAvailability"]
            high["state"] = "NotEnabled" if high["mode"] == "Disabled" else "Healthy"
            _replica(new)
            new.properties["state"] = "Ready" if cluster.is_running() else "Stopped"

    def _make(self, ctx: Sandbox, new: Resource) -> Cluster:
        engine = self._state.engine(ctx)
        restore = new.internal.get("restore", {"mode": "Default"})
        if restore["mode"] not in _RESTORES:
            return engine.create(new.name)
        if "dropped" in restore:
            source = engine.dropped(restore["dropped"])
        else:
            source = engine.cluster(restore["source"].rsplit("/", 1)[-1])
        moment = parse_time(restore["moment"]) if restore["moment"] else None
        cluster = engine.restore(new.name, source, moment)
        # Azure takes the first backup of a restored server once it is there, and does not keep it from its user.
        engine.back_up_later(cluster)
        return cluster

    # -- GET ---

    def render(self, ctx: Sandbox, resource: Resource) -> dict[str, Any]:
        shown = resource.copy()
        shown.properties.pop("provisioningState", None)
        taken = backups.listed(self._state.cluster(ctx, resource))
        if taken:
            shown.properties["backup"]["earliestRestoreDate"] = utc_text(taken[0].completed_at)
        shown.properties["privateEndpointConnections"] = _connections(ctx, resource)
        return super().render(ctx, shown)

    # -- DELETE ---

    def delete(self, ctx: Sandbox, request: Request, rid: ResourceId) -> Response:
        resource = ctx.store.get(str(rid))
        if resource is None:
            return super().delete(ctx, request, rid)
        ctx.check_deletable(resource)
        self._state.begin(resource.id)
        try:
            resource.properties["state"] = "Dropping"
            ctx.store.put(resource)
            return super().delete(ctx, request, rid)
        except BaseException:
            self._state.end(resource.id)
            raise

    def remove(self, ctx: Sandbox, resource: Resource) -> None:
        """Stop the cluster and keep its backups: for some days the server can be revived."""
        with self._state.ending(resource.id):
            engine = self._state.engine(ctx)
            if not engine.cluster(resource.name).exists:
                return
            folder = engine.drop(resource.name)
            resource.properties.pop("provisioningState", None)
            record = {"at": datetime.datetime.now(UTC).isoformat(), "resource": vars(resource)}
            ctx.store.table("postgresql.dropped")[folder] = record

    # -- POST ---

    def _start(self, ctx: Sandbox, server: Resource, body: dict[str, Any], request: Request) -> Response:
        if server.properties["state"] != "Stopped":
            raise refuse("ServerIsNotStopped", f"The server '{server.name}' is not stopped.", 409)
        return self._change(ctx, server, request, "Starting", "Ready", lambda cluster: cluster.start())

    def _stop(self, ctx: Sandbox, server: Resource, body: dict[str, Any], request: Request) -> Response:
        if server.properties["state"] != "Ready":
            raise refuse(
                "ServerIsNotReady", f"The server '{server.name}' is {server.properties['state']}, not Ready.", 409
            )

        def stop(cluster: Cluster) -> None:
            backups.archive_now(cluster)
            cluster.stop()

        return self._change(ctx, server, request, "Stopping", "Stopped", stop)

    def _restart(self, ctx: Sandbox, server: Resource, body: dict[str, Any], request: Request) -> Response:
        if server.properties["state"] != "Ready":
            raise refuse(
                "ServerIsNotReady", f"The server '{server.name}' is {server.properties['state']}, not Ready.", 409
            )
        return self._change(ctx, server, request, "Restarting", "Ready", lambda cluster: cluster.restart())

    def _change(self, ctx: Sandbox, server: Resource, request: Request, during: str, after: str, work: Any) -> Response:
        self._state.begin(server.id)
        before = server.properties["state"]
        self._set_state(ctx, server.id, during)

        def run() -> None:
            with self._state.ending(server.id):
                state = before
                try:
                    work(self._state.cluster(ctx, server))
                    state = after
                finally:
                    self._set_state(ctx, server.id, state)

        path = ctx.operations.start(
            ctx.subscription_of(server.id), SERVER.split("/")[0], server.location or "global", server.id, run
        )
        return Response.empty(202, ctx.operations.headers(path, request))

    @staticmethod
    def _set_state(ctx: Sandbox, server_id: str, state: str) -> None:
        with ctx.store.lock:
            current = ctx.store.get(server_id)
            if current is not None:
                current.properties["state"] = state
                ctx.store.put(current)


# -- rules ---


def _defaults(ctx: Sandbox, new: Resource) -> dict[str, Any]:
    properties = new.properties
    network = properties.get("network") or {}
    private = bool(network.get("delegatedSubnetResourceId"))
    size = (properties.get("storage") or {}).get("storageSizeGB") or 32
    tier, iops = catalog.STORAGE.get(size, ("P4", 120))
    return {
        "version": catalog.VERSION,
        "minorVersion": "6",
        "fullyQualifiedDomainName": f"{new.name}.postgres.database.azure.com",
        "availabilityZone": "1",
        "storage": {"storageSizeGB": size, "autoGrow": "Disabled", "iops": iops, "tier": tier, "type": ""},
        "backup": {"backupRetentionDays": 7, "geoRedundantBackup": "Disabled"},
        "network": {"publicNetworkAccess": "Disabled" if private else "Enabled"},
        "highAvailability": {"mode": "Disabled", "state": "NotEnabled"},
        "maintenanceWindow": {"customWindow": "Disabled", "dayOfWeek": 0, "startHour": 0, "startMinute": 0},
        "authConfig": {
            "activeDirectoryAuth": "Disabled",
            "passwordAuth": "Enabled",
            **(
                {"tenantId": ctx.principals.tenant_id}
                if (properties.get("authConfig") or {}).get("activeDirectoryAuth") == "Enabled"
                else {}
            ),
        },
        "dataEncryption": {"type": "SystemManaged"},
        "replicationRole": "Primary",
        "replicaCapacity": 5,
    }


def _replica(server: Resource) -> None:
    server.properties["replica"] = {
        "role": server.properties["replicationRole"],
        "capacity": server.properties["replicaCapacity"],
    }


def _check(server: Resource) -> None:
    """Sizes and combinations that Azure refuses for every server."""
    properties = server.properties
    sku = server.body.get("sku") or {}
    tier, name = sku.get("tier"), sku.get("name")
    if tier not in catalog.TIERS or name not in catalog.TIERS[tier]:
        raise refuse("InvalidSku", f"The size '{name}' of the tier '{tier}' is not offered in {server.location}.")
    if properties["version"] != catalog.VERSION:
        raise refuse(
            "InvalidServerVersion",
            f"The version '{properties['version']}' is not offered: the sandbox runs PostgreSQL {catalog.VERSION}.",
        )
    if properties["storage"]["storageSizeGB"] not in catalog.STORAGE:
        sizes = ", ".join(str(size) for size in catalog.STORAGE)
        raise refuse("InvalidStorageSize", f"storageSizeGB must be one of {sizes}.")
    retention = properties["backup"]["backupRetentionDays"]
    if not 7 <= int(retention) <= 35:
        raise refuse("InvalidBackupRetention", f"backupRetentionDays must be from 7 to 35, not {retention}.")
    if tier == "Burstable" and properties["highAvailability"].get("mode", "Disabled") != "Disabled":
        raise refuse("HighAvailabilityNotSupported", "High availability is not offered for the tier Burstable.")
    auth = properties["authConfig"]
    if auth["activeDirectoryAuth"] != "Enabled" and auth["passwordAuth"] != "Enabled":
        raise refuse("InvalidAuthConfig", "At least one of Entra and password authentication must be enabled.")
    network = properties["network"]
    if network.get("delegatedSubnetResourceId") and not network.get("privateDnsZoneArmResourceId"):
        raise refuse("InvalidNetwork", "A server in a delegated subnet needs privateDnsZoneArmResourceId.")
    if network.get("delegatedSubnetResourceId"):
        network["publicNetworkAccess"] = "Disabled"


def _check_login(login: str) -> None:
    if login.lower() in catalog.RESERVED_LOGINS or login.lower().startswith("pg_"):
        raise refuse("InvalidAdministratorLogin", f"The administrator login '{login}' is reserved.")


def _check_password(password: str, login: str) -> None:
    classes = sum(bool(re.search(pattern, password)) for pattern in ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]"))
    if not 8 <= len(password) <= 128 or classes < 3 or (login and login.lower() in password.lower()):
        raise refuse(
            "PasswordNotComplex",
            "The administrator password must have 8 to 128 characters of three kinds (lower case, upper case, digits, "
            "others) and must not contain the login name.",
        )


def _check_region(new: Resource, source: Resource, mode: str) -> None:
    if mode != "GeoRestore":
        if new.location != source.location:
            raise refuse(
                "InvalidRestoreLocation", f"The server must be restored in its source's region, {source.location}."
            )
        return
    if source.properties["backup"]["geoRedundantBackup"] != "Enabled":
        raise refuse("GeoRestoreNotSupported", f"The server '{source.name}' has no geo-redundant backup.")
    paired = regions.pair(source.location)
    if new.location != paired:
        raise refuse(
            "InvalidRestoreLocation", f"A geo-restore goes to the paired region of {source.location}, {paired}."
        )


def _check_network(new: Resource, source: Resource, mode: str) -> None:
    def private(server: Resource) -> bool:
        return bool((server.properties.get("network") or {}).get("delegatedSubnetResourceId"))

    if not private(new) and "network" not in new.properties and mode == "PointInTimeRestore":
        new.properties["network"] = dict(source.properties["network"])
    if private(new) != private(source):
        raise refuse(
            "InvalidNetwork",
            "A server cannot be restored from private access (delegated subnet) to public access, or the other way.",
        )


def _check_window(cluster: Cluster, source: Resource, moment: datetime.datetime) -> None:
    now = datetime.datetime.now(UTC)
    taken = backups.listed(cluster)
    earliest = taken[0].completed_at if taken else None
    if earliest is None:
        raise refuse("NoBackupAvailable", f"The server '{source.name}' has no backup yet.")
    if not earliest <= moment <= now:
        raise refuse(
            "InvalidRestorePointInTime",
            f"The restore point {utc_text(moment)} is outside the window of server '{source.name}', "
            f"{utc_text(earliest)} to {utc_text(now)}.",
        )


def _dig(content: dict[str, Any], path: tuple[str, ...]) -> Any:
    place: Any = content
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    return place


def _connections(ctx: Sandbox, server: Resource) -> list[dict[str, Any]]:
    """The private endpoint connections, as the server lists them."""
    found = []
    for endpoint in ctx.store.list(type="Microsoft.Network/privateEndpoints"):
        for connection in endpoint.properties.get("privateLinkServiceConnections", []):
            properties = connection.get("properties", {})
            if properties.get("privateLinkServiceId", "").lower() == server.id.lower():
                name = f"{endpoint.name}.{connection.get('name', '')}"
                found.append(
                    {
                        "id": f"{server.id}/privateEndpointConnections/{name}",
                        "name": name,
                        "type": f"{SERVER}/privateEndpointConnections",
                        "properties": {
                            "privateEndpoint": {"id": endpoint.id},
                            "groupIds": properties.get("groupIds", ["postgresqlServer"]),
                            "privateLinkServiceConnectionState": {"status": "Approved", "actionsRequired": "None"},
                            "provisioningState": "Succeeded",
                        },
                    }
                )
    return found
