#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_gateway_certificates
short_description: Let an application gateway serve Key Vault certificates
version_added: 0.1.0
description:
  - Adds, changes or removes certificates of a gateway and leaves everything else on it as it is, also what an ingress
    controller writes at the same time. The gateway is written under the ETag that was read.
  - The gateway reads the certificates itself, under its own identity; no key passes through Ansible.
options:
  gateway_id:
    description: Resource id of the application gateway.
    type: str
    required: true
  certificates:
    description: Certificates by name. Those not listed are not touched.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name on the gateway.
        type: str
        required: true
      secret_id:
        description: Secret identifier of the Key Vault certificate, without a version. Needed to be present.
        type: str
      state:
        description: Whether the gateway is to have it.
        type: str
        choices: [present, absent]
        default: present
  wait_timeout:
    description: How many seconds to wait at most, for the gateway and for other writers.
    type: int
    default: 1800
  wait_sleep:
    description: How many seconds to pause between two tries.
    type: int
    default: 5
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Serve the shop's certificate
  aksops.platform.application_gateway_certificates:
    gateway_id: "{{ platform.application_gateway.id }}"
    certificates:
      - name: shop
        secret_id: https://kv-shop.vault.azure.net/secrets/shop
"""

RETURN = r"""
changes:
  description: One line for each certificate that was, or would be, changed.
  returned: success
  type: list
  elements: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _agic_plan, _arm, _arm_plan
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Read, decide and write under the ETag, anew where another writer came first."""
    params = module.params
    path = params["gateway_id"]
    version = _arm_plan.API_VERSIONS["microsoft.network/applicationgateways"]
    arm = _arm.client(params, timeout=params["wait_timeout"], progress=module.debug)
    deadline = time.monotonic() + params["wait_timeout"]
    while True:
        gateway = arm.get(path, version)
        if gateway is None:
            raise AksPlatformError(f"There is no application gateway {path}.")
        changes, body, before, after = _agic_plan.certificates(gateway, params["certificates"])
        if changes and not module.check_mode:
            try:
                arm.put(path, version, body, etag=gateway.get("etag"))
            except ArmError as error:
                if error.status not in (409, 412) or time.monotonic() >= deadline:
                    raise
                time.sleep(params["wait_sleep"])
                continue
        result: dict[str, t.Any] = {"changed": bool(changes), "changes": changes}
        if module._diff:
            result["diff"] = {"before": before, "after": after}
        return result


def main() -> None:
    certificate_spec = {
        "name": {"type": "str", "required": True},
        "secret_id": {"type": "str", "no_log": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    module = AnsibleModule(
        argument_spec={
            **AUTH_ARG_SPEC,
            "gateway_id": {"type": "str", "required": True},
            "certificates": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": certificate_spec,
                "required_if": [("state", "present", ["secret_id"])],
            },
            "wait_timeout": {"type": "int", "default": 1800},
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
