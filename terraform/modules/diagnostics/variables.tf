variable "target_id" {
  description = "Resource whose logs and metrics are sent."
  type        = string
}

variable "log_analytics_workspace_id" {
  description = "Workspace that receives them."
  type        = string
}

variable "destination_type" {
  description = "Dedicated: tables of the resource type. null where the service does not offer the choice (then Azure answers none)."
  type        = string
  default     = null
}

variable "log_category_groups" {
  description = "Category groups, for example allLogs or audit."
  type        = list(string)
  default     = ["allLogs"]
}

variable "log_categories" {
  description = "Single categories, where a group would send too much (kube-audit)."
  type        = list(string)
  default     = []
}

variable "metric_categories" {
  description = "Metric categories."
  type        = list(string)
  default     = ["AllMetrics"]
}
