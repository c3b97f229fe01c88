"""Which vantage may reach a resource's data plane: publicNetworkAccess, network rules and private endpoints."""

from __future__ import annotations

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.http.message import Request


class NetworkAccess:
    """Decides by the client's vantage, as Azure decides by its address.

    `inside` is a client in the virtual network: it reaches a resource through an approved private endpoint, or by its
    public address where that is open. `outside` is a client on the internet with the address `outside_address`.
    """

    outside_address = "203.0.113.10"

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self, ctx: object, request: Request, resource: Resource) -> None:
        """Raise AzureError 403 where this request's vantage cannot reach the resource."""
        if request.vantage == "inside" and self.has_private_endpoint(resource.id):
            return
        if self.public_open(resource) or (request.vantage == "inside" and self.subnet_open(resource)):
            return
        raise AzureError(
            403,
            "Forbidden",
            f"Public network access to '{resource.name}' is disabled or does not include this client's address, and "
            f"the client ({request.vantage} the network) has no approved private endpoint.",
            inner={"code": "ForbiddenByConnection"},
        )

    def has_private_endpoint(self, resource_id: str) -> bool:
        """True where an approved private endpoint targets the resource."""
        for endpoint in self._store.peek(type="Microsoft.Network/privateEndpoints"):
            properties = endpoint.properties
            connections = [
                *properties.get("privateLinkServiceConnections", []),
                *properties.get("manualPrivateLinkServiceConnections", []),
            ]
            for connection in connections:
                target = connection.get("properties", {}).get("privateLinkServiceId", "")
                state = connection.get("properties", {}).get("privateLinkServiceConnectionState", {})
                if target.lower() == resource_id.lower() and state.get("status", "Approved") == "Approved":
                    return True
        return False

    @staticmethod
    def subnet_open(resource: Resource) -> bool:
        """True where the firewall lets a subnet in (by its service endpoint) and the public address is on."""
        if str(resource.properties.get("publicNetworkAccess", "Enabled")).lower() != "enabled":
            return False
        rules = resource.properties.get("networkAcls") or resource.properties.get("networkRuleSet") or {}
        return bool(rules.get("virtualNetworkRules"))

    def public_open(self, resource: Resource) -> bool:
        """True where the resource answers on its public address to the outside client."""
        properties = resource.properties
        if str(properties.get("publicNetworkAccess", "Enabled")).lower() in {"disabled", "securedbyperimeter"}:
            return False
        rules = properties.get("networkAcls") or properties.get("networkRuleSet") or {}
        if rules.get("defaultAction", "Allow").lower() == "allow":
            return True
        entries = rules.get("ipRules") or []
        allowed = {str(entry.get("value") or entry.get("ipMask") or "").split("/")[0] for entry in entries}
        return self.outside_address in allowed
