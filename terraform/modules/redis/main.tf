# Redis in one of two kinds: Azure Managed Redis (the default) or Azure Cache for Redis, which Azure retires on
# 2028-09-30 and offers to tenants only that had one before. Access keys are off on both: Entra only.

resource "azurerm_managed_redis" "this" {
  count = var.kind == "managed" ? 1 : 0

  name                      = var.name
  resource_group_name       = var.resource_group_name
  location                  = var.location
  sku_name                  = var.sku_name
  high_availability_enabled = var.high_availability
  public_network_access     = var.public_network_access ? "Enabled" : "Disabled"
  tags                      = var.tags

  default_database {
    access_keys_authentication_enabled = false
    client_protocol                    = "Encrypted"
    clustering_policy                  = "OSSCluster"
    eviction_policy                    = "VolatileLRU"
  }
}

resource "azurerm_managed_redis_access_policy_assignment" "this" {
  for_each = var.kind == "managed" ? var.data_principals : {}

  managed_redis_id = azurerm_managed_redis.this[0].id
  object_id        = each.value
}

resource "azurerm_redis_cache" "this" {
  count = var.kind == "cache" ? 1 : 0

  name                               = var.name
  resource_group_name                = var.resource_group_name
  location                           = var.location
  sku_name                           = "Premium"
  family                             = "P"
  capacity                           = var.cache_capacity
  non_ssl_port_enabled               = false
  minimum_tls_version                = "1.2"
  access_keys_authentication_enabled = false
  public_network_access_enabled      = var.public_network_access
  zones                              = var.zones
  tags                               = var.tags

  redis_configuration {
    active_directory_authentication_enabled = true
    maxmemory_policy                        = "volatile-lru"
  }
}

resource "azurerm_redis_cache_access_policy_assignment" "this" {
  for_each = var.kind == "cache" ? var.data_principals : {}

  name               = each.key
  redis_cache_id     = azurerm_redis_cache.this[0].id
  access_policy_name = "Data Contributor"
  object_id          = each.value
  object_id_alias    = each.key
}

locals {
  resource = var.kind == "managed" ? {
    id       = azurerm_managed_redis.this[0].id
    hostname = azurerm_managed_redis.this[0].hostname
    port     = azurerm_managed_redis.this[0].default_database[0].port
    # Azure logs connections on the database, metrics on the cluster.
    logged = "${azurerm_managed_redis.this[0].id}/databases/default"
    group  = "redisEnterprise"
    } : {
    id       = azurerm_redis_cache.this[0].id
    hostname = azurerm_redis_cache.this[0].hostname
    port     = azurerm_redis_cache.this[0].ssl_port
    logged   = azurerm_redis_cache.this[0].id
    group    = "redisCache"
  }
}

module "private_endpoint" {
  source = "../private_endpoint"

  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.private_endpoint_subnet_id
  target_id           = local.resource.id
  subresource         = local.resource.group
  dns_zone_id         = var.dns_zone_id
  tags                = var.tags
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = local.resource.logged
  log_analytics_workspace_id = var.log_analytics_workspace_id
  metric_categories          = var.kind == "managed" ? [] : ["AllMetrics"]
}
