output "id" {
  description = "Resource id."
  value       = azurerm_load_test.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_load_test.this.name
}

output "data_plane_uri" {
  description = "Host name of the data plane."
  value       = azurerm_load_test.this.data_plane_uri
}
