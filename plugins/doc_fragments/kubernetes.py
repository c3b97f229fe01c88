# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

_SUBOPTIONS = """
    suboptions:
      host:
        description: Address of the API server.
        type: str
        required: true
      ca_path:
        description: File with the CA certificates of the API server.
        type: path
      token:
        description: Bearer token.
        type: str
        required: true
"""


class ModuleDocFragment:
    """Option of C(module_utils/_kubernetes.py)."""

    DOCUMENTATION = f"""
options:
  kubernetes:
    description: The cluster's API server, as M(aksops.platform.aks_credentials) returns it.
    type: dict
    required: true{_SUBOPTIONS}"""

    #: For modules that work without it, and then do not wait for the workloads in the cluster.
    WORKLOADS = f"""
options:
  kubernetes:
    description:
      - The cluster's API server, as M(aksops.platform.aks_credentials) returns it.
      - With it the module also waits for the workloads of the features that the task names.
    type: dict{_SUBOPTIONS}"""

    #: For modules that find a cluster by themselves as kubectl does.
    KUBECONFIG = f"""
options:
  kubernetes:
    description:
      - The cluster's API server, as M(aksops.platform.aks_credentials) returns it.
      - Without it the kubeconfig that E(K8S_AUTH_KUBECONFIG) or E(KUBECONFIG) names, or the pod's own account, is
        taken.
    type: dict{_SUBOPTIONS}
requirements:
  - kubernetes (Python library), where O(kubernetes) is not given
"""
