variable "issuer" {
  description = "OIDC issuer of the cluster."
  type        = string
}

variable "workloads" {
  description = "Identity and service account of each workload, by name."
  type = map(object({
    identity_id     = string
    namespace       = string
    service_account = string
  }))
}
