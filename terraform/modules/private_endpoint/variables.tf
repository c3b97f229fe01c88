variable "name" {
  description = "Name of the service that the endpoint leads to; the endpoint is called pe-<name>."
  type        = string
}

variable "resource_group_name" {
  description = "Resource group of the endpoint."
  type        = string
}

variable "location" {
  description = "Azure region."
  type        = string
}

variable "subnet_id" {
  description = "Subnet that holds the endpoint's address."
  type        = string
}

variable "target_id" {
  description = "Resource that the endpoint leads to."
  type        = string
}

variable "subresource" {
  description = "Group id of the target, for example vault, blob, registry."
  type        = string
}

variable "dns_zone_id" {
  description = "Private DNS zone that receives the endpoint's records."
  type        = string
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
