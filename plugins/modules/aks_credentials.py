#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aks_credentials
short_description: Get address, CA and a short-lived Entra token of an AKS cluster for kubernetes.core
version_added: 0.1.0
description:
  - Takes address and CA from the cluster's user credential and a token for the AKS application from Entra, so that
    neither kubelogin nor an admin kubeconfig is needed, and local accounts can stay off.
  - Then asks the API server, with a time-out, whether it is ready and whether the caller may administer it. So a
    private cluster, a firewall and a missing role are one sentence each instead of a task that hangs.
options:
  ca_path:
    description:
      - A file to write the CA certificates to (mode 0600, its folder is made), for options that want a path.
      - It is written in check mode too, and does not count as a change.
    type: path
  probe:
    description:
      - What is asked of the API server before the module returns.
      - V(none) asks nothing, V(ready) waits for C(/readyz), V(admin) also for the right to administer the cluster,
        since a new role assignment takes minutes to arrive.
    type: str
    choices: [none, ready, admin]
    default: admin
  probe_timeout:
    description: How many seconds to wait at most for what O(probe) asks.
    type: int
    default: 300
extends_documentation_fragment:
  - aksops.platform.aks_cluster
  - aksops.platform.azure_auth
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
notes:
  - The token is the one secret that this collection returns. It lives about an hour; register the result with
    C(no_log=true).
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Get the cluster's door
  aksops.platform.aks_credentials:
    resource_group: rg-shop
    name: aks-shop
    ca_path: "{{ workdir }}/kubernetes-ca.pem"
  register: door
  no_log: true

- name: Make a namespace
  kubernetes.core.k8s:
    host: "{{ door.host }}"
    ca_cert: "{{ door.ca_path }}"
    api_key: "{{ door.token }}"
    kind: Namespace
    name: shop
"""

RETURN = r"""
host:
  description: Address of the API server.
  returned: success
  type: str
  sample: https://shop-a1b2.hcp.westeurope.azmk8s.io:443
ca_cert:
  description: CA certificates of the API server, PEM.
  returned: success
  type: str
ca_path:
  description: File with these certificates.
  returned: when O(ca_path) is given
  type: str
token:
  description: Bearer token for the API server. A secret.
  returned: success
  type: str
token_expires_on:
  description: When the token ends, seconds since the epoch.
  returned: success
  type: int
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _aks, _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils import _kubernetes as kube
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    path = _aks.cluster_id(params)
    credential = _auth.credential(params)
    door = _aks.door(_arm.ArmClient(credential, endpoint=_auth.arm_endpoint(params)), path)
    token = credential.get_token(_aks.KUBERNETES_SCOPE)
    result: dict[str, t.Any] = {
        "changed": False,
        "host": door.host,
        "ca_cert": door.ca_cert,
        "token": token.token,
        "token_expires_on": token.expires_on,
    }
    with _aks.ca_file(door.ca_cert, params["ca_path"]) as ca_path:
        if params["ca_path"]:
            result["ca_path"] = ca_path
        if params["probe"] != "none":
            client = kube.KubernetesClient(door.host, token.token, ca_path)
            limits = {"timeout": params["probe_timeout"], "interval": 2, "progress": module.debug}
            kube.wait_ready(client, **limits)
            if params["probe"] == "admin":
                kube.wait_allowed(client, **limits)
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **_aks.CLUSTER_ARG_SPEC,
            "ca_path": {"type": "path"},
            "probe": {"type": "str", "choices": ["none", "ready", "admin"], "default": "admin"},
            "probe_timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
        **_aks.CLUSTER_RULES,
    )
    os.umask(0o077)
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
