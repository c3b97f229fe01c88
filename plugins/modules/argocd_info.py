#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: argocd_info
short_description: Ask a cluster where Argo CD and its applications stand
version_added: 0.2.0
description:
  - Reads the applications of a namespace, judges those that must be Synced and Healthy, and looks whether each
    component has a ready pod of its image. What is wrong is returned in sentences, with what Argo CD says of it.
  - An application counts as good only once Argo CD has compared it with what it asks for now.
  - With O(wait=true) it looks again until nothing is wrong, and ends early where waiting cannot help. What is wrong
    then is no failure of this module.
options:
  namespace:
    description: Namespace of Argo CD and of its applications.
    type: str
    default: argocd
  applications:
    description: Applications that must be Synced and Healthy.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      revision:
        description: Revision or version that its source must name. Without it any.
        type: str
  components:
    description: Components that need a ready pod in O(namespace).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Value of the label app.kubernetes.io/name.
        type: str
        required: true
      image:
        description: Image that the pod must run. Without it any.
        type: str
  explain_namespaces:
    description: Namespaces whose waiting pods are explained where something is still wrong after waiting.
    type: list
    elements: str
    default: []
  wait:
    description: Whether to look again until nothing is wrong.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to wait at most.
    type: int
    default: 600
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 5
  error_patience:
    description:
      - How many seconds an error condition of a wanted application may stand before waiting is given up. A git host
        that restarts is such an error. The same holds for a sync of a source or revision that is wanted no more.
      - Without it an error condition never ends the waiting; a sync that has failed after its retries always does.
    type: int
extends_documentation_fragment:
  - aksops.platform.kubernetes.kubeconfig
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Wait until the shop is delivered
  aksops.platform.argocd_info:
    kubernetes: "{{ cluster }}"
    applications:
      - name: shop
    explain_namespaces: [shop]
    wait: true
  register: argocd

- name: Say what is wrong
  ansible.builtin.assert:
    that: argocd.problems | length == 0
    fail_msg: "{{ (argocd.problems + argocd.held) | join('; ') }}"
"""

RETURN = r"""
installed:
  description: Whether the cluster knows applications.
  type: bool
  returned: success
applications:
  description: All applications of the namespace; those asked for with the objects that they manage.
  type: list
  elements: dict
  returned: success
  sample:
    - name: shop
      project: shop
      sync: Synced
      health: Healthy
      operation: Succeeded
      revision: 5f10715b
      resources: [{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: shop}}]
problems:
  description: What is wrong with the applications that were asked for, one sentence each.
  type: list
  elements: str
  returned: success
missing:
  description: Components without a ready pod of their image, one sentence each.
  type: list
  elements: str
  returned: success
held:
  description: Why pods of O(explain_namespaces) do not start, one sentence each.
  type: list
  elements: str
  returned: success
hopeless:
  description: Whether waiting longer would not help.
  type: bool
  returned: success
outdated:
  description:
    - Names of the applications that were asked for and whose sync under way has held to a source or revision that is
      wanted no more for longer than O(error_patience). Argo CD begins no other sync before that one ends, and it may
      wait for ever for pods to become healthy. M(aksops.platform.argocd_sync) ends it.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._argocd import ARG_SPEC, guarded


def main():
    guarded(AnsibleModule(argument_spec=ARG_SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
