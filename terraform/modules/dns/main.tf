# Private DNS zones and their links to the platform's network. Zones that the caller names by id are used as they are:
# a hub owns them, and their links too.

locals {
  own = { for key, name in var.zones : key => name if !contains(keys(var.existing_zone_ids), key) }
}

resource "azurerm_private_dns_zone" "this" {
  for_each = local.own

  name                = each.value
  resource_group_name = var.resource_group_name
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = local.own

  name                 = "platform"
  private_dns_zone_id  = azurerm_private_dns_zone.this[each.key].id
  virtual_network_id   = var.virtual_network_id
  registration_enabled = false
  tags                 = var.tags
}
