"""Networking as Azure keeps it: ranges, what is in use, dedicated subnets, private endpoints and their names."""

from __future__ import annotations

import pytest

V = "2025-01-01"
DNS = "2024-06-01"
NET = "/providers/Microsoft.Network"
WEST = {"location": "westeurope"}


def subnet(prefix, **properties):
    return {"properties": {"addressPrefixes": [prefix], **properties}}


@pytest.fixture(scope="module")
def net(client):
    """A network with four subnets, a vault of keys and a storage account to point at; the group's path."""
    group = client.group("contract-network")
    path = group + NET
    body = {**WEST, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": []}}
    assert client.arm("PUT", f"{path}/virtualNetworks/vn", V, body).status == 201
    delegation = [{"name": "d", "properties": {"serviceName": "Microsoft.DBforPostgreSQL/flexibleServers"}}]
    for name, content in {
        "nodes": subnet("10.0.0.0/20"),
        "endpoints": subnet("10.0.16.0/28"),
        "gateway": subnet("10.0.17.0/24"),
        "database": subnet("10.0.18.0/24", delegations=delegation),
    }.items():
        assert client.arm("PUT", f"{path}/virtualNetworks/vn/subnets/{name}", V, content).status == 201
    account = {**WEST, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    target = f"{group}/providers/Microsoft.Storage/storageAccounts/contractnet"
    assert client.arm("PUT", target, "2025-08-01", account).status == 200
    return path


def vnet(net, name):
    return f"{net}/virtualNetworks/vn/subnets/{name}"


def full(client, path):
    return client.subscription + path


def endpoint(client, net, target="contractnet", group="blob", where="endpoints"):
    account = f"{net.removesuffix(NET)}/providers/Microsoft.Storage/storageAccounts/{target}"
    connection = {"privateLinkServiceId": full(client, account), "groupIds": [group]}
    return {
        **WEST,
        "properties": {
            "subnet": {"id": full(client, vnet(net, where))},
            "privateLinkServiceConnections": [{"name": "c", "properties": connection}],
        },
    }


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.1.0.0/24", "NetcfgInvalidSubnet"),
        ("10.0.4.0/24", "NetcfgSubnetRangesOverlap"),
        ("10.0.200.1/24", "InvalidAddressPrefixFormat"),
        ("ten", "InvalidAddressPrefixFormat"),
        ("10.0.200.0/30", "NetcfgInvalidSubnet"),
    ],
)
def test_a_subnet_outside_the_network_is_refused(client, net, prefix, code):
    answer = client.arm("PUT", vnet(net, "bad"), V, subnet(prefix))
    assert (answer.status, answer.code) == (400, code)


def test_the_network_shows_its_subnets_and_keeps_them_in_step(client, net):
    path = f"{net}/virtualNetworks/step"
    space = {"addressSpace": {"addressPrefixes": ["10.5.0.0/16"]}}
    one, two = ({"name": name, **subnet(f"10.5.{i}.0/24")} for i, name in enumerate(("one", "two")))
    client.arm("PUT", path, V, {**WEST, "properties": {**space, "subnets": [one, two]}})
    assert client.arm("GET", f"{path}/subnets/two", V).status == 200
    # A PUT without the list keeps the subnets, one with the list brings them in step.
    client.arm("PUT", path, V, {**WEST, "properties": space})
    shown = client.arm("GET", path, V).json["properties"]["subnets"]
    assert [item["name"] for item in shown] == ["one", "two"]
    client.arm("PUT", path, V, {**WEST, "properties": {**space, "subnets": [one]}})
    assert client.arm("GET", f"{path}/subnets/two", V).status == 404


def test_the_address_space_cannot_leave_its_subnets(client, net):
    body = {**WEST, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/20"]}}}
    answer = client.arm("PUT", f"{net}/virtualNetworks/vn", V, body)
    assert (answer.status, answer.code) == (400, "NetcfgInvalidSubnet")


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"priority": 50}, "SecurityRuleInvalidPriority"),
        ({"destinationPortRange": "80-70"}, "SecurityRuleInvalidPortRange"),
        ({"sourceAddressPrefix": "10.0.0.1/8"}, "SecurityRuleInvalidAddressPrefix"),
        ({"access": "Maybe"}, "SecurityRuleInvalidParameter"),
    ],
)
def test_a_bad_security_rule_is_refused(client, net, rule, code):
    good = {
        "priority": 100,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "destinationPortRange": "443",
        "sourceAddressPrefix": "Internet",
        "destinationAddressPrefix": "*",
    }
    rules = [{"name": "r", "properties": {**good, **rule}}]
    answer = client.arm("PUT", f"{net}/networkSecurityGroups/n", V, {**WEST, "properties": {"securityRules": rules}})
    assert (answer.status, answer.code) == (400, code)


