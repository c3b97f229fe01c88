"""Monitor, policies, locks, compute questions: shapes that clients depend on, and what Azure refuses."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import time
from email.utils import formatdate

import pytest

LA = "2025-07-01"
AI = "2020-02-02"
DIAG = "2021-05-01-preview"
POLICY = "2022-06-01"
LOCK = "2020-05-01"
DCR = "2023-03-11"
WEST = {"location": "westeurope"}
PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
ALLOWED_IMAGES = "febd0533-8e55-448f-b837-bd0e06f16469"
RESTRICTED = "/providers/Microsoft.Authorization/policySetDefinitions/42b8ef37-b724-4e24-bbc8-7a7708edfe00"


@pytest.fixture(scope="module")
def group(client):
    return client.group("contract-govern")


@pytest.fixture(scope="module")
def workspace(client, group):
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/contract-logs"
    body = {**WEST, "properties": {"features": {"enableLogAccessUsingOnlyResourcePermissions": False}}}
    answer = client.arm("PUT", path, LA, body)
    assert answer.status == 201
    # azurerm waits until the flag is echoed.
    assert answer.json["properties"]["features"]["enableLogAccessUsingOnlyResourcePermissions"] is False
    return path


def assign(client, scope, role, name):
    definition = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    body = {"properties": {"principalId": client.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": definition}}
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert client.arm("PUT", path, "2022-04-01", body).status in {200, 201}


# Log Analytics -------------------------------------------------------------------------------------------------------


def test_a_deleted_workspace_waits_and_comes_back(client, group):
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/contract-deleted"
    first = client.arm("PUT", path, LA, WEST).json["properties"]["customerId"]
    client.arm("DELETE", path, LA)
    deleted = client.arm("GET", "/providers/Microsoft.OperationalInsights/deletedWorkspaces", LA).json["value"]
    assert "contract-deleted" in [item["name"] for item in deleted]
    assert client.arm("PUT", path, LA, WEST).json["properties"]["customerId"] == first
    client.arm("DELETE", f"{path}?force=true", LA)
    assert client.arm("PUT", path, LA, WEST).json["properties"]["customerId"] != first


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"retentionInDays": 10}, "InvalidParameter"),
        ({"sku": {"name": "Free"}}, "UnsupportedSku"),
        ({"defaultDataCollectionRuleResourceId": "/x"}, "InvalidParameter"),
    ],
)
def test_a_workspace_that_azure_refuses_is_refused(client, group, properties, code):
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/contract-bad"
    answer = client.arm("PUT", path, LA, {**WEST, "properties": properties})
    assert (answer.status, answer.code) == (400, code)


def collected(client, customer, key, rows):
    """One call of the HTTP Data Collector API, signed with a workspace's key."""
    body, moment = json.dumps(rows).encode(), formatdate(usegmt=True)
    text = f"POST\n{len(body)}\napplication/json\nx-ms-date:{moment}\n/api/logs"
    digest = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
    headers = {"Log-Type": "Runs", "x-ms-date": moment, "Authorization": f"SharedKey {customer}:{digest}"}
    return client.send(
        "POST", f"https://{customer}.ods.opinsights.azure.com/api/logs?api-version=2016-04-01", body, headers
    )


def test_the_keys_of_a_workspace_stop_with_local_authentication(client, group):
    path = f"{group}/providers/Microsoft.OperationalInsights/workspaces/contract-keys"
    customer = client.arm("PUT", path, LA, WEST).json["properties"]["customerId"]
    key = client.arm("POST", f"{path}/sharedKeys", "2020-08-01").json["primarySharedKey"]
    assert len(base64.b64decode(key)) == 64
    assert collected(client, customer, key, [{"a": 1}]).status == 200
    assert collected(client, customer, base64.b64encode(b"wrong").decode(), [{"a": 1}]).status == 403
    client.arm("PATCH", path, LA, {"properties": {"features": {"disableLocalAuth": True}}})
    assert collected(client, customer, key, [{"a": 1}]).status == 403


