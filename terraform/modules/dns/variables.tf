variable "resource_group_name" {
  description = "Resource group of the zones."
  type        = string
}

variable "zones" {
  description = "Name of the private DNS zone by service."
  type        = map(string)
}

variable "existing_zone_ids" {
  description = "Zones that exist elsewhere, by service."
  type        = map(string)
}

variable "virtual_network_id" {
  description = "Network in which the zones are resolved."
  type        = string
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}
