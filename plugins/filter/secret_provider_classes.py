# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret_provider_classes
short_description: Make SecretProviderClass objects for Azure Key Vault
version_added: 0.1.0
description:
  - Turns plain descriptions into Kubernetes objects for the Secrets Store CSI driver with workload identity.
  - Refuses by name what the provider would refuse only when a pod starts.
positional: tenant_id
options:
  _input:
    description:
      - Classes with C(name), C(namespace), C(vault_name), C(client_id), C(objects) and optionally C(tenant_id) and
        C(kubernetes_secret). An object has C(name), C(type) (V(secret), V(key) or V(cert)), C(alias), C(version),
        C(format), C(encoding) and C(file_permission).
    type: list
    elements: dict
    required: true
  tenant_id:
    description: Entra tenant of classes that name none.
    type: str
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Apply the classes
  kubernetes.core.k8s:
    definition: "{{ classes | aksops.platform.secret_provider_classes(tenant_id) }}"
"""

RETURN = r"""
_value:
  description: Kubernetes objects.
  type: list
  elements: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.aksops.platform.plugins.module_utils import _secrets_store_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError


def secret_provider_classes(classes: t.Iterable[plan.Class], tenant_id: str | None = None) -> list[dict[str, t.Any]]:
    """Return the objects of all classes; see DOCUMENTATION."""
    try:
        return [plan.provider_class(item, tenant_id) for item in classes]
    except AksPlatformError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filter's entry in Ansible's table."""

    def filters(self) -> dict[str, t.Any]:
        return {"secret_provider_classes": secret_provider_classes}