def setting(client, workspace, **changes):
    logs = [{"categoryGroup": "allLogs", "enabled": True}]
    return {"properties": {"workspaceId": client.subscription + workspace, "logs": logs, **changes}}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"workspaceId": None}, "BadRequest"),
        ({"logs": [{"category": "Invented", "enabled": True}]}, "BadRequest"),
        ({"logs": [{"categoryGroup": "allLogs", "enabled": False}]}, "BadRequest"),
        ({"workspaceId": "/subscriptions/x/resourceGroups/y/providers/a/b/c"}, "ResourceNotFound"),
    ],
)
def test_a_diagnostic_setting_that_azure_refuses_is_refused(client, workspace, changes, code):
    path = f"{workspace}/providers/Microsoft.Insights/diagnosticSettings/bad"
    answer = client.arm("PUT", path, DIAG, setting(client, workspace, **changes))
    assert (answer.status, answer.code) == (400, code)


def test_a_sink_takes_a_category_once(client, workspace):
    base = f"{workspace}/providers/Microsoft.Insights/diagnosticSettings"
    assert client.arm("PUT", f"{base}/one", DIAG, setting(client, workspace)).status == 200
    assert client.arm("PUT", f"{base}/one", DIAG, setting(client, workspace)).status == 200
    assert client.arm("PUT", f"{base}/two", DIAG, setting(client, workspace)).status == 409
    categories = client.arm("GET", f"{base}Categories", DIAG).json["value"]
    assert {"Audit", "AllMetrics"} <= {item["name"] for item in categories}


# Application Insights ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def component(client, group, workspace):
    path = f"{group}/providers/Microsoft.Insights/components/contract-app"
    properties = {"Application_Type": "web", "WorkspaceResourceId": client.subscription + workspace}
    answer = client.arm("PUT", path, AI, {**WEST, "kind": "web", "properties": properties})
    assert answer.status == 200
    return path, answer.json["properties"]


def trace(key, message):
    data = {"baseType": "MessageData", "baseData": {"message": message, "severityLevel": 1, "properties": {"run": "7"}}}
    tags = {"ai.cloud.role": "contract", "ai.operation.id": "op-1"}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"name": "Microsoft.ApplicationInsights.Message", "time": moment, "iKey": key, "tags": tags, "data": data}


