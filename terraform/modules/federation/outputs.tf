output "subjects" {
  description = "Trusted service accounts by workload."
  value       = { for name, credential in azurerm_federated_identity_credential.this : name => credential.subject }
}
