# The important choices of the root module and of its modules.

mock_provider "azurerm" {}

variables {
  subscription_id = "11111111-1111-1111-1111-111111111111"
  tenant_id       = "22222222-2222-2222-2222-222222222222"
  environment     = "production-weu"
  location        = "westeurope"
  operators       = { team = { object_id = "33333333-3333-3333-3333-333333333333" } }
}

run "the_defaults_make_a_plan" {
  command = plan

  assert {
    condition     = azurerm_resource_group.this.name == "rg-aksops-production-weu" && azurerm_resource_group.this.tags["aksops-environment"] == "production-weu"
    error_message = "The resource group carries the environment in name and tag: by the tag a run knows its own."
  }
  assert {
    condition     = module.key_vault.name == "kv-production-weu-${local.suffix}" && length(module.key_vault.name) <= 24
    error_message = "The longest environment still gives a vault of 24 characters."
  }
  assert {
    condition     = can(regex("^[a-z0-9]{5,50}$", module.registry.name)) && can(regex("^[a-z0-9]{3,24}$", module.storage.name))
    error_message = "Registry and storage account take letters and digits only."
  }
  assert {
    condition     = contains(keys(local.dns_zones), "kubernetes") && local.dns_zones["kubernetes"] == "privatelink.westeurope.azmk8s.io"
    error_message = "A private API server has its zone."
  }
}

run "global_names_depend_on_subscription_and_environment_alone" {
  command = plan
  variables {
    tenant_id = "99999999-9999-9999-9999-999999999999"
    operators = { other = { object_id = "44444444-4444-4444-4444-444444444444" } }
  }
  assert {
    condition     = module.key_vault.name == "kv-production-weu-${substr(sha1("11111111-1111-1111-1111-111111111111/aksops/production-weu"), 0, 6)}"
    error_message = "Who runs the plan must not change a name."
  }
}

run "another_subscription_gives_other_names" {
  command = plan
  variables {
    subscription_id = "55555555-5555-5555-5555-555555555555"
  }
  assert {
    condition     = module.key_vault.name != "kv-production-weu-${substr(sha1("11111111-1111-1111-1111-111111111111/aksops/production-weu"), 0, 6)}"
    error_message = "Two subscriptions must not fight for a name."
  }
}

run "an_existing_network_is_used_as_it_is" {
  command = plan
  variables {
    network = {
      vnet_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub"
      subnet_ids = {
        aks               = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/aks"
        api_server        = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/api"
        gateway           = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/gateway"
        private_endpoints = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints"
        postgresql        = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/postgresql"
      }
      outbound = "user_defined_routing"
    }
    dns = {
      zone_ids = {
        key_vault = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net"
      }
    }
    observability = {
      workspace_id = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/hub/providers/Microsoft.OperationalInsights/workspaces/hub"
    }
  }
  assert {
    condition     = length(module.network) == 0
    error_message = "No network is made beside a given one."
  }
  assert {
    condition     = module.dns.zone_ids["key_vault"] == var.dns.zone_ids["key_vault"]
    error_message = "A given zone is used as it is."
  }
  assert {
    condition     = module.observability.log_analytics.name == "hub"
    error_message = "A given workspace is used as it is."
  }
}

run "what_is_decided_at_creation_is_seen_in_a_plan" {
  command = plan
  variables {
    postgresql = { network_mode = "delegated", geo_redundant_backup = false }
  }
  assert {
    condition     = terraform_data.decided_at_creation["postgresql_network_mode"].triggers_replace == "delegated" && terraform_data.decided_at_creation["postgresql_geo_redundant_backup"].triggers_replace == "false"
    error_message = "A change would be a replacement at an address that says what it is about."
  }
}
