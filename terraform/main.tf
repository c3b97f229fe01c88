# The platform: everything that exists without the cluster's add-ons. One module a concern; what other owners write is
# named in each module's lifecycle.ignore_changes.

locals {
  name = "${var.name_prefix}-${var.environment}"

  # Global names must not collide with other subscriptions', nor depend on who runs: the same inputs, the same suffix.
  suffix  = substr(sha1("${var.subscription_id}/${var.name_prefix}/${var.environment}"), 0, 6)
  compact = "${replace(var.environment, "-", "")}${local.suffix}"
  unique  = "${var.environment}-${local.suffix}"

  tags = merge(var.tags, {
    "aksops-environment" = var.environment
    "aksops-managed-by"  = "terraform"
  })

  public_network_access = var.access == "allowlist"
  own_network           = var.network.vnet_id == null
  vnet_id               = local.own_network ? module.network[0].vnet_id : var.network.vnet_id
  subnet_ids            = local.own_network ? module.network[0].subnet_ids : var.network.subnet_ids

  private_api_server  = var.kubernetes.api_server.access == "private"
  postgresql_name     = coalesce(var.postgresql.name, "psql-${local.unique}")
  workload_principals = { for name, identity in module.identities.workloads : name => identity.principal_id }

  dns_zones = merge(
    {
      key_vault   = "privatelink.vaultcore.azure.net"
      blob        = "privatelink.blob.core.windows.net"
      registry    = "privatelink.azurecr.io"
      service_bus = "privatelink.servicebus.windows.net"
      redis       = var.redis.kind == "managed" ? "privatelink.redis.azure.net" : "privatelink.redis.cache.windows.net"
      postgresql  = var.postgresql.network_mode == "delegated" ? "${local.unique}.private.postgres.database.azure.com" : "privatelink.postgres.database.azure.com"
    },
    local.private_api_server ? { kubernetes = "privatelink.${var.location}.azmk8s.io" } : {},
  )
}

# Azure cannot change these afterwards, or only by making the resource again. A change is a replacement in the plan, at
# an address that says what it is about, and the run stops there unless the caller allows that address.
resource "terraform_data" "decided_at_creation" {
  for_each = {
    access_of_api_server            = jsonencode([var.kubernetes.api_server.access, var.kubernetes.api_server.vnet_integration])
    application_gateway_zones       = jsonencode(var.zones)
    key_vault_purge_protection      = tostring(var.key_vault.purge_protection)
    key_vault_retention             = tostring(var.key_vault.soft_delete_retention_days)
    outbound                        = var.network.outbound
    pod_range                       = var.kubernetes.pod_cidr
    postgresql_geo_redundant_backup = tostring(var.postgresql.geo_redundant_backup)
    postgresql_network_mode         = var.postgresql.network_mode
    redis_kind                      = var.redis.kind
    service_bus_partitions          = tostring(var.service_bus.partitions)
    service_range                   = var.kubernetes.service_cidr
    storage_redundancy              = var.storage.replication_type
  }

  triggers_replace = each.value
}

resource "azurerm_resource_group" "this" {
  name     = "rg-${local.name}"
  location = var.location
  tags     = local.tags

  lifecycle {
    ignore_changes = [
      # Which PostgreSQL server is in use, which one was before, and a change of it that is under way: a promotion writes
      # them, and they must outlive every inventory.
      tags["aksops-postgresql-active"],
      tags["aksops-postgresql-previous"],
      tags["aksops-postgresql-change"],
    ]
  }
}

# --- who may do what -------------------------------------------------------------------------------------------------
# Operators' data roles stand on the resource group: they are assigned while the services are still being made, and
# have reached every service when the later stages need them.
module "operator_access" {
  source = "./modules/access"

  assignments = {
    for pair in setproduct(keys(var.operators), [
      "AcrPush",
      "Azure Kubernetes Service Cluster User Role",
      "Azure Kubernetes Service RBAC Cluster Admin",
      "Azure Service Bus Data Owner",
      "Key Vault Certificates Officer",
      "Key Vault Secrets Officer",
      "Load Test Contributor",
      "Storage Blob Data Contributor",
      ]) : "${pair[0]}/${pair[1]}" => {
      scope          = azurerm_resource_group.this.id
      role           = pair[1]
      principal_id   = var.operators[pair[0]].object_id
      principal_type = var.operators[pair[0]].principal_type
    }
  }
}

module "identities" {
  source = "./modules/identities"

  name                = local.name
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = local.tags
  workloads           = var.workload_identities
}

# What the control plane needs before it exists: to join the network, to write its private name, to act as the nodes.
module "control_plane_access" {
  source = "./modules/access"

