#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_gateway_info
short_description: Read an application gateway, what hinders AGIC, and the health of its backends
version_added: 0.1.0
description:
  - Returns the gateway's subnet, identities and certificates, and everything that would keep the Application Gateway
    Ingress Controller from working with it.
  - Can ask the gateway for the health of its backends, and wait until all are healthy.
options:
  gateway_id:
    description: Resource id of the application gateway.
    type: str
    required: true
  backend_health:
    description: Whether the health of the backends is asked for.
    type: bool
    default: false
  wait_healthy:
    description:
      - Whether to wait until there is a backend and every one is healthy, and to fail where one stays unhealthy.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to wait at most.
    type: int
    default: 600
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 10
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Wait until everything behind the gateway is healthy
  aksops.platform.application_gateway_info:
    gateway_id: "{{ platform.application_gateway.id }}"
    backend_health: true
    wait_healthy: true
"""

RETURN = r"""
exists:
  description: Whether the gateway exists.
  returned: success
  type: bool
gateway:
  description: What is known of the gateway; empty where it does not exist.
  returned: success
  type: dict
  contains:
    id:
      description: Resource id.
      type: str
    resource_group_id:
      description: Resource id of its group.
      type: str
    subnet_id:
      description: Resource id of its subnet.
      type: str
    public_ip_id:
      description: Resource id of its public address; null where it has none.
      type: str
    identity_ids:
      description: Resource ids of its user-assigned identities.
      type: list
      elements: str
    tier:
      description: Tier of its SKU.
      type: str
    certificates:
      description: Names of its certificates.
      type: list
      elements: str
problems:
  description: What would keep AGIC from working with it, one sentence each.
  returned: success
  type: list
  elements: str
backends:
  description: Number of servers by state, and what is unhealthy.
  returned: when O(backend_health=true)
  type: dict
  sample: {servers: {Healthy: 3}, unhealthy: []}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _agic_plan, _arm, _arm_plan
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._waiter import poll


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    path = params["gateway_id"]

    def read(resource_id: str | None) -> dict[str, t.Any] | None:
        version = _arm_plan.api_version(resource_id) if resource_id else None
        return arm.get(resource_id, version) if resource_id and version else None

    gateway = read(path)
    if gateway is None:
        return {"changed": False, "exists": False, "gateway": {}, "problems": [f"There is no gateway {path}."]}
    facts = _agic_plan.facts(gateway)
    subnet = read(facts["subnet_id"])
    group_id = (((subnet or {}).get("properties") or {}).get("networkSecurityGroup") or {}).get("id")
    problems = _agic_plan.problems(gateway, subnet, read(group_id))
    result = {"changed": False, "exists": True, "gateway": facts, "problems": problems}
    if params["backend_health"]:
        result["backends"] = backends(arm, path, module)
    return result


def backends(arm: _arm.ArmClient, path: str, module: AnsibleModule) -> dict[str, t.Any]:
    """Return the health of the backends, when all are healthy if that is to be waited for."""
    version = _arm_plan.API_VERSIONS["microsoft.network/applicationgateways"]
    last: dict[str, t.Any] = {}

    def check() -> tuple[bool, str]:
        last["servers"], last["unhealthy"] = _agic_plan.health(arm.post(f"{path}/backendhealth", version))
        if not last["servers"] and not last["unhealthy"]:
            last["unhealthy"] = ["the gateway has no backend at all"]
        done = not last["unhealthy"] or not module.params["wait_healthy"]
        return done, "; ".join(last["unhealthy"]) or "all healthy"

    poll(
        check,
        timeout=module.params["wait_timeout"],
        interval=module.params["wait_sleep"],
        describe=f"the backends of {path.rsplit('/', 1)[-1]}",
        progress=module.debug,
    )
    return last


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "gateway_id": {"type": "str", "required": True},
            "backend_health": {"type": "bool", "default": False},
            "wait_healthy": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 600},
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
