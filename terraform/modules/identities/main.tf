# User-assigned identities: the cluster's two, the gateway's, and one for each workload.

resource "azurerm_user_assigned_identity" "platform" {
  for_each = toset(["control-plane", "kubelet", "gateway"])

  name                = "id-${var.name}-${each.key}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}

resource "azurerm_user_assigned_identity" "workload" {
  for_each = var.workloads

  name                = "id-${var.name}-${each.key}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags
}
