# What every module promises on its own: no keys, no public access, no password, and the fields that other owners write.

mock_provider "azurerm" {}

variables {
  resource_group_name        = "rg"
  location                   = "westeurope"
  zones                      = ["1", "2", "3"]
  tags                       = {}
  tenant_id                  = "22222222-2222-2222-2222-222222222222"
  log_analytics_workspace_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/log"
  private_endpoint_subnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/pe"
  dns_zone_id                = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/privateDnsZones/z"
  public_network_access      = false
}

run "service_bus_has_no_keys" {
  command = plan
  module {
    source = "./modules/service_bus"
  }
  variables {
    name       = "sb-test-123456"
    capacity   = 1
    partitions = 1
    queues     = { orders = {} }
    topics     = { events = { subscriptions = ["audit", "billing"] } }
  }
  assert {
    condition     = azurerm_servicebus_namespace.this.local_auth_enabled == false && azurerm_servicebus_namespace.this.public_network_access_enabled == false && azurerm_servicebus_namespace.this.sku == "Premium"
    error_message = "Service Bus Premium takes Entra only, from inside only."
  }
  assert {
    condition     = length(azurerm_servicebus_subscription.this) == 2
    error_message = "Each subscription of a topic is made."
  }
}

run "storage_has_no_keys" {
  command = plan
  module {
    source = "./modules/storage"
  }
  variables {
    name                  = "sttest123456"
    replication_type      = "GZRS"
    delete_retention_days = 30
    containers            = ["receipts"]
  }
  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false && azurerm_storage_account.this.local_user_enabled == false && azurerm_storage_account.this.allow_nested_items_to_be_public == false
    error_message = "Blobs are reached by Entra only."
  }
  assert {
    condition     = azurerm_storage_account.this.network_rules[0].default_action == "Deny" && azurerm_storage_account.this.min_tls_version == "TLS1_2"
    error_message = "The firewall denies by default."
  }
}

run "logs_have_no_keys" {
  command = plan
  module {
    source = "./modules/observability"
  }
  variables {
    name                              = "test"
    workspace_id                      = null
    retention_in_days                 = 90
    daily_quota_gb                    = -1
    application_insights_daily_cap_gb = 100
  }
  assert {
    condition     = azurerm_log_analytics_workspace.this[0].local_authentication_enabled == false && azurerm_application_insights.this.local_authentication_enabled == false
    error_message = "Logs and telemetry take Entra only."
  }
}

run "vault_is_guarded_by_roles" {
  command = plan
  module {
    source = "./modules/key_vault"
  }
  variables {
    name                       = "kv-test-123456"
    sku                        = "standard"
    purge_protection           = true
    soft_delete_retention_days = 90
  }
  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled && azurerm_key_vault.this.purge_protection_enabled && !azurerm_key_vault.this.public_network_access_enabled && azurerm_key_vault.this.network_acls[0].default_action == "Deny"
    error_message = "Roles, purge protection, no public access."
  }
}

run "managed_redis_has_no_keys" {
  command = plan
  module {
    source = "./modules/redis"
  }
  variables {
    name              = "redis-test"
    kind              = "managed"
    sku_name          = "Balanced_B3"
    high_availability = true
    cache_capacity    = 1
    data_principals   = { reference = "33333333-3333-3333-3333-333333333333" }
  }
  assert {
    condition     = azurerm_managed_redis.this[0].default_database[0].access_keys_authentication_enabled == false && azurerm_managed_redis.this[0].default_database[0].client_protocol == "Encrypted" && azurerm_managed_redis.this[0].public_network_access == "Disabled"
    error_message = "Managed Redis takes Entra only, over TLS, from inside only."
  }
  assert {
    condition     = length(azurerm_redis_cache.this) == 0 && length(azurerm_managed_redis_access_policy_assignment.this) == 1
    error_message = "One kind of Redis, with the workload's access."
  }
}

run "redis_cache_on_request_has_no_keys_either" {
  command = plan
  module {
    source = "./modules/redis"
  }
  variables {
    name              = "redis-test"
    kind              = "cache"
    sku_name          = "Balanced_B3"
    high_availability = true
    cache_capacity    = 2
    data_principals   = { reference = "33333333-3333-3333-3333-333333333333" }
  }
  assert {
    condition     = length(azurerm_managed_redis.this) == 0 && azurerm_redis_cache.this[0].access_keys_authentication_enabled == false && azurerm_redis_cache.this[0].non_ssl_port_enabled == false
    error_message = "Azure Cache for Redis takes Entra only, over TLS."
  }
}

