#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: arm_resources
short_description: Bring a list of Azure resources and role assignments to a wanted state
version_added: 0.1.0
description:
  - Reads all that is listed side by side, compares, and writes only what differs, so one task does for a dozen.
  - A body is a part of the resource. What it does not mention is neither compared nor changed.
  - Role assignments get a name made of scope, role and principal. One that exists under another name counts as present.
options:
  resources:
    description: Resources, in the order in which they are to be made. They are removed in the reverse order.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Resource id.
        type: str
        required: true
      api_version:
        description: API version. The module knows one for the types that this collection uses.
        type: str
      state:
        description: Whether the resource is to be there.
        type: str
        choices: [present, absent]
        default: present
      body:
        description:
          - The wanted part of the resource, in ARM's own words. Must not hold secrets.
          - Lists are compared as a whole; their entries by C(name) where all have one.
        type: dict
        default: {}
      ignore:
        description: Dotted paths of the body that are written but not compared, since the service hides them.
        type: list
        elements: str
        default: []
  role_assignments:
    description: Role assignments; made after all resources, removed before them.
    type: list
    elements: dict
    default: []
    suboptions:
      scope:
        description: Resource id at which the role is assigned.
        type: str
        required: true
      role:
        description: Name or GUID of the role.
        type: str
        required: true
      principal_id:
        description:
          - Object id of the principal.
          - May be empty in check mode (the principal is yet to be made) and with O(role_assignments[].state=absent).
        type: str
      principal_type:
        description: Kind of the principal. Saying it lets a new principal be assigned before Entra has replicated it.
        type: str
        choices: [ServicePrincipal, User, Group, ForeignGroup, Device]
        default: ServicePrincipal
      name:
        description: Name (a GUID) of a new assignment, instead of the one made of scope, role and principal.
        type: str
      state:
        description: Whether the assignment is to be there.
        type: str
        choices: [present, absent]
        default: present
  wait_timeout:
    description:
      - How many seconds a long-running operation may take, and to wait for a principal that does not exist yet.
    type: int
    default: 900
  wait_sleep:
    description: How many seconds to pause between two tries where the service names no pause of its own.
    type: int
    default: 5
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Only reads.
  diff_mode:
    support: full
    details: Shows the parts of the resources that the task talks about.
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Let the cluster's pods publish metrics, and page someone
  aksops.platform.arm_resources:
    resources:
      - id: "{{ group_id }}/providers/Microsoft.Insights/actionGroups/ag-oncall"
        body:
          location: global
          properties:
            groupShortName: oncall
            enabled: true
            emailReceivers:
              - name: oncall
                emailAddress: oncall@example.com
                useCommonAlertSchema: true
    role_assignments:
      - scope: "{{ group_id }}/providers/Microsoft.Insights/components/appi-shop"
        role: Monitoring Metrics Publisher
        principal_id: "{{ identity.principal_id }}"
"""

RETURN = r"""
resources:
  description: What was, or would be, done with each resource and role assignment.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Resource id.
      type: str
    action:
      description: V(none), V(create), V(update) or V(delete).
      type: str
    differences:
      description: Dotted paths that differed.
      type: list
      elements: str
summary:
  description: How often each action occurs.
  returned: success
  type: dict
  sample: {none: 3, create: 1}
"""

import typing as t
from collections import Counter

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _arm_resources
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from

STATE: dict[str, t.Any] = {"type": "str", "choices": ["present", "absent"], "default": "present"}

RESOURCE_SPEC: dict[str, t.Any] = {
    "id": {"type": "str", "required": True},
    "api_version": {"type": "str"},
    "state": STATE,
    "body": {"type": "dict", "default": {}},
    "ignore": {"type": "list", "elements": "str", "default": []},
}

ROLE_SPEC: dict[str, t.Any] = {
    "scope": {"type": "str", "required": True},
    "role": {"type": "str", "required": True},
    "principal_id": {"type": "str"},
    "principal_type": {
        "type": "str",
        "choices": ["ServicePrincipal", "User", "Group", "ForeignGroup", "Device"],
        "default": "ServicePrincipal",
    },
    "name": {"type": "str"},
    "state": STATE,
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    steps = _arm_resources.read(arm, params["resources"], params["role_assignments"], check_mode=module.check_mode)
    changed = any(step.action != "none" for step in steps)
    if changed and not module.check_mode:
        limits = {"patience": params["wait_timeout"], "interval": params["wait_sleep"]}
        for warning in _arm_resources.write(arm, steps, progress=module.debug, **limits):
            module.warn(warning)
    result: dict[str, t.Any] = {
        "changed": changed,
        "resources": [{"id": s.id, "action": s.action, "differences": s.differences} for s in steps],
        "summary": dict(Counter(step.action for step in steps)),
    }
    if module._diff:
        told = [step for step in steps if step.action != "none"]
        result["diff"] = {
            "before": {step.id: step.before for step in told},
            "after": {step.id: step.after for step in told},
        }
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "resources": {"type": "list", "elements": "dict", "default": [], "options": RESOURCE_SPEC},
            "role_assignments": {"type": "list", "elements": "dict", "default": [], "options": ROLE_SPEC},
            "wait_timeout": {"type": "int", "default": 900},
            "wait_sleep": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