def test_a_private_endpoint_gets_an_address_a_name_and_holds_its_subnet(client, net):
    path, zone = f"{net}/privateEndpoints/pe", f"{net}/privateDnsZones/privatelink.blob.core.windows.net"
    assert client.arm("PUT", path, V, endpoint(client, net)).status == 201
    made = client.arm("GET", path, V).json["properties"]
    [answer] = made["customDnsConfigs"]
    assert answer == {"fqdn": "contractnet.blob.core.windows.net", "ipAddresses": ["10.0.16.4"]}
    nic = client.arm("GET", made["networkInterfaces"][0]["id"], V).json
    assert nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.0.16.4"
    assert client.arm("DELETE", vnet(net, "endpoints"), V).code == "InUseSubnetCannotBeDeleted"
    assert client.arm("DELETE", nic["id"], V).status == 400

    client.arm("PUT", zone, DNS, {"location": "global"})
    config = {"name": "z", "properties": {"privateDnsZoneId": full(client, zone)}}
    body = {"properties": {"privateDnsZoneConfigs": [config]}}
    assert client.arm("PUT", f"{path}/privateDnsZoneGroups/default", V, body).status == 201
    record = client.arm("GET", f"{zone}/A/contractnet", DNS).json
    assert record["properties"]["aRecords"] == [{"ipv4Address": "10.0.16.4"}]
    assert client.arm("PUT", f"{path}/privateDnsZoneGroups/second", V, body).status == 400

    account = client.arm(
        "GET", made["privateLinkServiceConnections"][0]["properties"]["privateLinkServiceId"], "2025-08-01"
    )
    [connection] = account.json["properties"]["privateEndpointConnections"]
    assert connection["properties"]["privateLinkServiceConnectionState"]["status"] == "Approved"

    assert client.arm("DELETE", path, V).status in {200, 202, 204}
    assert client.arm("GET", f"{zone}/A/contractnet", DNS).status == 404
    assert client.arm("GET", nic["id"], V).status == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": "nowhere"}, "PrivateLinkServiceNotFound"),
        ({"group": "vault"}, "InvalidPrivateLinkServiceGroupIds"),
        ({"where": "database"}, "PrivateEndpointCannotBeCreatedInDelegatedSubnet"),
        ({"where": "missing"}, "InvalidResourceReference"),
    ],
)
def test_a_private_endpoint_to_nowhere_is_refused(client, net, changes, code):
    answer = client.arm("PUT", f"{net}/privateEndpoints/bad", V, endpoint(client, net, **changes))
    assert (answer.status, answer.code) == (400, code)


def test_a_subnet_has_only_so_many_addresses(client, net):
    """A /28 holds eleven: sixteen less the five that Azure keeps."""
    codes = [client.arm("PUT", f"{net}/privateEndpoints/many{i}", V, endpoint(client, net)).code for i in range(12)]
    assert codes == [""] * 11 + ["SubnetIsFull"]
    for i in range(11):
        client.arm("DELETE", f"{net}/privateEndpoints/many{i}", V)


def test_a_manual_connection_waits_for_its_target(client, net):
    body = endpoint(client, net)
    body["properties"]["manualPrivateLinkServiceConnections"] = body["properties"].pop("privateLinkServiceConnections")
    client.arm("PUT", f"{net}/privateEndpoints/manual", V, body)
    target = f"{net.removesuffix(NET)}/providers/Microsoft.Storage/storageAccounts/contractnet"

    def state():
        [connection] = client.arm("GET", f"{target}/privateEndpointConnections", "2025-08-01").json["value"]
        return connection["properties"]["privateLinkServiceConnectionState"]["status"]

    assert state() == "Pending"
    approval = {"properties": {"privateLinkServiceConnectionState": {"status": "Approved"}}}
    assert client.arm("PUT", f"{target}/privateEndpointConnections/c", "2025-08-01", approval).status == 200
    assert state() == "Approved"
    client.arm("DELETE", f"{net}/privateEndpoints/manual", V)
    resources = client.arm("GET", f"{target}/privateLinkResources", "2025-08-01").json["value"]
    zones = {item["name"]: item["properties"]["requiredZoneNames"] for item in resources}
    assert zones["blob"] == ["privatelink.blob.core.windows.net"]


