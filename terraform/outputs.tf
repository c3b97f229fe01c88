# The only output. Playbooks map its keys to role variables; docs/platform-output.md lists them. No secrets.
output "platform" {
  description = "Facts about the platform, see docs/platform-output.md."
  value = {
    environment     = var.environment
    location        = var.location
    zones           = var.zones
    subscription_id = var.subscription_id
    tenant_id       = var.tenant_id
    access          = var.access
    suffix          = local.suffix
    tags            = local.tags

    resource_group = {
      name = azurerm_resource_group.this.name
      id   = azurerm_resource_group.this.id
    }

    network = {
      vnet_id        = local.vnet_id
      subnet_ids     = local.subnet_ids
      subnet_ranges  = local.own_network ? var.network.subnets : {}
      nat_gateway_ip = local.own_network ? module.network[0].nat_gateway_ip : null
    }

    dns = {
      zone_ids = module.dns.zone_ids
    }

    identities = {
      control_plane = module.identities.control_plane
      kubelet       = module.identities.kubelet
      gateway       = module.identities.gateway
      workloads = {
        for name, identity in module.identities.workloads : name => merge(identity, {
          namespace       = var.workload_identities[name].namespace
          service_account = var.workload_identities[name].service_account
          subject         = module.federation.subjects[name]
        })
      }
    }

    operators = var.operators

    kubernetes = {
      id                  = module.kubernetes.id
      name                = module.kubernetes.name
      fqdn                = module.kubernetes.fqdn
      access              = var.kubernetes.api_server.access
      version             = module.kubernetes.version
      oidc_issuer_url     = module.kubernetes.oidc_issuer_url
      node_resource_group = module.kubernetes.node_resource_group
      pod_cidr            = var.kubernetes.pod_cidr
      service_cidr        = var.kubernetes.service_cidr
    }

    registry = {
      id           = module.registry.id
      name         = module.registry.name
      login_server = module.registry.login_server
    }

    postgresql = {
      id                  = module.postgresql.id
      name                = module.postgresql.name
      fqdn                = module.postgresql.fqdn
      port                = 5432
      version             = var.postgresql.version
      databases           = module.postgresql.databases
      authentication      = var.postgresql.authentication
      administrator_login = var.postgresql.authentication == "password" ? var.postgresql.administrator_login : null
      network_mode        = var.postgresql.network_mode
    }

    service_bus = {
      id            = module.service_bus.id
      name          = module.service_bus.name
      hostname      = module.service_bus.hostname
      queues        = module.service_bus.queues
      topics        = module.service_bus.topics
      subscriptions = module.service_bus.subscriptions
    }

    redis = {
      id       = module.redis.id
      kind     = var.redis.kind
      hostname = module.redis.hostname
      port     = module.redis.port
    }

    key_vault = {
      id   = module.key_vault.id
      name = module.key_vault.name
      uri  = module.key_vault.uri
    }

    storage = {
      id            = module.storage.id
      name          = module.storage.name
      blob_endpoint = module.storage.blob_endpoint
      containers    = module.storage.containers
    }

    log_analytics        = module.observability.log_analytics
    application_insights = module.observability.application_insights

    application_gateway = {
      id                 = module.application_gateway.id
      name               = module.application_gateway.name
      public_ip          = module.application_gateway.public_ip
      fqdn               = module.application_gateway.fqdn
      subnet_id          = local.subnet_ids["gateway"]
      firewall_policy_id = module.application_gateway.firewall_policy_id
    }

    load_test = {
      id             = one(module.load_test[*].id)
      name           = one(module.load_test[*].name)
      data_plane_uri = one(module.load_test[*].data_plane_uri)
    }
  }
}
