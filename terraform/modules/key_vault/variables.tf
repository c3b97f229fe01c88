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

variable "tenant_id" {
  description = "Entra tenant whose principals the vault knows."
  type        = string
}

variable "sku" {
  description = "standard or premium (keys in hardware)."
  type        = string
}

variable "purge_protection" {
  description = "Whether nobody can purge a deleted vault or secret before its retention ends. Cannot be switched off again."
  type        = bool
}

variable "soft_delete_retention_days" {
  description = "Days that deleted content stays recoverable, 7 to 90. Decided at creation."
  type        = number
}
