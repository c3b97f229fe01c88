variable "name" {
  description = "Base name of the environment."
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

variable "workspace_id" {
  description = "Log Analytics workspace that exists elsewhere; null makes one."
  type        = string
}

variable "retention_in_days" {
  description = "Days that logs are kept, 30 to 730."
  type        = number
}

variable "daily_quota_gb" {
  description = "Gigabytes a day after which ingestion stops; -1 means no limit."
  type        = number
}

variable "application_insights_daily_cap_gb" {
  description = "Gigabytes a day after which Application Insights stops taking telemetry."
  type        = number
}
