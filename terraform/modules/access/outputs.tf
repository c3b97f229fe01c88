output "ids" {
  description = "Ids of the assignments by key."
  value       = { for key, assignment in azurerm_role_assignment.this : key => assignment.id }
}
