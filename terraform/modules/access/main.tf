# Role assignments. Their names are derived, not random: after a run that was killed before it could write its state,
# Azure answers with the id of the assignment that exists, and the next run imports it.

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  name                 = uuidv5("url", join("|", [each.value.scope, each.value.role, each.value.principal_id]))
  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = each.value.principal_id
  principal_type       = each.value.principal_type
}
