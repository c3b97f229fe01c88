"""What AKS runs inside a cluster, as manifests: the system's own pods and those of each add-on.

Names, namespaces, labels and kinds are AKS'; commands and probes are not, since the sandbox's nodes run no containers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aksops_sandbox.azure.store import Resource

Manifest = dict[str, Any]
SYSTEM = "kube-system"
_REGISTRY = "mcr.microsoft.com"
_FOLDER = Path(__file__).with_name("manifests")
_EVERYWHERE = [{"operator": "Exists"}]
_SYSTEM_POOL = [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
_OWN = {"kubernetes.azure.com/managedby": "aks"}


def _pod(
    labels: dict[str, str], account: str, containers: dict[str, str], tolerations: list[dict[str, str]]
) -> Manifest:
    return {
        "metadata": {"labels": {**labels, **_OWN}},
        "spec": {
            "serviceAccountName": account,
            "priorityClassName": "system-node-critical",
            "tolerations": tolerations,
            "containers": [
                {
                    "name": name,
                    "image": f"{_REGISTRY}/{image}",
                    "resources": {"requests": {"cpu": "10m", "memory": "20Mi"}},
                }
                for name, image in containers.items()
            ],
        },
    }


def account(name: str, namespace: str = SYSTEM) -> Manifest:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def daemon_set(
    name: str,
    containers: dict[str, str],
    *,
    label: str = "",
    account_name: str = "default",
    namespace: str = SYSTEM,
    labels: dict[str, str] | None = None,
) -> Manifest:
    own = labels or {"k8s-app": label or name}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "labels": {**own, **_OWN}},
        "spec": {
            "selector": {"matchLabels": own},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
            "template": _pod(own, account_name, containers, _EVERYWHERE),
        },
    }


def deployment(
    name: str,
    containers: dict[str, str],
    replicas: int,
    *,
    labels: dict[str, str] | None = None,
    account_name: str = "default",
    namespace: str = SYSTEM,
) -> Manifest:
    own = labels or {"k8s-app": name}
    template = _pod(own, account_name, containers, _SYSTEM_POOL)
    template["spec"]["priorityClassName"] = "system-cluster-critical"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {**own, **_OWN}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": own}, "template": template},
    }


@cache
def _documents(file: str) -> tuple[Manifest, ...]:
    return tuple(item for item in yaml.safe_load_all((_FOLDER / file).read_text(encoding="utf-8")) if item)


def documents(file: str) -> list[Manifest]:
    """Manifests of one YAML file beside this module."""
    return list(_documents(file))


def system(cluster: Resource) -> list[Manifest]:
    """What every cluster of this kind has from its first minute."""
    properties = cluster.properties
    network = properties["networkProfile"]
    dns = {"k8s-app": "kube-dns"}
    service: Manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": SYSTEM, "labels": {**dns, "kubernetes.io/name": "CoreDNS"}},
        "spec": {
            "clusterIP": network["dnsServiceIP"],
            "selector": dns,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }
    found = [
        *documents("storage-classes.yaml"),
        account("coredns"),
        service,
        deployment(
            "coredns", {"coredns": "oss/v2/kubernetes/coredns:v1.12.1-7"}, 2, labels=dns, account_name="coredns"
        ),
        deployment("metrics-server", {"metrics-server": "oss/v2/kubernetes/metrics-server:v0.8.0"}, 2),
        deployment(
            "konnectivity-agent",
            {"konnectivity-agent": "oss/v2/kubernetes/apiserver-network-proxy/agent:v0.31.4"},
            2,
            labels={"app": "konnectivity-agent"},
        ),
        daemon_set("azure-cns", {"cns-container": "containernetworking/azure-cns:v1.7.5"}),
        daemon_set("cloud-node-manager", {"cloud-node-manager": "oss/v2/kubernetes/azure-cloud-node-manager:v1.34.1"}),
    ]
    if network["networkDataplane"] == "cilium":
        found += [
            daemon_set("cilium", {"cilium-agent": "oss/v2/cilium/cilium:v1.17.9"}),
            deployment(
                "cilium-operator",
                {"cilium-operator": "oss/v2/cilium/operator-generic:v1.17.9"},
                2,
                labels={"io.cilium/app": "operator", "name": "cilium-operator"},
            ),
        ]
    else:
        found.append(
            daemon_set("kube-proxy", {"kube-proxy": "oss/v2/kubernetes/kube-proxy:v1.36.3"}, label="kube-proxy-ds")
        )
    storage = properties["storageProfile"]
    for key, name, driver in (
        ("diskCSIDriver", "csi-azuredisk-node", "azuredisk"),
        ("fileCSIDriver", "csi-azurefile-node", "azurefile"),
    ):
        if (storage.get(key) or {}).get("enabled"):
            found.append(
                daemon_set(
                    name,
                    {driver: f"oss/v2/kubernetes-csi/{driver}-csi:v1.33.5"},
                    labels={"app": name},
                )
            )
    if ((properties["securityProfile"].get("workloadIdentity")) or {}).get("enabled"):
        found.append(
            deployment(
                "azure-wi-webhook-controller-manager",
                {"manager": "oss/v2/azure/workload-identity/webhook:v1.5.1"},
                2,
                labels={"app": "workload-identity-webhook", "azure-workload-identity.io/system": "true"},
            )
        )
    return found


def secrets_store(cluster: Resource, config: dict[str, str]) -> list[Manifest]:
    """Add-on azureKeyvaultSecretsProvider."""
    driver = {
        "node-driver-registrar": "oss/v2/kubernetes-csi/csi-node-driver-registrar:v2.14.0",
        "secrets-store": "oss/v2/kubernetes-csi/secrets-store/driver:v1.5.4",
        "liveness-probe": "oss/v2/kubernetes-csi/livenessprobe:v2.16.0",
    }
    provider = {"provider-azure-installer": "oss/v2/azure/secrets-store/provider-azure:v1.8.1"}
    return [
        *documents("secrets-store.yaml"),
        account("aks-secrets-store-csi-driver"),
        account("aks-secrets-store-provider-azure"),
        daemon_set(
            "aks-secrets-store-csi-driver",
            driver,
            labels={"app": "secrets-store-csi-driver"},
            account_name="aks-secrets-store-csi-driver",
        ),
        daemon_set(
            "aks-secrets-store-provider-azure",
            provider,
            labels={"app": "secrets-store-provider-azure"},
            account_name="aks-secrets-store-provider-azure",
        ),
    ]


def application_gateway(cluster: Resource, config: dict[str, str]) -> list[Manifest]:
    """Add-on ingressApplicationGateway."""
    labels = {"app": "ingress-appgw"}
    settings: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "ingress-appgw-cm", "namespace": SYSTEM, "labels": {**labels, **_OWN}},
        "data": {
            "APPGW_RESOURCE_ID": config.get("effectiveApplicationGatewayId", ""),
            "APPGW_SUBNET_ID": config.get("subnetId", ""),
            "APPGW_SUBNET_PREFIX": config.get("subnetCIDR", ""),
            "APPGW_ENABLE_SHARED_APPGW": "false",
            "AZURE_CLOUD_PROVIDER_LOCATION": "/etc/kubernetes/azure.json",
            "USE_MANAGED_IDENTITY_FOR_POD": "true",
            "HTTP_SERVICE_PORT": "8123",
            "APPGW_VERBOSITY_LEVEL": "3",
        },
    }
    return [
        *documents("application-gateway.yaml"),
        account("ingress-appgw-sa"),
        settings,
        deployment(
            "ingress-appgw-deployment",
            {"ingress-appgw-container": "azure-application-gateway/kubernetes-ingress:1.9.4"},
            1,
            labels=labels,
            account_name="ingress-appgw-sa",
        ),
    ]


def policy(cluster: Resource, config: dict[str, str]) -> list[Manifest]:
    """Add-on azurepolicy."""
    gatekeeper = "gatekeeper-system"
    image = {"manager": "oss/v2/open-policy-agent/gatekeeper:v3.20.1"}
    return [
        *documents("policy.yaml"),
        account("azure-policy"),
        account("azure-policy-webhook-account"),
        account("gatekeeper-admin", gatekeeper),
        deployment(
            "azure-policy",
            {"azure-policy": "azure-policy/policy-kubernetes-addon-prod:1.15.3"},
            1,
            labels={"app": "azure-policy"},
            account_name="azure-policy",
        ),
        deployment(
            "azure-policy-webhook",
            {"azure-policy-webhook": "azure-policy/policy-kubernetes-webhook:1.15.3"},
            1,
            labels={"app": "azure-policy-webhook"},
            account_name="azure-policy-webhook-account",
        ),
        deployment(
            "gatekeeper-audit",
            image,
            1,
            namespace=gatekeeper,
            account_name="gatekeeper-admin",
            labels={"control-plane": "audit-controller", "gatekeeper.sh/system": "yes"},
        ),
        deployment(
            "gatekeeper-controller",
            image,
            2,
            namespace=gatekeeper,
            account_name="gatekeeper-admin",
            labels={"control-plane": "controller-manager", "gatekeeper.sh/system": "yes"},
        ),
    ]


def container_insights(cluster: Resource, config: dict[str, str]) -> list[Manifest]:
    """Add-on omsagent (Container Insights)."""
    agent = {
        "ama-logs": "azuremonitor/containerinsights/ciprod:3.1.30",
        "ama-logs-prometheus": "azuremonitor/containerinsights/ciprod:3.1.30",
        "addon-token-adapter": "aks/msi/addon-token-adapter:master.250918.1",
    }
    return [
        account("ama-logs"),
        daemon_set("ama-logs", agent, labels={"component": "ama-logs-agent", "tier": "node"}, account_name="ama-logs"),
        deployment("ama-logs-rs", agent, 1, labels={"rsName": "ama-logs-rs"}, account_name="ama-logs"),
    ]


def managed_prometheus() -> list[Manifest]:
    """azureMonitorProfile.metrics (Managed Prometheus)."""
    image = {"prometheus-collector": "azuremonitor/containerinsights/ciprod/prometheus-collector/images:6.22.0"}
    return [
        account("ama-metrics-serviceaccount"),
        deployment(
            "ama-metrics", image, 2, labels={"rsName": "ama-metrics"}, account_name="ama-metrics-serviceaccount"
        ),
        daemon_set(
            "ama-metrics-node", image, labels={"dsName": "ama-metrics-node"}, account_name="ama-metrics-serviceaccount"
        ),
        deployment(
            "ama-metrics-ksm",
            {"ama-metrics-ksm": "oss/v2/kubernetes/kube-state-metrics:v2.16.0"},
            1,
            labels={"app.kubernetes.io/name": "ama-metrics-ksm"},
            account_name="ama-metrics-serviceaccount",
        ),
    ]
