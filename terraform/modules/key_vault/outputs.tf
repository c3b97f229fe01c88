output "id" {
  description = "Resource id."
  value       = azurerm_key_vault.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_key_vault.this.name
}

output "uri" {
  description = "Address of the data plane, ends with a slash."
  value       = azurerm_key_vault.this.vault_uri
}
