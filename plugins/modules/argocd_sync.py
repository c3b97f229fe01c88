#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: argocd_sync
short_description: Ask Argo CD to sync an application
version_added: 0.2.0
description:
  - Asks for a sync of what the application names now, as the button of Argo CD's pages does. It waits until Argo CD has
    ended what it is at, since a request that joins an operation under way ends with that one.
  - An operation of which nothing is at work is ended, as by C(argocd app terminate-op). This is one that has failed and
    waits to try again, and one that Argo CD or this collection has asked for and that waits for the health of a source
    or revision that is wanted no more, while no pod of its hooks has started.
  - It does not wait for the sync itself; M(aksops.platform.argocd_info) does.
  - Each run asks, so call it where a sync is wanted. O(join) leaves it at one that is under way already.
options:
  name:
    description: Name of the application.
    type: str
    required: true
  namespace:
    description: Namespace of the application.
    type: str
    default: argocd
  join:
    description:
      - Whether a sync that is at work on the source and revision that the application names now is as good as another.
        Then nothing is asked for. Argo CD may not have seen yet what git has since.
    type: bool
    default: false
  prune:
    description: Whether objects that are wanted no more are removed.
    type: bool
    default: false
  sync_options:
    description: Options of the sync, such as V(ServerSideApply=true).
    type: list
    elements: str
    default: []
  retry:
    description: How Argo CD tries again, as in an application's C(syncPolicy.retry).
    type: dict
    default: {}
  wait_timeout:
    description: How many seconds to wait at most for the end of another operation.
    type: int
    default: 600
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 2
extends_documentation_fragment:
  - aksops.platform.kubernetes.kubeconfig
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Deliver what git has now
  aksops.platform.argocd_sync:
    kubernetes: "{{ cluster }}"
    name: shop
    prune: true
"""

RETURN = r"""
operation:
  description: What was asked for; empty where a sync under way was as good.
  type: dict
  returned: success
  sample: {initiatedBy: {username: aksops.platform}, sync: {prune: true}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _argocd_sync
from ansible_collections.aksops.platform.plugins.module_utils._argocd_plan import REQUESTER
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._kubeconfig import client
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KUBERNETES_ARG_SPEC


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubernetes": KUBERNETES_ARG_SPEC,
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "argocd"},
            "join": {"type": "bool", "default": False},
            "prune": {"type": "bool", "default": False},
            "sync_options": {"type": "list", "elements": "str", "default": []},
            "retry": {"type": "dict", "default": {}},
            "wait_timeout": {"type": "int", "default": 600},
            "wait_sleep": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    params = module.params
    sync = {"prune": params["prune"]}
    if params["sync_options"]:
        sync["syncOptions"] = params["sync_options"]
    operation = {"initiatedBy": {"username": REQUESTER}, "sync": sync}
    if params["retry"]:
        operation["retry"] = params["retry"]
    limits = {"timeout": params["wait_timeout"], "interval": params["wait_sleep"], "progress": module.debug}
    application = (params["namespace"], params["name"])
    asked = True
    try:
        if not module.check_mode:
            asked = _argocd_sync.ask(
                client(params["kubernetes"]), *application, operation, joins=params["join"], **limits
            )
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=asked, operation=operation if asked else {})


if __name__ == "__main__":
    main()