  assignments = merge(
    {
      network = {
        scope        = local.vnet_id
        role         = "Network Contributor"
        principal_id = module.identities.control_plane.principal_id
      }
      kubelet = {
        scope        = module.identities.kubelet.id
        role         = "Managed Identity Operator"
        principal_id = module.identities.control_plane.principal_id
      }
    },
    local.private_api_server ? {
      dns = {
        scope        = module.dns.zone_ids["kubernetes"]
        role         = "Private DNS Zone Contributor"
        principal_id = module.identities.control_plane.principal_id
      }
    } : {},
  )
}

module "kubelet_access" {
  source = "./modules/access"

  assignments = {
    registry = {
      scope        = module.registry.id
      role         = "AcrPull"
      principal_id = module.identities.kubelet.principal_id
    }
  }
}

module "gateway_access" {
  source = "./modules/access"

  assignments = {
    certificates = {
      scope        = module.key_vault.id
      role         = "Key Vault Secrets User"
      principal_id = module.identities.gateway.principal_id
    }
  }
}

# One module call a scope, so that each assignment waits for its own service and for no other.
module "workload_key_vault_access" {
  source = "./modules/access"

  assignments = {
    for name, principal in local.workload_principals : name => {
      scope        = module.key_vault.id
      role         = "Key Vault Secrets User"
      principal_id = principal
    }
  }
}

module "workload_storage_access" {
  source = "./modules/access"

  assignments = {
    for name, principal in local.workload_principals : name => {
      scope        = module.storage.id
      role         = "Storage Blob Data Contributor"
      principal_id = principal
    }
  }
}

module "workload_service_bus_access" {
  source = "./modules/access"

  assignments = merge([
    for name, principal in local.workload_principals : {
      for role in ["Azure Service Bus Data Receiver", "Azure Service Bus Data Sender"] : "${name}/${role}" => {
        scope        = module.service_bus.id
        role         = role
        principal_id = principal
      }
    }
  ]...)
}

module "workload_telemetry_access" {
  source = "./modules/access"

  assignments = {
    for name, principal in local.workload_principals : name => {
      scope        = module.observability.application_insights.id
      role         = "Monitoring Metrics Publisher"
      principal_id = principal
    }
  }
}

# --- network ---------------------------------------------------------------------------------------------------------
module "network" {
  source = "./modules/network"
  count  = local.own_network ? 1 : 0

  name                  = local.name
  resource_group_name   = azurerm_resource_group.this.name
  location              = var.location
  zones                 = var.zones
  tags                  = local.tags
  address_space         = var.network.address_space
  subnets               = var.network.subnets
  dns_servers           = var.network.dns_servers
  nat_gateway           = var.network.outbound == "nat_gateway"
  gateway_client_ranges = var.network.gateway_client_ranges
}

module "dns" {
  source = "./modules/dns"

  resource_group_name = azurerm_resource_group.this.name
  zones               = local.dns_zones
  existing_zone_ids   = var.dns.zone_ids
  virtual_network_id  = local.vnet_id
  tags                = local.tags
}

# --- services --------------------------------------------------------------------------------------------------------
module "observability" {
  source = "./modules/observability"

  name                              = local.name
  resource_group_name               = azurerm_resource_group.this.name
  location                          = var.location
  tags                              = local.tags
  workspace_id                      = var.observability.workspace_id
  retention_in_days                 = var.observability.retention_in_days
  daily_quota_gb                    = var.observability.daily_quota_gb
  application_insights_daily_cap_gb = var.observability.application_insights_daily_cap_gb
}

module "registry" {
  source = "./modules/registry"

  name                       = "acr${local.compact}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  dns_zone_id                = module.dns.zone_ids["registry"]
  public_network_access      = local.public_network_access
  zone_redundancy            = var.registry.zone_redundancy
  untagged_retention_in_days = var.registry.untagged_retention_in_days
  georeplications            = var.registry.georeplications
}

module "key_vault" {
  source = "./modules/key_vault"

  name                       = "kv-${local.unique}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  dns_zone_id                = module.dns.zone_ids["key_vault"]
  public_network_access      = local.public_network_access
  tenant_id                  = var.tenant_id
  sku                        = var.key_vault.sku
  purge_protection           = var.key_vault.purge_protection
  soft_delete_retention_days = var.key_vault.soft_delete_retention_days
}

module "storage" {
  source = "./modules/storage"

  name                       = "st${local.compact}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  dns_zone_id                = module.dns.zone_ids["blob"]
  public_network_access      = local.public_network_access
  replication_type           = var.storage.replication_type
  delete_retention_days      = var.storage.delete_retention_days
  # Receipts are kept there whatever else an inventory asks for: drills' trend and gates read them.
  containers = setunion(var.storage.containers, ["receipts"])
}

module "service_bus" {
  source = "./modules/service_bus"

  name                       = "sb-${local.unique}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  dns_zone_id                = module.dns.zone_ids["service_bus"]
  public_network_access      = local.public_network_access
  capacity                   = var.service_bus.capacity
  partitions                 = var.service_bus.partitions
  queues                     = var.service_bus.queues
  topics                     = var.service_bus.topics
}

