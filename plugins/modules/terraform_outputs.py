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
  active_postgresql:
    description:
      - Whether C(platform.postgresql) is corrected to the server that is in use, which the tag
        C(aksops-postgresql-active) of the resource group C(platform.resource_group.id) names.
        The state may not have followed a promotion yet.
    type: bool
    default: false
extends_documentation_fragment:
  - aksops.platform.terraform_backend
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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _terraform_run
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_active import corrected
from ansible_collections.aksops.platform.plugins.module_utils._terraform_state import BACKEND_ARG_SPEC, state_blob


def argument_spec():
    return {
        **_auth.AUTH_ARG_SPEC,
        "backend": {**BACKEND_ARG_SPEC, "required": True},
        "active_postgresql": {"type": "bool", "default": False},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        there = _terraform_run.state_exists(params, os.environ, lambda: _arm.client(params, os.environ))
        outputs = state_blob(params, os.environ).outputs() if there else {}
        if params["active_postgresql"] and outputs.get("platform"):
            outputs["platform"] = corrected(outputs["platform"], _arm.client(params, os.environ))
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=False, outputs=outputs)


if __name__ == "__main__":
    main()
