"""What keeps monitoring data from arriving, and alerts from being heard."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _monitor_plan

GROUP = "/subscriptions/s/resourceGroups/rg/providers"
CLUSTER = f"{GROUP}/Microsoft.ContainerService/managedClusters/shop"
INSIGHTS = f"{GROUP}/Microsoft.Insights"
RULE = f"{INSIGHTS}/dataCollectionRules/logs"
ENDPOINT = f"{INSIGHTS}/dataCollectionEndpoints/prom"
BOUND = f"{CLUSTER}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsExtension"
AT_ENDPOINT = f"{CLUSTER}/providers/Microsoft.Insights/dataCollectionRuleAssociations/configurationAccessEndpoint"
ONCALL = f"{INSIGHTS}/actionGroups/oncall"
METRIC = f"{INSIGHTS}/metricAlerts/cpu"
LOG = f"{INSIGHTS}/scheduledQueryRules/errors"
RULES = f"{GROUP}/Microsoft.AlertsManagement/prometheusRuleGroups/platform"
TELL = [{"actionGroupId": ONCALL}]
WORKSPACE = "/w/logs"

BODIES = {
    RULE: {
        "dataCollectionEndpointId": ENDPOINT,
        "destinations": {"logAnalytics": [{"name": "ci", "workspaceResourceId": WORKSPACE}]},
        "dataFlows": [{"streams": ["A", "B"], "destinations": ["ci"]}],
    },
    ENDPOINT: {},
    BOUND: {"dataCollectionRuleId": RULE},
    AT_ENDPOINT: {"dataCollectionEndpointId": ENDPOINT},
    ONCALL: {
        "enabled": True,
        "emailReceivers": [{"name": "a", "emailAddress": "a@example.com"}],
        "webhookReceivers": [{"name": "w", "serviceUri": "https://example.com/?token"}],
    },
    METRIC: {
        "enabled": True,
        "scopes": [CLUSTER],
        "criteria": {"allOf": [{"name": "cpu", "threshold": 95}]},
        "actions": TELL,
    },
    LOG: {"enabled": True, "scopes": [WORKSPACE], "actions": {"actionGroups": [ONCALL]}},
    RULES: {
        "enabled": True,
        "scopes": [WORKSPACE, CLUSTER],
        "rules": [{"alert": "Down", "expression": "up == 0", "for": "PT5M", "enabled": True, "actions": TELL}],
    },
}
WANTED = [{"id": path, "body": {"properties": body}} for path, body in BODIES.items()]
FOREIGN_RULE = (
    "the association ContainerInsightsExtension binds the cluster to the data collection rule foreign, "
    "and should to the data collection rule logs"
)


def healthy():
    """What Azure shows: the same, with what it adds and ids in its own spelling."""
    found = {
        path.lower(): {"name": path.rsplit("/", 1)[-1], "properties": copy.deepcopy(body)}
        for path, body in BODIES.items()
    }
    found[BOUND.lower()]["properties"] = {"dataCollectionRuleId": RULE.upper(), "provisioningState": "Succeeded"}
    found[RULE.lower()]["properties"]["destinations"]["logAnalytics"][0]["workspaceId"] = "guid"
    found[ONCALL.lower()]["properties"] |= {"smsReceivers": []}
    found[METRIC.lower()]["properties"]["actions"] = [{"actionGroupId": ONCALL.lower(), "webHookProperties": {}}]
    return found


def problems(path=None, change=None):
    found = healthy()
    if path and change is None:
        found[path.lower()] = None
    elif path:
        change(found[path.lower()]["properties"])
    return _monitor_plan.problems(WANTED, found)


def test_what_is_as_it_should_be_has_no_problem():
    assert problems() == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (RULE, "the data collection rule logs is missing, although the association ContainerInsightsExtension binds"),
        (
            ENDPOINT,
            "the data collection endpoint prom is missing, although the association configurationAccessEndpoint binds",
        ),
        (BOUND, "the association ContainerInsightsExtension is missing, so that the cluster is not bound"),
        (METRIC, "the metric alert cpu is missing"),
        (ONCALL, "the action group oncall is missing"),
    ],
)
def test_what_is_missing_is_named(path, words):
    [line] = problems(path)
    assert line.startswith(words)


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (METRIC, {"enabled": False}, ["the metric alert cpu is disabled"]),
        (LOG, {"enabled": False}, ["the log alert errors is disabled"]),
        (RULES, {"enabled": False}, ["the Prometheus rule group platform is disabled"]),
        (METRIC, {"actions": []}, ["the metric alert cpu does not tell the action group oncall"]),
        (
            LOG,
            {"actions": {"actionGroups": ["/x/other"]}},
            ["the log alert errors does not tell the action group oncall"],
        ),
        (
            METRIC,
            {"criteria": {"allOf": [{"name": "cpu", "threshold": 1000}]}},
            ["the metric alert cpu asks something else than it should (criteria.allOf[cpu].threshold)"],
        ),
        (LOG, {"scopes": ["/w/other"]}, ["the log alert errors asks something else than it should (scopes)"]),
        (RULES, {"rules": []}, ["the Prometheus rule group platform lacks the alert Down"]),
        (
            RULES,
            {"rules": [{"alert": "Down", "expression": "up == 2", "for": "PT5M", "enabled": False}]},
            [
                "the Prometheus rule group platform has the alert Down disabled",
                "the Prometheus rule group platform asks something else than it should in the alert Down",
                "the Prometheus rule group platform does not tell the action group oncall of the alert Down",
            ],
        ),
        (
            RULES,
            {"scopes": ["/w/other", CLUSTER]},
            ["the Prometheus rule group platform asks another workspace or cluster than it should"],
        ),
        (ONCALL, {"enabled": False}, ["the action group oncall is disabled, so that no alert is heard"]),
        (
            ONCALL,
            {"emailReceivers": [], "webhookReceivers": []},
            ["the action group oncall has no receiver, so that no alert is heard"],
        ),
        (ONCALL, {"emailReceivers": []}, ["the action group oncall does not tell a@example.com"]),
        # The address of a webhook may hold a token.
        (ONCALL, {"webhookReceivers": []}, ["the action group oncall does not tell 1 of its webhooks"]),
        (
            ONCALL,
            {"emailReceivers": [{"emailAddress": "a@example.com", "status": "Disabled"}], "webhookReceivers": []},
            [
                "the action group oncall has only receivers that are disabled, so that no alert is heard",
                "the action group oncall does not tell 1 of its webhooks",
            ],
        ),
        (
            RULE,
            {"destinations": {"logAnalytics": [{"name": "ci", "workspaceResourceId": "/w/foreign"}]}},
            ["the data collection rule logs sends to foreign, and should send to logs"],
        ),
        (
            RULE,
            {"dataFlows": [{"streams": ["A"], "destinations": ["ci"]}]},
            ["the data collection rule logs does not carry B to logs"],
        ),
        (
            RULE,
            {"dataCollectionEndpointId": None},
            ["the data collection rule logs uses nothing, and should use the data collection endpoint prom"],
        ),
        (
            BOUND,
            {"dataCollectionRuleId": f"{INSIGHTS}/dataCollectionRules/foreign"},
            [FOREIGN_RULE],
        ),
    ],
)
def test_what_is_broken_is_named(path, change, words):
    assert problems(path, lambda properties: properties.update(change)) == words


def test_a_foreign_rule_that_does_not_exist_is_named_so():
    found = healthy()
    foreign = f"{INSIGHTS}/dataCollectionRules/foreign"
    found[BOUND.lower()]["properties"] = {"dataCollectionRuleId": foreign}
    found[foreign.lower()] = None
    [line] = _monitor_plan.problems(WANTED, found)
    assert "to the data collection rule foreign, which does not exist, and should to" in line


def test_absent_and_unknown_kinds_are_only_asked_for():
    book = f"{INSIGHTS}/workbooks/0"
    assert _monitor_plan.problems([{"id": book}], {book.lower(): {}}) == []
    assert _monitor_plan.problems([{"id": book}], {book.lower(): None}) == ["the workbook 0 is missing"]
