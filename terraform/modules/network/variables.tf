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

variable "zones" {
  description = "Availability zones of the region."
  type        = list(string)
}

variable "tags" {
  description = "Tags."
  type        = map(string)
}

variable "address_space" {
  description = "CIDR blocks of the network."
  type        = list(string)
}

variable "subnets" {
  description = "CIDR block by purpose: aks, api_server, gateway, private_endpoints, postgresql, runner."
  type        = map(string)
}

variable "dns_servers" {
  description = "DNS servers of the network; empty means Azure's."
  type        = list(string)
}

variable "nat_gateway" {
  description = "Whether outbound traffic of the nodes and of the runner leaves through a NAT gateway."
  type        = bool
}

variable "gateway_client_ranges" {
  description = "CIDR blocks that may reach the application gateway on 80 and 443; empty means the Internet."
  type        = list(string)
}
