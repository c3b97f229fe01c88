#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: terraform_project
short_description: Prepare and clean up the private folder in which Terraform works
version_added: 0.1.0
description:
  - Copies a Terraform root module into a folder that only the user can read, and writes its inputs, its credential file
    and its backend settings beside it, so that neither command lines nor environments hold secrets.
  - After a run that was killed it removes what that run left behind, and breaks the lock on the state if this host left
    it and no Terraform works on that state any more.
  - A state that an earlier run could not store at its end is stored first.
  - Says whether C(terraform init) is needed, so that a second run goes without.
  - In check mode, where the state container does not exist yet, it prepares a copy with an empty local state instead.
options:
  path:
    description: The private folder.
    type: path
    required: true
  state:
    description:
      - V(present) prepares the folder.
      - V(absent) ends a run, removes ephemeral inputs, the credential and the plan. Inputs and the initialised provider
        stay for the next run.
    type: str
    choices: [present, absent]
    default: present
  source:
    description: The root module. Required with O(state=present).
    type: path
  variables:
    description: Inputs of the root module. They hold no secrets.
    type: dict
    default: {}
  ephemeral_variables:
    description: Ephemeral inputs of the root module. They lie in a file of their own until the run ends.
    type: dict
    default: {}
  binary:
    description: Path of terraform or tofu. A change of it asks for another C(init).
    type: str
    default: terraform
  parallelism:
    description: How many operations a plan runs at once.
    type: int
    default: 30
  destroy:
    description: Whether the plan is to destroy what the state holds.
    type: bool
    default: false
  active_from:
    description:
      - Id of the resource group whose tag C(aksops-postgresql-active) names the PostgreSQL server in use.
      - Where it has the tag, the input C(postgresql.name) is set to it. Where the state still holds another server,
        that one is forgotten with its children, and C(import) blocks take in the one in use.
        Nothing in Azure is changed.
    type: str
    default: ""
  orphan_timeout:
    description: Seconds to wait for a Terraform that outlived the killed run which started it.
    type: int
    default: 3600
extends_documentation_fragment:
  - aksops.platform.terraform_backend.project
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details:
      - The folder is scratch space of the run and is written in check mode too; nothing in Azure is.
      - Between a promotion and its adoption into the state it fails in check mode, since a plan needs the state.
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Prepare Terraform
  aksops.platform.terraform_project:
    path: ~/.cache/aksops/production-weu
    source: "{{ playbook_dir }}/../terraform"
    variables: "{{ inputs }}"
    backend:
      resource_group_name: rg-aksops-state
      storage_account_name: stexample
      container_name: tfstate
      key: production-weu.tfstate
  register: terraform

- name: Clean up
  aksops.platform.terraform_project:
    path: ~/.cache/aksops/production-weu
    state: absent
"""

RETURN = r"""
path:
  description: The folder to run Terraform in.
  type: str
  returned: always
environment:
  description: Variables for Terraform's environment. They hold paths, never secrets.
  type: dict
  returned: when O(state=present)
plan_file:
  description: Where to write the plan.
  type: str
  returned: when O(state=present)
backend_files:
  description: Files for C(init -backend-config); empty with an empty local state.
  type: list
  elements: str
  returned: when O(state=present)
init_required:
  description: Whether C(terraform init) has to run.
  type: bool
  returned: when O(state=present)
init_digest:
  description: Digest of all that C(init) depends on.
  type: str
  returned: when O(state=present)
local_state:
  description: Whether the folder works on an empty local state, because there is no remote one yet.
  type: bool
  returned: when O(state=present)
notes:
  description: What was found of a killed run, and what was done about it.
  type: list
  elements: str
  returned: when O(state=present)
removed:
  description: Names of the files that were removed.
  type: list
  elements: str
  returned: when O(state=absent)
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
        state={"type": "str", "choices": ["present", "absent"], "default": "present"},
        source={"type": "path"},
        variables={"type": "dict", "default": {}},
        ephemeral_variables={"type": "dict", "default": {}, "no_log": True},
        backend=BACKEND_ARG_SPEC,
        binary={"type": "str", "default": "terraform"},
        parallelism={"type": "int", "default": 30},
        destroy={"type": "bool", "default": False},
        active_from={"type": "str", "default": ""},
        orphan_timeout={"type": "int", "default": 3600},
    )
    return spec


def main():
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("source", "backend"))],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["state"] == "absent":
            module.exit_json(changed=False, **_terraform_run.finish(params))
        result = _terraform_run.prepare(
            params,
            os.environ,
            arm=lambda: _arm.client(params, os.environ),
            blob=lambda: state_blob(params, os.environ),
            run=lambda command: module.run_command(command, cwd=params["path"]),
            check_mode=module.check_mode,
        )
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
