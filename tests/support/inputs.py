"""Inputs with which the roles write every kind of object that they know."""

from __future__ import annotations

from typing import Any

CLUSTER = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks-shop"
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
REGISTRY = "crshop.azurecr.io"

PLATFORM: dict[str, Any] = {
    "environment": "test",
    "location": "westeurope",
    "registry": REGISTRY,
    "tenantId": TENANT,
    "clientId": CLIENT,
    "keyVault": "kv-shop",
    "host": "shop.example",
    "certificate": "shop",
    "gatewayRanges": ["10.0.1.0/24"],
    "serviceRanges": ["10.0.2.0/24"],
    "postgresql": {"host": "psql-shop.postgres.database.azure.com", "port": 5432, "database": "shop", "user": "shop"},
    "applicationInsights": {"connectionString": "InstrumentationKey=0;IngestionEndpoint=https://x.in.example/"},
}

ROLES: dict[str, dict[str, Any]] = {
    "workload": {
        "workload_repository_url": "https://git.example/shop",
        "workload_platform": PLATFORM,
        "workload_namespace": "shop",
    },
    "argocd": {
        "argocd_registry": REGISTRY,
        "argocd_sso": {
            "tenant_id": TENANT,
            "application_id": CLIENT,
            "admin_groups": [TENANT],
            "reader_groups": [CLIENT],
        },
        "argocd_workload_identity_client_id": CLIENT,
        "argocd_tenant_id": TENANT,
        "argocd_projects": [
            {
                "name": "shop",
                "source_repositories": ["https://git.example/shop"],
                "namespaces": ["shop"],
                "cluster_kinds": [{"group": "", "kind": "Namespace"}],
                "roles": [{"name": "ci", "policies": ["p, proj:shop:ci, applications, sync, shop/*, allow"]}],
                "sync_windows": [{"kind": "deny", "schedule": "0 22 * * *", "duration": "1h", "namespaces": ["*"]}],
            }
        ],
        "argocd_repositories": [
            {"url": "https://git.example/shop", "username": "u", "password": "p"},
            {"url": "https://dev.azure.com/shop", "template": True, "workload_identity": True},
            {"url": REGISTRY, "type": "helm", "name": "shop", "oci": True, "workload_identity": True},
        ],
    },
    "secrets_store_csi": {
        "secrets_store_csi_cluster_id": CLUSTER,
        "secrets_store_csi_tenant_id": TENANT,
        "secrets_store_csi_classes": [
            {
                "name": "shop",
                "namespace": "shop",
                "vault_name": "kv-shop",
                "client_id": CLIENT,
                "objects": [
                    {"name": "db-password", "file_permission": "0440"},
                    {"name": "sign", "type": "key"},
                    {"name": "tls", "type": "secret", "alias": "tls.pem"},
                    {"name": "tls", "type": "cert", "version": "0" * 32},
                ],
                "kubernetes_secret": {
                    "name": "shop-tls",
                    "type": "kubernetes.io/tls",
                    "keys": [{"key": "tls.crt", "object": "tls.pem"}, {"key": "tls.key", "object": "tls.pem"}],
                },
            }
        ],
    },
    "azure_policy": {
        "azure_policy_cluster_id": CLUSTER,
        "azure_policy_namespaces": ["shop"],
    },
    "azure_monitor": {
        "azure_monitor_cluster_id": CLUSTER,
        "azure_monitor_location": "westeurope",
        "azure_monitor_workspace_id": CLUSTER.replace(
            "ContainerService/managedClusters/aks-shop", "OperationalInsights/workspaces/log"
        ),
        "azure_monitor_telemetry_mode": "collector",
        "azure_monitor_collector_namespace": "shop",
    },
}

#: What role azure_monitor has read before it writes the collector of the mode native_otlp.
OTLP: dict[str, Any] = {
    "azure_monitor_telemetry_mode": "native_otlp",
    "__azure_monitor_otlp_found": {
        "answers": [
            {
                "exists": True,
                "resource": {"properties": {"oidcIssuerProfile": {"issuerURL": "https://issuer.example/"}}},
            },
            {"exists": True, "resource": {"properties": {"clientId": "client", "principalId": "principal"}}},
            {
                "exists": True,
                "resource": {
                    "properties": {
                        "logsIngestion": {"endpoint": "https://d.weu-1.ingest.monitor.azure.com"},
                        "metricsIngestion": {"endpoint": "https://d.weu-1.metrics.ingest.monitor.azure.com"},
                    }
                },
            },
            {"exists": True, "resource": {"properties": {"immutableId": "dcr-1"}}},
        ]
    },
}
