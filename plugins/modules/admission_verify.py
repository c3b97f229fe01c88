#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: admission_verify
short_description: Verify by dry run what a cluster's policies refuse and admit
version_added: 0.1.0
description:
  - Submits objects with C(dryRun=All), so that nothing is stored, and compares the API server's answer, and the policy
    that gave it, with what is expected.
  - Waits while an answer is not the expected one, since Azure Policy takes up to 20 minutes to reach a cluster, then
    fails and names all that differ.
options:
  probes:
    description: Objects to submit.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the probe is called in messages.
        type: str
        required: true
      manifest:
        description: A Pod, Service, Deployment or Ingress with its namespace.
        type: dict
        required: true
      expect:
        description: What is to happen to it.
        type: str
        choices: [refused, admitted]
        default: refused
      by:
        description: Who is to refuse it.
        type: str
        choices: [any, azure_policy, pod_security]
        default: any
      message:
        description: Regular expression that the refusal is to match, such as the name of a constraint.
        type: str
  wait_timeout:
    description: How many seconds the answers may take to become the expected ones.
    type: int
    default: 1500
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 10
extends_documentation_fragment:
  - aksops.platform.kubernetes
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
notes:
  - The options for Azure credentials are accepted for the sake of the action group; only O(kubernetes) is used.
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Verify that the shop's namespace refuses privileged containers
  aksops.platform.admission_verify:
    kubernetes: "{{ platform_kubernetes }}"
    probes:
      - name: a privileged container in shop
        manifest:
          apiVersion: v1
          kind: Pod
          metadata: {name: probe, namespace: shop}
          spec:
            containers:
              - name: probe
                image: registry.example/probe
                securityContext: {privileged: true}
"""

RETURN = r"""
probes:
  description: What happened to each probe.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the probe.
      type: str
    outcome:
      description: V(admitted), V(refused), or V(failed) where it could not be tried.
      type: str
    enforcer:
      description: V(azure_policy), V(pod_security) or V(other) where it was refused.
      type: str
    message:
      description: What the API server said.
      type: str
problems:
  description: What was not as expected, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _admission_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KUBERNETES_ARG_SPEC, KubernetesClient
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError, poll


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    client = KubernetesClient(**params["kubernetes"])
    for probe in params["probes"]:
        if probe["manifest"].get("kind") not in plan.KINDS:
            raise AksPlatformError(f"{probe['name']}: only {', '.join(plan.KINDS)} can be tried.")
    last: dict[str, t.Any] = {}

    def ask(probe: dict[str, t.Any]) -> dict[str, t.Any]:
        return plan.verdict(*client.call(plan.path_of(probe["manifest"]), body=probe["manifest"]))

    def check() -> tuple[bool, str]:
        with ThreadPoolExecutor(max_workers=8) as pool:
            verdicts = list(pool.map(ask, params["probes"]))
        pairs = list(zip(params["probes"], verdicts, strict=True))
        last["probes"] = [{"name": probe["name"], **got} for probe, got in pairs]
        last["problems"] = [line for probe, got in pairs if (line := plan.problem(probe, got))]
        return not last["problems"], "; ".join(last["problems"]) or "as expected"

    try:
        poll(
            check,
            timeout=params["wait_timeout"],
            interval=params["wait_sleep"],
            describe="the cluster's policies",
            progress=module.debug,
        )
    except WaitTimeoutError as error:
        raise AksPlatformError(
            f"The cluster's policies are not as expected after {error.details['waited_seconds']} s: "
            f"{'; '.join(last['problems'])}.",
            **last,
        ) from None
    return {"changed": False, **last}


def main() -> None:
    probe_spec = {
        "name": {"type": "str", "required": True},
        "manifest": {"type": "dict", "required": True},
        "expect": {"type": "str", "choices": ["refused", "admitted"], "default": "refused"},
        "by": {"type": "str", "choices": ["any", "azure_policy", "pod_security"], "default": "any"},
        "message": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "kubernetes": {**KUBERNETES_ARG_SPEC, "required": True},
            "probes": {"type": "list", "elements": "dict", "required": True, "options": probe_spec},
            "wait_timeout": {"type": "int", "default": 1500},
            "wait_sleep": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
