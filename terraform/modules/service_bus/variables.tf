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

variable "capacity" {
  description = "Messaging units: 1, 2, 4, 8 or 16."
  type        = number
}

variable "partitions" {
  description = "Partitions of the namespace: 1, 2 or 4. Decided at creation."
  type        = number
}

variable "queues" {
  description = "Queues by name."
  type = map(object({
    max_delivery_count           = optional(number, 10)
    lock_duration                = optional(string, "PT1M")
    requires_session             = optional(bool, false)
    requires_duplicate_detection = optional(bool, false)
  }))
}

variable "topics" {
  description = "Topics by name, with the names of their subscriptions."
  type = map(object({
    subscriptions                = optional(set(string), [])
    requires_duplicate_detection = optional(bool, false)
    support_ordering             = optional(bool, true)
  }))
}
