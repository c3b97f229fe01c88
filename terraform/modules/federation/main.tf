# Lets the cluster's service accounts act as the workloads' identities (workload identity federation).

resource "azurerm_federated_identity_credential" "this" {
  for_each = var.workloads

  name                      = "kubernetes"
  user_assigned_identity_id = each.value.identity_id
  issuer                    = var.issuer
  subject                   = "system:serviceaccount:${each.value.namespace}:${each.value.service_account}"
  audience                  = ["api://AzureADTokenExchange"]
}
