output "zone_ids" {
  description = "Zone ids by service, own and given ones. Known before the links."
  value = {
    for key in keys(var.zones) :
    key => try(var.existing_zone_ids[key], azurerm_private_dns_zone.this[key].id)
  }
}

output "link_ids" {
  description = "Links by service; a server in a delegated subnet waits for its own."
  value       = { for key, link in azurerm_private_dns_zone_virtual_network_link.this : key => link.id }
}
