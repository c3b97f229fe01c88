"""Add-on profiles: the identity that each one gets, the configuration that AKS writes back, and what it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.services import shapes
from aksops_sandbox.services.identity import IDENTITY

from . import components

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

Config = dict[str, str]
#: Seconds to wait for a namespace that an add-on has just left.
_NAMESPACE_TIMEOUT = 60.0


@dataclass(frozen=True)
class Addon:
    """key: name in addonProfiles. identity: prefix of its identity's name in the node resource group.

    complete: checks the configuration and fills what AKS adds to it. manifests: what it deploys.
    """

    key: str
    identity: str
    complete: Callable[[Sandbox, Resource, Config], None]
    manifests: Callable[[Resource, Config], list[dict[str, Any]]]


def _secrets_store(ctx: Sandbox, cluster: Resource, config: Config) -> None:
    config.setdefault("enableSecretRotation", "false")
    config.setdefault("rotationPollInterval", "2m")
    if config["enableSecretRotation"] not in ("true", "false"):
        raise bad_request("InvalidParameter", "enableSecretRotation must be 'true' or 'false'.")
    if seconds(config["rotationPollInterval"]) is None:
        raise bad_request(
            "InvalidParameter", f"'{config['rotationPollInterval']}' is not an interval such as 2m or 30s."
        )


def _gateway(ctx: Sandbox, cluster: Resource, config: Config) -> None:
    gateway = config.get("applicationGatewayId")
    if gateway:
        found = shapes.reference(ctx, gateway, cluster.id, "ApplicationGatewayNotFound")
        config["effectiveApplicationGatewayId"] = found.id
        return
    if not (config.get("subnetId") or config.get("subnetCIDR")):
        raise bad_request(
            "InvalidParameter",
            "The add-on ingressApplicationGateway needs applicationGatewayId, subnetId or subnetCIDR in its config.",
        )
    raise bad_request(
        "NotImplementedInSandbox",
        "The sandbox makes no application gateway for the add-on: give applicationGatewayId.",
    )


def _nothing(ctx: Sandbox, cluster: Resource, config: Config) -> None:
    """No configuration of its own."""


def _monitor(ctx: Sandbox, cluster: Resource, config: Config) -> None:
    key = next((name for name in config if name.lower() == "loganalyticsworkspaceresourceid"), None)
    if key is None:
        raise bad_request(
            "InvalidParameter", "The add-on omsagent needs logAnalyticsWorkspaceResourceID in its config."
        )
    workspace = shapes.reference(ctx, config.pop(key), cluster.id, "WorkspaceNotFound")
    config["logAnalyticsWorkspaceResourceID"] = workspace.id
    config.setdefault("useAADAuth", "false")


ADDONS: tuple[Addon, ...] = (
    Addon("azureKeyvaultSecretsProvider", "azurekeyvaultsecretsprovider", _secrets_store, components.secrets_store),
    Addon("ingressApplicationGateway", "ingressapplicationgateway", _gateway, components.application_gateway),
    Addon("azurepolicy", "azurepolicy", _nothing, components.policy),
    Addon("omsagent", "omsagent", _monitor, components.container_insights),
)
_BY_KEY = {addon.key.lower(): addon for addon in ADDONS}


def seconds(interval: str) -> float | None:
    """Seconds of a Go duration with one unit (`2m`, `30s`, `1h`), None where it is none."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = interval[:-1], interval[-1:]
    return float(number) * units[unit] if unit in units and number.isdecimal() else None


def profile_of(cluster: Resource, key: str) -> dict[str, Any]:
    """The add-on's profile, {} where there is none; keys compare without case."""
    for name, value in (cluster.properties.get("addonProfiles") or {}).items():
        if name.lower() == key.lower():
            return value or {}
    return {}


