"""What the resource types of PostgreSQL share: the engine, the busy servers, and names."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from aksops_sandbox.azure.errors import AzureError, not_found
from aksops_sandbox.azure.ids import last_name
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.postgres.cluster import Cluster
from aksops_sandbox.engines.postgres.engine import Engine
from aksops_sandbox.engines.postgres.runtime import PostgresError
from aksops_sandbox.services.postgresql import catalog, parameters

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

SERVER = "Microsoft.DBforPostgreSQL/flexibleServers"
DROPPED_DAYS = 5


class State:
    """The engine and the bookkeeping of one sandbox's Flexible Servers."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def engine(self, ctx: Sandbox) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = Engine(ctx.home.sub("postgres"), ctx.supervisor, lambda name: self._retention(ctx, name))
            return self._engine

    @property
    def started(self) -> Engine | None:
        """The engine where something has used it."""
        return self._engine

    @staticmethod
    def _retention(ctx: Sandbox, name: str) -> int:
        server = find_server(ctx, name)
        return int(server.properties["backup"]["backupRetentionDays"]) if server else 7

    # -- one management operation at a time ---

    def begin(self, server_id: str) -> None:
        """Take the server for one operation. Raises AzureError 409 where another one runs."""
        with self._lock:
            if server_id.lower() in self._busy:
                name = last_name(server_id)
                raise AzureError(
                    409,
                    "ServerIsBusy",
                    f"Cannot complete management operation on server '{name}' because it is busy processing another "
                    "operation. Please try again later.",
                )
            self._busy.add(server_id.lower())

    def end(self, server_id: str) -> None:
        with self._lock:
            self._busy.discard(server_id.lower())

    @contextmanager
    def ending(self, server_id: str) -> Iterator[None]:
        """Release the server at the end of the block; PostgreSQL's words become an ARM error."""
        try:
            yield
        except (PostgresError, psycopg.Error) as error:
            raise AzureError(400, "PostgreSQLOperationFailed", " ".join(str(error).split())) from error
        finally:
            self.end(server_id)

    # -- servers ---

    def cluster(self, ctx: Sandbox, server: Resource) -> Cluster:
        return self.engine(ctx).cluster(server.name)

    def running(self, ctx: Sandbox, server_id: str) -> tuple[Resource, Cluster]:
        """A server that can be worked with now. Raises AzureError where there is none, or it is not ready."""
        server = ctx.store.get(server_id)
        if server is None:
            raise not_found(server_id)
        cluster = self.cluster(ctx, server)
        if server.properties.get("state") in ("Stopped", "Stopping", "Starting", "Provisioning", "Dropping"):
            raise AzureError(
                409,
                "ServerIsNotReady",
                f"The server '{server.name}' is in the state '{server.properties['state']}'; the operation needs a "
                "server that is Ready.",
            )
        if not cluster.is_running():
            raise AzureError(409, "ServerIsNotReady", f"The server '{server.name}' does not run.")
        return server, cluster

    def parameters(self, ctx: Sandbox, server: Resource) -> dict[str, dict[str, Any]]:
        """Every server parameter; of a server that is stopped, or just restarting, as it was last seen."""
        cluster = self.cluster(ctx, server)
        memory = cluster.folder / "parameters.json"
        rows = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else []
        if cluster.is_running():
            with suppress(PostgresError, psycopg.OperationalError):
                rows = cluster.parameters()
                memory.write_text(json.dumps(rows), encoding="utf-8")
        return parameters.describe_all(rows, server.internal.get("parameters", {}))

    def apply_parameters(self, ctx: Sandbox, server: Resource) -> None:
        """Give the cluster what ARM holds; dynamic parameters take effect at once."""
        overrides = server.internal.get("parameters", {})
        own = {
            name: value
            for name, value in overrides.items()
            if name not in catalog.AZURE_PARAMETERS or name == "azure.extensions"
        }
        cluster = self.cluster(ctx, server)
        cluster.write_parameters(own)
        if cluster.is_running():
            cluster.reload()


def find_server(ctx: Sandbox, name: str) -> Resource | None:
    """The server of that name, in whichever resource group."""
    for server in ctx.store.list(type=SERVER):
        if server.name.lower() == name.lower():
            return server
    return None


def server_of(resource_id: str) -> str:
    """The id of the server that a child's id lies below."""
    parts = resource_id.split("/")
    return "/".join(parts[:9])


def utc_text(moment: datetime.datetime) -> str:
    """A time as ARM writes it."""
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime.datetime:
    """An ARM time, with its offset. Raises AzureError 400 for anything else, and for a time without an offset."""
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise AzureError(400, "InvalidParameterValue", f"'{text}' is not a time in UTC, such as 2026-11-23T10:00:00Z.")
    return moment.astimezone(datetime.UTC)
