"""Azure Monitor: Log Analytics, Application Insights, diagnostics, collection rules and alerts."""

from __future__ import annotations

from aksops_sandbox.services.base import Service
from aksops_sandbox.services.monitor import (
    alerts,
    collection,
    components,
    data_collector,
    diagnostics,
    ingestion,
    live_metrics,
    otlp,
    query,
    workbooks,
    workspaces,
)

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
            workbooks.Workbook(),
        ]
        self.arm_routes = [*workspaces.ROUTES, *components.ROUTES, *diagnostics.ROUTES]
        self.hosts = [
            (r"[a-z0-9]+-\d+\.in\.applicationinsights\.azure\.com", ingestion.track),
            (r"[a-z0-9._-]+\.[a-z0-9]+-1\.ingest\.monitor\.azure\.com", otlp.logs_host),
            (r"[a-z0-9._-]+\.[a-z0-9]+-1\.metrics\.ingest\.monitor\.azure\.com", otlp.metrics_host),
            (live_metrics.HOST, live_metrics.ping),
            (data_collector.HOST, data_collector.collect),
            (r"api\.(loganalytics\.(io|azure\.com)|applicationinsights\.io)", query.handle),
        ]
