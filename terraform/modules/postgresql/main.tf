# PostgreSQL Flexible Server with its databases, Entra administrators and parameters. Logins, grants and extensions are
# SQL, and the role `postgresql_databases` makes them.

locals {
  delegated = var.network_mode == "delegated"
  password  = var.authentication == "password"
}

resource "azurerm_postgresql_flexible_server" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group_name
  location                      = var.location
  version                       = var.server_version
  sku_name                      = var.sku_name
  storage_mb                    = var.storage_mb
  auto_grow_enabled             = true
  backup_retention_days         = var.backup_retention_days
  geo_redundant_backup_enabled  = var.geo_redundant_backup
  zone                          = var.zone
  public_network_access_enabled = local.delegated ? false : var.public_network_access
  delegated_subnet_id           = local.delegated ? var.delegated_subnet_id : null
  private_dns_zone_id           = local.delegated ? var.dns_zone_id : null
  tags                          = var.tags

  # Write-only: sent when the server is made and never stored. Afterwards the vault's value is set through ARM.
  administrator_login               = local.password ? var.administrator_login : null
  administrator_password_wo         = local.password ? var.administrator_password : null
  administrator_password_wo_version = local.password ? 1 : null

  authentication {
    active_directory_auth_enabled = true
    password_auth_enabled         = local.password
    tenant_id                     = var.tenant_id
  }

  dynamic "high_availability" {
    for_each = var.high_availability == "Disabled" ? [] : [var.high_availability]
    content {
      mode                      = high_availability.value
      standby_availability_zone = high_availability.value == "ZoneRedundant" ? var.standby_zone : null
    }
  }

  maintenance_window {
    day_of_week  = var.maintenance.day_of_week
    start_hour   = var.maintenance.start_hour
    start_minute = 0
  }

  lifecycle {
    ignore_changes = [
      # A restore makes the server with these, and no later plan may undo it.
      create_mode,
      source_server_id,
      point_in_time_restore_time_in_utc,
      # After a failover Azure swaps the two zones.
      zone,
      high_availability[0].standby_availability_zone,
      # Storage grows by itself and never shrinks.
      storage_mb,
      # Sent when the server is made, and never again: afterwards the vault's value is set through ARM, on a restored
      # server too.
      administrator_password_wo_version,
      # How the server was restored, and whether a promotion has fenced or replaced it.
      tags["aksops-restore-source"],
      tags["aksops-restore-mode"],
      tags["aksops-restore-point"],
      tags["aksops-restore-id"],
      tags["aksops-restore-phase"],
      tags["aksops-postgresql-fence"],
      tags["aksops-postgresql-mark"],
      tags["aksops-postgresql-role"],
    ]
  }
}

resource "azurerm_postgresql_flexible_server_active_directory_administrator" "this" {
  for_each = var.administrators

  resource_group_name = var.resource_group_name
  server_name         = azurerm_postgresql_flexible_server.this.name
  tenant_id           = var.tenant_id
  object_id           = each.value.object_id
  principal_name      = each.key
  principal_type      = each.value.principal_type
}

resource "azurerm_postgresql_flexible_server_configuration" "this" {
  for_each = var.parameters

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.this.id
  value     = each.value
}

resource "azurerm_postgresql_flexible_server_database" "this" {
  for_each = var.databases

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.this.id
  charset   = "UTF8"
  collation = each.value.collation
}

module "private_endpoint" {
  source = "../private_endpoint"
  count  = local.delegated ? 0 : 1

  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.private_endpoint_subnet_id
  target_id           = azurerm_postgresql_flexible_server.this.id
  subresource         = "postgresqlServer"
  dns_zone_id         = var.dns_zone_id
  tags                = var.tags
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_postgresql_flexible_server.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
}
