"""Azure Database for PostgreSQL Flexible Server, on real PostgreSQL clusters."""

from __future__ import annotations

import hashlib
import socket
from re import Match
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.postgres.front import Front
from aksops_sandbox.engines.postgres.runtime import PostgresError
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service
from aksops_sandbox.services.postgresql import catalog, children, quota
from aksops_sandbox.services.postgresql.gate import SandboxGate
from aksops_sandbox.services.postgresql.servers import Servers
from aksops_sandbox.services.postgresql.state import SERVER, State, find_server

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

PORT = 5432
VANTAGES = ("inside", "outside")
_SUBSCRIPTION = r"/subscriptions/[^/]+/providers/Microsoft\.DBforPostgreSQL"
_SERVER_PATH = r"(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.DBforPostgreSQL/flexibleServers/[^/]+)"


class PostgresqlService(Service):
    """Control plane in ARM, data plane behind one TLS front per vantage."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self._front: Front | None = None
        self.resource_types = [
            Servers(self.state),
            children.Databases(self.state),
            children.FirewallRules(self.state),
            children.Administrators(self.state),
            children.VirtualEndpoints(self.state),
            children.Backups(self.state),
            children.Configurations(self.state),
        ]
        self.arm_routes = [
            ("POST", rf"{_SUBSCRIPTION}/(?:locations/[^/]+/)?checkNameAvailability", self._check_name),
            ("GET", rf"{_SUBSCRIPTION}/locations/([^/]+)/capabilities", self._capabilities),
            (
                "GET",
                rf"{_SUBSCRIPTION}/locations/(?P<location>[^/]+)/resourceType/flexibleServers/usages",
                quota.usages,
            ),
            ("GET", rf"{_SERVER_PATH}/capabilities", self._server_capabilities),
            ("GET", rf"{_SERVER_PATH}/replicas", self._replicas),
        ]

    # -- life ---

    def start(self, ctx: Sandbox) -> None:
        self._front = Front(
            SandboxGate(ctx, self.state), {vantage: (self.hostaddr(ctx, vantage), PORT) for vantage in VANTAGES}
        )
        self._front.start()
        ctx.environment["PGHOSTADDR"] = self.hostaddr(ctx)
        ctx.environment["PGHOSTADDR@outside"] = self.hostaddr(ctx, "outside")
        ctx.environment["PGSSLROOTCERT"] = str(ctx.home.path / "pki" / "bundle.pem")
        ctx.admin_commands["postgresql-backup"] = self._back_up
        for server in ctx.store.list(type=SERVER):
            self._resume(ctx, server)

    def _resume(self, ctx: Sandbox, server: Resource) -> None:
        """Bring a server back as it was; one that was being made or dropped when the sandbox stopped is gone."""
        engine = self.state.engine(ctx)
        was = server.properties.get("state")
        if was in ("Provisioning", "Dropping") or not engine.cluster(server.name).exists:
            engine.discard(server.name)
            for child in ctx.store.list(prefix=server.id):
                ctx.store.delete(child.id)
            ctx.store.delete(server.id)
            return
        if was == "Stopped":
            return
        try:
            engine.start(server.name)
        except (PostgresError, RuntimeError) as error:
            print(f"postgres: server {server.name} did not start: {error}", flush=True)
            server.properties["state"] = "Inaccessible"
        else:
            server.properties["state"] = "Ready"
        server.properties["provisioningState"] = "Succeeded"
        ctx.store.put(server)

    def stop(self, ctx: Sandbox) -> None:
        if self._front is not None:
            self._front.stop()
        if self.state.started is not None:
            self.state.started.stop()

    def hostaddr(self, ctx: Sandbox, vantage: str = "inside") -> str:
        """The loopback address (port 5432) that stands for every server's address, seen from a vantage.

        Chosen once per home: libpq takes it from PGHOSTADDR, and still verifies the server's own name.
        """
        table = ctx.store.table("postgresql.front")
        if vantage not in table:
            table[vantage] = _free_address(f"{ctx.home.path}|{vantage}", set(table.values()))
        address: str = table[vantage]
        return address

    def _back_up(self, ctx: Sandbox, argument: dict[str, Any]) -> dict[str, Any]:
        """The automatic backup of a server as if its day were over, for tests; says what it is incremental to."""
        server = find_server(ctx, str(argument.get("server", "")))
        if server is None:
            raise AzureError(404, "ResourceNotFound", f"There is no server '{argument.get('server', '')}'.")
        with self.state.ending(f"{server.id}/backups"):
            _, cluster = self.state.running(ctx, server.id)
            taken = self.state.engine(ctx).back_up(cluster)
        return {"name": taken.name, "completed": taken.completed, "parent": taken.parent}

    # -- ARM paths that are no resources ---

    def _check_name(self, ctx: Sandbox, request: Request, match: Match[str]) -> Response:
        name = str(request.json().get("name", ""))
        if find_server(ctx, name) is None:
            return Response.json(200, {"name": name, "nameAvailable": True, "message": ""})
        message = f"Specified server name is already used: {name}"
        return Response.json(200, {"name": name, "nameAvailable": False, "reason": "AlreadyExists", "message": message})

    def _capabilities(self, ctx: Sandbox, request: Request, match: Match[str]) -> Response:
        return Response.json(200, {"value": [_capability(match[1])]})

    def _server_capabilities(self, ctx: Sandbox, request: Request, match: Match[str]) -> Response:
        server = ctx.require_resource(match[1])
        return Response.json(200, {"value": [_capability(server.location or "")]})

    def _replicas(self, ctx: Sandbox, request: Request, match: Match[str]) -> Response:
        ctx.require_resource(match[1])
        return Response.json(200, {"value": []})


def _capability(location: str) -> dict[str, Any]:
    region = regions.REGIONS.get(regions.short(location))
    if region is None:
        raise AzureError(400, "LocationNotAvailable", f"PostgreSQL Flexible Server is not offered in '{location}'.")
    zones = ["1", "2", "3"] if region.zones else []
    modes = ["SameZone", "ZoneRedundant"] if region.zones else ["SameZone"]
    zonal, geo = _switch(region.zones), _switch(bool(region.pair))
    editions = [
        {
            "name": tier,
            "defaultSkuName": names[0],
            "supportedServerSkus": [
                {"name": name, "supportedZones": zones, "supportedHaMode": [] if tier == "Burstable" else modes}
                for name in names
            ],
            "supportedStorageEditions": [
                {
                    "name": "ManagedDisk",
                    "defaultStorageSizeMb": 32768,
                    "supportedStorageMb": [
                        {"storageSizeMb": size * 1024, "defaultIopsTier": perf, "supportedIops": iops}
                        for size, (perf, iops) in catalog.STORAGE.items()
                    ],
                }
            ],
        }
        for tier, names in catalog.TIERS.items()
    ]  # fmt: skip
    return {
        "name": "FlexibleServerCapabilities",
        "supportedServerVersions": [{"name": catalog.VERSION, "supportedVersionsToUpgrade": []}],
        "supportedServerEditions": editions,
        "supportedFeatures": [],
        "fastProvisioningSupported": "Disabled",
        "geoBackupSupported": geo,
        "zoneRedundantHaSupported": zonal,
        "zoneRedundantHaAndGeoBackupSupported": _switch(region.zones and bool(region.pair)),
        "storageAutoGrowthSupported": "Enabled",
        "onlineResizeSupported": "Enabled",
        "restricted": "Disabled",
    }


def _switch(on: bool) -> str:
    return "Enabled" if on else "Disabled"


def _free_address(seed: str, taken: set[str]) -> str:
    """A loopback address on which port 5432 is free. Raises AzureError 500 where none of many is."""
    for attempt in range(200):
        digest = hashlib.sha256(f"{seed}|{attempt}".encode()).digest()
        address = f"127.{64 + digest[0] % 128}.{digest[1]}.{1 + digest[2] % 254}"
        if address in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((address, PORT))
            except OSError:
                continue
        return address
    raise AzureError(500, "NoLoopbackAddress", f"No loopback address has port {PORT} free on this machine.")
