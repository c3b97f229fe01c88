output "id" {
  description = "Resource id."
  value       = local.resource.id
}

output "hostname" {
  description = "Host name."
  value       = local.resource.hostname
}

output "port" {
  description = "TLS port: 10000 for Managed Redis, 6380 for Azure Cache for Redis."
  value       = local.resource.port
}
