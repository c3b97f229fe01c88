# Container registry, reached by private endpoint only. No admin user, no anonymous pull.

resource "azurerm_container_registry" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group_name
  location                      = var.location
  sku                           = "Premium"
  admin_enabled                 = false
  anonymous_pull_enabled        = false
  public_network_access_enabled = var.public_network_access
  zone_redundancy_enabled       = var.zone_redundancy
  data_endpoint_enabled         = true
  export_policy_enabled         = var.public_network_access
  retention_policy_in_days      = var.untagged_retention_in_days
  network_rule_bypass_option    = "AzureServices"
  tags                          = var.tags

  dynamic "georeplications" {
    for_each = var.georeplications
    content {
      location                        = georeplications.value
      zone_redundancy_enabled         = var.zone_redundancy
      global_endpoint_routing_enabled = true
      tags                            = var.tags
    }
  }
}

module "private_endpoint" {
  source = "../private_endpoint"

  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.private_endpoint_subnet_id
  target_id           = azurerm_container_registry.this.id
  subresource         = "registry"
  dns_zone_id         = var.dns_zone_id
  tags                = var.tags
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_container_registry.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
}