def test_telemetry_is_kept_and_keys_stop_with_local_authentication(client, sandbox, component):
    path, made = component
    parts = dict(part.split("=", 1) for part in made["ConnectionString"].split(";"))
    url = f"{parts['IngestionEndpoint']}v2.1/track"
    key = parts["InstrumentationKey"]
    body = gzip.compress("\n".join(json.dumps(trace(key, text)) for text in ("one", "two")).encode())
    answer = client.send("POST", url, body, {"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["itemsAccepted"]) == (200, 2)
    assert client.send("POST", url, [trace("00000000-0000-0000-0000-000000000000", "x")]).status == 400

    client.arm("PUT", path, AI, {**WEST, "properties": {**made, "DisableLocalAuth": True}})
    assert client.send("POST", url, [trace(key, "three")]).status == 401
    monitor = "https://monitor.azure.com"
    assert client.bearer("POST", url, [trace(key, "three")], monitor).status == 403
    assign(client, path, PUBLISHER, "00000000-0000-0000-0000-0000000000d1")
    assert client.bearer("POST", url, [trace(key, "three")], monitor).status == 200

    query = {
        "query": "traces | where Message in ('one', 'three') and OperationId == 'op-1' "
        "| project Message | sort by Message asc"
    }
    apps = f"https://api.applicationinsights.io/v1/apps/{made['AppId']}/query"
    [table] = client.bearer("POST", apps, query, "https://api.applicationinsights.io").json["tables"]
    assert table["rows"] == [["one"], ["three"]]
    unknown = client.bearer("POST", apps, {"query": "traces | evaluate bag()"}, "https://api.applicationinsights.io")
    assert unknown.status == 501


def test_a_component_needs_a_workspace(client, group):
    path = f"{group}/providers/Microsoft.Insights/components/contract-classic"
    assert client.arm("PUT", path, AI, {**WEST, "properties": {}}).code == "WorkspaceRequired"


def test_billing_features_are_kept(client, component):
    path, _ = component
    cap = {"CurrentBillingFeatures": ["Basic"], "DataVolumeCap": {"Cap": 3.5}}
    assert client.arm("PUT", f"{path}/currentbillingfeatures", "2015-05-01", cap).status == 200
    kept = client.arm("GET", f"{path}/currentbillingfeatures", "2015-05-01").json["DataVolumeCap"]
    assert (kept["Cap"], kept["WarningThreshold"]) == (3.5, 90)


def test_custom_logs_go_through_a_rule_into_a_table(client, group, workspace):
    rule = f"{group}/providers/Microsoft.Insights/dataCollectionRules/contract-rule"
    logs = [{"name": "la", "workspaceResourceId": client.subscription + workspace}]
    flow = {"streams": ["Custom-Runs_CL"], "destinations": ["la"], "outputStream": "Custom-Runs_CL"}
    properties = {"destinations": {"logAnalytics": logs}, "dataFlows": [flow | {"destinations": ["elsewhere"]}]}
    assert client.arm("PUT", rule, DCR, {**WEST, "properties": properties}).status == 400
    properties["dataFlows"] = [flow]
    immutable = client.arm("PUT", rule, DCR, {**WEST, "properties": properties}).json["properties"]["immutableId"]
    endpoint = f"{group}/providers/Microsoft.Insights/dataCollectionEndpoints/contract-dce"
    host = client.arm("PUT", endpoint, DCR, WEST).json["properties"]["logsIngestion"]["endpoint"]
    url = f"{host}/dataCollectionRules/{immutable}/streams/Custom-Runs_CL?api-version=2023-01-01"
    rows = [{"Stage": "site", "Seconds": 12}, {"Stage": "verify", "Seconds": 3}]
    assert client.bearer("POST", url, rows, "https://monitor.azure.com").status == 403
    assign(client, rule, PUBLISHER, "00000000-0000-0000-0000-0000000000d2")
    assert client.bearer("POST", url, rows, "https://monitor.azure.com").status == 204
    customer = client.arm("GET", workspace, LA).json["properties"]["customerId"]
    query = {"query": "Runs_CL | summarize Total = sum(Seconds), count()", "timespan": "PT1H"}
    answer = client.bearer(
        "POST", f"https://api.loganalytics.io/v1/workspaces/{customer}/query", query, "https://api.loganalytics.io"
    )
    assert answer.json["tables"][0]["rows"] == [[15, 2]]
    # A rule with associations stays.
    association = f"{workspace}/providers/Microsoft.Insights/dataCollectionRuleAssociations/a"
    body = {"properties": {"dataCollectionRuleId": client.subscription + rule}}
    assert client.arm("PUT", association, DCR, body).status == 201
    assert client.arm("DELETE", rule, DCR).status == 409
    assert client.arm("DELETE", f"{rule}?deleteAssociations=true", DCR).status == 200


def test_a_monitor_workspace_brings_its_rule_and_takes_it_along(client, group):
    path = f"{group}/providers/Microsoft.Monitor/accounts/contract-amw"
    made = client.arm("PUT", path, "2023-04-03", WEST).json["properties"]
    rule = made["defaultIngestionSettings"]["dataCollectionRuleResourceId"]
    assert "/resourceGroups/MA_contract-amw_westeurope_managed/" in rule
    assert client.arm("GET", rule, DCR).status == 200
    client.arm("DELETE", path, "2023-04-03")
    assert client.arm("GET", rule, DCR).status == 404


# Policies ------------------------------------------------------------------------------------------------------------


def assignment(**changes):
    return {"properties": {"policyDefinitionId": RESTRICTED, **changes}}


def test_an_assignment_is_answered_with_201_each_time(client, group):
    path = f"{group}/providers/Microsoft.Authorization/policyAssignments/pss"
    body = assignment(parameters={"effect": {"value": "Deny"}, "requiredDropCapabilities": {"value": ["ALL"]}})
    assert [client.arm("PUT", path, POLICY, body).status for _ in range(2)] == [201, 201]
    shown = client.arm("GET", path, POLICY).json["properties"]
    assert (shown["scope"], shown["enforcementMode"]) == (client.subscription + group, "Default")
    client.arm("DELETE", path, POLICY)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"policyDefinitionId": RESTRICTED[:-1] + "1"}, 404, "PolicyDefinitionNotFound"),
        ({"parameters": {"effekt": {"value": "Deny"}}}, 400, "UndefinedPolicyParameter"),
        ({"parameters": {"effect": {"value": "Forbid"}}}, 400, "InvalidPolicyParameterValue"),
        ({"parameters": {"excludedNamespaces": {"value": "kube-system"}}}, 400, "InvalidPolicyParameterType"),
        (
            {"policyDefinitionId": f"{RESTRICTED.rsplit('/', 2)[0]}/policyDefinitions/{ALLOWED_IMAGES}"},
            400,
            "MissingPolicyParameter",
        ),
    ],
)
def test_an_assignment_that_azure_refuses_is_refused(client, group, changes, status, code):
    path = f"{group}/providers/Microsoft.Authorization/policyAssignments/bad"
    answer = client.arm("PUT", path, POLICY, assignment(**changes))
    assert (answer.status, answer.code) == (status, code)