module "redis" {
  source = "./modules/redis"

  name                       = "redis-${local.unique}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  dns_zone_id                = module.dns.zone_ids["redis"]
  public_network_access      = local.public_network_access
  kind                       = var.redis.kind
  sku_name                   = var.redis.sku_name
  high_availability          = var.redis.high_availability
  cache_capacity             = var.redis.cache_capacity
  zones                      = var.zones
  data_principals            = local.workload_principals
}

module "postgresql" {
  source = "./modules/postgresql"

  name                       = local.postgresql_name
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  tenant_id                  = var.tenant_id
  log_analytics_workspace_id = module.observability.log_analytics.id
  private_endpoint_subnet_id = local.subnet_ids["private_endpoints"]
  delegated_subnet_id        = local.subnet_ids["postgresql"]
  # A server in a delegated subnet is made only where its zone is resolved already.
  dns_zone_id            = var.postgresql.network_mode == "delegated" ? try(trimsuffix(module.dns.link_ids["postgresql"], "/virtualNetworkLinks/platform"), module.dns.zone_ids["postgresql"]) : module.dns.zone_ids["postgresql"]
  public_network_access  = local.public_network_access
  network_mode           = var.postgresql.network_mode
  server_version         = var.postgresql.version
  sku_name               = var.postgresql.sku_name
  storage_mb             = var.postgresql.storage_mb
  backup_retention_days  = var.postgresql.backup_retention_days
  geo_redundant_backup   = var.postgresql.geo_redundant_backup
  high_availability      = var.postgresql.high_availability
  zone                   = length(var.zones) > 0 ? var.postgresql.zone : null
  standby_zone           = length(var.zones) > 0 ? var.postgresql.standby_zone : null
  authentication         = var.postgresql.authentication
  administrator_login    = var.postgresql.administrator_login
  administrator_password = var.postgresql_administrator_password
  administrators         = var.operators
  databases              = var.postgresql.databases
  parameters             = var.postgresql.parameters
  maintenance            = var.postgresql.maintenance
}

module "application_gateway" {
  source = "./modules/application_gateway"

  name                       = "agw-${local.name}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  log_analytics_workspace_id = module.observability.log_analytics.id
  subnet_id                  = local.subnet_ids["gateway"]
  subnet_ready               = module.network
  identity_id                = module.identities.gateway.id
  zones                      = var.zones
  domain_name_label          = local.unique
  min_capacity               = var.application_gateway.min_capacity
  max_capacity               = var.application_gateway.max_capacity
  waf_mode                   = var.application_gateway.waf_mode
}

module "load_test" {
  source = "./modules/load_test"
  count  = var.load_test_enabled ? 1 : 0

  name                = "lt-${local.name}"
  resource_group_name = azurerm_resource_group.this.name
  location            = var.location
  tags                = local.tags
}

module "kubernetes" {
  source = "./modules/kubernetes"

  name                       = "aks-${local.name}"
  resource_group_name        = azurerm_resource_group.this.name
  location                   = var.location
  tags                       = local.tags
  tenant_id                  = var.tenant_id
  log_analytics_workspace_id = module.observability.log_analytics.id
  dns_prefix                 = local.unique
  node_resource_group        = "rg-${local.name}-nodes"
  kubernetes_version         = var.kubernetes.version
  sku_tier                   = var.kubernetes.sku_tier
  automatic_upgrade_channel  = var.kubernetes.automatic_upgrade_channel
  node_os_upgrade_channel    = var.kubernetes.node_os_upgrade_channel
  os_sku                     = var.kubernetes.os_sku
  zones                      = var.zones
  api_server                 = var.kubernetes.api_server
  api_server_subnet_id       = local.subnet_ids["api_server"]
  private_dns_zone_id        = local.private_api_server ? module.dns.zone_ids["kubernetes"] : null
  node_subnet_id             = local.subnet_ids["aks"]
  outbound_type              = var.network.outbound == "nat_gateway" ? "userAssignedNATGateway" : "userDefinedRouting"
  pod_cidr                   = var.kubernetes.pod_cidr
  service_cidr               = var.kubernetes.service_cidr
  control_plane_identity_id  = module.identities.control_plane.id
  kubelet_identity           = module.identities.kubelet
  system_pool                = var.kubernetes.system_pool
  user_pools                 = var.kubernetes.user_pools
  maintenance                = var.kubernetes.maintenance

  # The control plane uses these roles, and the nodes their way out, from the first second.
  depends_on = [module.control_plane_access, module.kubelet_access, module.network]
}

module "federation" {
  source = "./modules/federation"

  issuer = module.kubernetes.oidc_issuer_url
  workloads = {
    for name, workload in var.workload_identities : name => {
      identity_id     = module.identities.workloads[name].id
      namespace       = workload.namespace
      service_account = workload.service_account
    }
  }
}
