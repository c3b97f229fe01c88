#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_store_verify
short_description: Verify that pods hold the vault's newest secrets
version_added: 0.1.0
description:
  - Reads SecretProviderClass objects, the pods that mount them and what the driver reports of those
    (SecretProviderClassPodStatus), and compares with the versions in the vaults. Values are never read.
  - Waits while something is not as it should be, then fails and names all of it, with the driver's own reason.
options:
  classes:
    description: The classes to look at. What they mount is read from the cluster.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the SecretProviderClass.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
  compare_vault:
    description: Whether the vaults are asked. The caller then needs to be allowed to list versions.
    type: bool
    default: true
  vault_suffix:
    description: DNS suffix of the vaults.
    type: str
    default: vault.azure.net
  wait_timeout:
    description: How many seconds everything may take to become as it should be. Twice the rotation interval is fair.
    type: int
    default: 240
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 5
extends_documentation_fragment:
  - aksops.platform.kubernetes
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Verify what the shop's pods have mounted
  aksops.platform.secrets_store_verify:
    kubernetes: "{{ platform_kubernetes }}"
    classes:
      - name: shop
        namespace: shop
"""

RETURN = r"""
mounts:
  description: How many pods mount each class, by namespace/name.
  returned: success
  type: dict
  sample: {shop/shop: 3}
problems:
  description: What is not as it should be, one sentence each.
  returned: always
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _auth, _secrets_store
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KUBERNETES_ARG_SPEC, KubernetesClient
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError, poll


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    kubernetes = KubernetesClient(**params["kubernetes"])
    vault = None
    if params["compare_vault"]:
        credential = _auth.credential(params)

        def vault(name: str) -> ArmClient:
            address = f"https://{name}.{params['vault_suffix']}"
            return ArmClient(credential, endpoint=address, scope=_secrets_store.VAULT_SCOPE)

    last: dict[str, t.Any] = {}

    def check() -> tuple[bool, str]:
        last["mounts"], last["problems"] = _secrets_store.look(kubernetes, params["classes"], vault)
        return not last["problems"], "; ".join(last["problems"]) or "as it should be"

    try:
        poll(
            check,
            timeout=params["wait_timeout"],
            interval=params["wait_sleep"],
            describe="the mounted secrets",
            progress=module.debug,
        )
    except WaitTimeoutError as error:
        problems = last["problems"]
        raise AksPlatformError(
            f"{len(problems)} of the mounted secrets are not as they should be after "
            f"{error.details['waited_seconds']} s: {'; '.join(problems)}.",
            problems=problems,
            mounts=last["mounts"],
        ) from None
    return {"changed": False, **last}


def main() -> None:
    class_spec = {"name": {"type": "str", "required": True}, "namespace": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            "kubernetes": {**KUBERNETES_ARG_SPEC, "required": True},
            "classes": {"type": "list", "elements": "dict", "required": True, "options": class_spec},
            "compare_vault": {"type": "bool", "default": True},
            "vault_suffix": {"type": "str", "default": "vault.azure.net"},
            "wait_timeout": {"type": "int", "default": 240},
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
