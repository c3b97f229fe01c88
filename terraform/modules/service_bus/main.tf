# Service Bus Premium with the platform's queues, topics and subscriptions. SAS keys are off: Entra only.

resource "azurerm_servicebus_namespace" "this" {
  name                          = var.name
  resource_group_name           = var.resource_group_name
  location                      = var.location
  sku                           = "Premium"
  capacity                      = var.capacity
  premium_messaging_partitions  = var.partitions
  local_auth_enabled            = false
  minimum_tls_version           = "1.2"
  public_network_access_enabled = var.public_network_access
  tags                          = var.tags
}

resource "azurerm_servicebus_queue" "this" {
  for_each = var.queues

  name                                 = each.key
  namespace_id                         = azurerm_servicebus_namespace.this.id
  max_delivery_count                   = each.value.max_delivery_count
  lock_duration                        = each.value.lock_duration
  requires_session                     = each.value.requires_session
  requires_duplicate_detection         = each.value.requires_duplicate_detection
  dead_lettering_on_message_expiration = true
}

resource "azurerm_servicebus_topic" "this" {
  for_each = var.topics

  name                         = each.key
  namespace_id                 = azurerm_servicebus_namespace.this.id
  requires_duplicate_detection = each.value.requires_duplicate_detection
  support_ordering             = each.value.support_ordering
}

locals {
  subscriptions = merge([
    for topic, options in var.topics : {
      for subscription in options.subscriptions : "${topic}/${subscription}" => { topic = topic, name = subscription }
    }
  ]...)
}

resource "azurerm_servicebus_subscription" "this" {
  for_each = local.subscriptions

  name                                 = each.value.name
  topic_id                             = azurerm_servicebus_topic.this[each.value.topic].id
  max_delivery_count                   = 10
  dead_lettering_on_message_expiration = true
}

module "private_endpoint" {
  source = "../private_endpoint"

  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  subnet_id           = var.private_endpoint_subnet_id
  target_id           = azurerm_servicebus_namespace.this.id
  subresource         = "namespace"
  dns_zone_id         = var.dns_zone_id
  tags                = var.tags
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_servicebus_namespace.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
}
