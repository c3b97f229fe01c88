output "id" {
  description = "Resource id."
  value       = azurerm_storage_account.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_storage_account.this.name
}

output "blob_endpoint" {
  description = "Address of the blob service, ends with a slash."
  value       = azurerm_storage_account.this.primary_blob_endpoint
}

output "containers" {
  description = "Names of the containers."
  value       = sort([for container in azurerm_storage_container.this : container.name])
}
