output "id" {
  description = "Resource id."
  value       = azurerm_application_gateway.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_application_gateway.this.name
}

output "public_ip" {
  description = "Static public address."
  value       = azurerm_public_ip.this.ip_address
}

output "fqdn" {
  description = "Azure's name for the public address."
  value       = azurerm_public_ip.this.fqdn
}

output "firewall_policy_id" {
  description = "Resource id of the WAF policy."
  value       = azurerm_web_application_firewall_policy.this.id
}
