variable "assignments" {
  description = "Role assignments by a static key. principal_type is always named, so that Azure does not look for a new identity in Entra before it has arrived there."
  type = map(object({
    scope          = string
    role           = string
    principal_id   = string
    principal_type = optional(string, "ServicePrincipal")
  }))
}
