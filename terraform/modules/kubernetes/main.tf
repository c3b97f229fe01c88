# AKS in the platform's network: Entra and Azure RBAC only, workload identity, CNI overlay with Cilium, zones, a system
# pool and user pools, patches in maintenance windows.

locals {
  private = var.api_server.access == "private"
  # System lets AKS make the zone; an id puts the API server's name into a zone that the platform or a hub owns.
  own_zone = local.private && var.private_dns_zone_id != null
}

resource "azurerm_kubernetes_cluster" "this" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  node_resource_group = var.node_resource_group
  kubernetes_version  = var.kubernetes_version
  sku_tier            = var.sku_tier
  tags                = var.tags

  dns_prefix                          = local.own_zone ? null : var.dns_prefix
  dns_prefix_private_cluster          = local.own_zone ? var.dns_prefix : null
  private_cluster_enabled             = local.private
  private_cluster_public_fqdn_enabled = local.private ? var.api_server.public_fqdn : false
  private_dns_zone_id                 = local.private ? coalesce(var.private_dns_zone_id, "System") : null

  local_account_disabled            = true
  role_based_access_control_enabled = true
  run_command_enabled               = false
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  cost_analysis_enabled             = var.sku_tier != "Free"
  image_cleaner_enabled             = true
  image_cleaner_interval_hours      = 48
  automatic_upgrade_channel         = var.automatic_upgrade_channel
  node_os_upgrade_channel           = var.node_os_upgrade_channel

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
    tenant_id          = var.tenant_id
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [var.control_plane_identity_id]
  }

  kubelet_identity {
    client_id                 = var.kubelet_identity.client_id
    object_id                 = var.kubelet_identity.principal_id
    user_assigned_identity_id = var.kubelet_identity.id
  }

  dynamic "api_server_access_profile" {
    for_each = var.api_server.vnet_integration || (!local.private && length(var.api_server.authorized_ip_ranges) > 0) ? [1] : []
    content {
      virtual_network_integration_enabled = var.api_server.vnet_integration
      subnet_id                           = var.api_server.vnet_integration ? var.api_server_subnet_id : null
      authorized_ip_ranges                = local.private ? null : var.api_server.authorized_ip_ranges
    }
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    load_balancer_sku   = "standard"
    outbound_type       = var.outbound_type
    pod_cidr            = var.pod_cidr
    service_cidr        = var.service_cidr
    dns_service_ip      = cidrhost(var.service_cidr, 10)
  }

  # Autoscaling by node pools that Terraform owns; Auto would let AKS make nodes of sizes that nobody named.
  node_provisioning_profile {
    mode               = "Manual"
    default_node_pools = "None"
  }

  default_node_pool {
    name                         = "system"
    vm_size                      = var.system_pool.vm_size
    vnet_subnet_id               = var.node_subnet_id
    zones                        = var.zones
    auto_scaling_enabled         = true
    min_count                    = var.system_pool.min_count
    max_count                    = var.system_pool.max_count
    max_pods                     = 110
    os_disk_type                 = var.system_pool.os_disk_type
    os_disk_size_gb              = var.system_pool.os_disk_size_gb
    os_sku                       = var.os_sku
    orchestrator_version         = var.kubernetes_version
    only_critical_addons_enabled = true
    temporary_name_for_rotation  = "systemtmp"
    tags                         = var.tags

    upgrade_settings {
      max_surge                     = "33%"
      drain_timeout_in_minutes      = 30
      node_soak_duration_in_minutes = 0
    }
  }

  auto_scaler_profile {
    balance_similar_node_groups = true
    expander                    = "least-waste"
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = var.maintenance.upgrade_day
    start_time  = var.maintenance.start_time
    utc_offset  = "+00:00"
    duration    = var.maintenance.duration_hours
  }

  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = var.maintenance.node_os_day
    start_time  = var.maintenance.start_time
    utc_offset  = "+00:00"
    duration    = var.maintenance.duration_hours
  }

  storage_profile {
    blob_driver_enabled         = false
    disk_driver_enabled         = true
    file_driver_enabled         = true
    snapshot_controller_enabled = true
  }

  lifecycle {
    ignore_changes = [
      # Add-ons are the outcome of roles (aks_addons), which read, change and write the profile.
      azure_policy_enabled,
      ingress_application_gateway,
      key_vault_secrets_provider,
      monitor_metrics,
      oms_agent,
      web_app_routing,
      # Defender plans belong to the subscription.
      microsoft_defender,
      # The autoscaler owns the number of nodes.
      default_node_pool[0].node_count,
      # Access `allowlist`: the run opens its own address for its own duration.
      api_server_access_profile[0].authorized_ip_ranges,
    ]
  }
}

resource "azurerm_kubernetes_cluster_node_pool" "user" {
  for_each = var.user_pools

  name                        = each.key
  kubernetes_cluster_id       = azurerm_kubernetes_cluster.this.id
  mode                        = "User"
  vm_size                     = each.value.vm_size
  vnet_subnet_id              = var.node_subnet_id
  zones                       = var.zones
  auto_scaling_enabled        = true
  min_count                   = each.value.min_count
  max_count                   = each.value.max_count
  max_pods                    = 110
  os_disk_type                = each.value.os_disk_type
  os_disk_size_gb             = each.value.os_disk_size_gb
  os_sku                      = var.os_sku
  orchestrator_version        = var.kubernetes_version
  node_labels                 = each.value.node_labels
  node_taints                 = each.value.node_taints
  temporary_name_for_rotation = "${substr(each.key, 0, 9)}tmp"
  tags                        = var.tags

  upgrade_settings {
    max_surge                     = "33%"
    drain_timeout_in_minutes      = 30
    node_soak_duration_in_minutes = 0
  }

  lifecycle {
    # The autoscaler owns the number of nodes.
    ignore_changes = [node_count]
  }
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_kubernetes_cluster.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
  destination_type           = "Dedicated"
  log_category_groups        = []
  # kube-audit holds every read too and costs more than all others together; kube-audit-admin holds the writes.
  log_categories = [
    "cloud-controller-manager",
    "cluster-autoscaler",
    "csi-azuredisk-controller",
    "csi-azurefile-controller",
    "csi-snapshot-controller",
    "guard",
    "kube-apiserver",
    "kube-audit-admin",
    "kube-controller-manager",
    "kube-scheduler",
  ]
}
