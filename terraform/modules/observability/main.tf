# Log Analytics (made here or given by id) and Application Insights on it. Keys are off on both: what is sent is
# authenticated by Entra.

resource "azurerm_log_analytics_workspace" "this" {
  count = var.workspace_id == null ? 1 : 0

  name                         = "log-${var.name}"
  resource_group_name          = var.resource_group_name
  location                     = var.location
  sku                          = "PerGB2018"
  retention_in_days            = var.retention_in_days
  daily_quota_gb               = var.daily_quota_gb
  local_authentication_enabled = false
  tags                         = var.tags
}

resource "azurerm_application_insights" "this" {
  name                         = "appi-${var.name}"
  resource_group_name          = var.resource_group_name
  location                     = var.location
  application_type             = "web"
  workspace_id                 = local.workspace_id
  retention_in_days            = 90
  sampling_percentage          = 100
  local_authentication_enabled = false
  ip_masking_enabled           = true
  daily_data_cap_in_gb         = var.application_insights_daily_cap_gb
  tags                         = var.tags

  lifecycle {
    # Made without keys. The role azure_monitor turns them on for a collector, whose exporter knows no Entra, and off again.
    ignore_changes = [local_authentication_enabled]
  }
}

locals {
  workspace_id = var.workspace_id == null ? azurerm_log_analytics_workspace.this[0].id : var.workspace_id
}
