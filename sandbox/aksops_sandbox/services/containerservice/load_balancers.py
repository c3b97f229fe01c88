"""Azure's cloud controller, played for Services of type LoadBalancer: an address for each, public or of the network."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING

from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import Client
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.services.network.public import PUBLIC_IP, PublicIp

from .controllers import Controller, Manifest

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_ANNOTATION = "service.beta.kubernetes.io/azure-load-balancer"
_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
#: The end of the network that the nodes' addresses are of.
_INTERNAL = ipaddress.ip_network("10.224.255.0/24")


class LoadBalancers(Controller):
    """The cloud controller of one cluster."""

    name = "cloud controller"

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        super().__init__(client)
        self._ctx = ctx
        self._cluster_id = cluster_id

    def handlers(self) -> dict[str, Callable[[Manifest], None]]:
        return {"/api/v1/services": self._service}

    def _service(self, service: Manifest) -> None:
        metadata, spec = service["metadata"], service["spec"]
        target = path("v1", "services", metadata["namespace"], metadata["name"])
        finalizers = metadata.get("finalizers") or []
        wanted = spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")
        if metadata.get("deletionTimestamp") or not wanted:
            if _FINALIZER in finalizers:
                self._forget(service)
                self._client.merge(f"{target}/status", {"status": {"loadBalancer": {"ingress": None}}})
                kept = [item for item in finalizers if item != _FINALIZER]
                self._client.merge(target, {"metadata": {"finalizers": kept}})
            return
        if _FINALIZER not in finalizers:
            self._client.merge(target, {"metadata": {"finalizers": [*finalizers, _FINALIZER]}})
        have = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        address = self._address(service, have[0].get("ip", "") if have else "")
        if [item.get("ip") for item in have] != [address]:
            entry = {"ip": address, "ipMode": "VIP"}
            self._client.merge(f"{target}/status", {"status": {"loadBalancer": {"ingress": [entry]}}})

    def _address(self, service: Manifest, have: str) -> str:
        annotations, spec = service["metadata"].get("annotations") or {}, service["spec"]
        given = annotations.get(f"{_ANNOTATION}-ipv4") or spec.get("loadBalancerIP")
        internal = annotations.get(f"{_ANNOTATION}-internal") == "true"
        if given or internal:
            self._forget(service)
        if given:
            return str(given)
        if not internal:
            return self._public(service)
        if have and ipaddress.ip_address(have) in _INTERNAL:
            return have
        used = {
            item.get("ip")
            for other in self._client.list("/api/v1/services")
            for item in ((other.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        }
        return next(str(item) for item in _INTERNAL.hosts() if str(item) not in used)

    def _id(self, service: Manifest) -> str:
        cluster = self._ctx.require_resource(self._cluster_id)
        group = self._ctx.ensure_group(cluster.properties["nodeResourceGroup"], cluster.id)
        return f"{group}/providers/{PUBLIC_IP}/kubernetes-a{service['metadata']['uid'].replace('-', '')}"

    def _public(self, service: Manifest) -> str:
        """The Service's public IP address of the nodes' resource group, found or made."""
        own = self._id(service)
        found = self._ctx.store.get(own)
        if found is None:
            metadata = service["metadata"]
            tags = {"k8s-azure-cluster-name": "kubernetes", "k8s-azure-service": _name(metadata)}
            location = self._ctx.require_resource(self._cluster_id).location
            properties = {"publicIPAllocationMethod": "Static", "provisioningState": "Succeeded"}
            body = {"sku": {"name": "Standard", "tier": "Regional"}}
            found = Resource(own, own.rsplit("/", 1)[-1], PUBLIC_IP, location, tags, properties, body)
            PublicIp().prepare(self._ctx, found, None)
        return str(found.properties["ipAddress"])

    def _forget(self, service: Manifest) -> None:
        found = self._ctx.store.get(self._id(service))
        if found is not None:
            self._ctx.delete_tree(found)


def _name(metadata: Manifest) -> str:
    return f"{metadata['namespace']}/{metadata['name']}"
