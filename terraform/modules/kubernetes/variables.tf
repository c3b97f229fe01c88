variable "name" {
  description = "Name of the resource."
  type        = string
}

variable "resource_group_name" {
  description = "Resource group."
  type        = string
}

variable "location" {
  description = "Azure region."
  type        = string
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}

variable "log_analytics_workspace_id" {
  description = "Workspace that receives logs and metrics."
  type        = string
}

variable "tenant_id" {
  description = "Entra tenant that authenticates the cluster's users."
  type        = string
}

variable "dns_prefix" {
  description = "First label of the API server's name."
  type        = string
}

variable "node_resource_group" {
  description = "Resource group in which AKS keeps the nodes."
  type        = string
}

variable "kubernetes_version" {
  description = "Minor version; AKS chooses the patch."
  type        = string
}

variable "sku_tier" {
  description = "Free, Standard or Premium."
  type        = string
}

variable "automatic_upgrade_channel" {
  description = "patch, stable, rapid or node-image."
  type        = string
}

variable "node_os_upgrade_channel" {
  description = "NodeImage, SecurityPatch, Unmanaged or None."
  type        = string
}

variable "os_sku" {
  description = "Operating system of the nodes."
  type        = string
}

variable "zones" {
  description = "Availability zones of the nodes."
  type        = list(string)
}

variable "api_server" {
  description = "Who reaches the API server. Decided at creation, except the authorized ranges."
  type = object({
    access               = string
    vnet_integration     = bool
    public_fqdn          = bool
    authorized_ip_ranges = list(string)
  })
}

variable "api_server_subnet_id" {
  description = "Subnet of the API server, used with VNet integration."
  type        = string
}

variable "private_dns_zone_id" {
  description = "Zone that receives a private API server's name; null lets AKS make one."
  type        = string
}

variable "node_subnet_id" {
  description = "Subnet of the nodes."
  type        = string
}

variable "outbound_type" {
  description = "userAssignedNATGateway or userDefinedRouting. Decided at creation."
  type        = string
}

variable "pod_cidr" {
  description = "Range of the pods (overlay). Decided at creation."
  type        = string
}

variable "service_cidr" {
  description = "Range of the Services. Decided at creation."
  type        = string
}

variable "control_plane_identity_id" {
  description = "User-assigned identity of the control plane; its roles exist before the cluster."
  type        = string
}

variable "kubelet_identity" {
  description = "User-assigned identity of the nodes."
  type = object({
    id           = string
    client_id    = string
    principal_id = string
  })
}

variable "system_pool" {
  description = "Node pool of the cluster's own workloads."
  type = object({
    vm_size         = string
    min_count       = number
    max_count       = number
    os_disk_type    = string
    os_disk_size_gb = number
  })
}

variable "user_pools" {
  description = "Node pools of everything else, by name."
  type = map(object({
    vm_size         = string
    min_count       = number
    max_count       = number
    os_disk_type    = string
    os_disk_size_gb = number
    node_labels     = map(string)
    node_taints     = list(string)
  }))
}

variable "maintenance" {
  description = "Weekly windows in UTC."
  type = object({
    upgrade_day    = string
    node_os_day    = string
    start_time     = string
    duration_hours = number
  })
}
