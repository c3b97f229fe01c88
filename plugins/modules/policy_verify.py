#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_verify
short_description: Verify that policy assignments count in a cluster
version_added: 0.1.0
description:
  - Reads the cluster's Azure Policy add-on, the assignments and their exemptions, and names what keeps a policy from
    counting; an assignment in audit, a missing add-on, an excluded cluster, an exemption that has ended or that nobody
    lists, a parameter with another value.
  - Reads Azure's compliance report on request, and waits until it speaks of every assignment.
  - Changes nothing.
options:
  cluster_id:
    description: Resource id of the managed cluster.
    type: str
    required: true
  assignments:
    description: The assignments as they should be.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Resource id of the assignment.
        type: str
        required: true
      definition_id:
        description: Id of its definition or initiative.
        type: str
        required: true
      parameters:
        description: Its parameters by name, as plain values. It must have these and no others.
        type: dict
        default: {}
      enforce:
        description: Whether it takes effect, or only reports what it would do.
        type: bool
        default: true
  exemptions:
    description: Resource ids of the exemptions that may be there. Every other one of these assignments is a finding.
    type: list
    elements: str
    default: []
  compliance:
    description: Whether Azure's compliance report is read. It speaks of a new assignment after up to 30 minutes.
    type: bool
    default: false
  require_compliant:
    description: Whether a policy that something in the cluster does not comply with is a finding.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds the compliance report may take.
    type: int
    default: 1800
  wait_sleep:
    description: How many seconds to pause between two looks at the report.
    type: int
    default: 15
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
seealso:
  - module: aksops.platform.admission_verify
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Verify that privileged containers are refused in the shop's cluster
  aksops.platform.policy_verify:
    cluster_id: "{{ cluster_id }}"
    assignments:
      - id: "{{ resource_group_id }}/providers/Microsoft.Authorization/policyAssignments/no-privilege"
        definition_id: /providers/Microsoft.Authorization/policyDefinitions/95edb821-ddaf-4404-9732-666045e056b4
        parameters: {effect: Deny}
    compliance: true
"""

RETURN = r"""
compliance:
  description: The number of policies of each assignment that something in the cluster does not comply with.
  returned: when O(compliance=true)
  type: dict
  sample: {no-privilege: 0}
problems:
  description: What keeps the policies from counting, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _policy
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    arm = _arm.client(params)
    found = _policy.problems(arm, params["cluster_id"], params["assignments"], params["exemptions"])
    if found:
        raise AksPlatformError(f"The cluster's policies do not hold: {'; '.join(found)}.", problems=found)
    result: dict[str, t.Any] = {"changed": False, "problems": []}
    if params["compliance"]:
        result["compliance"] = _policy.await_compliance(
            arm,
            params["cluster_id"],
            [item["id"] for item in params["assignments"]],
            timeout=params["wait_timeout"],
            interval=params["wait_sleep"],
            progress=module.debug,
        )
        bad = [f"{name} ({count} policies)" for name, count in result["compliance"].items() if count]
        if bad and params["require_compliant"]:
            raise AksPlatformError(f"The cluster does not comply with {', '.join(bad)}.", **result)
    return result


def main() -> None:
    assignment = {
        "id": {"type": "str", "required": True},
        "definition_id": {"type": "str", "required": True},
        "parameters": {"type": "dict", "default": {}},
        "enforce": {"type": "bool", "default": True},
    }
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            "cluster_id": {"type": "str", "required": True},
            "assignments": {"type": "list", "elements": "dict", "required": True, "options": assignment},
            "exemptions": {"type": "list", "elements": "str", "default": []},
            "compliance": {"type": "bool", "default": False},
            "require_compliant": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 1800},
            "wait_sleep": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
