# Application Gateway WAF_v2 with a static public address. Terraform makes the gateway; AGIC owns its listeners, pools,
# probes and rules.

resource "azurerm_public_ip" "this" {
  name                = "pip-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  allocation_method   = "Static"
  sku                 = "Standard"
  domain_name_label   = var.domain_name_label
  zones               = var.zones
  tags                = var.tags
}

resource "azurerm_web_application_firewall_policy" "this" {
  name                = "waf-${var.name}"
  resource_group_name = var.resource_group_name
  location            = var.location
  tags                = var.tags

  policy_settings {
    enabled                     = true
    mode                        = var.waf_mode
    request_body_check          = true
    file_upload_limit_in_mb     = 100
    max_request_body_size_in_kb = 128
  }

  managed_rules {
    managed_rule_set {
      type    = "Microsoft_DefaultRuleSet"
      version = "2.1"
    }
    managed_rule_set {
      type    = "Microsoft_BotManagerRuleSet"
      version = "1.1"
    }
  }
}

resource "azurerm_application_gateway" "this" {
  name                = var.name
  resource_group_name = var.resource_group_name
  location            = var.location
  http2_enabled       = true
  firewall_policy_id  = azurerm_web_application_firewall_policy.this.id
  # Named, because Azure makes a gateway zone-redundant on its own, and a plan would then want to make it again.
  zones = var.zones
  tags  = var.tags

  sku {
    name = "WAF_v2"
    tier = "WAF_v2"
  }

  autoscale_configuration {
    min_capacity = var.min_capacity
    max_capacity = var.max_capacity
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [var.identity_id]
  }

  ssl_policy {
    policy_type = "Predefined"
    policy_name = "AppGwSslPolicy20220101"
  }

  gateway_ip_configuration {
    name      = "gateway"
    subnet_id = var.subnet_id
  }

  frontend_ip_configuration {
    name                 = "public"
    public_ip_address_id = azurerm_public_ip.this.id
  }

  # A gateway needs one of each to exist; AGIC replaces them.
  frontend_port {
    name = "http"
    port = 80
  }

  backend_address_pool {
    name = "empty"
  }

  backend_http_settings {
    name                  = "empty"
    cookie_based_affinity = "Disabled"
    port                  = 80
    protocol              = "Http"
    request_timeout       = 30
  }

  http_listener {
    name                           = "empty"
    frontend_ip_configuration_name = "public"
    frontend_port_name             = "http"
    protocol                       = "Http"
  }

  request_routing_rule {
    name                       = "empty"
    rule_type                  = "Basic"
    priority                   = 19000
    http_listener_name         = "empty"
    backend_address_pool_name  = "empty"
    backend_http_settings_name = "empty"
  }

  lifecycle {
    # AGIC writes all of these from the cluster's Ingress objects, and marks what it owns in the tags.
    ignore_changes = [
      backend_address_pool,
      backend_http_settings,
      frontend_port,
      http_listener,
      probe,
      redirect_configuration,
      request_routing_rule,
      rewrite_rule_set,
      ssl_certificate,
      tags,
      trusted_root_certificate,
      url_path_map,
    ]
  }

  # The gateway does not come up in a subnet whose NSG still closes its management ports.
  depends_on = [var.subnet_ready]
}

module "diagnostics" {
  source = "../diagnostics"

  target_id                  = azurerm_application_gateway.this.id
  log_analytics_workspace_id = var.log_analytics_workspace_id
}
