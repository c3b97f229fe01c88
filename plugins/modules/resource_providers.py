#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_providers
short_description: Register resource providers in a subscription
version_added: 0.1.0
description:
  - Registers the resource providers that are not registered yet and waits until they are.
  - Registering is the subscription's business, once for all platforms in it; it is never undone here, since others may
    need a provider too.
options:
  namespaces:
    description: Names of the providers. By default those that a platform of this collection needs.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.wait
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
- name: Register what a platform needs
  aksops.platform.resource_providers:
    subscription_id: 00000000-0000-0000-0000-000000000000
"""

RETURN = r"""
registered:
  description: Providers that this task registered, or would register in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth, _providers
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WAIT_ARG_SPEC


def main() -> None:
    spec = {**_auth.AUTH_ARG_SPEC, **WAIT_ARG_SPEC, "namespaces": {"type": "list", "elements": "str", "default": []}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    params = module.params
    try:
        client, base = _arm.client(params), f"/subscriptions/{_auth.subscription_id(params)}"
        before = _providers.states(client, base, params["namespaces"])
        missing = _providers.missing(before)
        result = {"changed": bool(missing), "registered": missing}
        if module._diff:
            result["diff"] = {"before": before, "after": {**before, **dict.fromkeys(missing, "Registered")}}
        if missing and not module.check_mode:
            timeout = params["wait_timeout"] if params["wait"] else 0
            _providers.register(client, base, missing, timeout=timeout, interval=params["wait_sleep"])
        module.exit_json(**result)
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
