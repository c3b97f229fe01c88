locals {
  shape = {
    for key, identity in merge(azurerm_user_assigned_identity.platform, {
      for name, identity in azurerm_user_assigned_identity.workload : "workload/${name}" => identity
      }) : key => {
      id           = identity.id
      name         = identity.name
      client_id    = identity.client_id
      principal_id = identity.principal_id
    }
  }
}

output "control_plane" {
  description = "Identity of the cluster's control plane."
  value       = local.shape["control-plane"]
}

output "kubelet" {
  description = "Identity of the nodes."
  value       = local.shape["kubelet"]
}

output "gateway" {
  description = "Identity of the application gateway."
  value       = local.shape["gateway"]
}

output "workloads" {
  description = "Identities of the workloads, by name."
  value       = { for name in keys(var.workloads) : name => local.shape["workload/${name}"] }
}
