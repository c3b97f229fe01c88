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

variable "workloads" {
  description = "Workloads that get an identity, by name."
  type = map(object({
    namespace       = string
    service_account = string
  }))
}
