#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_verify
short_description: Ask Azure and Kubernetes whether a platform is as it must be
version_added: 0.1.0
description:
  - Reads what is in the platform's resource group and in its cluster, and compares it with what a platform must be,
    without regard to the inputs that it was made from. It only reads.
  - The task fails naming everything that is wrong. What is not wrong but should be known is a warning among the checks.
options:
  resource_group_id:
    description: Resource id of the platform's resource group.
    type: str
    required: true
  access:
    description: How the platform is reached. With V(inside), public network access must be off everywhere.
    type: str
    choices: [inside, allowlist]
    default: inside
  telemetry_keys:
    description: Whether Application Insights accepts keys on purpose, for a collector. It is then a warning.
    type: bool
    default: false
  kubernetes:
    description:
      - The cluster's door, as M(aksops.platform.aks_credentials) returns it.
      - Without it the cluster's inside is left out.
    type: dict
    suboptions:
      host:
        description: Address of the API server.
        type: str
        required: true
      ca_path:
        description: File with the certificate of its authority.
        type: path
      token:
        description: A bearer token.
        type: str
        required: true
  applications:
    description: Argo CD Applications that must exist, as C(namespace/name). Those that exist are checked in any case.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.wait
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Ask what is there
  aksops.platform.platform_verify:
    resource_group_id: "{{ platform.resource_group.id }}"
    kubernetes: "{{ platform_kubernetes }}"
    applications: [argocd/reference]
"""

RETURN = r"""
checks:
  description: Everything that was looked at.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What was looked at.
      type: str
    subject:
      description: Of which resource or object.
      type: str
    status:
      description: V(pass), V(warn) or V(fail).
      type: str
    evidence:
      description: What was seen, and what to do where it is wrong.
      type: str
summary:
  description: What exists, endpoints, versions, workloads and what to try next.
  returned: always
  type: dict
text:
  description: The same for a person to read, line by line.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _verify
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KUBERNETES_ARG_SPEC, KubernetesClient
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WAIT_ARG_SPEC


def main() -> None:
    spec = {
        **_auth.AUTH_ARG_SPEC,
        **WAIT_ARG_SPEC,
        "resource_group_id": {"type": "str", "required": True},
        "access": {"type": "str", "choices": ["inside", "allowlist"], "default": "inside"},
        # A switch, not a key.
        "telemetry_keys": {"type": "bool", "default": False, "no_log": False},
        "kubernetes": KUBERNETES_ARG_SPEC,
        "applications": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    settings = _verify.Settings(
        group_id=params["resource_group_id"],
        access=params["access"],
        applications=tuple(params["applications"]),
        timeout=params["wait_timeout"] if params["wait"] else 0,
        interval=params["wait_sleep"],
        telemetry_keys=params["telemetry_keys"],
    )
    door = params["kubernetes"]
    cluster = KubernetesClient(door["host"], door["token"], door["ca_path"]) if door else None
    try:
        result = _verify.run(settings, _arm.client(params), cluster, module.debug)
    except AksPlatformError as error:
        fail_from(module, error)
    returned = {
        "checks": [check._asdict() for check in result.checks],
        "summary": result.summary,
        "text": _verify.text(result),
    }
    if any(check.status == "fail" for check in result.checks):
        module.fail_json(msg=_verify.failure(result.checks), **returned)
    module.exit_json(changed=False, **returned)


if __name__ == "__main__":
    main()
