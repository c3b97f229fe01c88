# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of C(module_utils/_auth.py)."""

    DOCUMENTATION = r"""
options:
  auth_source:
    description:
      - The kind of credential.
      - V(auto) takes the first that options describe, then the first that environment variables describe, in the order
        client secret, certificate, workload identity; at last the login of the C(az) command.
      - The managed identity endpoint is asked only for V(managed_identity), or with C(ARM_USE_MSI=true).
    type: str
    choices: [auto, client_secret, certificate, workload_identity, managed_identity, cli]
    default: auto
  subscription_id:
    description: The subscription. Without it C(AZURE_SUBSCRIPTION_ID) or C(ARM_SUBSCRIPTION_ID) is used.
    type: str
  tenant_id:
    description: The Entra tenant. Without it C(AZURE_TENANT_ID), C(ARM_TENANT_ID) or C(AZURE_TENANT) is used.
    type: str
  client_id:
    description:
      - The application, or the user-assigned identity. Without it C(AZURE_CLIENT_ID) or C(ARM_CLIENT_ID) is used.
    type: str
  client_secret:
    description:
      - The secret of the application.
      - Without it C(AZURE_CLIENT_SECRET), C(ARM_CLIENT_SECRET), C(AZURE_SECRET) or the file that
        C(ARM_CLIENT_SECRET_FILE_PATH) names is used.
    type: str
  client_certificate_path:
    description:
      - A PEM or PKCS12 file.
      - Without it C(AZURE_CLIENT_CERTIFICATE_PATH) or C(ARM_CLIENT_CERTIFICATE_PATH) is used.
    type: path
  client_certificate_password:
    description:
      - The password of that file.
      - Without it C(AZURE_CLIENT_CERTIFICATE_PASSWORD) or C(ARM_CLIENT_CERTIFICATE_PASSWORD) is used.
    type: str
  federated_token_file:
    description:
      - A file with a token that Entra exchanges (workload identity).
      - Without it C(AZURE_FEDERATED_TOKEN_FILE) or C(ARM_OIDC_TOKEN_FILE_PATH) is used; in a GitHub Actions job with
        C(id-token) permission and a client id the job's own token service.
    type: path
  cloud:
    description: The Azure cloud.
    type: str
    choices: [AzureCloud, AzureUSGovernment, AzureChinaCloud]
    default: AzureCloud
requirements:
  - azure-identity >= 1.16.0
  - azure-mgmt-core >= 1.4.0
notes:
  - Options win over environment variables. Secrets are never returned, logged or shown in errors.
"""
