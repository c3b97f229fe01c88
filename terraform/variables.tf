# Every input of the platform. The role `infrastructure` fills them from the inventory (platform_*).

variable "subscription_id" {
  description = "Azure subscription of the environment."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.subscription_id))
    error_message = "subscription_id must be a GUID in lower case."
  }
}

variable "tenant_id" {
  description = "Entra tenant of the subscription."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tenant_id))
    error_message = "tenant_id must be a GUID in lower case."
  }
}

variable "environment" {
  description = "Name of the environment: the inventory host, for example production-weu. Part of every name."
  type        = string
  validation {
    # 14 characters leave room for kv-<environment>-<suffix> within a vault's 24.
    condition     = can(regex("^[a-z][a-z0-9-]{0,12}[a-z0-9]$", var.environment)) && !strcontains(var.environment, "--")
    error_message = "environment must be 2 to 14 characters: lower-case letters, digits and single hyphens, starting with a letter and not ending with a hyphen."
  }
}

variable "name_prefix" {
  description = "First part of the names that are unique within the subscription."
  type        = string
  default     = "aksops"
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.name_prefix))
    error_message = "name_prefix must be 2 to 12 lower-case letters and digits, starting with a letter."
  }
}

variable "location" {
  description = "Azure region, as in westeurope."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+[a-z0-9]*$", var.location))
    error_message = "location must be the region's short name in lower case, for example westeurope."
  }
}

variable "zones" {
  description = "Availability zones of the region that the platform uses; empty where the region has none."
  type        = list(string)
  default     = ["1", "2", "3"]
  validation {
    condition     = alltrue([for zone in var.zones : contains(["1", "2", "3"], zone)]) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones may hold 1, 2 and 3, each once."
  }
}

variable "tags" {
  description = "Tags of every resource, beside the platform's own."
  type        = map(string)
  default     = {}
}

variable "access" {
  description = "inside: every service is reached by private endpoint only. allowlist: public addresses answer too, and their firewalls deny all but what a run opens for itself."
  type        = string
  default     = "inside"
  validation {
    condition     = contains(["inside", "allowlist"], var.access)
    error_message = "access must be inside or allowlist."
  }
}

