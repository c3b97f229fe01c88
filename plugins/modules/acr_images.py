#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: acr_images
short_description: Copy images by digest into an Azure container registry
version_added: 0.2.0
description:
  - Has Azure copy images (C(importImage)), so neither this machine nor the cluster needs a way to the public
    registries, and this machine needs none to the private one.
  - What is there with the wanted digest is not copied again.
options:
  state:
    description:
      - V(present) copies what is missing or differs.
      - V(absent) deletes the manifests and their records. Only the registry's own endpoint can delete images, so it
        must be reached.
    type: str
    choices: [present, absent]
    default: present
  sources:
    description: What is to be known of source registries that do not hand out images to everybody.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: Host name of the registry, as it stands in O(images[].source).
        type: str
        required: true
      id:
        description: Resource id, where it is an Azure container registry that the caller may pull from.
        type: str
      username:
        description: User name. A token alone needs none.
        type: str
      password:
        description: Password or token.
        type: str
  wait_timeout:
    description: How many seconds one copy may take.
    type: int
    default: 1800
extends_documentation_fragment:
  - aksops.platform.acr_images
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: Only reads.
  diff_mode:
    support: full
    details: Shows the digests that change, by repository and tag.
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.acr_images_info
"""

EXAMPLES = r"""
- name: Hold what the cluster runs
  aksops.platform.acr_images:
    registry_id: "{{ platform.registry.id }}"
    images:
      - source: quay.io/argoproj/argocd:v3.4.4@sha256:2fb3efa9eaa42382acb39c9a1485eaac7a1ad7a09e8aa7da7143ca256fa6da09
      - source: docker.io/library/redis:8.2.3@sha256:08ad0b1d280850169a790dba1393ff7a90aef951fc19632cf4d3ce4f78e679ba
        repository: shop/redis
"""

RETURN = r"""
images:
  description: What was, or would be, done with each image.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: What is copied.
      type: str
    name:
      description: Repository and tag in the registry.
      type: str
    digest:
      description: Its digest.
      type: str
    reference:
      description: What a pod names to run it.
      type: str
    action:
      description: V(none), V(import), V(record) (it was there and is only put on record) or V(delete).
      type: str
registry_asked:
  description: Whether the registry itself said what it holds.
  returned: success
  type: bool
reason:
  description: Why it did not.
  returned: success
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _acr_images, _acr_images_plan
from ansible_collections.aksops.platform.plugins.module_utils._acr_images_main import IMAGES_ARG_SPEC, clients, shown
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from

SOURCE_SPEC: dict[str, t.Any] = {
    "registry": {"type": "str", "required": True},
    "id": {"type": "str"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
}


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    present = params["state"] == "present"
    registry_id = params["registry_id"].rstrip("/")
    wanted = _acr_images_plan.images(params["images"])
    arm, endpoint_of = clients(params, params["wait_timeout"], module.debug)
    state = _acr_images.read(arm, registry_id, wanted, endpoint_of)
    steps = _acr_images_plan.steps(wanted, state.records, state.held, present=present)
    told = [step for step in steps if step.action != "none"]
    if told and not module.check_mode:
        endpoint = None
        if not present:
            if endpoint_of is None or state.held is None:
                raise AksPlatformError(
                    f"Images can only be deleted by {state.login_server} itself, and {state.reason}; run where it is "
                    "reached, or delete the registry."
                )
            endpoint = endpoint_of(state.login_server)
            endpoint.sign_in()
        sources = {item["registry"].lower(): item for item in params["sources"]}
        _acr_images.write(arm, registry_id, steps, sources, endpoint=endpoint, progress=module.debug)
    result: dict[str, t.Any] = {
        "changed": bool(told),
        "images": [{**shown(step.image, state.login_server), "action": step.action} for step in steps],
        "registry_asked": state.held is not None,
        "reason": state.reason,
    }
    if module._diff:
        after = {step.image.name: step.image.digest if present else None for step in told}
        result["diff"] = {"before": {step.image.name: step.before for step in told}, "after": after}
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **IMAGES_ARG_SPEC,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "sources": {"type": "list", "elements": "dict", "default": [], "options": SOURCE_SPEC},
            "wait_timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
