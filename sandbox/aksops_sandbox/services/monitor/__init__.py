"""Azure Monitor: Log Analytics, Application Insights, diagnostics, collection rules and alerts."""

from __future__ import annotations

from aksops_sandbox.services.base import Service
from aksops_sandbox.services.monitor import alerts, collection, components, diagnostics, workspaces

__all__ = ["MonitorService"]


class MonitorService(Service):
    """Control plane of Azure Monitor; ingestion and queries of logs and telemetry."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [
            workspaces.Workspace(),
            workspaces.Table(),
            components.Component(),
            components.PrivateLinkScope(),
            components.ScopedResource(),
            diagnostics.DiagnosticSetting(),
            collection.DataCollectionRule(),
            collection.DataCollectionEndpoint(),
            collection.Association(),
            collection.MonitorAccount(),
            alerts.ActionGroup(),
            alerts.MetricAlert(),
            alerts.LogAlert(),
            alerts.ActivityLogAlert(),
            alerts.PrometheusRuleGroup(),
            alerts.SmartDetectorRule(),
        ]
        self.arm_routes = [*workspaces.ROUTES, *components.ROUTES, *diagnostics.ROUTES]