def address(client, net, name, **changes):
    body = {**WEST, "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}, **changes}
    return client.arm("PUT", f"{net}/publicIPAddresses/{name}", V, body)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sku": {"name": "Basic"}}, "BasicSkuPublicIpIsRetired"),
        ({"properties": {"publicIPAllocationMethod": "Dynamic"}}, "StandardSkuPublicIPAddressesMustBeStatic"),
    ],
)
def test_a_retired_public_address_is_refused(client, net, changes, code):
    assert address(client, net, "bad", **changes).code == code


def gateway(client, net, **changes):
    """A whole application gateway named `agw`."""
    root = full(client, f"{net}/applicationGateways/agw")

    def own(kind, name="one"):
        return {"id": f"{root}/{kind}/{name}"}

    rule = {
        "ruleType": "Basic",
        "priority": 10,
        "httpListener": own("httpListeners"),
        "backendAddressPool": own("backendAddressPools"),
        "backendHttpSettings": own("backendHttpSettingsCollection"),
    }
    listener = {
        "frontendIPConfiguration": own("frontendIPConfigurations"),
        "frontendPort": own("frontendPorts"),
        "protocol": "Http",
    }
    collections = {
        "gatewayIPConfigurations": {"subnet": {"id": full(client, vnet(net, "gateway"))}},
        "frontendIPConfigurations": {"publicIPAddress": {"id": full(client, f"{net}/publicIPAddresses/agw")}},
        "frontendPorts": {"port": 80},
        "backendAddressPools": {},
        "backendHttpSettingsCollection": {"port": 80, "protocol": "Http"},
        "httpListeners": listener,
        "requestRoutingRules": rule,
    }
    properties = {
        "sku": {"name": "Standard_v2", "tier": "Standard_v2", "capacity": 1},
        **{name: [{"name": "one", "properties": content}] for name, content in collections.items()},
        **changes,
    }
    return {**WEST, "properties": properties}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sku": {"name": "Standard_Small", "tier": "Standard", "capacity": 1}}, "ApplicationGatewayV1SkuRetired"),
        (
            {"sku": {"name": "WAF_v2", "tier": "WAF_v2", "capacity": 1}},
            "ApplicationGatewayFirewallNotConfiguredForSelectedSku",
        ),
        ({"httpListeners": []}, "ApplicationGatewayMissingRequiredProperty"),
        ({"frontendPorts": [{"name": "other", "properties": {"port": 80}}]}, "InvalidResourceReference"),
        ({"sku": {"name": "Standard_v2", "tier": "Standard_v2"}}, "ApplicationGatewayCapacityOrAutoscaleRequired"),
    ],
)
def test_a_gateway_that_azure_refuses_is_refused(client, net, changes, code):
    address(client, net, "agw")
    answer = client.arm("PUT", f"{net}/applicationGateways/agw", V, gateway(client, net, **changes))
    assert (answer.status, answer.code) == (400, code)


def test_a_gateway_needs_a_subnet_of_its_own(client, net):
    address(client, net, "agw")
    client.arm("PUT", f"{net}/privateEndpoints/guest", V, endpoint(client, net, where="gateway"))
    path = f"{net}/applicationGateways/agw"
    assert client.arm("PUT", path, V, gateway(client, net)).code == "ApplicationGatewaySubnetCannotHaveOtherResources"
    client.arm("DELETE", f"{net}/privateEndpoints/guest", V)

    made = client.arm("PUT", path, V, gateway(client, net))
    assert made.status == 201
    assert made.json["properties"]["httpListeners"][0]["id"].endswith("/applicationGateways/agw/httpListeners/one")
    code = client.arm("PUT", f"{net}/privateEndpoints/guest", V, endpoint(client, net, where="gateway")).code
    assert code == "ApplicationGatewaySubnetCannotHaveOtherResources"
    assert client.arm("DELETE", f"{net}/publicIPAddresses/agw", V).code == "PublicIPAddressCannotBeDeleted"

    # Two writers: the one that read first loses.
    url = f"https://management.azure.com{full(client, path)}?api-version={V}"
    etag = client.bearer("GET", url).headers["ETag"]
    headers = {"Authorization": f"Bearer {client.token()}", "If-Match": etag}
    assert client.send("PUT", url, gateway(client, net), headers).status == 200
    assert client.send("PUT", url, gateway(client, net), headers).status == 412


