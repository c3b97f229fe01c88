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

variable "subnet_id" {
  description = "Subnet that holds nothing but the gateway."
  type        = string
}

variable "subnet_ready" {
  description = "What must be done before the gateway is made: the association of the subnet's NSG."
  type        = any
  default     = null
}

variable "identity_id" {
  description = "User-assigned identity that reads certificates from Key Vault."
  type        = string
}

variable "zones" {
  description = "Availability zones. Decided at creation."
  type        = list(string)
}

variable "domain_name_label" {
  description = "Label of the public address below <region>.cloudapp.azure.com."
  type        = string
}

variable "min_capacity" {
  description = "Smallest number of capacity units."
  type        = number
}

variable "max_capacity" {
  description = "Largest number of capacity units."
  type        = number
}

variable "waf_mode" {
  description = "Prevention or Detection."
  type        = string
}
