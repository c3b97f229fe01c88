#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aks_addons_info
short_description: Read add-ons and features of an AKS cluster
version_added: 0.1.0
description:
  - Returns the state of every add-on and feature that M(aksops.platform.aks_addons) can set.
  - Can wait for the workloads that AKS deploys for them, and name those that do not become ready.
options:
  wait_for:
    description: Features whose workloads in the cluster are to be ready before the module returns. Needs O(kubernetes).
    type: list
    elements: str
    choices: [azure_policy, ingress_application_gateway, keyvault_secrets_provider, managed_prometheus, oms_agent]
    default: []
  wait_timeout:
    description: How many seconds to wait for them at most. The error names the workloads that are not ready.
    type: int
    default: 600
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 3
extends_documentation_fragment:
  - aksops.platform.aks_cluster
  - aksops.platform.azure_auth
  - aksops.platform.kubernetes.workloads
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.aks_addons
"""

EXAMPLES = r"""
- name: Read the add-ons
  aksops.platform.aks_addons_info:
    resource_group: rg-shop
    name: aks-shop
  register: found
"""

RETURN = r"""
cluster_exists:
  description: Whether the cluster exists.
  returned: success
  type: bool
addons:
  description: State of every feature, with the identity that AKS made for an enabled add-on; empty without a cluster.
  returned: success
  type: dict
cluster:
  description: What else roles need to know of the cluster; empty without one.
  returned: success
  type: dict
  contains:
    id:
      description: Resource id.
      type: str
    provisioning_state:
      description: State of the last operation.
      type: str
    power_state:
      description: V(Running) or V(Stopped).
      type: str
    kubernetes_version:
      description: Version of the control plane.
      type: str
    node_resource_group:
      description: Group of the nodes and of the add-ons' identities.
      type: str
    oidc_issuer:
      description: Issuer of the service accounts' tokens; null where it is off.
      type: str
    private:
      description: Whether the API server has a private address only.
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _aks, _aks_addons_plan, _arm
from ansible_collections.aksops.platform.plugins.module_utils import _kubernetes as kube
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            **_aks.CLUSTER_ARG_SPEC,
            "kubernetes": kube.KUBERNETES_ARG_SPEC,
            "wait_for": {"type": "list", "elements": "str", "choices": sorted(kube.WORKLOADS), "default": []},
            "wait_timeout": {"type": "int", "default": 600},
            "wait_sleep": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
        **_aks.CLUSTER_RULES,
    )
    params = module.params
    try:
        if params["wait_for"] and not params["kubernetes"]:
            raise AksPlatformError("wait_for needs kubernetes: the API server that aks_credentials returns.")
        found = _arm.client(params).get(_aks.cluster_id(params), _aks.API_VERSION)
        if found and params["wait_for"]:
            kube.wait_workloads(
                kube.KubernetesClient(**params["kubernetes"]),
                params["wait_for"],
                timeout=params["wait_timeout"],
                interval=params["wait_sleep"],
                progress=module.debug,
            )
        module.exit_json(
            changed=False,
            cluster_exists=found is not None,
            addons=_aks_addons_plan.describe(found) if found else {},
            cluster=_aks.facts(found) if found else {},
        )
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