def test_the_delegation_of_a_subnet_is_of_a_known_service(client, net):
    wrong = [{"name": "d", "properties": {"serviceName": "Microsoft.Made/up"}}]
    answer = client.arm("PUT", vnet(net, "odd"), V, subnet("10.0.30.0/24", delegations=wrong))
    assert (answer.status, answer.code) == (400, "InvalidServiceNameOnDelegation")
    shown = client.arm("GET", vnet(net, "database"), V).json["properties"]["delegations"][0]
    assert shown["properties"]["actions"] == ["Microsoft.Network/virtualNetworks/subnets/join/action"]


def test_a_zone_has_its_soa_and_outlives_its_links(client, net):
    zone = f"{net}/privateDnsZones/example.internal"
    assert client.arm("PUT", zone, DNS, WEST).code == "LocationNotAvailableForResourceType"
    client.arm("PUT", zone, DNS, {"location": "global"})
    assert client.arm("GET", f"{zone}/SOA/@", DNS).json["properties"]["soaRecord"]["host"] == "azureprivatedns.net"
    link = {"location": "global", "properties": {"virtualNetwork": {"id": full(client, f"{net}/virtualNetworks/vn")}}}
    assert client.arm("PUT", f"{zone}/virtualNetworkLinks/l", DNS, link).status == 201
    assert client.arm("PUT", f"{zone}/virtualNetworkLinks/again", DNS, link).status == 409
    assert client.arm("DELETE", zone, DNS).status == 409
    client.arm("DELETE", f"{zone}/virtualNetworkLinks/l", DNS)
    assert client.arm("DELETE", zone, DNS).status in {200, 202}


@pytest.mark.parametrize(
    ("kind", "name", "properties"),
    [
        ("A", "bad", {"aRecords": [{"ipv4Address": "10.0.0.256"}]}),
        ("A", "empty", {"aRecords": []}),
        ("CNAME", "@", {"cnameRecord": {"cname": "elsewhere"}}),
    ],
)
def test_a_bad_record_set_is_refused(client, net, kind, name, properties):
    client.arm("PUT", f"{net}/privateDnsZones/records.internal", DNS, {"location": "global"})
    body = {"properties": properties}
    assert client.arm("PUT", f"{net}/privateDnsZones/records.internal/{kind}/{name}", DNS, body).status == 400


def test_a_group_goes_whatever_hangs_together_in_it(client, net):
    group = client.group("contract-network-gone")
    path = group + NET
    space = {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": [{"name": "s", **subnet("10.9.0.0/24")}]}
    client.arm("PUT", f"{path}/virtualNetworks/vn", V, {**WEST, "properties": space})
    assert (
        client.arm(
            "PUT",
            f"{path}/privateEndpoints/p",
            V,
            endpoint(client, net)
            | {"properties": endpoint(client, net)["properties"] | {"subnet": {"id": full(client, vnet(path, "s"))}}},
        ).status
        == 201
    )
    assert client.arm("DELETE", group, "2023-07-01").status == 202
    assert client.arm("GET", group, "2023-07-01").status == 404


def test_a_network_tells_which_addresses_are_free(client, net):
    path = f"{net}/virtualNetworks/vn"
    reserved = client.arm("GET", f"{path}/checkIPAddressAvailability?ipAddress=10.0.17.1", V).json
    assert reserved["available"] is False
    assert reserved["availableIPAddresses"][0] == "10.0.17.4"
    free = client.arm("GET", f"{path}/checkIPAddressAvailability?ipAddress=10.0.17.99", V).json
    assert (free["available"], free["availableIPAddresses"]) == (True, [])
    outside = client.arm("GET", f"{path}/checkIPAddressAvailability?ipAddress=10.0.99.4", V)
    assert (outside.status, outside.code) == (400, "PrivateIPAddressNotInAnySubnet")
    usages = {item["id"].rsplit("/", 1)[-1]: item for item in client.arm("GET", f"{path}/usages", V).json["value"]}
    assert usages["gateway"]["limit"] == 251
