"""Virtual networks, subnets and peerings."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure import regions
from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network import addressing
from aksops_sandbox.services.network.embedded import EmbeddedChild, EmbeddingParent

VNET = "Microsoft.Network/virtualNetworks"
SUBNET = f"{VNET}/subnets"
PEERING = f"{VNET}/virtualNetworkPeerings"

#: What a subnet may be delegated to here, and the actions that Azure adds to the delegation.
_JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
DELEGATIONS = {
    "Microsoft.App/environments": [_JOIN],
    "Microsoft.ContainerInstance/containerGroups": ["Microsoft.Network/virtualNetworks/subnets/action"],
    "Microsoft.ContainerService/managedClusters": [_JOIN],
    "Microsoft.DBforPostgreSQL/flexibleServers": [_JOIN],
    "Microsoft.LoadTestService/loadtests": [_JOIN],
    "Microsoft.Network/applicationGateways": [_JOIN],
    "Microsoft.Network/dnsResolvers": [_JOIN],
    "Microsoft.ServiceNetworking/trafficControllers": [_JOIN],
    "Microsoft.Web/serverFarms": ["Microsoft.Network/virtualNetworks/subnets/action"],
}

SERVICE_ENDPOINTS = (
    "Microsoft.AzureActiveDirectory",
    "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry",
    "Microsoft.EventHub",
    "Microsoft.KeyVault",
    "Microsoft.ServiceBus",
    "Microsoft.Sql",
    "Microsoft.Storage",
    "Microsoft.Storage.Global",
    "Microsoft.Web",
)

#: References of a subnet, and the type each must have.
_LINKS = {"networkSecurityGroup": "networkSecurityGroups", "routeTable": "routeTables", "natGateway": "natGateways"}


#: What a subnet shows of its users; clients send it back.
_SHOWN_ONLY = (
    "applicationGatewayIPConfigurations",
    "ipConfigurations",
    "privateEndpoints",
    "purpose",
    "serviceAssociationLinks",
)


class Subnet(EmbeddedChild):
    type = SUBNET
    status = "network/2025-01-01/subnets"
    name_pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,78}[A-Za-z0-9_])?$"

    def validate(
        self, ctx: Any, new: Resource, old: Resource | None, parent: Resource, siblings: list[Resource]
    ) -> None:
        properties = new.properties
        for name in _SHOWN_ONLY:
            properties.pop(name, None)
        self._check_range(new, parent, siblings)
        if old is not None and addressing.subnet_prefixes(old) != addressing.subnet_prefixes(new):
            self._check_in_use(ctx, new, "InUsePrefixCannotBeDeleted", "change the address prefix of")
        shapes.defaults(
            properties,
            {
                "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled",
                "privateLinkServiceNetworkPolicies": "Enabled",
            },
        )
        self._delegations(ctx, new, old)
        for endpoint in properties.get("serviceEndpoints") or []:
            endpoint["service"] = shapes.choice(endpoint.get("service"), SERVICE_ENDPOINTS, "serviceEndpoints.service")
            near = [name for name in (parent.location, regions.pair(parent.location)) if name]
            endpoint.setdefault("locations", near if endpoint["service"] == "Microsoft.Storage" else ["*"])
            endpoint["provisioningState"] = "Succeeded"
        for name, kind in _LINKS.items():
            link = shapes.dig(properties, f"{name}.id")
            if link is None:
                properties.pop(name, None)
                continue
            found = shapes.reference(ctx, link, new.id)
            if found.type.lower() != f"microsoft.network/{kind}".lower():
                raise bad_request("InvalidResourceReference", f"{link} referenced by {new.id} is no {kind}.")
            properties[name] = {"id": found.id}

    def _check_range(self, new: Resource, vnet: Resource, siblings: list[Resource]) -> None:
        blocks = addressing.networks(addressing.subnet_prefixes(new), new.name)
        if not blocks:
            raise bad_request("InvalidRequestFormat", f"Subnet '{new.name}' has no address prefix.")
        space = addressing.networks(shapes.dig(vnet.properties, "addressSpace.addressPrefixes", []), vnet.name)
        for block in blocks:
            if not addressing.contains(space, block) or (block.version == 4 and block.prefixlen > 29):
                message = f"Subnet '{new.name}' is not valid in virtual network '{vnet.name}'."
                raise bad_request("NetcfgInvalidSubnet", message)
        for sibling in siblings:
            if addressing.overlap(blocks, addressing.networks(addressing.subnet_prefixes(sibling), sibling.name)):
                message = (
                    f"Subnet '{new.name}' is not valid because its IP address range overlaps with that of an existing "
                    f"subnet in virtual network '{vnet.name}'."
                )
                raise bad_request("NetcfgSubnetRangesOverlap", message)

    def _delegations(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        for entry in new.properties["delegations"]:
            service = shapes.dig(entry, "properties.serviceName")
            service = shapes.choice(service, DELEGATIONS, "delegations.serviceName", "InvalidServiceNameOnDelegation")
            entry["id"] = f"{new.id}/delegations/{entry.get('name')}"
            given = shapes.dig(entry, "properties.actions")
            entry["properties"] = {
                "serviceName": service,
                "actions": given or DELEGATIONS[service],
                "provisioningState": "Succeeded",
            }
        before = {entry["properties"]["serviceName"] for entry in old.properties["delegations"]} if old else set()
        after = {entry["properties"]["serviceName"] for entry in new.properties["delegations"]}
        if before - after and addressing.delegated_users(ctx, new.id):
            message = f"Delegation of subnet {new.id} cannot be changed from {sorted(before)} because it is being used."
            raise bad_request("SubnetMissingRequiredDelegation", message)

    def _check_in_use(self, ctx: Any, subnet: Resource, code: str, doing: str) -> None:
        users = addressing.subnet_users(ctx, subnet.id)
        if users:
            message = (
                f"Subnet {subnet.name} is in use by {users[0]} and cannot be deleted. In order to {doing} the subnet, "
                "delete all the resources within the subnet. See aka.ms/deletesubnet."
            )
            raise bad_request(code, message)

    def remove(self, ctx: Any, resource: Resource) -> None:
        self._check_in_use(ctx, resource, "InUseSubnetCannotBeDeleted", "delete")

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        properties = shown["properties"] = dict(resource.properties)
        configurations = [{"id": entry} for _, entry in addressing.private_addresses(ctx, resource.id)]
        if configurations:
            properties["ipConfigurations"] = configurations
        gateways = [{"id": entry["id"]} for entry in addressing.gateways_of(ctx, resource.id)]
        if gateways:
            properties["applicationGatewayIPConfigurations"] = gateways
        endpoints = [
            {"id": endpoint.id}
            for endpoint in ctx.store.list(type="Microsoft.Network/privateEndpoints")
            if shapes.same_id(shapes.dig(endpoint.properties, "subnet.id"), resource.id)
        ]
        if endpoints:
            properties["privateEndpoints"] = endpoints
            properties["purpose"] = "PrivateEndpoints"
        return shown


class VirtualNetwork(EmbeddingParent):
    type = VNET
    status = "network/2025-01-01/virtualnetworks"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9_]$"
    child = Subnet()
    field = "subnets"

    def validate(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        prefixes = shapes.dig(properties, "addressSpace.addressPrefixes", [])
        if not prefixes:
            raise bad_request("InvalidRequestFormat", f"Virtual network '{new.name}' has no address space.")
        space = addressing.networks(prefixes, new.name)
        for position, block in enumerate(space):
            if addressing.overlap([block], space[:position]):
                message = f"The address prefix {block} of virtual network {new.name} overlaps another of its prefixes."
                raise bad_request("VnetAddressSpaceOverlapsWithAlreadyPeeredVnet", message)
        shapes.defaults(properties, {"enableDdosProtection": False, "privateEndpointVNetPolicies": "Disabled"})
        shapes.computed(new, old, resourceGuid=shapes.guid)
        properties.pop("virtualNetworkPeerings", None)

    def remove(self, ctx: Any, resource: Resource) -> None:
        for subnet in ctx.store.list(type=SUBNET, prefix=resource.id):
            self.child.remove(ctx, subnet)

    def removed(self, ctx: Any, resource: Resource) -> None:
        for link in ctx.store.list(type="Microsoft.Network/privateDnsZones/virtualNetworkLinks"):
            if shapes.same_id(shapes.dig(link.properties, "virtualNetwork.id"), resource.id):
                link.properties["virtualNetworkLinkState"] = "InProgress"
                ctx.store.put(link)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        peerings = ctx.store.list(type=PEERING, prefix=resource.id)
        shown["properties"]["virtualNetworkPeerings"] = [VNET_PEERING.render(ctx, item) for item in peerings]
        return shown


class Peering(ResourceType):
    type = PEERING
    status = "network/2025-01-01/virtualnetworkpeerings"
    tracked = False
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        parent = ctx.store.get(shapes.identify(new.id).parent)
        remote_id = shapes.dig(new.properties, "remoteVirtualNetwork.id")
        remote = shapes.reference(ctx, remote_id, new.id)
        mine = addressing.networks(parent.properties["addressSpace"]["addressPrefixes"], parent.name)
        theirs = addressing.networks(remote.properties["addressSpace"]["addressPrefixes"], remote.name)
        if addressing.overlap(mine, theirs):
            message = f"Cannot create or update peering {new.id}. Virtual networks {parent.id} and {remote.id} overlap."
            raise AzureError(400, "VnetAddressSpacesOverlap", message)
        shapes.defaults(
            new.properties,
            {
                "allowVirtualNetworkAccess": True,
                "allowForwardedTraffic": False,
                "allowGatewayTransit": False,
                "useRemoteGateways": False,
                "peerCompleteVnets": True,
            },
        )
        back = [
            other
            for other in ctx.store.list(type=PEERING, prefix=remote.id)
            if shapes.same_id(shapes.dig(other.properties, "remoteVirtualNetwork.id"), parent.id)
        ]
        new.properties["remoteAddressSpace"] = remote.properties["addressSpace"]
        new.properties["peeringState"] = "Connected" if back else "Initiated"
        new.properties["peeringSyncLevel"] = "FullyInSync" if back else "RemoteNotInSync"
        for other in back:
            other.properties |= {"peeringState": "Connected", "peeringSyncLevel": "FullyInSync"}
            ctx.store.put(other)


VNET_PEERING = Peering()
