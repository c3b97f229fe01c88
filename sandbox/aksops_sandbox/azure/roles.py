"""Azure's built-in roles that the platform uses (source: Azure built-in roles, learn.microsoft.com)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Role:
    """A role definition; patterns use '*' as Azure does."""

    id: str
    name: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()


_READ = "*/read"
_SECRETS = "Microsoft.KeyVault/vaults/secrets"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_AKS = "Microsoft.ContainerService/managedClusters"
_VAULT_READ = (
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
)
_USER_ACCESS = ("Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write")

BUILT_IN: tuple[Role, ...] = (
    Role("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", ("*",)),
    Role(
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Contributor",
        ("*",),
        (*_USER_ACCESS, "Microsoft.Authorization/elevateAccess/Action", "Microsoft.Authorization/locks/*"),
    ),
    Role("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", (_READ,)),
    Role("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", (_READ, "Microsoft.Authorization/*")),
    Role(
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Role Based Access Control Administrator",
        (_READ, "Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete"),
    ),
    Role("4d97b98b-1d4f-4787-a291-c67834d212e7", "Network Contributor", (_READ, "Microsoft.Network/*")),
    Role(
        "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
        "Private DNS Zone Contributor",
        (_READ, "Microsoft.Network/privateDnsZones/*", "Microsoft.Network/virtualNetworks/join/action"),
    ),
    Role(
        "f1a07417-d97a-45cb-824c-7a7467783830",
        "Managed Identity Operator",
        (
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
            "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
        ),
    ),
    Role("7f951dda-4ed3-4680-a7ca-43fe172d538d", "AcrPull", ("Microsoft.ContainerRegistry/registries/pull/read",)),
    Role(
        "8311e382-0749-4cb8-b61a-304f252e45ec",
        "AcrPush",
        ("Microsoft.ContainerRegistry/registries/pull/read", "Microsoft.ContainerRegistry/registries/push/write"),
    ),
    Role(
        "c2f4ef07-c644-48eb-af81-4b1b4947fb11",
        "AcrDelete",
        ("Microsoft.ContainerRegistry/registries/artifacts/delete",),
    ),
    Role(
        "577a9874-89fd-4f24-9dbd-b5034d0ad23a",
        "Container Registry Data Importer and Data Reader",
        (
            "Microsoft.ContainerRegistry/registries/importImage/action",
            "Microsoft.ContainerRegistry/registries/operationStatuses/read",
            "Microsoft.ContainerRegistry/registries/read",
            "Microsoft.ContainerRegistry/registries/pull/read",
        ),
    ),
    Role(
        "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "Key Vault Administrator",
        _VAULT_READ,
        data_actions=("Microsoft.KeyVault/vaults/*",),
    ),
    Role(
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "Key Vault Secrets Officer",
        _VAULT_READ,
        data_actions=(f"{_SECRETS}/*",),
    ),
    Role(
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Key Vault Secrets User",
        data_actions=(f"{_SECRETS}/getSecret/action", f"{_SECRETS}/readMetadata/action"),
    ),
    Role(
        "21090545-7ca7-4776-b22c-e363652d74d2",
        "Key Vault Reader",
        _VAULT_READ,
        data_actions=(
            "Microsoft.KeyVault/vaults/*/read",
            f"{_SECRETS}/readMetadata/action",
        ),
    ),
    Role(
        "a4417e6f-fecd-4de8-b567-7b0420556985",
        "Key Vault Certificates Officer",
        _VAULT_READ,
        data_actions=(
            "Microsoft.KeyVault/vaults/certificatecas/*",
            "Microsoft.KeyVault/vaults/certificates/*",
            "Microsoft.KeyVault/vaults/certificatecontacts/write",
        ),
    ),
    Role(
        "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
        "Key Vault Certificate User",
        data_actions=(
            "Microsoft.KeyVault/vaults/certificates/read",
            f"{_SECRETS}/getSecret/action",
            f"{_SECRETS}/readMetadata/action",
            "Microsoft.KeyVault/vaults/keys/read",
        ),
    ),
    Role(
        "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        "Key Vault Crypto Officer",
        _VAULT_READ,
        data_actions=("Microsoft.KeyVault/vaults/keys/*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"),
    ),
    Role(
        "12338af0-0e69-4776-bea7-57ae8d297424",
        "Key Vault Crypto User",
        data_actions=("Microsoft.KeyVault/vaults/keys/read", "Microsoft.KeyVault/vaults/keys/*/action"),
    ),
    Role(
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "Storage Blob Data Owner",
        ("Microsoft.Storage/storageAccounts/blobServices/containers/*",),
        data_actions=(f"{_BLOBS}/*",),
    ),
    Role(
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "Storage Blob Data Contributor",
        (
            "Microsoft.Storage/storageAccounts/blobServices/containers/delete",
            "Microsoft.Storage/storageAccounts/blobServices/containers/read",
            "Microsoft.Storage/storageAccounts/blobServices/containers/write",
        ),
        data_actions=(f"{_BLOBS}/delete", f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/add/action"),
    ),
    Role(
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "Storage Blob Data Reader",
        ("Microsoft.Storage/storageAccounts/blobServices/containers/read",),
        data_actions=(f"{_BLOBS}/read",),
    ),
    Role(
        "090c5cfd-751d-490a-894a-3ce6f1109419",
        "Azure Service Bus Data Owner",
        ("Microsoft.ServiceBus/*",),
        data_actions=("Microsoft.ServiceBus/*",),
    ),
    Role(
        "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
        "Azure Service Bus Data Receiver",
        ("Microsoft.ServiceBus/*/queues/read", "Microsoft.ServiceBus/*/topics/read"),
        data_actions=("Microsoft.ServiceBus/*/receive/action",),
    ),
    Role(
        "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
        "Azure Service Bus Data Sender",
        ("Microsoft.ServiceBus/*/queues/read", "Microsoft.ServiceBus/*/topics/read"),
        data_actions=("Microsoft.ServiceBus/*/send/action",),
    ),
    Role(
        "3913510d-42f4-4e42-8a64-420c390055eb",
        "Monitoring Metrics Publisher",
        ("Microsoft.Insights/Register/Action", "Microsoft.Support/*"),
        data_actions=("Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write"),
    ),
    Role(
        "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
        "Monitoring Reader",
        (_READ, "Microsoft.OperationalInsights/workspaces/search/action"),
    ),
    Role(
        "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
        "Monitoring Contributor",
        (
            _READ,
            "Microsoft.Insights/*",
            "Microsoft.AlertsManagement/*",
            "Microsoft.OperationalInsights/workspaces/search/action",
            "Microsoft.OperationalInsights/workspaces/sharedKeys/action",
        ),
    ),
    Role(
        "b0d8363b-8ddd-447d-831f-62ca05bff136",
        "Monitoring Data Reader",
        data_actions=("Microsoft.Monitor/accounts/data/metrics/read",),
    ),
    Role(
        "73c42c96-874c-492b-b04d-ab87d138a893",
        "Log Analytics Reader",
        (_READ, "Microsoft.OperationalInsights/workspaces/search/action"),
    ),
    Role(
        "36243c78-bf99-498c-9df9-86d9f8d28608",
        "Resource Policy Contributor",
        (
            _READ,
            "Microsoft.Authorization/policyassignments/*",
            "Microsoft.Authorization/policydefinitions/*",
            "Microsoft.Authorization/policyexemptions/*",
            "Microsoft.Authorization/policysetdefinitions/*",
        ),
    ),
    Role(
        "0ab0b1a8-8aac-4efd-b8c2-3ee1fb270be8",
        "Azure Kubernetes Service Cluster Admin Role",
        (f"{_AKS}/listClusterAdminCredential/action", f"{_AKS}/read"),
    ),
    Role(
        "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
        "Azure Kubernetes Service Cluster User Role",
        (f"{_AKS}/listClusterUserCredential/action", f"{_AKS}/read"),
    ),
    Role(
        "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
        "Azure Kubernetes Service RBAC Cluster Admin",
        ("Microsoft.Authorization/*/read", f"{_AKS}/listClusterUserCredential/action", f"{_AKS}/read"),
        data_actions=(f"{_AKS}/*",),
    ),
    Role(
        "3498e952-d568-435e-9b2c-8d77e338d7f7",
        "Azure Kubernetes Service RBAC Admin",
        ("Microsoft.Authorization/*/read", f"{_AKS}/listClusterUserCredential/action", f"{_AKS}/read"),
        data_actions=(f"{_AKS}/*",),
        not_data_actions=(
            f"{_AKS}/*/resourcequotas/write",
            f"{_AKS}/*/resourcequotas/delete",
            f"{_AKS}/namespaces/write",
            f"{_AKS}/namespaces/delete",
        ),
    ),
    Role(
        "a7ffa36f-339b-4b5c-8bdf-e2c188b2c0eb",
        "Azure Kubernetes Service RBAC Writer",
        ("Microsoft.Authorization/*/read", f"{_AKS}/read"),
        data_actions=(
            f"{_AKS}/*/read",
            f"{_AKS}/apps/*",
            f"{_AKS}/autoscaling/*",
            f"{_AKS}/batch/*",
            f"{_AKS}/configmaps/*",
            f"{_AKS}/endpoints/*",
            f"{_AKS}/extensions/*",
            f"{_AKS}/networking.k8s.io/*",
            f"{_AKS}/persistentvolumeclaims/*",
            f"{_AKS}/pods/*",
            f"{_AKS}/policy/*",
            f"{_AKS}/secrets/*",
            f"{_AKS}/serviceaccounts/*",
            f"{_AKS}/services/*",
        ),
    ),
    Role(
        "7f6c6a51-bcf8-4ba2-9220-52d62157d7db",
        "Azure Kubernetes Service RBAC Reader",
        ("Microsoft.Authorization/*/read", f"{_AKS}/read"),
        data_actions=(
            f"{_AKS}/apps/*/read",
            f"{_AKS}/autoscaling/*/read",
            f"{_AKS}/batch/*/read",
            f"{_AKS}/configmaps/read",
            f"{_AKS}/endpoints/read",
            f"{_AKS}/events/read",
            f"{_AKS}/namespaces/read",
            f"{_AKS}/networking.k8s.io/*/read",
            f"{_AKS}/persistentvolumeclaims/read",
            f"{_AKS}/pods/read",
            f"{_AKS}/policy/*/read",
            f"{_AKS}/serviceaccounts/read",
            f"{_AKS}/services/read",
        ),
    ),
    Role(
        "749a398d-560b-491b-bb21-08924219302e",
        "Load Test Contributor",
        ("Microsoft.LoadTestService/*/read", "Microsoft.Resources/deployments/*"),
        data_actions=("Microsoft.LoadTestService/loadtests/*",),
    ),
)
