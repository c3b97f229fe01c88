#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_promotion
short_description: Keep the record of a PostgreSQL promotion, or of its undoing, in Azure
version_added: 0.2.0
description:
  - The server in use, the one before it and a change under way stand in tags of the platform's resource group
    (C(aksops-postgresql-active), C(aksops-postgresql-previous), C(aksops-postgresql-change)). Whoever runs next, from
    whatever clone, reads them there, so that a change which was interrupted is finished or undone and never forgotten.
  - This module writes the record and judges whether a server may take over. Fencing, secrets, consumers and state are
    the work of others, in the order of the role C(postgresql_promote).
options:
  resource_group_id:
    description: Resource id of the platform's resource group. Both servers are in it.
    type: str
    required: true
  server:
    description: Name of the server in use where no promotion has ever named one.
    type: str
    required: true
  action:
    description:
      - V(begin) begins a change, or goes on with the one that is under way. It writes nothing where it refuses.
      - V(switch) names the new server as the one in use. The old one must be read-only and the new one open by then.
      - V(mark) tags both servers with their roles. A server that was replaced is locked against deletion.
      - V(finish) ends the change.
    type: str
    choices: [begin, switch, mark, finish]
    required: true
  kind:
    description: For O(action=begin), whether a server is promoted or the last promotion is undone.
    type: str
    choices: [promote, roll-back]
    default: promote
  target:
    description: For O(kind=promote), name of the server that takes over.
    type: str
    default: ""
  receipts:
    description:
      - Receipts of restores. One of them must be for this very server and restore, must have passed, and must be fresh.
    type: list
    elements: dict
    default: []
  receipt_max_age:
    description: Hours that this receipt may be old.
    type: float
    default: 24
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers
"""

EXAMPLES = r"""
- name: Let a restored server take over
  aksops.platform.postgresql_promotion:
    resource_group_id: "{{ platform.resource_group.id }}"
    server: "{{ platform.postgresql.name }}"
    action: begin
    target: psql-shop-r1
    receipts: "{{ receipts }}"
"""

RETURN = r"""
active:
  description: Name of the server in use.
  type: str
  returned: success
previous:
  description: Name of the server that a rollback would lead to; empty where there is none.
  type: str
  returned: success
change:
  description:
    - The change under way, with C(kind), C(phase), C(id), and C(source) and C(target), each with name, id and fqdn.
  type: dict
  returned: success
receipt:
  description: The receipt that lets the server be promoted.
  type: dict
  returned: for O(action=begin)
actions:
  description: What was written, or would be.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._postgresql_promotion import Promotion


def argument_spec():
    return {
        **_auth.AUTH_ARG_SPEC,
        "resource_group_id": {"type": "str", "required": True},
        "server": {"type": "str", "required": True},
        "action": {"type": "str", "choices": ["begin", "switch", "mark", "finish"], "required": True},
        "kind": {"type": "str", "choices": ["promote", "roll-back"], "default": "promote"},
        "target": {"type": "str", "default": ""},
        "receipts": {"type": "list", "elements": "dict", "default": []},
        "receipt_max_age": {"type": "float", "default": 24},
    }


def main():
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    if params["action"] == "begin" and params["kind"] == "promote" and not params["target"]:
        module.fail_json(msg="Name the server that takes over by target.")
    try:
        promotion = Promotion(
            _arm.client(params), params["resource_group_id"], params["server"], check_mode=module.check_mode
        )
        if params["action"] == "begin":
            result = promotion.begin(params["kind"], params["target"], params["receipts"], params["receipt_max_age"])
        else:
            getattr(promotion, params["action"])()
            result = promotion.facts()
    except AksPlatformError as error:
        fail_from(module, error)
    module.exit_json(changed=bool(promotion.actions), actions=promotion.actions, **result)


if __name__ == "__main__":
    main()
