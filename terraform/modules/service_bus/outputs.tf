output "id" {
  description = "Resource id of the namespace."
  value       = azurerm_servicebus_namespace.this.id
}

output "name" {
  description = "Name of the namespace."
  value       = azurerm_servicebus_namespace.this.name
}

output "hostname" {
  description = "Host name of the namespace."
  value       = "${azurerm_servicebus_namespace.this.name}.servicebus.windows.net"
}

output "queues" {
  description = "Names of the queues."
  value       = sort(keys(azurerm_servicebus_queue.this))
}

output "topics" {
  description = "Names of the topics."
  value       = sort(keys(azurerm_servicebus_topic.this))
}

output "subscriptions" {
  description = "Subscriptions as topic/subscription."
  value       = sort(keys(azurerm_servicebus_subscription.this))
}
