#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keyvault_certificates
short_description: Have a Key Vault make certificates by policy
version_added: 0.1.0
description:
  - Makes certificates that do not exist, or that are for other names or of another authority, and waits for the
    authority. The vault makes the key and renews the certificate by itself; no key passes through Ansible.
  - A certificate that a client verifies needs an authority that is configured in the vault as an issuer. V(Self) signs
    with its own key, which no client trusts; it is for trials and for traffic between parts that pin it.
  - The caller needs Key Vault Certificates Officer on the vault.
options:
  certificates:
    description: The wanted certificates. Those not listed are not touched.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name in the vault.
        type: str
        required: true
      dns_names:
        description: Host names that it is for.
        type: list
        elements: str
        default: []
      subject:
        description: Subject; by default C(CN=) and the first host name.
        type: str
      issuer:
        description: Name of an issuer in the vault, or V(Self).
        type: str
        default: Self
      key_size:
        description: Length of the RSA key of the next version.
        type: int
        choices: [2048, 3072, 4096]
        default: 2048
      validity_months:
        description: Life of the next version.
        type: int
        default: 12
      renew_at_percent:
        description: When the vault renews it, in percent of its life.
        type: int
        default: 80
      tags:
        description: Tags of a certificate that is made.
        type: dict
        default: {}
  wait_timeout:
    description: How many seconds an authority may take.
    type: int
    default: 900
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 2
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.keyvault
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.application_gateway_certificates
"""

EXAMPLES = r"""
- name: Have the vault make the shop's certificate
  aksops.platform.keyvault_certificates:
    vault_uri: https://kv-shop.vault.azure.net
    certificates:
      - name: shop
        dns_names: [shop.example.com]
        issuer: DigiCert
  register: made

- name: Serve it
  aksops.platform.application_gateway_certificates:
    gateway_id: "{{ gateway_id }}"
    certificates:
      - name: shop
        secret_id: "{{ made.certificates[0].secret_id }}"
"""

RETURN = r"""
certificates:
  description: The wanted certificates, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name in the vault.
      type: str
    secret_id:
      description: Identifier of the secret behind it, without a version, as an application gateway takes it.
      type: str
    version:
      description: Newest version; empty where it would only be made.
      type: str
    thumbprint:
      description: Thumbprint, as the vault shows it.
      type: str
    expires:
      description: End of its life in seconds since 1970.
      type: int
changes:
  description: One line for each certificate that was, or would be, made.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_spec import (
    CERTIFICATES_ARG_SPEC,
    VAULT_ARG_SPEC,
    VAULT_RULES,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={**AUTH_ARG_SPEC, **VAULT_ARG_SPEC, **CERTIFICATES_ARG_SPEC},
        supports_check_mode=True,
        **VAULT_RULES,
    )
    from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_certificates

    try:
        module.exit_json(**_keyvault_certificates.run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
