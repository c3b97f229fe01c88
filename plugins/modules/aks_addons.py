#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aks_addons
short_description: Set add-ons and features of an AKS cluster by one request
version_added: 0.1.0
description:
  - Reads the cluster, changes what is named here and nothing else, and writes it back under the ETag that was read.
  - Many add-ons and features go into one request. A feature that is left out is not touched, nor is a setting.
  - Waits while another operation is at work on the cluster, and starts anew where another writer came first.
  - Refuses, before any write, what AKS would refuse or accept and never make work.
options:
  keyvault_secrets_provider:
    description: The Secrets Store CSI driver with the provider for Azure Key Vault.
    type: dict
    suboptions:
      enabled:
        description: Whether the add-on is enabled.
        type: bool
        default: true
      rotation:
        description: Whether mounted secrets follow the vault.
        type: bool
      rotation_interval:
        description: Time between two looks at the vault, such as V(2m).
        type: str
  ingress_application_gateway:
    description: The Application Gateway Ingress Controller on a gateway that exists.
    type: dict
    suboptions:
      enabled:
        description: Whether the add-on is enabled.
        type: bool
        default: true
      gateway_id:
        description: Resource id of the application gateway. Needed when the add-on is first enabled.
        type: str
  azure_policy:
    description: Azure Policy for Kubernetes (Gatekeeper).
    type: dict
    suboptions:
      enabled:
        description: Whether the add-on is enabled.
        type: bool
        default: true
  oms_agent:
    description: Container Insights.
    type: dict
    suboptions:
      enabled:
        description: Whether the add-on is enabled.
        type: bool
        default: true
      workspace_id:
        description: Resource id of the Log Analytics workspace. Needed when the add-on is first enabled.
        type: str
      entra_auth:
        description: Whether the agent authenticates by managed identity. A new add-on does.
        type: bool
  managed_prometheus:
    description: Azure Monitor managed service for Prometheus; it also needs a collection rule and its association.
    type: dict
    suboptions:
      enabled:
        description: Whether the metrics agent runs.
        type: bool
        default: true
      annotations_allowed:
        description: Kubernetes annotations that become labels of metrics, in the words of kube-state-metrics.
        type: str
      labels_allowed:
        description: Kubernetes labels that become labels of metrics, in the words of kube-state-metrics.
        type: str
      control_plane:
        description: Whether metrics of the control plane are collected too.
        type: bool
  app_monitoring:
    description: Auto-instrumentation of applications for Application Insights.
    type: dict
    suboptions:
      enabled:
        description: Whether it is enabled.
        type: bool
        default: true
  gateway_api:
    description: The managed installation of the Gateway API's definitions.
    type: dict
    suboptions:
      enabled:
        description: Whether they are installed.
        type: bool
        default: true
  app_routing:
    description: The application routing add-on.
    type: dict
    suboptions:
      enabled:
        description: Whether the add-on is enabled.
        type: bool
        default: true
      istio:
        description: Whether it implements the Gateway API. Needs O(gateway_api).
        type: bool
      nginx:
        description: Kind of the default NGINX ingress controller; NGINX in this add-on is being retired.
        type: str
        choices: [None, Internal, External, AnnotationControlled]
      dns_zone_ids:
        description: Resource ids of DNS zones that the add-on may write to.
        type: list
        elements: str
extends_documentation_fragment:
  - aksops.platform.aks_cluster
  - aksops.platform.azure_auth
  - aksops.platform.kubernetes.workloads
  - aksops.platform.wait
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Writes nothing. Where the cluster does not exist, the result says what would be enabled.
  diff_mode:
    support: full
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.aks_addons_info
"""

EXAMPLES = r"""
- name: Mount Key Vault secrets as files, and let Azure Policy guard the cluster
  aksops.platform.aks_addons:
    resource_group: rg-shop
    name: aks-shop
    keyvault_secrets_provider:
      rotation: true
      rotation_interval: 2m
    azure_policy: {}

