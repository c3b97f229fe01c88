output "vnet_id" {
  description = "Resource id of the network. Known before its subnets, so that role assignments on it start early."
  value       = azurerm_virtual_network.this.id
}

output "subnet_ids" {
  description = "Subnet ids by purpose."
  value       = { for key, subnet in azurerm_subnet.this : key => subnet.id }
}

output "outbound" {
  description = "Ids of what outbound traffic needs; whoever creates nodes waits for it."
  value       = [for association in azurerm_subnet_nat_gateway_association.this : association.id]
}

output "nat_gateway_ip" {
  description = "Address from which the platform reaches the Internet; null without a NAT gateway."
  value       = one(azurerm_public_ip.nat[*].ip_address)
}
