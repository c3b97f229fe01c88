output "log_analytics" {
  description = "The workspace: id and name."
  value = {
    id   = local.workspace_id
    name = reverse(split("/", local.workspace_id))[0]
  }
}

output "application_insights" {
  description = "Application Insights: id, name, application id. The connection string is left out: who needs it reads it from Azure."
  value = {
    id     = azurerm_application_insights.this.id
    name   = azurerm_application_insights.this.name
    app_id = azurerm_application_insights.this.app_id
  }
}