- name: Disable one add-on
  aksops.platform.aks_addons:
    cluster_id: "{{ platform.aks.id }}"
    ingress_application_gateway:
      enabled: false
"""

RETURN = r"""
cluster_id:
  description: Resource id of the cluster.
  returned: success
  type: str
changes:
  description: One line for each setting that was, or would be, changed.
  returned: success
  type: list
  elements: str
addons:
  description: State of every feature this module knows, with the identity that AKS made for an enabled add-on.
  returned: when the cluster exists
  type: dict
  sample:
    azure_policy:
      enabled: true
      identity:
        client_id: 8f4ba9c6-96a4-4dbf-8f19-53b2ac1e7d4b
        object_id: 3b1ac2a6-0b1f-4d1c-9f33-e9e1c52bd6a7
        resource_id: /subscriptions/x/resourceGroups/MC/providers/Microsoft.ManagedIdentity/userAssignedIdentities/y
cluster:
  description: The same facts as M(aksops.platform.aks_addons_info) returns.
  returned: when the cluster exists
  type: dict
cluster_exists:
  description: Whether the cluster exists.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _aks, _aks_addons_plan, _arm
from ansible_collections.aksops.platform.plugins.module_utils import _kubernetes as kube
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WAIT_ARG_SPEC


def feature(**settings: t.Any) -> dict[str, t.Any]:
    """Return the argument spec of one feature: C(enabled) and its settings."""
    return {"type": "dict", "options": {"enabled": {"type": "bool", "default": True}, **settings}}


FEATURES_ARG_SPEC: dict[str, t.Any] = {
    "keyvault_secrets_provider": feature(rotation={"type": "bool"}, rotation_interval={"type": "str"}),
    "ingress_application_gateway": feature(gateway_id={"type": "str"}),
    "azure_policy": feature(),
    "oms_agent": feature(workspace_id={"type": "str"}, entra_auth={"type": "bool"}),
    "managed_prometheus": feature(
        annotations_allowed={"type": "str"}, labels_allowed={"type": "str"}, control_plane={"type": "bool"}
    ),
    "app_monitoring": feature(),
    "gateway_api": feature(),
    "app_routing": feature(
        istio={"type": "bool"},
        nginx={"type": "str", "choices": ["None", "Internal", "External", "AnnotationControlled"]},
        dns_zone_ids={"type": "list", "elements": "str"},
    ),
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    wish = {name: params[name] for name in FEATURES_ARG_SPEC}
    path = _aks.cluster_id(params)
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    plan, cluster = _aks.apply_addons(
        arm,
        path,
        wish,
        check_mode=module.check_mode,
        wait=params["wait"],
        timeout=params["wait_timeout"],
        interval=params["wait_sleep"],
        progress=module.debug,
    )
    if params["kubernetes"] and params["wait"] and not module.check_mode:
        client = kube.KubernetesClient(**params["kubernetes"])
        on = [name for name, settings in wish.items() if settings and settings["enabled"]]
        kube.wait_workloads(
            client, on, timeout=params["wait_timeout"], interval=params["wait_sleep"], progress=module.debug
        )
    result: dict[str, t.Any] = {
        "changed": bool(plan.changes),
        "changes": plan.changes,
        "cluster_id": path,
        "cluster_exists": cluster is not None,
    }
    if cluster is not None:
        result["addons"] = _aks_addons_plan.describe(cluster)
        result["cluster"] = _aks.facts(cluster)
    if module._diff:
        result["diff"] = {"before": plan.before, "after": plan.after}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            **WAIT_ARG_SPEC,
            **_aks.CLUSTER_ARG_SPEC,
            **FEATURES_ARG_SPEC,
            "kubernetes": kube.KUBERNETES_ARG_SPEC,
        },
        supports_check_mode=True,
        **_aks.CLUSTER_RULES,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