run "postgresql_has_no_password" {
  command = plan
  module {
    source = "./modules/postgresql"
  }
  variables {
    name                  = "psql-test"
    server_version        = "18"
    sku_name              = "GP_Standard_D4ds_v5"
    storage_mb            = 131072
    backup_retention_days = 35
    geo_redundant_backup  = true
    high_availability     = "ZoneRedundant"
    zone                  = "1"
    standby_zone          = "2"
    network_mode          = "private_endpoint"
    delegated_subnet_id   = null
    authentication        = "entra"
    administrator_login   = "unused"
    administrators        = { team = { object_id = "33333333-3333-3333-3333-333333333333", principal_type = "Group" } }
    databases             = { reference = {} }
    parameters            = {}
    maintenance           = { day_of_week = 0, start_hour = 2 }
  }
  assert {
    condition     = azurerm_postgresql_flexible_server.this.authentication[0].password_auth_enabled == false && azurerm_postgresql_flexible_server.this.authentication[0].active_directory_auth_enabled == true && azurerm_postgresql_flexible_server.this.administrator_password_wo_version == null
    error_message = "Entra only: no password exists."
  }
  assert {
    condition     = azurerm_postgresql_flexible_server.this.public_network_access_enabled == false && length(module.private_endpoint) == 1
    error_message = "Reached by its private endpoint only."
  }
}

run "postgresql_in_its_own_subnet_has_no_endpoint" {
  command = plan
  module {
    source = "./modules/postgresql"
  }
  variables {
    name                   = "psql-test"
    server_version         = "18"
    sku_name               = "GP_Standard_D4ds_v5"
    storage_mb             = 131072
    backup_retention_days  = 35
    geo_redundant_backup   = true
    high_availability      = "Disabled"
    zone                   = null
    standby_zone           = null
    network_mode           = "delegated"
    delegated_subnet_id    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/postgresql"
    authentication         = "password"
    administrator_login    = "platformadmin"
    administrator_password = "not-a-real-password-1A"
    administrators         = {}
    databases              = {}
    parameters             = {}
    maintenance            = { day_of_week = 0, start_hour = 2 }
  }
  assert {
    condition     = length(module.private_endpoint) == 0 && azurerm_postgresql_flexible_server.this.delegated_subnet_id != null && azurerm_postgresql_flexible_server.this.private_dns_zone_id == var.dns_zone_id
    error_message = "A delegated server is reached in its subnet."
  }
  assert {
    condition     = azurerm_postgresql_flexible_server.this.administrator_password == null && azurerm_postgresql_flexible_server.this.administrator_password_wo == null
    error_message = "Even in password mode the password is in no state."
  }
}

run "registry_has_no_admin" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    name                       = "acrtest123456"
    zone_redundancy            = true
    untagged_retention_in_days = 30
    georeplications            = []
  }
  assert {
    condition     = azurerm_container_registry.this.admin_enabled == false && azurerm_container_registry.this.anonymous_pull_enabled == false && azurerm_container_registry.this.public_network_access_enabled == false && azurerm_container_registry.this.sku == "Premium"
    error_message = "The registry takes Entra only, from inside only."
  }
}

