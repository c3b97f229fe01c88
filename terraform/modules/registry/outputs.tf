output "id" {
  description = "Resource id."
  value       = azurerm_container_registry.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_container_registry.this.name
}

output "login_server" {
  description = "Host name of the registry."
  value       = azurerm_container_registry.this.login_server
}
