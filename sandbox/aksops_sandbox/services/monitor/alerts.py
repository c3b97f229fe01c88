"""Action groups and the alert rules: metric, log search, activity log, Prometheus, smart detection."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes

ACTION_GROUP = "Microsoft.Insights/actionGroups"

_FREQUENCIES = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H")
_WINDOWS = (*_FREQUENCIES, "PT6H", "PT12H", "P1D")


def _check_actions(ctx: Any, alert: Resource, actions: list[dict[str, Any]]) -> None:
    for action in actions:
        shapes.reference(ctx, action.get("actionGroupId"), alert.id, "ActionGroupNotFound")


def _global(new: Resource) -> None:
    if new.location != "global":
        message = f"The location of a {new.type} must be 'global', not '{new.location}'."
        raise bad_request("LocationNotAvailableForResourceType", message)


class ActionGroup(ResourceType):
    type = ACTION_GROUP
    status = "insights/2023-01-01/actiongroupsapis"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        short = str(new.properties.get("groupShortName") or "")
        if not 1 <= len(short) <= 12:
            raise bad_request("InvalidGroupShortName", "groupShortName must have 1 to 12 characters.")
        new.properties.setdefault("enabled", True)
        receivers = ("email", "sms", "webhook", "itsm", "azureAppPush", "automationRunbook", "voice", "logicApp")
        for name in (*receivers, "azureFunction", "armRole", "eventHub"):
            new.properties.setdefault(f"{name}Receivers", [])
        for receiver in new.properties["emailReceivers"]:
            receiver.setdefault("status", "Enabled")


class MetricAlert(ResourceType):
    type = "Microsoft.Insights/metricAlerts"
    status = "insights/2018-03-01/metricalerts"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _global(new)
        properties = new.properties
        shapes.defaults(properties, {"enabled": True, "autoMitigate": True, "actions": []})
        shapes.between(properties.get("severity"), 0, 4, "severity")
        shapes.choice(properties.get("evaluationFrequency"), _FREQUENCIES, "evaluationFrequency")
        shapes.choice(properties.get("windowSize"), _WINDOWS, "windowSize")
        scopes = properties.get("scopes") or []
        if not scopes:
            raise bad_request("BadRequest", "A metric alert needs at least one scope.")
        for scope in scopes:
            if "/providers/" in scope:
                shapes.reference(ctx, scope, new.id, "ResourceNotFound")
        if "odata.type" not in (properties.get("criteria") or {}):
            raise bad_request("BadRequest", "The criteria of a metric alert need an 'odata.type'.")
        _check_actions(ctx, new, properties["actions"])


class LogAlert(ResourceType):
    type = "Microsoft.Insights/scheduledQueryRules"
    status = "insights/2023-03-15-preview/scheduledqueryrules"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        shapes.defaults(properties, {"enabled": True, "autoMitigate": False, "actions": {"actionGroups": []}})
        for scope in properties.get("scopes") or []:
            shapes.reference(ctx, scope, new.id, "ResourceNotFound")
        for group in properties["actions"].get("actionGroups") or []:
            shapes.reference(ctx, group, new.id, "ActionGroupNotFound")
        if not shapes.dig(properties, "criteria.allOf"):
            raise bad_request("BadRequest", "A log search alert needs criteria.")


class ActivityLogAlert(ResourceType):
    type = "Microsoft.Insights/activityLogAlerts"
    status = "insights/2020-10-01/activitylogalertsapis"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        shapes.defaults(new.properties, {"enabled": True, "actions": {"actionGroups": []}})
        _check_actions(ctx, new, shapes.dig(new.properties, "actions.actionGroups", []))
        if not shapes.dig(new.properties, "condition.allOf"):
            raise bad_request("BadRequest", "An activity log alert needs a condition.")


class PrometheusRuleGroup(ResourceType):
    type = "Microsoft.AlertsManagement/prometheusRuleGroups"
    status = "alertsmanagement/2023-03-01/prometheusrulegroupresources"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        shapes.defaults(properties, {"enabled": True, "interval": "PT1M"})
        if not 60 <= shapes.seconds(properties["interval"], "interval") <= 900:
            raise bad_request("InvalidInput", "The interval of a rule group must be from 1 to 15 minutes.")
        for scope in properties.get("scopes") or []:
            shapes.reference(ctx, scope, new.id, "InvalidInput")
        rules = properties.get("rules") or []
        if not 1 <= len(rules) <= 20:
            raise bad_request("InvalidInput", "A rule group must have from 1 to 20 rules.")
        for rule in rules:
            if not rule.get("expression") or bool(rule.get("alert")) == bool(rule.get("record")):
                raise bad_request("InvalidInput", "A rule needs an expression, and either 'alert' or 'record'.")
            rule.setdefault("enabled", True)
            _check_actions(ctx, new, rule.get("actions") or [])


class SmartDetectorRule(ResourceType):
    type = "Microsoft.AlertsManagement/smartDetectorAlertRules"
    status = "alertsmanagement/2019-06-01/smartdetectoralertrules"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        _global(new)
        shapes.defaults(new.properties, {"state": "Enabled", "severity": "Sev3", "frequency": "PT1M"})
