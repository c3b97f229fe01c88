#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: platform_preflight
short_description: Check that a platform can be made, before anything is written
version_added: 0.1.0
description:
  - Judges the inputs of the platform, then asks Azure, side by side, whether they can be had. It only reads.
  - The task fails with every problem at once, each a sentence that says what is wrong, where and what to do.
  - It checks names, sizes, address ranges, retirements, the subscription and its tenant, resource providers, the
    caller's rights, region and zones, quota and sizes of virtual machines, Kubernetes and PostgreSQL versions, global
    names, and whether what exists already is reached from here.
options:
  inputs:
    description:
      - Inputs of the platform by the names of C(terraform/variables.tf). What is left out takes the defaults there.
    type: dict
    required: true
  input_prefix:
    description: What stands before an input's name in messages, so that they name the variable that the user set.
    type: str
    default: ""
  input_names:
    description: The whole name of inputs that are called otherwise.
    type: dict
    default: {}
  problems:
    description: Problems that the caller has found already. They are reported together with the others.
    type: list
    elements: str
    default: []
  state_account:
    description: The storage account of Terraform's state. Without it neither its name nor its reachability is checked.
    type: dict
    suboptions:
      resource_group:
        description: Its resource group.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  retirements:
    description: Retirements beside those that the collection knows.
    type: list
    elements: dict
    default: []
    suboptions:
      what:
        description: What retires.
        type: str
        required: true
      date:
        description: The last day, as in V(2027-03-31).
        type: str
        required: true
      input:
        description: The input that chooses it, as a dotted path in which C(*) stands for every key.
        type: str
        required: true
      pattern:
        description: A regular expression over the whole value.
        type: str
        required: true
      months:
        description: How long before the date a warning starts.
        type: int
        default: 12
      instead:
        description: What to use instead.
        type: str
        required: true
  probe:
    description:
      - Whether to try to reach the services that exist. Nothing is tried where the input C(access) is V(allowlist).
    type: bool
    default: true
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Check before the first write
  aksops.platform.platform_preflight:
    inputs:
      subscription_id: 00000000-0000-0000-0000-000000000000
      tenant_id: 11111111-1111-1111-1111-111111111111
      environment: production-weu
      location: westeurope
      operators:
        platform-team: {object_id: 22222222-2222-2222-2222-222222222222}
"""

RETURN = r"""
warnings_found:
  description: What does not stop the run. Each is shown as a warning too.
  returned: success
  type: list
  elements: str
facts:
  description: What was learned.
  returned: success
  type: dict
  contains:
    subscription:
      description: Name of the subscription.
      type: str
    exists:
      description: Whether the platform's resource group exists.
      type: bool
    resources:
      description: How many resources it holds.
      type: int
    names:
      description: Names of what is made, by service.
      type: dict
    kubernetes_versions:
      description: Minor versions that the region offers.
      type: list
      elements: str
    reached:
      description: Addresses of existing services that were reached.
      type: list
      elements: str
    reached_kinds:
      description: Kinds of these services, as in the option C(needs) of M(aksops.platform.platform_access).
      type: list
      elements: str
"""

import functools

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _preflight
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from

ARGUMENT_SPEC = {
    "inputs": {"type": "dict", "required": True},
    "input_prefix": {"type": "str", "default": ""},
    "input_names": {"type": "dict", "default": {}},
    "problems": {"type": "list", "elements": "str", "default": []},
    "state_account": {
        "type": "dict",
        "options": {"resource_group": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
    },
    "retirements": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "what": {"type": "str", "required": True},
            "date": {"type": "str", "required": True},
            "input": {"type": "str", "required": True},
            "pattern": {"type": "str", "required": True},
            "months": {"type": "int", "default": 12},
            "instead": {"type": "str", "required": True},
        },
    },
    "probe": {"type": "bool", "default": True},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**_auth.AUTH_ARG_SPEC, **ARGUMENT_SPEC}, supports_check_mode=True)
    params = module.params
    settings = _preflight.Settings(
        inputs=params["inputs"],
        prefix=params["input_prefix"],
        names=params["input_names"],
        problems=tuple(params["problems"]),
        state_account=params["state_account"] or {},
        retirements=tuple(params["retirements"]),
        probe=params["probe"],
    )
    # One credential for ARM and for the services' own doors: it remembers what it learned of the tenant.
    credential = functools.cache(lambda: _auth.credential(params))
    try:
        report = _preflight.run(
            settings, lambda: _arm.ArmClient(credential(), endpoint=_auth.arm_endpoint(params)), credential
        )
    except AksPlatformError as error:
        fail_from(module, error)
    for text in report.warnings:
        module.warn(text)
    if report.problems:
        module.fail_json(msg=_preflight.summary(report.problems))
    module.exit_json(changed=False, warnings_found=report.warnings, facts=report.facts)


if __name__ == "__main__":
    main()
