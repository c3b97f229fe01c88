#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: acr_images_info
short_description: Compare the images of an Azure container registry with what is wanted
version_added: 0.2.0
description:
  - Says which images the registry lacks or holds in another version, and which identities may not pull from it.
options:
  pullers:
    description: Object ids of the identities that pull, such as the cluster's kubelet identity.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - aksops.platform.acr_images
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.acr_images
"""

EXAMPLES = r"""
- name: Ask what is missing
  aksops.platform.acr_images_info:
    registry_id: "{{ platform.registry.id }}"
    images: "{{ images_list }}"
    pullers:
      - "{{ platform.identities.kubelet.principal_id }}"
  register: found
"""

RETURN = r"""
images:
  description: The wanted images.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: Where it comes from.
      type: str
    name:
      description: Repository and tag in the registry.
      type: str
    digest:
      description: The wanted digest.
      type: str
    reference:
      description: What a pod names to run it.
      type: str
    recorded:
      description: Digest on record with Azure Resource Manager.
      type: str
    held:
      description: Digest that the registry shows; null where it was not asked or has no such tag.
      type: str
registry_asked:
  description: Whether the registry itself said what it holds.
  returned: success
  type: bool
reason:
  description: Why it did not.
  returned: success
  type: str
problems:
  description: What is not as it is wanted, one sentence each.
  returned: success
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _acr_images, _acr_images_plan
from ansible_collections.aksops.platform.plugins.module_utils._acr_images_main import IMAGES_ARG_SPEC, clients, shown
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    registry_id = params["registry_id"].rstrip("/")
    wanted = _acr_images_plan.images(params["images"])
    arm, endpoint_of = clients(params, 300, module.debug)
    state = _acr_images.read(arm, registry_id, wanted, endpoint_of)
    problems = _acr_images_plan.problems(wanted, state.records, state.held, state.login_server)
    problems += [
        f"the identity {principal} has no role that lets it pull from {state.login_server} (AcrPull)"
        for principal in _acr_images.without_pull(arm, registry_id, params["pullers"])
    ]
    return {
        "changed": False,
        "images": [
            {
                **shown(image, state.login_server),
                "recorded": state.records.get(image.record.lower()),
                "held": (state.held or {}).get(image.name),
            }
            for image in wanted
        ],
        "registry_asked": state.held is not None,
        "reason": state.reason,
        "problems": problems,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={**IMAGES_ARG_SPEC, "pullers": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
