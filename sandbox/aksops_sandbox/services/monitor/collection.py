"""Data collection rules, endpoints and associations, and Azure Monitor workspaces (managed Prometheus)."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.errors import AzureError, bad_request
from aksops_sandbox.azure.resource_type import ResourceType, stamp
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services import shapes
from aksops_sandbox.services.network.private_link import connections_of

RULE = "Microsoft.Insights/dataCollectionRules"
ENDPOINT = "Microsoft.Insights/dataCollectionEndpoints"
ASSOCIATION = "Microsoft.Insights/dataCollectionRuleAssociations"
ACCOUNT = "Microsoft.Monitor/accounts"

#: Associations that one resource can have.
_LIMIT = 30


def _destinations(rule: Resource) -> set[str]:
    """The names of a rule's destinations."""
    found: set[str] = set()
    for entries in (rule.properties.get("destinations") or {}).values():
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict) and entry.get("name"):
                found.add(entry["name"])
    return found


def _check_references(ctx: Any, rule: Resource) -> None:
    """Refuse a source that is enriched from a component which is not there or is not among the rule's references."""
    known = set()
    for entry in shapes.dig(rule.properties, "references.applicationInsights", []):
        shapes.reference(ctx, entry.get("resourceId"), rule.id, "InvalidPayload")
        known.add(entry.get("name"))
    for section in ("dataSources", "directDataSources"):
        for entries in (rule.properties.get(section) or {}).values():
            for entry in entries if isinstance(entries, list) else []:
                wanted = entry.get("enrichWithReference")
                if wanted and wanted not in known:
                    message = f"Data collection rule is invalid: it has no reference '{wanted}'."
                    raise bad_request("InvalidPayload", message)


class DataCollectionRule(ResourceType):
    type = RULE
    status = "insights/2023-03-11/datacollectionrules"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{2,62}[A-Za-z0-9]$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        endpoint = properties.get("dataCollectionEndpointId")
        if endpoint:
            properties["dataCollectionEndpointId"] = shapes.reference(ctx, endpoint, new.id, "InvalidPayload").id
        for entry in shapes.dig(properties, "destinations.logAnalytics", []):
            workspace = shapes.reference(ctx, entry.get("workspaceResourceId"), new.id, "InvalidPayload")
            entry["workspaceId"] = workspace.properties["customerId"]
        for entry in shapes.dig(properties, "destinations.monitoringAccounts", []):
            account = shapes.reference(ctx, entry.get("accountResourceId"), new.id, "InvalidPayload")
            entry["accountId"] = account.properties["accountId"]
        _check_references(ctx, new)
        known = _destinations(new)
        for flow in properties.get("dataFlows") or []:
            missing = sorted(set(flow.get("destinations") or []) - known)
            if missing or not flow.get("streams"):
                what = f"the destination '{missing[0]}' that the rule does not have" if missing else "no streams"
                raise bad_request("InvalidPayload", f"Data collection rule is invalid: a data flow names {what}.")
        shapes.computed(new, old, immutableId=lambda: f"dcr-{shapes.guid().replace('-', '')}")

    def delete(self, ctx: Any, request: Request, rid: ids.ResourceId) -> Response:
        if request.query.get("deleteAssociations", "").lower() == "true":
            for association in self._associations(ctx, str(rid)):
                ctx.store.delete(association.id)
        return super().delete(ctx, request, rid)

    @staticmethod
    def _associations(ctx: Any, rule_id: str) -> list[Resource]:
        found = ctx.store.list(type=ASSOCIATION)
        return [item for item in found if shapes.same_id(item.properties.get("dataCollectionRuleId"), rule_id)]

    def remove(self, ctx: Any, resource: Resource) -> None:
        for association in self._associations(ctx, resource.id):
            message = (
                f"The data collection rule '{resource.name}' has associations ('{association.id}') and cannot be "
                "deleted without deleteAssociations."
            )
            raise AzureError(409, "Conflict", message)


