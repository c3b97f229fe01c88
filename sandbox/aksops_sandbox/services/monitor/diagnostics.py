"""Diagnostic settings on any resource, and the categories that each type has."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.errors import AzureError, bad_request, not_found
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes

SETTING = "Microsoft.Insights/diagnosticSettings"

#: Settings that one resource can have.
_LIMIT = 5

_STORAGE_LOGS = ("StorageRead", "StorageWrite", "StorageDelete")

#: Type (lower case) -> (log categories, metric categories).
CATEGORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "microsoft.cache/redis": (("ConnectedClientList", "MSEntraAuthenticationAuditLog"), ("AllMetrics",)),
    "microsoft.cache/redisenterprise": ((), ("AllMetrics",)),
    "microsoft.cache/redisenterprise/databases": (("ConnectionEvents",), ("AllMetrics",)),
    "microsoft.containerregistry/registries": (
        ("ContainerRegistryRepositoryEvents", "ContainerRegistryLoginEvents"),
        ("AllMetrics",),
    ),
    "microsoft.containerservice/managedclusters": (
        (
            "kube-apiserver",
            "kube-audit",
            "kube-audit-admin",
            "kube-controller-manager",
            "kube-scheduler",
            "cluster-autoscaler",
            "cloud-controller-manager",
            "guard",
            "csi-azuredisk-controller",
            "csi-azurefile-controller",
            "csi-snapshot-controller",
            "fleet-mcs-controller-manager",
            "fleet-member-agent",
            "fleet-member-net-controller-manager",
            "karpenter-events",
        ),
        ("AllMetrics",),
    ),
    "microsoft.dbforpostgresql/flexibleservers": (
        (
            "PostgreSQLLogs",
            "PostgreSQLFlexSessions",
            "PostgreSQLFlexQueryStoreRuntime",
            "PostgreSQLFlexQueryStoreWaitStats",
            "PostgreSQLFlexTableStats",
            "PostgreSQLFlexDatabaseXacts",
            "PostgreSQLFlexPGBouncer",
        ),
        ("AllMetrics",),
    ),
    "microsoft.keyvault/vaults": (("AuditEvent", "AzurePolicyEvaluationDetails"), ("AllMetrics",)),
    "microsoft.loadtestservice/loadtests": (("OperationLogs",), ()),
    "microsoft.network/applicationgateways": (
        ("ApplicationGatewayAccessLog", "ApplicationGatewayPerformanceLog", "ApplicationGatewayFirewallLog"),
        ("AllMetrics",),
    ),
    "microsoft.network/networksecuritygroups": (
        ("NetworkSecurityGroupEvent", "NetworkSecurityGroupRuleCounter"),
        (),
    ),
    "microsoft.network/publicipaddresses": (
        ("DDoSProtectionNotifications", "DDoSMitigationFlowLogs", "DDoSMitigationReports"),
        ("AllMetrics",),
    ),
    "microsoft.network/virtualnetworks": (("VMProtectionAlerts",), ("AllMetrics",)),
    "microsoft.operationalinsights/workspaces": (("Audit", "SummaryLogs", "Jobs"), ("AllMetrics",)),
    "microsoft.servicebus/namespaces": (
        (
            "OperationalLogs",
            "VNetAndIPFilteringLogs",
            "RuntimeAuditLogs",
            "ApplicationMetricsLogs",
            "DiagnosticErrorLogs",
            "DataDRLogs",
        ),
        ("AllMetrics",),
    ),
    "microsoft.storage/storageaccounts": ((), ("Transaction", "Capacity", "AllMetrics")),
    **{
        f"microsoft.storage/storageaccounts/{kind}services": (_STORAGE_LOGS, ("Transaction", "Capacity", "AllMetrics"))
        for kind in ("blob", "file", "queue", "table")
    },
}
_GROUPS = ("allLogs", "audit")
_SINKS = {
    "workspaceId": "Microsoft.OperationalInsights/workspaces",
    "storageAccountId": "Microsoft.Storage/storageAccounts",
}


def _target_type(resource_id: str) -> str:
    parsed = ids.parse(resource_id)
    return parsed.type.lower() if parsed else "subscription"


class DiagnosticSetting(ResourceType):
    type = SETTING
    status = "insights/2021-05-01-preview/diagnosticsettings"
    tracked = False
    name_pattern = r"[^<>*%&:\\?+/]{1,260}"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        target = shapes.identify(new.id).scope
        properties = new.properties
        for name in (
            "eventHubAuthorizationRuleId",
            "eventHubName",
            "logAnalyticsDestinationType",
            "marketplacePartnerId",
        ):
            properties.setdefault(name, None)
        sinks = {name: properties.get(name) for name in _SINKS if properties.get(name)}
        if not sinks and not properties["eventHubAuthorizationRuleId"]:
            message = "At least one data sink needs to be specified."
            raise bad_request("BadRequest", message)
        for name, sink in sinks.items():
            found = shapes.reference(ctx, sink, new.id, "ResourceNotFound")
            if found.type.lower() != _SINKS[name].lower():
                raise bad_request("BadRequest", f"'{name}' of {new.id} names a {found.type}.")
        enabled = self._categories(new, target)
        others = [item for item in ctx.store.list(type=SETTING, prefix=target) if self._beside(item, new, target)]
        if len(others) >= _LIMIT and old is None:
            raise bad_request("BadRequest", f"A resource can have {_LIMIT} diagnostic settings at most.")
        for other in others:
            shared = [name for name, sink in sinks.items() if shapes.same_id(other.properties.get(name), sink)]
            both = enabled & {entry for field in ("logs", "metrics") for entry in _enabled(other.properties.get(field))}
            if shared and both:
                message = (
                    f"Data sink '{sinks[shared[0]]}' is already used in diagnostic setting '{other.name}' for category "
                    f"'{min(both)}'. Data sinks can't be reused in different settings on the same category for the "
                    "same resource."
                )
                raise AzureError(409, "Conflict", message)

    @staticmethod
    def _beside(item: Resource, new: Resource, target: str) -> bool:
        return item.id.lower() != new.id.lower() and shapes.same_id(shapes.identify(item.id).scope, target)

    @staticmethod
    def _categories(new: Resource, target: str) -> set[str]:
        known = CATEGORIES.get(_target_type(target))
        enabled: set[str] = set()
        for field, position in (("logs", 0), ("metrics", 1)):
            entries = new.properties.get(field) or []
            for entry in entries:
                name = entry.get("category") or entry.get("categoryGroup")
                groups = _GROUPS if field == "logs" and entry.get("categoryGroup") else ()
                if known is not None and name not in (groups or known[position]):
                    raise bad_request("BadRequest", f"Category '{name}' is not supported.")
                entry.setdefault("enabled", False)
                entry.setdefault("retentionPolicy", {"enabled": False, "days": 0})
            enabled |= _enabled(entries)
            new.properties[field] = entries
        if not enabled:
            raise bad_request("BadRequest", "At least one log or metric category must be enabled.")
        return enabled


def _enabled(entries: list[dict[str, Any]] | None) -> set[str]:
    return {
        entry.get("category") or entry.get("categoryGroup") or "" for entry in entries or [] if entry.get("enabled")
    }


def _categories(ctx: Any, request: Request, match: re.Match[str]) -> Response:
    """GET {resource}/providers/Microsoft.Insights/diagnosticSettingsCategories[/{name}]."""
    target = match["id"]
    parsed = ids.parse(target)
    kind = ctx.types.get(parsed.type.lower()) if parsed else None
    if ctx.store.get(target) is None and not (kind is not None and kind.implicit):
        raise not_found(target)
    ctx.rbac.require(request, "Microsoft.Insights/diagnosticSettingsCategories/read", target)
    logs, metrics = CATEGORIES.get(_target_type(target), ((), ()))
    value: list[dict[str, Any]] = [
        {
            "id": f"{target}/providers/Microsoft.Insights/diagnosticSettingsCategories/{name}",
            "name": name,
            "type": "Microsoft.Insights/diagnosticSettingsCategories",
            "properties": {"categoryType": kind_of, "categoryGroups": list(_GROUPS) if kind_of == "Logs" else None},
        }
        for names, kind_of in ((metrics, "Metrics"), (logs, "Logs"))
        for name in names
    ]
    wanted = match["name"]
    if wanted is None:
        return Response.json(200, {"value": value})
    for entry in value:
        if entry["name"].lower() == wanted.lower():
            return Response.json(200, entry)
    raise not_found(request.path)


ROUTES = [
    ("GET", r"(?P<id>/.+)/providers/Microsoft\.Insights/diagnosticSettingsCategories(/(?P<name>[^/]+))?", _categories)
]
