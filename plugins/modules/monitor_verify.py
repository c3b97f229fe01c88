#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitor_verify
short_description: Verify that monitoring data arrives and that alerts are heard
version_added: 0.2.0
description:
  - Reads collection rules, endpoints, associations, alerts and action groups, compares them with what they should be,
    and names what keeps data from arriving or an alert from being heard; what is missing, an association with another
    rule, a rule that sends elsewhere or carries less, an alert that is disabled, asks something else or tells nobody,
    an action group that is disabled or has no receiver.
  - Changes nothing.
options:
  resources:
    description: The resources as they should be, as M(aksops.platform.arm_resources) takes them, absent ones left out.
    type: list
    elements: dict
    required: true
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
seealso:
  - module: aksops.platform.arm_resources
  - module: aksops.platform.telemetry_verify
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Verify that somebody hears of alerts
  aksops.platform.monitor_verify:
    resources:
      - id: "{{ resource_group_id }}/providers/Microsoft.Insights/actionGroups/oncall"
        body:
          properties:
            emailReceivers: [{name: oncall, emailAddress: oncall@example.com}]
"""

RETURN = r"""
problems:
  description: What keeps data from arriving or alerts from being heard, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _arm_plan, _auth, _monitor_plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    wanted = [item for item in module.params["resources"] if item.get("state", "present") == "present"]
    nameless = [position for position, item in enumerate(wanted) if not item.get("id")]
    if nameless:
        raise AksPlatformError(f"Item {nameless[0] + 1} of resources has no id.", problems=[])
    found = read(_arm.client(module.params), [item["id"] for item in wanted])
    lines = _monitor_plan.problems(wanted, found)
    if lines:
        raise AksPlatformError(f"The monitoring does not hold: {'; '.join(lines)}.", problems=lines)
    return {"changed": False, "problems": []}


def read(arm: _arm.ArmClient, ids: list[str]) -> dict[str, dict[str, t.Any] | None]:
    """Return the resources of these ids, and what associations among them are bound to, by id in lower case."""

    def get(path: str) -> dict[str, t.Any] | None:
        version = _arm_plan.api_version(path)
        if not version:
            raise AksPlatformError(f"This module does not know the type of {path}.", problems=[])
        return arm.get(path, version)

    found: dict[str, dict[str, t.Any] | None] = {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        for _round in range(2):
            asked = {path.lower(): path for path in ids if path.lower() not in found}
            found |= dict(zip(asked, pool.map(get, asked.values()), strict=True))
            ids = [target for item in found.values() if (target := _monitor_plan.bound_to(item))]
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={**_auth.AUTH_ARG_SPEC, "resources": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
