# The platform's own virtual network: one subnet a purpose, an NSG on each that can have one, outbound through one NAT
# gateway. Left out as a whole where the caller brings a network by id.

locals {
  # Created one after the other by Azure in any case (a network is locked while a subnet is written).
  delegations = {
    api_server = {
      service = "Microsoft.ContainerService/managedClusters"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
    postgresql = {
      service = "Microsoft.DBforPostgreSQL/flexibleServers"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }

  # The gateway talks to its own control plane and to the Internet by its public address.
  subnets_through_nat = toset(var.nat_gateway ? ["aks", "runner"] : [])
}

resource "azurerm_virtual_network" "this" {
  name                = "vnet-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  address_space       = var.address_space
  dns_servers         = var.dns_servers
  tags                = var.tags
}

resource "azurerm_subnet" "this" {
  for_each = var.subnets

  name                              = "snet-${replace(each.key, "_", "-")}"
  resource_group_name               = var.resource_group_name
  virtual_network_name              = azurerm_virtual_network.this.name
  address_prefixes                  = [each.value]
  default_outbound_access_enabled   = each.key == "gateway"
  private_endpoint_network_policies = each.key == "private_endpoints" ? "NetworkSecurityGroupEnabled" : "Disabled"

  dynamic "delegation" {
    for_each = contains(keys(local.delegations), each.key) ? [local.delegations[each.key]] : []
    content {
      name = "platform"
      service_delegation {
        name    = delegation.value.service
        actions = delegation.value.actions
      }
    }
  }
}

resource "azurerm_network_security_group" "gateway" {
  name                = "nsg-${var.name}-gateway"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags

  # Application Gateway v2 does not start without its management ports.
  security_rule {
    name                       = "AllowGatewayManager"
    priority                   = 100
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefix      = "GatewayManager"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "65200-65535"
  }

  security_rule {
    name                       = "AllowAzureLoadBalancer"
    priority                   = 110
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "*"
    source_address_prefix      = "AzureLoadBalancer"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }

  security_rule {
    name                       = "AllowClients"
    priority                   = 120
    direction                  = "Inbound"
    access                     = "Allow"
    protocol                   = "Tcp"
    source_address_prefixes    = length(var.gateway_client_ranges) > 0 ? var.gateway_client_ranges : null
    source_address_prefix      = length(var.gateway_client_ranges) > 0 ? null : "Internet"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_ranges    = ["443", "80"]
  }
}

resource "azurerm_network_security_group" "internal" {
  name                = "nsg-${var.name}-internal"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags

  # Azure's default rules let the whole Internet in nowhere, but say so only by absence; this one is seen in reviews.
  security_rule {
    name                       = "DenyInternetInbound"
    priority                   = 4000
    direction                  = "Inbound"
    access                     = "Deny"
    protocol                   = "*"
    source_address_prefix      = "Internet"
    source_port_range          = "*"
    destination_address_prefix = "*"
    destination_port_range     = "*"
  }
}

resource "azurerm_subnet_network_security_group_association" "this" {
  # AKS keeps its own NSG on the nodes' network interfaces; one on its subnet would have to follow every Service.
  for_each = toset([for key in keys(var.subnets) : key if contains(["gateway", "private_endpoints", "runner", "postgresql"], key)])

  subnet_id                 = azurerm_subnet.this[each.key].id
  network_security_group_id = each.key == "gateway" ? azurerm_network_security_group.gateway.id : azurerm_network_security_group.internal.id
}

resource "azurerm_public_ip" "nat" {
  count = var.nat_gateway ? 1 : 0

  name                = "pip-${var.name}-nat"
  resource_group_name = var.resource_group_name
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  # A NAT gateway stands in one zone, and its address in the same.
  zones = slice(var.zones, 0, min(1, length(var.zones)))
  tags  = var.tags
}

resource "azurerm_nat_gateway" "this" {
  count = var.nat_gateway ? 1 : 0

  name                    = "ng-${var.name}"
  resource_group_name     = var.resource_group_name
  location                = var.location
  sku_name                = "Standard"
  idle_timeout_in_minutes = 4
  zones                   = slice(var.zones, 0, min(1, length(var.zones)))
  tags                    = var.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count = var.nat_gateway ? 1 : 0

  nat_gateway_id       = azurerm_nat_gateway.this[0].id
  public_ip_address_id = azurerm_public_ip.nat[0].id
}

resource "azurerm_subnet_nat_gateway_association" "this" {
  for_each = local.subnets_through_nat

  subnet_id      = azurerm_subnet.this[each.key].id
  nat_gateway_id = azurerm_nat_gateway.this[0].id

  # Azure refuses a gateway without an address on a subnet.
  depends_on = [azurerm_nat_gateway_public_ip_association.this]
}
