#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout_restart
short_description: Restart the Deployments and StatefulSets of namespaces and wait until their pods are ready
version_added: 0.2.0
description:
  - What C(kubectl rollout restart) does, once for a reason. The reason stands in an annotation of the pod template, so
    that a second run for the same reason restarts nothing and only waits.
  - What is scaled to nothing is left alone.
options:
  namespaces:
    description: Namespaces. One that does not exist has nothing to restart.
    type: list
    elements: str
    required: true
  selector:
    description: Labels of what is to be restarted, as kubectl takes them. Without it everything in the namespaces.
    type: str
    default: ""
  reason:
    description: Why. Another reason means another restart.
    type: str
    required: true
extends_documentation_fragment:
  - aksops.platform.kubernetes
  - aksops.platform.wait
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Let the application read its connection anew
  aksops.platform.rollout_restart:
    kubernetes: "{{ cluster }}"
    namespaces: [orders]
    reason: promotion of psql-shop-r1
  no_log: true
"""

RETURN = r"""
restarted:
  description: What was restarted, as namespace/kind/name.
  type: list
  elements: str
  returned: success
  sample: [orders/deployments/api]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import (
    KUBERNETES_ARG_SPEC,
    KubernetesClient,
)
from ansible_collections.aksops.platform.plugins.module_utils._rollout import Rollouts, to_restart


def main():
    module = AnsibleModule(
        argument_spec={
            "kubernetes": {**KUBERNETES_ARG_SPEC, "required": True},
            "namespaces": {"type": "list", "elements": "str", "required": True},
            "selector": {"type": "str", "default": ""},
            "reason": {"type": "str", "required": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1800},
            "wait_sleep": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        rollouts = Rollouts(KubernetesClient(**params["kubernetes"]), params["namespaces"], params["selector"])
        keys = to_restart(rollouts.read(), params["reason"])
        if not module.check_mode:
            rollouts.restart(keys, params["reason"])
            if params["wait"]:
                rollouts.wait(timeout=params["wait_timeout"], interval=params["wait_sleep"], progress=module.debug)
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=bool(keys), restarted=["/".join(key) for key in keys])


if __name__ == "__main__":
    main()