class DataCollectionEndpoint(ResourceType):
    type = ENDPOINT
    status = "insights/2023-03-11/datacollectionendpoints"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{1,42}[A-Za-z0-9]$"
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        shapes.defaults(new.properties, {"networkAcls": {"publicNetworkAccess": "Enabled"}})
        shapes.computed(new, old, immutableId=lambda: f"dce-{shapes.guid().replace('-', '')}")
        host = f"{new.name.lower()}-{new.properties['immutableId'][-4:]}.{new.location}-1"
        new.properties |= {
            "configurationAccess": {"endpoint": f"https://{host}.handler.control.monitor.azure.com"},
            "logsIngestion": {"endpoint": f"https://{host}.ingest.monitor.azure.com"},
            "metricsIngestion": {"endpoint": f"https://{host}.metrics.ingest.monitor.azure.com"},
        }


class Association(ResourceType):
    """Binds a rule or an endpoint to a resource, for example a cluster."""

    type = ASSOCIATION
    status = "insights/2023-03-11/datacollectionruleassociations"
    tracked = False

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        target = shapes.identify(new.id).scope
        given = [name for name in ("dataCollectionRuleId", "dataCollectionEndpointId") if new.properties.get(name)]
        if len(given) != 1:
            message = "An association must name either a data collection rule or a data collection endpoint."
            raise bad_request("InvalidPayload", message)
        if given[0] == "dataCollectionEndpointId" and new.name != "configurationAccessEndpoint":
            message = "The association with a data collection endpoint must be named 'configurationAccessEndpoint'."
            raise bad_request("InvalidAssociationName", message)
        new.properties[given[0]] = shapes.reference(ctx, new.properties[given[0]], new.id, "InvalidPayload").id
        others = [item for item in ctx.store.list(type=ASSOCIATION, prefix=target) if item.id.lower() != new.id.lower()]
        if old is None and len(others) >= _LIMIT:
            raise bad_request("TooManyAssociations", f"A resource can have {_LIMIT} associations at most.")


class MonitorAccount(ResourceType):
    """An Azure Monitor workspace; a rule and an endpoint for its metrics are made with it in a managed group."""

    type = ACCOUNT
    status = "monitor/2023-04-03/azuremonitorworkspaces"
    name_pattern = r"^[A-Za-z0-9][A-Za-z0-9-]{2,42}[A-Za-z0-9]$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        properties = new.properties
        shapes.carry(new, old, "publicNetworkAccess")
        shapes.defaults(properties, {"publicNetworkAccess": "Enabled"})
        shapes.computed(new, old, accountId=shapes.guid)
        host = f"{new.name.lower()}-{properties['accountId'][:4]}.{new.location}.prometheus.monitor.azure.com"
        properties["metrics"] = {
            "internalId": f"mac_{properties['accountId']}",
            "prometheusQueryEndpoint": f"https://{host}",
        }
        if old is not None:
            properties["defaultIngestionSettings"] = old.properties["defaultIngestionSettings"]
            return
        ctx.store.put(new)
        group = ctx.ensure_group(f"MA_{new.name}_{new.location}_managed", managed_by=new.id)
        endpoint = Resource(f"{group}/providers/{ENDPOINT}/{new.name}", new.name, ENDPOINT, new.location, {})
        DataCollectionEndpoint().prepare(ctx, endpoint, None)
        account = {"accountResourceId": new.id, "name": "MonitoringAccount1"}
        flows = [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}]
        rule = Resource(
            f"{group}/providers/{RULE}/{new.name}",
            new.name,
            RULE,
            new.location,
            {},
            {
                "dataCollectionEndpointId": endpoint.id,
                "destinations": {"monitoringAccounts": [account]},
                "dataFlows": flows,
            },
        )
        for resource in (endpoint, rule):
            resource.properties["provisioningState"] = "Succeeded"
            stamp(resource)
        ctx.store.put(endpoint)
        DataCollectionRule().prepare(ctx, rule, None)
        ctx.store.put(rule)
        properties["defaultIngestionSettings"] = {
            "dataCollectionRuleResourceId": rule.id,
            "dataCollectionEndpointResourceId": endpoint.id,
        }

    def removed(self, ctx: Any, resource: Resource) -> None:
        group = ids.resource_group_id(resource.properties["defaultIngestionSettings"]["dataCollectionRuleResourceId"])
        for item in ctx.store.list(prefix=group):
            ctx.store.delete(item.id)
        ctx.store.delete(group)

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = {**resource.properties, "privateEndpointConnections": connections_of(ctx, resource.id)}
        return shown
