#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: terraform_outputs
short_description: Read the outputs of a Terraform state in Azure Blob Storage
version_added: 0.1.0
description:
  - Reads the root outputs from the state blob itself. Neither Terraform nor its provider is started.
  - Sensitive outputs are left out.
options:
  backend:
    description: Where the state is.
    type: dict
    required: true
    suboptions:
      resource_group_name:
        description: Resource group of the storage account.
        type: str
        required: true
      storage_account_name:
        description: The storage account.
        type: str
        required: true
      container_name:
        description: The blob container.
        type: str
        required: true
      key:
        description: The blob.
        type: str
        required: true
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Read the platform's facts
  aksops.platform.terraform_outputs:
    backend:
      resource_group_name: rg-aksops-state
      storage_account_name: stexample
      container_name: tfstate
      key: production-weu.tfstate
  register: state
"""

RETURN = r"""
outputs:
  description: Values by name; empty where there is no state yet.
  type: dict
  returned: always
"""

import copy
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _terraform_run
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._terraform_state import state_blob


def argument_spec():
    spec = copy.deepcopy(_auth.AUTH_ARG_SPEC)
    spec["backend"] = {
        "type": "dict",
        "required": True,
        "options": {
            "resource_group_name": {"type": "str", "required": True},
            "storage_account_name": {"type": "str", "required": True},
            "container_name": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": False},
        },
    }
    return spec


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        there = _terraform_run.state_exists(params, os.environ, lambda: _arm.client(params, os.environ))
        outputs = state_blob(params, os.environ).outputs() if there else {}
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=False, outputs=outputs)


if __name__ == "__main__":
    main()
