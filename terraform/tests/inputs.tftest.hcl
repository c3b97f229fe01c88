# Bad input is refused before anything is asked of Azure.

mock_provider "azurerm" {}

variables {
  subscription_id = "11111111-1111-1111-1111-111111111111"
  tenant_id       = "22222222-2222-2222-2222-222222222222"
  environment     = "production-weu"
  location        = "westeurope"
  operators       = { team = { object_id = "33333333-3333-3333-3333-333333333333" } }
}

run "environment_too_long" {
  command = plan
  variables {
    environment = "production-westeurope"
  }
  expect_failures = [var.environment]
}

run "environment_with_capitals" {
  command = plan
  variables {
    environment = "Production"
  }
  expect_failures = [var.environment]
}

run "nobody_operates" {
  command = plan
  variables {
    operators = {}
  }
  expect_failures = [var.operators]
}

run "kubernetes_out_of_support" {
  command = plan
  variables {
    kubernetes = { version = "1.34" }
  }
  expect_failures = [var.kubernetes]
}

run "kubernetes_with_a_patch" {
  command = plan
  variables {
    kubernetes = { version = "1.36.1" }
  }
  expect_failures = [var.kubernetes]
}

run "pods_overlap_services" {
  command = plan
  variables {
    kubernetes = { pod_cidr = "10.41.0.0/16", service_cidr = "10.41.128.0/17" }
  }
  expect_failures = [var.kubernetes]
}

run "pods_overlap_the_network" {
  command = plan
  variables {
    kubernetes = { pod_cidr = "10.40.0.0/14" }
  }
  expect_failures = [var.kubernetes]
}

run "pods_in_a_reserved_range" {
  command = plan
  variables {
    kubernetes = { pod_cidr = "172.31.0.0/16" }
  }
  expect_failures = [var.kubernetes]
}

run "pool_smaller_than_its_minimum" {
  command = plan
  variables {
    kubernetes = { user_pools = { user = { min_count = 5, max_count = 2 } } }
  }
  expect_failures = [var.kubernetes]
}

run "subnets_overlap" {
  command = plan
  variables {
    network = {
      address_space = ["10.40.0.0/16"]
      subnets = {
        aks               = "10.40.0.0/20"
        api_server        = "10.40.15.0/27"
        gateway           = "10.40.17.0/24"
        private_endpoints = "10.40.18.0/24"
        postgresql        = "10.40.19.0/26"
        runner            = "10.40.20.0/27"
      }
    }
  }
  expect_failures = [var.network]
}

run "subnet_outside_the_network" {
  command = plan
  variables {
    network = {
      address_space = ["10.40.0.0/16"]
      subnets = {
        aks               = "10.40.0.0/20"
        api_server        = "10.40.16.0/27"
        gateway           = "10.40.17.0/24"
        private_endpoints = "10.99.18.0/24"
        postgresql        = "10.40.19.0/26"
        runner            = "10.40.20.0/27"
      }
    }
  }
  expect_failures = [var.network]
}

run "subnet_missing" {
  command = plan
  variables {
    network = { subnets = { aks = "10.40.0.0/20" } }
  }
  expect_failures = [var.network]
}

run "address_not_a_block" {
  command = plan
  variables {
    network = { address_space = ["10.40.1.0/16"] }
  }
  expect_failures = [var.network]
}

run "existing_network_without_its_subnets" {
  command = plan
  variables {
    network = { vnet_id = "/subscriptions/s/resourceGroups/hub/providers/Microsoft.Network/virtualNetworks/hub" }
  }
  expect_failures = [var.network]
}

run "postgresql_too_old" {
  command = plan
  variables {
    postgresql = { version = "13" }
  }
  expect_failures = [var.postgresql]
}

run "burstable_without_high_availability" {
  command = plan
  variables {
    postgresql = { sku_name = "B_Standard_B2s" }
  }
  expect_failures = [var.postgresql]
}

run "database_of_the_server_itself" {
  command = plan
  variables {
    postgresql = { databases = { postgres = {} } }
  }
  expect_failures = [var.postgresql]
}

run "units_do_not_fit_partitions" {
  command = plan
  variables {
    service_bus = { capacity = 1, partitions = 2 }
  }
  expect_failures = [var.service_bus]
}

run "redis_of_an_unknown_size" {
  command = plan
  variables {
    redis = { sku_name = "Premium_P1" }
  }
  expect_failures = [var.redis]
}

run "vault_forgets_too_early" {
  command = plan
  variables {
    key_vault = { soft_delete_retention_days = 5 }
  }
  expect_failures = [var.key_vault]
}

run "storage_of_an_unknown_kind" {
  command = plan
  variables {
    storage = { replication_type = "XRS" }
  }
  expect_failures = [var.storage]
}
