# Key Vault: permissions by role assignments, no access policies; recoverable for its whole retention.

resource "azurerm_key_vault" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group_name
  location                      = var.location
  tenant_id                     = var.tenant_id
  sku_name                      = var.sku
  rbac_authorization_enabled    = true
  purge_protection_enabled      = var.purge_protection
  soft_delete_retention_days    = var.soft_delete_retention_days
  public_network_access_enabled = var.public_network_access
  tags                          = var.tags

  network_acls {
    bypass         = "AzureServices"
    default_action = "Deny"
  }

  lifecycle {
    # Access `allowlist`: the run opens its own address for its own duration.
    ignore_changes = [network_acls[0].ip_rules]
  }
}

module "private_endpoint" {
  source = "../private_endpoint"

  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.private_endpoint_subnet_id
  target_id           = azurerm_key_vault.this.id
  subresource         = "vault"
  dns_zone_id         = var.dns_zone_id
  tags                = var.tags
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_key_vault.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
}