def test_built_in_definitions_can_be_read_and_named(client):
    url = f"https://management.azure.com{RESTRICTED}?api-version=2025-01-01"
    found = client.bearer("GET", url).json["properties"]
    assert (found["policyType"], found["version"]) == ("BuiltIn", "2.5.0")
    assert found["parameters"]["requiredDropCapabilities"]["defaultValue"] == []


def test_an_exemption_needs_its_assignment(client, group):
    base = f"{group}/providers/Microsoft.Authorization"
    body = {
        "properties": {
            "policyAssignmentId": f"{client.subscription}{base}/policyAssignments/ex",
            "exemptionCategory": "Waiver",
        }
    }
    path = f"{base}/policyExemptions/e"
    assert client.arm("PUT", path, "2022-07-01-preview", body).status == 404
    client.arm("PUT", f"{base}/policyAssignments/ex", POLICY, assignment())
    assert client.arm("PUT", path, "2022-07-01-preview", body).status == 201
    body["properties"]["exemptionCategory"] = "Whim"
    assert client.arm("PUT", path, "2022-07-01-preview", body).status == 400


# Locks ---------------------------------------------------------------------------------------------------------------


def test_a_lock_holds_what_is_below_it_and_the_group_above(client):
    group = client.group("contract-locked")
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kept"
    lock = f"{group}/providers/Microsoft.Authorization/locks/keep"
    client.arm("PUT", identity, "2024-11-30", WEST)
    assert client.arm("PUT", lock, LOCK, {"properties": {"level": "Never"}}).code == "InvalidLockLevel"
    assert client.arm("PUT", lock, LOCK, {"properties": {"level": "CanNotDelete"}}).status == 201
    for path, version in ((identity, "2024-11-30"), (group, "2023-07-01")):
        answer = client.arm("DELETE", path, version)
        assert (answer.status, answer.code) == (409, "ScopeLocked")
    assert client.arm("PUT", identity, "2024-11-30", {**WEST, "tags": {"a": "b"}}).status == 200

    client.arm("PUT", lock, LOCK, {"properties": {"level": "ReadOnly"}})
    refused = client.arm("PUT", identity, "2024-11-30", {**WEST, "tags": {"a": "c"}})
    assert (refused.status, refused.code) == (409, "ScopeLocked")
    assert [
        item["name"]
        for item in client.arm("GET", f"{identity}/providers/Microsoft.Authorization/locks", LOCK).json["value"]
    ] == ["keep"]
    assert client.arm("DELETE", lock, LOCK).status == 200
    assert client.arm("DELETE", group, "2023-07-01").status == 202


# Questions -----------------------------------------------------------------------------------------------------------


def test_sizes_zones_and_quota_fit_together(client):
    skus = client.arm("GET", "/providers/Microsoft.Compute/skus?$filter=location eq 'westeurope'", "2021-07-01").json[
        "value"
    ]
    usages = client.arm("GET", "/providers/Microsoft.Compute/locations/westeurope/usages", "2024-07-01").json["value"]
    limits = {item["name"]["value"]: item["limit"] for item in usages}
    size = next(item for item in skus if item["name"] == "Standard_D4ds_v5")
    assert size["locationInfo"][0]["zones"] == ["1", "2", "3"]
    assert {"name": "vCPUs", "value": "4"} in size["capabilities"]
    assert limits[size["family"]] > 0
    blocked = next(item for item in skus if limits[item["family"]] == 0)
    assert blocked["restrictions"][0]["reasonCode"] == "NotAvailableForSubscription"


def test_defender_plans_are_kept(client):
    path = "/providers/Microsoft.Security/pricings/Containers"
    assert client.arm("GET", path, "2023-01-01").json["properties"]["pricingTier"] == "Free"
    assert client.arm("PUT", path, "2023-01-01", {"properties": {"pricingTier": "Standard"}}).status == 200
    assert client.arm("GET", path, "2023-01-01").json["properties"]["pricingTier"] == "Standard"
    assert client.arm("PUT", path, "2023-01-01", {"properties": {"pricingTier": "Gold"}}).status == 400
