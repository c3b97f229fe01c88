output "id" {
  description = "Resource id."
  value       = azurerm_kubernetes_cluster.this.id
}

output "name" {
  description = "Name."
  value       = azurerm_kubernetes_cluster.this.name
}

output "fqdn" {
  description = "Name under which the API server is reached: the private one of a private cluster."
  value       = local.private ? azurerm_kubernetes_cluster.this.private_fqdn : azurerm_kubernetes_cluster.this.fqdn
}

output "version" {
  description = "Version that runs, with its patch."
  value       = azurerm_kubernetes_cluster.this.current_kubernetes_version
}

output "oidc_issuer_url" {
  description = "Issuer of the cluster's service account tokens."
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
}

output "node_resource_group" {
  description = "Resource group of the nodes: name and id."
  value = {
    name = azurerm_kubernetes_cluster.this.node_resource_group
    id   = azurerm_kubernetes_cluster.this.node_resource_group_id
  }
}
