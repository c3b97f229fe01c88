#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: receipts
short_description: Keep the receipt of an operation in a storage account
version_added: 0.2.0
description:
  - Uploads one receipt, which says what an operation such as a restore did and proved, to a container of blobs.
  - A receipt is never changed. The same content is the same blob, so a task that runs again uploads nothing.
options:
  kind:
    description: Kind of operation, such as V(restore), V(drill) or V(promotion).
    type: str
    required: true
  subject_id:
    description: Resource id of what the operation was about.
    type: str
    required: true
  receipt:
    description:
      - The receipt. Its key C(finished), C(time) or C(started) tells when it was written, with a time zone.
      - It must not hold secrets.
    type: dict
    required: true
  page:
    description: File with the page for people (HTML) that is uploaded beside it.
    type: path
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.receipts
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.receipts_info
"""

EXAMPLES = r"""
- name: Keep the receipt
  aksops.platform.receipts:
    blob_endpoint: "{{ platform.storage.blob_endpoint }}"
    kind: restore
    subject_id: "{{ restored.server.id }}"
    receipt:
      status: pass
      finished: "2026-11-23T04:02:11Z"
      restore_id: "{{ restored.restore_id }}"
    page: artifacts/restores/psql-shop-r1.html
"""

RETURN = r"""
name:
  description: Name of the blob.
  returned: success
  type: str
  sample: restore/psql-shop-r1-0b8a6b1c9f3e/20261123T040211Z-5f0c2d7e9a1b3c4d.json
url:
  description: Its address.
  returned: success
  type: str
page_url:
  description: Address of the page, V(null) without one.
  returned: success
  type: str
time:
  description: When the receipt was written, in UTC.
  returned: success
  type: str
  sample: "2026-11-23T04:02:11Z"
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _auth, _blobs, _receipts
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    container = _blobs.Container(params["blob_endpoint"], params["container"], _auth.credential(params))
    return _receipts.store(
        container,
        params["kind"],
        params["subject_id"],
        params["receipt"],
        params["page"],
        check_mode=module.check_mode,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **_receipts.STORE_ARG_SPEC,
            "kind": {"type": "str", "required": True},
            "subject_id": {"type": "str", "required": True},
            "receipt": {"type": "dict", "required": True},
            "page": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