def prepare(ctx: Sandbox, new: Resource, old: Resource | None) -> None:
    """Check the add-on profiles and complete their configuration; what a PUT leaves out stays as it was."""
    profiles: dict[str, Any] = {}
    for name, value in (new.properties.get("addonProfiles") or {}).items():
        addon = _BY_KEY.get(name.lower())
        if addon is None:
            if value and value.get("enabled"):
                raise bad_request("InvalidParameter", f"The sandbox has no AKS add-on '{name}'.")
            profiles[name] = {"enabled": False, "config": None}
            continue
        before = profile_of(old, name) if old else {}
        if not value.get("enabled"):
            profiles[addon.key] = {"enabled": False, "config": None}
            continue
        config = {key: str(text) for key, text in (value.get("config") or {}).items() if text is not None}
        addon.complete(ctx, new, config)
        profiles[addon.key] = {"enabled": True, "config": config or None}
        if before.get("enabled") and before.get("identity"):
            profiles[addon.key]["identity"] = before["identity"]
    for addon in ADDONS:
        before = profile_of(old, addon.key) if old else {}
        if before and addon.key not in profiles:
            profiles[addon.key] = before
    if profiles:
        new.properties["addonProfiles"] = profiles


def provision(ctx: Sandbox, client: Client, new: Resource, applied: list[str]) -> list[str]:
    """Bring identities and manifests of the add-ons in line; returns the keys that are deployed now.

    applied: keys that were deployed before.
    """
    deployed = []
    for addon in ADDONS:
        profile = profile_of(new, addon.key)
        if profile.get("enabled"):
            profile["identity"] = _identity(ctx, new, addon)
            install(client, addon.manifests(new, profile.get("config") or {}))
            deployed.append(addon.key)
        elif addon.key in applied:
            uninstall(client, addon.manifests(new, {}))
            _forget_identity(ctx, new, addon)
    metrics = ((new.properties.get("azureMonitorProfile") or {}).get("metrics") or {}).get("enabled")
    if metrics:
        install(client, components.managed_prometheus())
        deployed.append("metrics")
    elif "metrics" in applied:
        uninstall(client, components.managed_prometheus())
    return deployed


def install(client: Client, manifests: list[dict[str, Any]]) -> None:
    """Apply manifests in their order; where an add-on's namespace is still being removed, after that."""
    namespaces = [manifest for manifest in manifests if manifest["kind"] == "Namespace"]
    end = time.monotonic() + _NAMESPACE_TIMEOUT
    for manifest in manifests:
        while True:
            try:
                client.apply(manifest)
                break
            except KubernetesError as error:
                gone = "being terminated" in str(error) or "namespaces " in str(error)
                if not gone or time.monotonic() > end:
                    raise
            time.sleep(0.5)
            for namespace in namespaces:
                client.apply(namespace)


def uninstall(client: Client, manifests: list[dict[str, Any]]) -> None:
    """Delete manifests, the last first."""
    for manifest in reversed(manifests):
        client.remove(manifest)


def _identity_id(ctx: Sandbox, cluster: Resource, addon: Addon) -> str:
    group = ctx.ensure_group(cluster.properties["nodeResourceGroup"], cluster.id)
    return f"{group}/providers/{IDENTITY}/{addon.identity}-{cluster.name}"


def _identity(ctx: Sandbox, cluster: Resource, addon: Addon) -> dict[str, str]:
    return make_identity(ctx, _identity_id(ctx, cluster, addon), cluster)


def make_identity(ctx: Sandbox, identity_id: str, cluster: Resource) -> dict[str, str]:
    """A user-assigned identity that AKS makes for itself, found or made; returns its ids as AKS renders them."""
    found = ctx.store.get(identity_id)
    if found is None:
        properties = {
            "tenantId": ctx.principals.tenant_id,
            "principalId": shapes.guid(),
            "clientId": shapes.guid(),
            "provisioningState": "Succeeded",
        }
        name = identity_id.rsplit("/", 1)[-1]
        found = Resource(identity_id, name, IDENTITY, cluster.location, {}, properties)
        ctx.store.put(found)
    return {
        "resourceId": found.id,
        "clientId": found.properties["clientId"],
        "objectId": found.properties["principalId"],
    }


def _forget_identity(ctx: Sandbox, cluster: Resource, addon: Addon) -> None:
    found = ctx.store.get(_identity_id(ctx, cluster, addon))
    if found is not None:
        ctx.delete_tree(found)
