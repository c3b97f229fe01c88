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

variable "private_endpoint_subnet_id" {
  description = "Subnet of the private endpoint."
  type        = string
}

variable "dns_zone_id" {
  description = "Private DNS zone of the service."
  type        = string
}

variable "public_network_access" {
  description = "Whether the service's public address answers (access allowlist); its firewall still denies by default."
  type        = bool
}

variable "replication_type" {
  description = "LRS, ZRS, GRS, GZRS, RAGRS or RAGZRS. Decided at creation."
  type        = string
}

variable "delete_retention_days" {
  description = "Days that deleted blobs and containers stay recoverable."
  type        = number
}

variable "containers" {
  description = "Blob containers."
  type        = set(string)
}