variable "operators" {
  description = "People, groups and service principals that run the platform, by name: Entra object ids, so that the plan does not depend on who makes it. They get the data roles, and PostgreSQL's administration."
  type = map(object({
    object_id      = string
    principal_type = optional(string, "Group")
  }))
  validation {
    condition     = alltrue([for operator in var.operators : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", operator.object_id))])
    error_message = "Each operator's object_id must be a GUID in lower case."
  }
  validation {
    condition     = alltrue([for operator in var.operators : contains(["User", "Group", "ServicePrincipal"], operator.principal_type)])
    error_message = "Each operator's principal_type must be User, Group or ServicePrincipal."
  }
  validation {
    condition     = length(var.operators) > 0
    error_message = "operators must name at least one principal: without one nobody could reach the platform's data."
  }
}

variable "workload_identities" {
  description = "Workloads in the cluster that act as an identity of their own, by name."
  type = map(object({
    namespace       = string
    service_account = string
  }))
  default = {}
  validation {
    condition     = alltrue([for name in keys(var.workload_identities) : can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", name)) && !contains(["control-plane", "kubelet", "gateway"], name)])
    error_message = "Workload identities must be named with 2 to 24 lower-case letters, digits and hyphens; control-plane, kubelet and gateway are taken."
  }
}

variable "network" {
  description = <<-EOT
    The network. Either made here (address_space, subnets) or given by id (vnet_id and subnet_ids with the same keys).
    Subnets: aks, api_server, gateway (application gateway only), private_endpoints, postgresql (delegated), runner.
    outbound: nat_gateway, or user_defined_routing where a firewall's route table stands on the given subnets.
  EOT
  type = object({
    vnet_id       = optional(string)
    subnet_ids    = optional(map(string), {})
    address_space = optional(list(string), ["10.40.0.0/16"])
    subnets = optional(map(string), {
      aks               = "10.40.0.0/20"
      api_server        = "10.40.16.0/27"
      gateway           = "10.40.17.0/24"
      private_endpoints = "10.40.18.0/24"
      postgresql        = "10.40.19.0/26"
      runner            = "10.40.20.0/27"
    })
    dns_servers           = optional(list(string), [])
    outbound              = optional(string, "nat_gateway")
    gateway_client_ranges = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = contains(["nat_gateway", "user_defined_routing"], var.network.outbound)
    error_message = "network.outbound must be nat_gateway or user_defined_routing."
  }
  validation {
    condition     = var.network.vnet_id != null || length(setsubtract(["aks", "api_server", "gateway", "private_endpoints", "postgresql", "runner"], keys(var.network.subnets))) == 0
    error_message = "network.subnets must hold aks, api_server, gateway, private_endpoints, postgresql and runner."
  }
  validation {
    condition     = var.network.vnet_id == null || length(setsubtract(["aks", "api_server", "gateway", "private_endpoints", "postgresql"], keys(var.network.subnet_ids))) == 0
    error_message = "With network.vnet_id, network.subnet_ids must hold aks, api_server, gateway, private_endpoints and postgresql."
  }
  validation {
    condition     = alltrue([for cidr in concat(var.network.address_space, values(var.network.subnets)) : can(cidrhost(cidr, 0)) && try(cidrsubnet(cidr, 0, 0), "") == cidr])
    error_message = "network.address_space and network.subnets must be CIDR blocks written by their first address, for example 10.40.0.0/16."
  }
  validation {
    # Two blocks overlap when the wider one, cut to its own length, is the same for both.
    condition = var.network.vnet_id != null || alltrue(flatten([
      for a, left in var.network.subnets : [
        for b, right in var.network.subnets :
        a == b || try(
          cidrsubnet("${split("/", left)[0]}/${min(tonumber(split("/", left)[1]), tonumber(split("/", right)[1]))}", 0, 0)
          != cidrsubnet("${split("/", right)[0]}/${min(tonumber(split("/", left)[1]), tonumber(split("/", right)[1]))}", 0, 0),
          true
        )
      ]
    ]))
    error_message = "network.subnets overlap each other."
  }
  validation {
    condition = var.network.vnet_id != null || alltrue([
      for cidr in values(var.network.subnets) : anytrue([
        for space in var.network.address_space : try(
          tonumber(split("/", cidr)[1]) >= tonumber(split("/", space)[1])
          && cidrsubnet("${split("/", cidr)[0]}/${split("/", space)[1]}", 0, 0) == cidrsubnet(space, 0, 0),
          true
        )
      ])
    ])
    error_message = "Each of network.subnets must lie inside network.address_space."
  }
  validation {
    condition     = var.network.vnet_id != null || try(tonumber(split("/", var.network.subnets.gateway)[1]) <= 26 && tonumber(split("/", var.network.subnets.api_server)[1]) <= 28, true)
    error_message = "network.subnets.gateway needs /26 or larger and network.subnets.api_server /28 or larger."
  }
}

variable "dns" {
  description = "Private DNS zones that exist elsewhere, by service: key_vault, blob, registry, service_bus, redis, postgresql, kubernetes. Their links are their owner's."
  type = object({
    zone_ids = optional(map(string), {})
  })
  default = {}
  validation {
    condition     = length(setsubtract(keys(var.dns.zone_ids), ["key_vault", "blob", "registry", "service_bus", "redis", "postgresql", "kubernetes"])) == 0
    error_message = "dns.zone_ids may hold key_vault, blob, registry, service_bus, redis, postgresql and kubernetes."
  }
}

variable "observability" {
  description = "Log Analytics (made here, or given by workspace_id) and Application Insights."
  type = object({
    workspace_id                      = optional(string)
    retention_in_days                 = optional(number, 90)
    daily_quota_gb                    = optional(number, -1)
    application_insights_daily_cap_gb = optional(number, 100)
  })
  default = {}
  validation {
    condition     = var.observability.retention_in_days >= 30 && var.observability.retention_in_days <= 730
    error_message = "observability.retention_in_days must be 30 to 730."
  }
}

variable "kubernetes" {
  description = "The AKS cluster. version is a minor version: AKS chooses the patch. api_server, pod_cidr, service_cidr and network.outbound are decided at creation."
  type = object({
    version                   = optional(string, "1.36")
    sku_tier                  = optional(string, "Standard")
    automatic_upgrade_channel = optional(string, "patch")
    node_os_upgrade_channel   = optional(string, "NodeImage")
    os_sku                    = optional(string, "AzureLinux3")
    pod_cidr                  = optional(string, "192.168.0.0/16")
    service_cidr              = optional(string, "10.41.0.0/16")
    api_server = optional(object({
      access               = optional(string, "private")
      vnet_integration     = optional(bool, false)
      public_fqdn          = optional(bool, false)
      authorized_ip_ranges = optional(list(string), [])
    }), {})
    system_pool = optional(object({
      vm_size         = optional(string, "Standard_D4ds_v5")
      min_count       = optional(number, 3)
      max_count       = optional(number, 6)
      os_disk_type    = optional(string, "Ephemeral")
      os_disk_size_gb = optional(number, 128)
    }), {})
    user_pools = optional(map(object({
      vm_size         = optional(string, "Standard_D8ds_v5")
      min_count       = optional(number, 3)
      max_count       = optional(number, 12)
      os_disk_type    = optional(string, "Ephemeral")
      os_disk_size_gb = optional(number, 128)
      node_labels     = optional(map(string), {})
      node_taints     = optional(list(string), [])
    })), { user = {} })
    maintenance = optional(object({
      upgrade_day    = optional(string, "Saturday")
      node_os_day    = optional(string, "Sunday")
      start_time     = optional(string, "01:00")
      duration_hours = optional(number, 6)
    }), {})
  })
  default = {}

  validation {
    # AKS support ends: 1.35 in March 2027, 1.36 in June 2027; 1.34 ended in November 2026.
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes.version)
    error_message = "kubernetes.version must be 1.35, 1.36 or 1.37: Azure supports no other version, and the patch is chosen by AKS."
  }
  validation {
    condition     = contains(["Free", "Standard", "Premium"], var.kubernetes.sku_tier)
    error_message = "kubernetes.sku_tier must be Free, Standard or Premium."
  }
  validation {
    condition     = contains(["private", "public"], var.kubernetes.api_server.access)
    error_message = "kubernetes.api_server.access must be private or public."
  }
  validation {
    condition     = contains(["patch", "stable", "rapid", "node-image"], var.kubernetes.automatic_upgrade_channel) && contains(["NodeImage", "SecurityPatch", "Unmanaged", "None"], var.kubernetes.node_os_upgrade_channel)
    error_message = "kubernetes.automatic_upgrade_channel must be patch, stable, rapid or node-image, and node_os_upgrade_channel NodeImage, SecurityPatch, Unmanaged or None."
  }
  validation {
    condition = alltrue([
      for cidr in [var.kubernetes.pod_cidr, var.kubernetes.service_cidr] : can(cidrhost(cidr, 0)) && try(cidrsubnet(cidr, 0, 0), "") == cidr
    ])
    error_message = "kubernetes.pod_cidr and kubernetes.service_cidr must be CIDR blocks written by their first address."
  }
  validation {
    condition = alltrue(flatten([
      for own in [var.kubernetes.pod_cidr, var.kubernetes.service_cidr] : [
        for other in concat(var.network.vnet_id == null ? var.network.address_space : [], own == var.kubernetes.pod_cidr ? [var.kubernetes.service_cidr] : [], ["172.30.0.0/16", "172.31.0.0/16"]) :
        try(
          cidrsubnet("${split("/", own)[0]}/${min(tonumber(split("/", own)[1]), tonumber(split("/", other)[1]))}", 0, 0)
          != cidrsubnet("${split("/", other)[0]}/${min(tonumber(split("/", own)[1]), tonumber(split("/", other)[1]))}", 0, 0),
          true
        )
      ]
    ]))
    error_message = "kubernetes.pod_cidr and kubernetes.service_cidr must not overlap each other, network.address_space, 172.30.0.0/16 or 172.31.0.0/16."
  }
  validation {
    condition     = length(var.kubernetes.user_pools) > 0 && alltrue([for name in keys(var.kubernetes.user_pools) : can(regex("^[a-z][a-z0-9]{0,11}$", name)) && name != "system"])
    error_message = "kubernetes.user_pools must hold at least one pool, named with 1 to 12 lower-case letters and digits, and not system."
  }
  validation {
    condition = alltrue([
      for pool in concat([var.kubernetes.system_pool], [for pool in values(var.kubernetes.user_pools) : { min_count = pool.min_count, max_count = pool.max_count, vm_size = pool.vm_size, os_disk_type = pool.os_disk_type, os_disk_size_gb = pool.os_disk_size_gb }]) :
      pool.min_count >= 1 && pool.max_count >= pool.min_count && pool.max_count <= 1000 && can(regex("^Standard_[A-Za-z0-9_]+$", pool.vm_size)) && contains(["Ephemeral", "Managed"], pool.os_disk_type)
    ])
    error_message = "Each node pool needs 1 <= min_count <= max_count <= 1000, a vm_size like Standard_D4ds_v5 and os_disk_type Ephemeral or Managed."
  }
  validation {
    condition     = var.kubernetes.maintenance.duration_hours >= 4 && var.kubernetes.maintenance.duration_hours <= 24
    error_message = "kubernetes.maintenance.duration_hours must be 4 to 24."
  }
}

variable "registry" {
  description = "Azure Container Registry Premium."
  type = object({
    zone_redundancy            = optional(bool, true)
    untagged_retention_in_days = optional(number, 30)
    georeplications            = optional(list(string), [])
  })
  default = {}
}

variable "postgresql" {
  description = <<-EOT
    PostgreSQL Flexible Server. geo_redundant_backup and network_mode are decided at creation. authentication entra has
    no password at all; password adds one, set once from the ephemeral variable postgresql_administrator_password.
    name is the server in use after a restored one was promoted; the role `infrastructure` reads it off the resource
    group's tag aksops-postgresql-active.
  EOT
  type = object({
    name                  = optional(string)
    version               = optional(string, "18")
    sku_name              = optional(string, "GP_Standard_D4ds_v5")
    storage_mb            = optional(number, 131072)
    backup_retention_days = optional(number, 35)
    geo_redundant_backup  = optional(bool, true)
    high_availability     = optional(string, "ZoneRedundant")
    zone                  = optional(string, "1")
    standby_zone          = optional(string, "2")
    network_mode          = optional(string, "private_endpoint")
    authentication        = optional(string, "entra")
    administrator_login   = optional(string, "platformadmin")
    databases             = optional(map(object({ collation = optional(string, "en_US.utf8") })), {})
    parameters            = optional(map(string), {})
    maintenance           = optional(object({ day_of_week = optional(number, 0), start_hour = optional(number, 2) }), {})
  })
  default = {}

  validation {
    condition     = contains(["14", "15", "16", "17", "18"], var.postgresql.version)
    error_message = "postgresql.version must be 14, 15, 16, 17 or 18."
  }
  validation {
    condition     = can(regex("^(B|GP|MO)_Standard_[A-Za-z0-9_]+$", var.postgresql.sku_name))
    error_message = "postgresql.sku_name must look like GP_Standard_D4ds_v5 (B, GP or MO)."
  }
  validation {
    condition     = contains([32768, 65536, 131072, 262144, 524288, 1048576, 2097152, 4193280, 4194304, 8388608, 16777216, 33553408], var.postgresql.storage_mb)
    error_message = "postgresql.storage_mb must be one of Azure's sizes, from 32768 to 33553408."
  }
  validation {
    condition     = var.postgresql.backup_retention_days >= 7 && var.postgresql.backup_retention_days <= 35
    error_message = "postgresql.backup_retention_days must be 7 to 35."
  }
  validation {
    condition     = contains(["ZoneRedundant", "SameZone", "Disabled"], var.postgresql.high_availability) && (var.postgresql.high_availability == "Disabled" || !startswith(var.postgresql.sku_name, "B_"))
    error_message = "postgresql.high_availability must be ZoneRedundant, SameZone or Disabled; burstable sizes (B_) have none."
  }
  validation {
    condition     = contains(["private_endpoint", "delegated"], var.postgresql.network_mode) && contains(["entra", "password"], var.postgresql.authentication)
    error_message = "postgresql.network_mode must be private_endpoint or delegated, and postgresql.authentication entra or password."
  }
  validation {
    condition     = !contains(["azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public"], var.postgresql.administrator_login) && !startswith(var.postgresql.administrator_login, "pg_")
    error_message = "postgresql.administrator_login is a name that Azure reserves."
  }
  validation {
    condition     = alltrue([for name in keys(var.postgresql.databases) : can(regex("^[a-z_][a-z0-9_-]{0,62}$", name)) && !contains(["postgres", "azure_maintenance", "azure_sys", "template0", "template1"], name)])
    error_message = "postgresql.databases must be named with lower-case letters, digits, _ and -, and not as one of the server's own."
  }
}

variable "postgresql_administrator_password" {
  description = "First password of PostgreSQL's administrator, for postgresql.authentication password. Ephemeral: it is sent once and is in neither state nor plan."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "service_bus" {
  description = "Service Bus Premium. partitions is decided at creation."
  type = object({
    capacity   = optional(number, 1)
    partitions = optional(number, 1)
    queues = optional(map(object({
      max_delivery_count           = optional(number, 10)
      lock_duration                = optional(string, "PT1M")
      requires_session             = optional(bool, false)
      requires_duplicate_detection = optional(bool, false)
    })), {})
    topics = optional(map(object({
      subscriptions                = optional(set(string), [])
      requires_duplicate_detection = optional(bool, false)
      support_ordering             = optional(bool, true)
    })), {})
  })
  default = {}

  validation {
    condition     = contains([1, 2, 4, 8, 16], var.service_bus.capacity) && contains([1, 2, 4], var.service_bus.partitions) && var.service_bus.capacity % var.service_bus.partitions == 0
    error_message = "service_bus.capacity must be 1, 2, 4, 8 or 16, service_bus.partitions 1, 2 or 4, and the first a multiple of the second."
  }
}

variable "redis" {
  description = "Redis: managed (Azure Managed Redis) or cache (Azure Cache for Redis, retiring 2028-09-30 and closed to new tenants). high_availability is decided at creation."
  type = object({
    kind              = optional(string, "managed")
    sku_name          = optional(string, "Balanced_B3")
    high_availability = optional(bool, true)
    cache_capacity    = optional(number, 1)
  })
  default = {}

  validation {
    condition     = contains(["managed", "cache"], var.redis.kind)
    error_message = "redis.kind must be managed or cache."
  }
  validation {
    condition     = can(regex("^(Balanced_B|ComputeOptimized_X|MemoryOptimized_M|FlashOptimized_A)[0-9]+$", var.redis.sku_name))
    error_message = "redis.sku_name must look like Balanced_B3."
  }
  validation {
    condition     = var.redis.cache_capacity >= 1 && var.redis.cache_capacity <= 5
    error_message = "redis.cache_capacity must be 1 to 5."
  }
}

variable "key_vault" {
  description = "Key Vault. purge_protection can never be switched off again, and soft_delete_retention_days is decided at creation."
  type = object({
    sku                        = optional(string, "standard")
    purge_protection           = optional(bool, true)
    soft_delete_retention_days = optional(number, 90)
  })
  default = {}

  validation {
    condition     = contains(["standard", "premium"], var.key_vault.sku)
    error_message = "key_vault.sku must be standard or premium."
  }
  validation {
    condition     = var.key_vault.soft_delete_retention_days >= 7 && var.key_vault.soft_delete_retention_days <= 90
    error_message = "key_vault.soft_delete_retention_days must be 7 to 90."
  }
}

variable "storage" {
  description = "Blob storage. replication_type is decided at creation."
  type = object({
    replication_type      = optional(string, "GZRS")
    delete_retention_days = optional(number, 30)
    containers            = optional(set(string), ["receipts"])
  })
  default = {}

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "GZRS", "RAGRS", "RAGZRS"], var.storage.replication_type)
    error_message = "storage.replication_type must be LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS."
  }
  validation {
    condition     = alltrue([for name in var.storage.containers : can(regex("^[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]$", name)) && !strcontains(name, "--")])
    error_message = "storage.containers must be 3 to 63 lower-case letters, digits and single hyphens."
  }
}

variable "application_gateway" {
  description = "Application Gateway WAF_v2."
  type = object({
    min_capacity = optional(number, 2)
    max_capacity = optional(number, 10)
    waf_mode     = optional(string, "Prevention")
  })
  default = {}

  validation {
    condition     = var.application_gateway.min_capacity >= 0 && var.application_gateway.max_capacity >= 2 && var.application_gateway.max_capacity <= 125 && var.application_gateway.min_capacity <= var.application_gateway.max_capacity
    error_message = "application_gateway needs 0 <= min_capacity <= max_capacity, and max_capacity 2 to 125."
  }
  validation {
    condition     = contains(["Prevention", "Detection"], var.application_gateway.waf_mode)
    error_message = "application_gateway.waf_mode must be Prevention or Detection."
  }
}

variable "load_test_enabled" {
  description = "Whether the platform has an Azure Load Testing resource."
  type        = bool
  default     = true
}
