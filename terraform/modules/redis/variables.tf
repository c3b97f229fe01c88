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

variable "kind" {
  description = "managed (Azure Managed Redis) or cache (Azure Cache for Redis, retiring)."
  type        = string
}

variable "sku_name" {
  description = "Size of Managed Redis, for example Balanced_B3."
  type        = string
}

variable "high_availability" {
  description = "Whether Managed Redis keeps a replica. Decided at creation."
  type        = bool
}

variable "cache_capacity" {
  description = "Size of Azure Cache for Redis Premium, 1 to 5."
  type        = number
}

variable "zones" {
  description = "Availability zones of Azure Cache for Redis."
  type        = list(string)
}

variable "data_principals" {
  description = "Object ids that may read and write data, by name."
  type        = map(string)
}
