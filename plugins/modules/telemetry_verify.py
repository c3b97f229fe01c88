#!/usr/bin/python
# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: telemetry_verify
short_description: Verify that telemetry reaches Application Insights
version_added: 0.1.0
description:
  - Sends a span, a metric and a log of one operation to Application Insights as a service with Entra authentication
    does, and waits until all three are found in the workspace by the operation's id.
  - The caller needs Monitoring Metrics Publisher on the component and Log Analytics Reader on the workspace.
  - With O(data_collection_rule_id) it sends them by OTLP to Azure Monitor's own endpoints, a preview of Azure's, as a
    collector does. Spans and logs are found by the trace's id; of a metric only its acceptance is known.
options:
  application_insights_id:
    description: Resource id of the Application Insights component.
    type: str
    required: true
  data_collection_rule_id:
    description:
      - Resource id of a collection rule that takes OTLP directly. The caller needs Monitoring Metrics Publisher on it
        rather than on the component.
    type: str
  allow_local_authentication:
    description: Whether a component that accepts instrumentation keys alone is fine.
    type: bool
    default: false
  role_timeout:
    description:
      - How many seconds the service may refuse the sender before that counts. Azure takes minutes until it knows a role
        that was just given, on a collection rule up to half an hour.
    type: int
    default: 0
  wait_timeout:
    description: How many seconds the telemetry may take to arrive. Azure usually needs two to five minutes.
    type: int
    default: 900
  wait_sleep:
    description: How many seconds to pause between two looks.
    type: int
    default: 10
extends_documentation_fragment:
  - aksops.platform.azure_auth
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
attributes:
  check_mode:
    support: full
    details: In check mode nothing is sent; only the component is looked at.
  diff_mode:
    support: none
author:
  - The aksops.platform maintainers (@aksops)
"""

EXAMPLES = r"""
- name: Verify that services' telemetry would arrive
  aksops.platform.telemetry_verify:
    application_insights_id: "{{ platform.application_insights.id }}"

- name: Verify that what a collector sends by OTLP would arrive
  aksops.platform.telemetry_verify:
    application_insights_id: "{{ platform.application_insights.id }}"
    data_collection_rule_id: "{{ group_id }}/providers/Microsoft.Insights/dataCollectionRules/dcr-otlp-shop"
"""

RETURN = r"""
operation_id:
  description: Id of the operation (its trace) that was sent, empty in check mode.
  returned: success
  type: str
found:
  description: What was found in the workspace; the rest was accepted.
  returned: success
  type: list
  elements: str
  sample: [span, metric, log]
arrived_after:
  description: Seconds until everything was found.
  returned: success
  type: float
"""

import time
import typing as t
import uuid

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils import _arm, _arm_plan, _auth, _otlp, _telemetry
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, fail_from
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError, poll


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Carry out the task and return its result."""
    params = module.params
    credential = _auth.credential(params)
    arm = _arm.ArmClient(credential, endpoint=_auth.arm_endpoint(params))
    component = read(arm, params["application_insights_id"])
    where = _telemetry.target(component)
    if where.local_authentication and not params["allow_local_authentication"]:
        raise AksPlatformError(
            f"The component {component['name']} takes telemetry from anybody who knows its key: turn local "
            "authentication off."
        )
    rule = params["data_collection_rule_id"]
    otlp = _otlp_target(arm, rule) if rule else None
    workspace_id = otlp.workspace_id if otlp else where.workspace_id
    workspace = str((read(arm, workspace_id).get("properties") or {}).get("customerId"))
    tables, column = (_otlp.TABLES, "TraceId") if otlp else (_telemetry.TABLES, "OperationId")
    if module.check_mode:
        return {"changed": False, "operation_id": "", "found": [], "arrived_after": 0.0}
    operation = uuid.uuid4().hex
    started = time.monotonic()
    sender = credential.get_token(_telemetry.INGESTION_SCOPE).token

    def send() -> None:
        if otlp:
            _otlp.send(_telemetry.post_protobuf, otlp, sender, _otlp.messages(operation, "aksops-verify"))
        else:
            content = _telemetry.items(where.key, operation, "aksops-verify")
            _telemetry.send(_telemetry.post_json, where, sender, content)

    pause = params["wait_sleep"]
    _telemetry.patiently(send, patience=params["role_timeout"], interval=pause, progress=module.debug)
    token = credential.get_token(_telemetry.QUERY_SCOPE).token

    def check() -> tuple[bool, str]:
        absent = _telemetry.missing(_telemetry.post_json, workspace, token, operation, tables, column)
        return not absent, f"{', '.join(absent) or 'nothing'} missing"

    try:
        poll(
            check,
            timeout=params["wait_timeout"],
            interval=pause,
            describe=f"the telemetry of operation {operation}",
            progress=module.debug,
        )
    except WaitTimeoutError as error:
        raise AksPlatformError(
            f"{error} Look at the daily caps of the component and of its workspace, and at sampling.", **error.details
        ) from None
    took = round(time.monotonic() - started, 1)
    return {"changed": False, "operation_id": operation, "found": list(tables), "arrived_after": took}


def _otlp_target(arm: _arm.ArmClient, rule_id: str) -> _otlp.Target:
    rule = read(arm, rule_id, _otlp.API_VERSION)
    endpoint_id = (rule.get("properties") or {}).get("dataCollectionEndpointId")
    if not endpoint_id:
        raise AksPlatformError(f"The collection rule {rule['name']} has no endpoint.")
    return _otlp.target(rule, read(arm, endpoint_id))


def read(arm: _arm.ArmClient, path: str, version: str | None = None) -> dict[str, t.Any]:
    """Return a resource that must exist."""
    found = arm.get(path, str(_arm_plan.api_version(path, version)))
    if found is None:
        raise AksPlatformError(f"There is no {path}.")
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **_auth.AUTH_ARG_SPEC,
            "application_insights_id": {"type": "str", "required": True},
            "data_collection_rule_id": {"type": "str"},
            "allow_local_authentication": {"type": "bool", "default": False},
            "role_timeout": {"type": "int", "default": 0},
            "wait_timeout": {"type": "int", "default": 900},
            "wait_sleep": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except AksPlatformError as error:
        fail_from(module, error)


if __name__ == "__main__":
    main()
