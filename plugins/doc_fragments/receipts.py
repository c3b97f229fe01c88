# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where receipts are kept."""

    DOCUMENTATION = r"""
options:
  blob_endpoint:
    description:
      - Address of the storage account's blob service, such as V(https://stshop.blob.core.windows.net/).
      - Entra tokens only, so the credential needs the role C(Storage Blob Data Contributor) (to read,
        C(Storage Blob Data Reader)) on the account or the container.
    type: str
    required: true
  container:
    description: Name of the container. It must exist.
    type: str
    default: receipts
"""