run "cluster_is_private_and_takes_entra_only" {
  command = plan
  module {
    source = "./modules/kubernetes"
  }
  variables {
    name                      = "aks-test"
    dns_prefix                = "test-123456"
    node_resource_group       = "rg-nodes"
    kubernetes_version        = "1.36"
    sku_tier                  = "Standard"
    automatic_upgrade_channel = "patch"
    node_os_upgrade_channel   = "NodeImage"
    os_sku                    = "AzureLinux3"
    api_server                = { access = "private", vnet_integration = false, public_fqdn = false, authorized_ip_ranges = [] }
    api_server_subnet_id      = null
    private_dns_zone_id       = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io"
    node_subnet_id            = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/aks"
    outbound_type             = "userAssignedNATGateway"
    pod_cidr                  = "192.168.0.0/16"
    service_cidr              = "10.41.0.0/16"
    control_plane_identity_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/cp"
    kubelet_identity = {
      id           = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kubelet"
      client_id    = "33333333-3333-3333-3333-333333333333"
      principal_id = "44444444-4444-4444-4444-444444444444"
    }
    system_pool = { vm_size = "Standard_D4ds_v5", min_count = 3, max_count = 6, os_disk_type = "Ephemeral", os_disk_size_gb = 128 }
    user_pools  = { user = { vm_size = "Standard_D8ds_v5", min_count = 3, max_count = 12, os_disk_type = "Ephemeral", os_disk_size_gb = 128, node_labels = {}, node_taints = [] } }
    maintenance = { upgrade_day = "Saturday", node_os_day = "Sunday", start_time = "01:00", duration_hours = 6 }
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.private_cluster_enabled && azurerm_kubernetes_cluster.this.local_account_disabled && !azurerm_kubernetes_cluster.this.run_command_enabled && azurerm_kubernetes_cluster.this.azure_active_directory_role_based_access_control[0].azure_rbac_enabled
    error_message = "Private, no local accounts, no run command, Azure RBAC."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.oidc_issuer_enabled && azurerm_kubernetes_cluster.this.workload_identity_enabled
    error_message = "Workloads act by federated identities."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.network_profile[0].network_data_plane == "cilium" && azurerm_kubernetes_cluster.this.network_profile[0].network_plugin_mode == "overlay" && azurerm_kubernetes_cluster.this.network_profile[0].dns_service_ip == "10.41.0.10"
    error_message = "CNI overlay with Cilium."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.default_node_pool[0].only_critical_addons_enabled && length(azurerm_kubernetes_cluster.this.default_node_pool[0].zones) == 3 && length(azurerm_kubernetes_cluster_node_pool.user) == 1
    error_message = "A system pool of its own, over all zones, and a pool for workloads."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this.dns_prefix == null && azurerm_kubernetes_cluster.this.dns_prefix_private_cluster == "test-123456"
    error_message = "A zone that the platform owns asks for the private prefix."
  }
}

run "gateway_is_a_firewall_with_named_zones" {
  command = plan
  module {
    source = "./modules/application_gateway"
  }
  variables {
    name              = "agw-test"
    subnet_id         = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/gateway"
    identity_id       = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/gateway"
    domain_name_label = "test-123456"
    min_capacity      = 2
    max_capacity      = 10
    waf_mode          = "Prevention"
  }
  assert {
    condition     = azurerm_application_gateway.this.sku[0].name == "WAF_v2" && length(azurerm_application_gateway.this.zones) == 3 && azurerm_web_application_firewall_policy.this.policy_settings[0].mode == "Prevention"
    error_message = "WAF_v2 in prevention mode, zones named."
  }
}

run "gateway_subnet_lets_its_manager_in" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    name          = "test"
    address_space = ["10.40.0.0/16"]
    subnets = {
      aks               = "10.40.0.0/20"
      api_server        = "10.40.16.0/27"
      gateway           = "10.40.17.0/24"
      private_endpoints = "10.40.18.0/24"
      postgresql        = "10.40.19.0/26"
      runner            = "10.40.20.0/27"
    }
    dns_servers           = []
    nat_gateway           = true
    gateway_client_ranges = []
  }
  assert {
    condition = anytrue([
      for rule in azurerm_network_security_group.gateway.security_rule :
      rule.source_address_prefix == "GatewayManager" && rule.destination_port_range == "65200-65535" && rule.access == "Allow"
    ])
    error_message = "Without GatewayManager on 65200-65535 the gateway does not start."
  }
  assert {
    condition     = toset(keys(azurerm_subnet_nat_gateway_association.this)) == toset(["aks", "runner"])
    error_message = "Nodes and runner leave through the NAT gateway."
  }
  assert {
    condition     = azurerm_subnet.this["api_server"].delegation[0].service_delegation[0].name == "Microsoft.ContainerService/managedClusters" && azurerm_subnet.this["postgresql"].delegation[0].service_delegation[0].name == "Microsoft.DBforPostgreSQL/flexibleServers"
    error_message = "Two subnets are delegated."
  }
}

run "role_assignments_have_derived_names" {
  command = plan
  module {
    source = "./modules/access"
  }
  variables {
    assignments = {
      one = { scope = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg", role = "AcrPull", principal_id = "33333333-3333-3333-3333-333333333333" }
    }
  }
  assert {
    condition     = azurerm_role_assignment.this["one"].name == uuidv5("url", "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg|AcrPull|33333333-3333-3333-3333-333333333333") && azurerm_role_assignment.this["one"].principal_type == "ServicePrincipal"
    error_message = "The same assignment has the same name in every run, and says what its principal is."
  }
}
