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
  description = "Entra tenant of the administrators."
  type        = string
}

variable "server_version" {
  description = "Major version of PostgreSQL."
  type        = string
}

variable "sku_name" {
  description = "Compute size, for example GP_Standard_D4ds_v5."
  type        = string
}

variable "storage_mb" {
  description = "Storage in MiB; grows by itself afterwards."
  type        = number
}

variable "backup_retention_days" {
  description = "Days that backups are kept, 7 to 35."
  type        = number
}

variable "geo_redundant_backup" {
  description = "Whether backups are also kept in the paired region. Decided at creation."
  type        = bool
}

variable "high_availability" {
  description = "ZoneRedundant, SameZone or Disabled."
  type        = string
}

variable "zone" {
  description = "Zone of the primary at creation; null lets Azure choose."
  type        = string
}

variable "standby_zone" {
  description = "Zone of the standby at creation; null lets Azure choose."
  type        = string
}

variable "network_mode" {
  description = "private_endpoint, or delegated for a server inside a delegated subnet. Decided at creation."
  type        = string
}

variable "delegated_subnet_id" {
  description = "Subnet of the server when network_mode is delegated."
  type        = string
}

variable "authentication" {
  description = "entra (no password exists) or password (Entra and password)."
  type        = string
}

variable "administrator_login" {
  description = "Name of the password administrator, used when authentication is password."
  type        = string
}

variable "administrator_password" {
  description = "First password of the administrator, used when authentication is password. Ephemeral: never in state or plan."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "administrators" {
  description = "Entra administrators by principal name."
  type = map(object({
    object_id      = string
    principal_type = string
  }))
}

variable "databases" {
  description = "Databases by name."
  type = map(object({
    collation = optional(string, "en_US.utf8")
  }))
}

variable "parameters" {
  description = "Server parameters by name."
  type        = map(string)
}

variable "maintenance" {
  description = "Weekly window in UTC; day 0 is Sunday."
  type = object({
    day_of_week = number
    start_hour  = number
  })
}
