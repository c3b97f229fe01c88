#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: receipts_info
short_description: Read receipts of operations from a storage account
version_added: 0.2.0
description:
  - Returns the receipts that M(aksops.platform.receipts) keeps, the newest first.
options:
  kind:
    description: Only receipts of this kind of operation.
    type: str
  subject_id:
    description: Only receipts about this resource.
    type: str
  max_age:
    description: Only receipts that are at most so many hours old.
    type: float
  limit:
    description: At most so many receipts, the newest ones.
    type: int
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.receipts
  - aksops.platform.attributes.info
  - aksops.platform.attributes.action_group
author:
  - The aksops.platform maintainers (@aksops)
seealso:
  - module: aksops.platform.receipts
"""

EXAMPLES = r"""
- name: Find this week's restores of a server
  aksops.platform.receipts_info:
    blob_endpoint: "{{ platform.storage.blob_endpoint }}"
    kind: restore
    subject_id: "{{ restored.server.id }}"
    max_age: 168
  register: found
"""

RETURN = r"""
receipts:
  description: The receipts, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the blob.
      type: str
    url:
      description: Its address.
      type: str
    kind:
      description: Kind of operation.
      type: str
    subject_id:
      description: What it was about.
      type: str
    time:
      description: When it was written, in UTC.
      type: str
    receipt:
      description: The receipt itself.
      type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _auth, _blobs, _receipts
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    container = _blobs.Container(params["blob_endpoint"], params["container"], _auth.credential(params))
    filters = {name: params[name] for name in ("kind", "subject_id", "max_age", "limit")}
    return {"changed": False, "receipts": _receipts.load(container, **filters)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            **_receipts.STORE_ARG_SPEC,
            "kind": {"type": "str"},
            "subject_id": {"type": "str"},
            "max_age": {"type": "float"},
            "limit": {"type": "int"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
