#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: arm_info
short_description: Ask Azure Resource Manager several questions in one task
version_added: 0.1.0
description:
  - Reads resources and collections, and calls actions that only read (such as C(backendhealth)), side by side.
options:
  requests:
    description: The questions. The answers come in the same order.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Resource id, the path of a collection, or that of an action.
        type: str
        required: true
      api_version:
        description: API version. The module knows one for the types that this collection uses.
        type: str
      ask:
        description:
          - V(resource) gets one resource, V(collection) all items of a collection, V(action) posts to an action.
          - Only actions that read belong here, since they are called in check mode too.
        type: str
        choices: [resource, collection, action]
        default: resource
      body:
        description: Body of an action.
        type: dict
  wait_timeout:
    description: How many seconds an action may take.
    type: int
    default: 300
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Ask the gateway for the health of what stands behind it
  aksops.platform.arm_info:
    requests:
      - id: "{{ gateway_id }}/backendhealth"
        api_version: "2025-01-01"
        ask: action
  register: found
"""

RETURN = r"""
answers:
  description: One answer for each request.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The path that was asked.
      type: str
    exists:
      description: Whether the resource exists; true for collections and actions.
      type: bool
    resource:
      description: The resource, or what the action gave.
      type: dict
    items:
      description: The items of a collection.
      type: list
      elements: dict
"""

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _arm_plan
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def answer(arm: _arm.ArmClient, request: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Ask one question and return its answer."""
    path = request["id"]
    version = _arm_plan.api_version(path.partition("?")[0], request["api_version"])
    if version is None:
        raise AksPlatformError(f"Which api_version is to be spoken to {path}? This collection knows none for its type.")
    result: dict[str, t.Any] = {"id": path, "exists": True, "resource": {}, "items": []}
    if request["ask"] == "collection":
        result["items"] = arm.list(path, version)
    elif request["ask"] == "action":
        result["resource"] = arm.post(path, version, request["body"])
    else:
        found = arm.get(path, version)
        result.update(exists=found is not None, resource=found or {})
    return result


def main() -> None:
    request_spec = {
        "id": {"type": "str", "required": True},
        "api_version": {"type": "str"},
        "ask": {"type": "str", "choices": ["resource", "collection", "action"], "default": "resource"},
        "body": {"type": "dict"},
    }
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "requests": {"type": "list", "elements": "dict", "required": True, "options": request_spec},
            "wait_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    try:
        arm = _arm.client(module.params, timeout=module.params["wait_timeout"], progress=module.debug)
        with ThreadPoolExecutor(max_workers=8) as pool:
            answers = list(pool.map(lambda request: answer(arm, request), module.params["requests"]))
        module.exit_json(changed=False, answers=answers)
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
