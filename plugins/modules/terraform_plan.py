#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: terraform_plan
short_description: Judge a Terraform plan, or mend what kept Terraform from its work
version_added: 0.1.0
description:
  - After a plan it says what the plan would do, and fails if that would delete or replace anything at an address that
    the caller did not allow.
  - What a plan would replace only because a failed apply has marked it (C(tainted)) is kept, by C(terraform untaint),
    where Azure says that it was provisioned to its end. Anything else so marked is a replacement like others.
  - After a failed plan or apply it mends what a killed run left behind. It breaks the state's lock if this host left it
    and no Terraform works on the state any more, and it writes C(import) blocks for resources that exist already inside
    the platform's own resource groups. A state that could not be stored is stored.
  - Any other failure is passed on in Terraform's words, without secrets.
  - Terraform itself is run by M(community.general.terraform) or by M(cloud.terraform.terraform).
options:
  path:
    description: The folder that M(aksops.platform.terraform_project) prepared.
    type: path
    required: true
  plan_file:
    description: The plan.
    type: path
    required: true
  binary:
    description: Path of terraform or tofu.
    type: str
    default: terraform
  output:
    description: What C(terraform plan) printed. Where it says that nothing would change, the plan is not read.
    type: str
    default: ""
  error:
    description: What the failed plan or apply printed. Empty after one that went well.
    type: str
    default: ""
  init_digest:
    description: What M(aksops.platform.terraform_project) returned. A plan proves that C(init) went well.
    type: str
    default: ""
  allow_destroy:
    description:
      - Addresses that the plan may delete or replace.
      - V(*) in an address stands for any text.
    type: list
    elements: str
    default: []
  describe:
    description: Whether to return the plan as text for people, which costs another run of Terraform.
    type: bool
    default: false
  resource_groups:
    description: Ids of the resource groups that belong to the platform alone. Only what lies in them is imported.
    type: list
    elements: str
    default: []
  owner_tags:
    description: Tags by which such a resource group is known to be the platform's.
    type: dict
    default: {}
extends_documentation_fragment:
  - aksops.platform.terraform_backend
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - Reports what the plan would change as changed. Outside check mode the apply that follows does.
      - The lock of a killed run is broken in check mode too, because a plan needs the state.
  diff_mode:
    support: full
    details: The diff is the plan as Terraform prints it, with sensitive values hidden.
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Judge the plan
  aksops.platform.terraform_plan:
    path: "{{ terraform.path }}"
    plan_file: "{{ terraform.plan_file }}"
    output: "{{ plan.stdout }}"
    backend: "{{ backend }}"
    allow_destroy:
      - module.registry.azurerm_container_registry.this
  register: verdict
"""

RETURN = r"""
pending:
  description: Whether there is anything to apply.
  type: bool
  returned: always
retry:
  description: Whether something was mended, so that the plan is to be made again.
  type: bool
  returned: always
counts:
  description: How many resources each action touches.
  type: dict
  returned: always
  sample: {create: 3, update: 1}
resources:
  description: What the plan would touch.
  type: list
  elements: dict
  returned: always
  contains:
    address:
      description: Address of the resource.
      type: str
    action:
      description: create, update, replace, delete, forget, import or read.
      type: str
outputs:
  description: Names of outputs that would change.
  type: list
  elements: str
  returned: always
tally:
  description: C(No changes), or C(Changes) and their number.
  type: str
  returned: always
text:
  description: The plan as Terraform prints it, with sensitive values hidden; empty without O(describe).
  type: str
  returned: always
notes:
  description: What was mended.
  type: list
  elements: str
  returned: always
"""

import copy
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _terraform_run
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._terraform_state import BACKEND_ARG_SPEC, state_blob


def argument_spec():
    spec = copy.deepcopy(_auth.AUTH_ARG_SPEC)
    spec.update(
        path={"type": "path", "required": True},
        plan_file={"type": "path", "required": True},
        binary={"type": "str", "default": "terraform"},
        output={"type": "str", "default": "", "no_log": True},
        error={"type": "str", "default": "", "no_log": True},
        init_digest={"type": "str", "default": ""},
        allow_destroy={"type": "list", "elements": "str", "default": []},
        describe={"type": "bool", "default": False},
        resource_groups={"type": "list", "elements": "str", "default": []},
        owner_tags={"type": "dict", "default": {}},
        backend={**BACKEND_ARG_SPEC, "required": True},
    )
    return spec


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    # The texts of Terraform are searched, never shown as they are; masking them would hide single words elsewhere.
    module.no_log_values -= {params["output"], params["error"]}

    def run(command):
        return module.run_command(command, cwd=params["path"])

    try:
        if params["error"]:
            result = _terraform_run.recover(
                params,
                arm=lambda: _arm.client(params, os.environ),
                blob=lambda: state_blob(params, os.environ),
                run=run,
            )
        else:
            result = _terraform_run.judge_plan(
                params, run, arm=lambda: _arm.client(params, os.environ), check_mode=module.check_mode
            )
    except AksPlatformError as error:
        fail_from(module, error)
    if module._diff and result["text"]:
        result["diff"] = {"prepared": result["text"]}
    module.exit_json(changed=module.check_mode and result["pending"], **result)


if __name__ == "__main__":
    main()
