"""Who may log in to which server: names, network rules, tokens. What the front asks at every login."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.postgres.cluster import EntraPrincipal
from aksops_sandbox.engines.postgres.front import Login, RefusalError
from aksops_sandbox.services.postgresql.state import SERVER, State, find_server, server_of

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

AUDIENCE = "https://ossrdbms-aad.database.windows.net"
_SUFFIX = ".postgres.database.azure.com"
_IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"


class SandboxGate:
    """The rules of one sandbox."""

    def __init__(self, ctx: Sandbox, state: State) -> None:
        self._ctx = ctx
        self._state = state
        self._directories: dict[str, tuple[tuple[str, str, str], ...]] = {}

    def _server(self, name: str) -> Resource | None:
        """The server behind a host name: its own, or that of a virtual endpoint."""
        label = name.removesuffix(_SUFFIX)
        if label == name:
            return None
        if "." not in label:
            return find_server(self._ctx, label)
        for endpoint in self._ctx.store.list(type=f"{SERVER}/virtualEndpoints"):
            if name in endpoint.properties.get("virtualEndpoints", []):
                return self._ctx.store.get(server_of(endpoint.id))
        return None

    def certificate(self, name: str) -> tuple[Path, Path] | None:
        return self._ctx.certificates.leaf([name]) if self._server(name) else None

    def login(self, server: str, vantage: str, user: str, database: str) -> Login:
        resource = self._server(server)
        if resource is None:
            raise RefusalError("08004", f'server "{server}" does not exist')
        self._check_network(resource, vantage, user, database)
        cluster = self._state.cluster(self._ctx, resource)
        if resource.properties.get("state") in ("Stopped", "Stopping", "Dropping") or not cluster.is_running():
            raise RefusalError("57P03", "the database system is shut down")
        if resource.properties.get("state") in ("Provisioning", "Starting") or not cluster.is_accepting():
            raise RefusalError("57P03", "the database system is starting up")
        auth = resource.properties["authConfig"]
        principal = cluster.admit(user)
        if principal is None:
            if auth["passwordAuth"] != "Enabled":
                raise RefusalError(
                    "28P01",
                    f'password authentication is disabled on this server, and role "{user}" has no Entra mapping',
                )
            return Login(cluster.socket, None)
        if auth["activeDirectoryAuth"] != "Enabled":
            raise RefusalError("28000", "Microsoft Entra authentication is disabled on this server")
        if principal.is_admin:
            self._tell_directory(resource)
        return Login(cluster.socket, lambda token: self._check_token(principal, token))

    def _check_network(self, server: Resource, vantage: str, user: str, database: str) -> None:
        network = server.properties["network"]
        if vantage == "inside" and (
            network.get("delegatedSubnetResourceId") or self._ctx.network.has_private_endpoint(server.id)
        ):
            return
        address = self._ctx.network.outside_address
        if network.get("publicNetworkAccess") == "Enabled" and self._allowed(server, vantage, address):
            return
        raise RefusalError(
            "28000", f'no pg_hba.conf entry for host "{address}", user "{user}", database "{database}", SSL encryption'
        )

    def _allowed(self, server: Resource, vantage: str, address: str) -> bool:
        for rule in self._ctx.store.list(type=f"{SERVER}/firewallRules", prefix=server.id):
            start, end = rule.properties["startIpAddress"], rule.properties["endIpAddress"]
            if start == end == "0.0.0.0":
                if vantage == "inside":
                    return True
            elif ipaddress.IPv4Address(start) <= ipaddress.IPv4Address(address) <= ipaddress.IPv4Address(end):
                return True
        return False

    def _check_token(self, principal: EntraPrincipal, token: str) -> None:
        try:
            claims = self._ctx.tokens.verify(token, [AUDIENCE])
        except AzureError as error:
            raise RefusalError(
                "28P01", f'Microsoft Entra access token not valid for role "{principal.role}": {error.message}'
            ) from None
        held = {str(claims.get("oid", "")).lower()}
        if principal.kind == "group":
            held = {str(group).lower() for group in claims.get("groups", [])}
        if principal.object_id not in held:
            raise RefusalError(
                "28P01",
                f'Microsoft Entra access token not valid for role "{principal.role}" (is it mapped to this principal?)',
            )

    def _tell_directory(self, server: Resource) -> None:
        """Let pgaadauth_create_principal find the tenant's principals by name, as Azure looks them up in Entra."""
        people = [(account.name, account.object_id, "service") for account in self._ctx.principals.accounts]
        for identity in self._ctx.store.list(type=_IDENTITIES):
            if identity.properties.get("principalId"):
                people.append((identity.name, identity.properties["principalId"], "service"))
        if self._directories.get(server.id) != tuple(people):
            self._state.cluster(self._ctx, server).set_directory(people)
            self._directories[server.id] = tuple(people)
