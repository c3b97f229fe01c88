"""Which vantage may reach a resource's data plane: publicNetworkAccess, network rules and private endpoints."""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.http.message import Request


class NetworkAccess:
    """Decides by the client's vantage, as Azure decides by its address.

    `inside` is a client in the virtual network: it reaches a resource through an approved private endpoint, or by its
    public address where that is open, coming from the NAT gateway's address. `outside` is a client on the internet with
    the address `outside_address`.

    `delay` (seconds) is how long a changed firewall takes to count for data planes, as on Azure.
    """

    outside_address = "203.0.113.10"
    inside_address = "203.0.113.20"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[dict[str, Any], dict[str, Any], float]] = {}
        self.delay = 0.0

    def address(self, vantage: str) -> str:
        """The public address by which services see a client."""
        return self.inside_address if vantage == "inside" else self.outside_address

    def lets_in(self, ranges: list[str], vantage: str) -> bool:
        """True where one of the addresses or blocks holds the client's public address."""
        client = ipaddress.ip_address(self.address(vantage))
        return any(client in ipaddress.ip_network(item, strict=False) for item in ranges if item)

    def check(self, ctx: object, request: Request, resource: Resource) -> None:
        """Raise AzureError 403 where this request's vantage cannot reach the resource."""
        if request.vantage == "inside" and self.has_private_endpoint(resource.id):
            return
        if self.public_open(resource, request.vantage) or (request.vantage == "inside" and self.subnet_open(resource)):
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

    def public_open(self, resource: Resource, vantage: str = "outside") -> bool:
        """True where the resource answers on its public address to the client."""
        properties = resource.properties
        if str(properties.get("publicNetworkAccess", "Enabled")).lower() in {"disabled", "securedbyperimeter"}:
            return False
        rules = self._in_force(resource.id, properties.get("networkAcls") or properties.get("networkRuleSet") or {})
        if rules.get("defaultAction", "Allow").lower() == "allow":
            return True
        return self.lets_in(
            [str(entry.get("value") or entry.get("ipMask") or "") for entry in rules.get("ipRules") or []], vantage
        )

    def _in_force(self, resource_id: str, rules: dict[str, Any]) -> dict[str, Any]:
        """The rules that count by now: new ones do `delay` seconds after a client first met them."""
        with self._lock:
            old, new, since = self._seen.get(resource_id.lower(), (rules, rules, 0.0))
            if time.monotonic() - since >= self.delay:
                old = new
            if json.dumps(rules, sort_keys=True) != json.dumps(new, sort_keys=True):
                new, since = rules, time.monotonic()
                old = new if self.delay <= 0 else old
            self._seen[resource_id.lower()] = (old, new, since)
            return old
