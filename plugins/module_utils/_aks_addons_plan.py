# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed cluster's add-ons are, what is asked of them, and the request between. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

A feature that is not named in the wish is neither compared nor changed; of a named one, only the given settings are.
"""

from __future__ import annotations

import copy
import ipaddress
import re
import typing as t

#: feature -> key below properties.addonProfiles, in the spelling that AKS documents.
ADDON_KEYS: dict[str, str] = {
    "keyvault_secrets_provider": "azureKeyvaultSecretsProvider",
    "ingress_application_gateway": "ingressApplicationGateway",
    "azure_policy": "azurepolicy",
    "oms_agent": "omsagent",
}

#: feature -> setting -> key in the add-on's config (values are text there).
CONFIG_KEYS: dict[str, dict[str, str]] = {
    "keyvault_secrets_provider": {"rotation": "enableSecretRotation", "rotation_interval": "rotationPollInterval"},
    "ingress_application_gateway": {"gateway_id": "applicationGatewayId"},
    "azure_policy": {},
    "oms_agent": {"workspace_id": "logAnalyticsWorkspaceResourceID", "entra_auth": "useAADAuth"},
}

#: Config that an add-on gets when it is enabled and has none.
CONFIG_DEFAULTS: dict[str, dict[str, str]] = {
    "azure_policy": {"version": "v2"},
    "oms_agent": {"useAADAuth": "true"},
}

#: feature -> setting -> path below properties; "enabled" is a setting like any other.
PROFILE_PATHS: dict[str, dict[str, tuple[str, ...]]] = {
    "managed_prometheus": {
        "enabled": ("azureMonitorProfile", "metrics", "enabled"),
        "annotations_allowed": ("azureMonitorProfile", "metrics", "kubeStateMetrics", "metricAnnotationsAllowList"),
        "labels_allowed": ("azureMonitorProfile", "metrics", "kubeStateMetrics", "metricLabelsAllowlist"),
        "control_plane": ("azureMonitorProfile", "metrics", "controlPlane", "enabled"),
    },
    "app_monitoring": {"enabled": ("azureMonitorProfile", "appMonitoring", "autoInstrumentation", "enabled")},
    "gateway_api": {"enabled": ("ingressProfile", "gatewayAPI", "installation")},
    "app_routing": {
        "enabled": ("ingressProfile", "webAppRouting", "enabled"),
        "istio": ("ingressProfile", "webAppRouting", "gatewayAPIImplementations", "appRoutingIstio", "mode"),
        "nginx": ("ingressProfile", "webAppRouting", "nginx", "defaultIngressControllerType"),
        "dns_zone_ids": ("ingressProfile", "webAppRouting", "dnsZoneResourceIds"),
    },
}

FEATURES: tuple[str, ...] = (*ADDON_KEYS, *PROFILE_PATHS)

#: Words of ARM for settings that are a yes or no here.
WORDS: dict[tuple[str, str], tuple[str, str]] = {
    ("gateway_api", "enabled"): ("Standard", "Disabled"),
    ("app_routing", "istio"): ("Enabled", "Disabled"),
}

#: Fields of a GET that a PUT must not, or need not, carry.
READ_ONLY: tuple[tuple[str, ...], ...] = (
    ("id",),
    ("name",),
    ("type",),
    ("eTag",),
    ("systemData",),
    ("properties", "provisioningState"),
    ("properties", "powerState"),
    ("properties", "currentKubernetesVersion"),
    ("properties", "maxAgentPools"),
    ("properties", "fqdn"),
    ("properties", "privateFQDN"),
    ("properties", "azurePortalFQDN"),
    ("properties", "resourceUID"),
    ("properties", "status"),
    ("properties", "privateLinkResources"),
    ("properties", "oidcIssuerProfile", "issuerURL"),
    ("properties", "networkProfile", "loadBalancerProfile", "effectiveOutboundIPs"),
    ("properties", "networkProfile", "natGatewayProfile", "effectiveOutboundIPs"),
    ("properties", "ingressProfile", "webAppRouting", "identity"),
)
POOL_READ_ONLY = ("provisioningState", "currentOrchestratorVersion", "nodeImageVersion", "eTag", "status")

#: Ranges that AGIC's own networking uses on the nodes.
AGIC_RESERVED = ("172.30.0.0/16", "172.31.0.0/16")

Wish = t.Mapping[str, t.Mapping[str, t.Any] | None]
Resource = dict[str, t.Any]


class Plan(t.NamedTuple):
    """The outcome of C(plan): sentences for people, the told part before and after, the PUT body (None: no write)."""

    changes: list[str]
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    body: Resource | None


def plan(cluster: Resource, wish: Wish) -> Plan:
    """Compare C(wish) with C(cluster) (a GET of it) and return what must be written. C(cluster) is not changed."""
    after_cluster = copy.deepcopy(cluster)
    properties = after_cluster.setdefault("properties", {})
    told = {feature: settings for feature, settings in wish.items() if settings is not None}
    for feature, settings in told.items():
        if feature in ADDON_KEYS:
            _apply_addon(properties, feature, settings)
        else:
            _apply_profile(properties, feature, settings)
    before = {feature: _told_part(cluster, feature, settings) for feature, settings in told.items()}
    after = {feature: _told_part(after_cluster, feature, settings) for feature, settings in told.items()}
    changes = [
        f"{feature}.{setting}: {_shown(before[feature].get(setting))} -> {_shown(value)}"
        for feature in told
        for setting, value in after[feature].items()
        if not _same(before[feature].get(setting), value)
    ]
    if not changes:
        return Plan([], before, before, None)
    return Plan(changes, before, after, without_read_only(after_cluster))


def _apply_addon(properties: Resource, feature: str, settings: t.Mapping[str, t.Any]) -> None:
    profiles = properties.get("addonProfiles")
    if profiles is None:
        profiles = properties["addonProfiles"] = {}
    key = _find(profiles, ADDON_KEYS[feature])
    profile = profiles.setdefault(key, {"enabled": False})
    enabled = settings.get("enabled", True)
    if not enabled:
        # AKS keeps the config of a disabled add-on or drops it, as it likes: neither is ours to decide.
        profile["enabled"] = False
        return
    config = profile.get("config") or {}
    if not profile.get("enabled"):
        for name, value in CONFIG_DEFAULTS.get(feature, {}).items():
            config.setdefault(_find(config, name), value)
    profile["enabled"] = True
    for setting, name in CONFIG_KEYS[feature].items():
        value = settings.get(setting)
        if value is None:
            continue
        name = _find(config, name)
        text = _text(value)
        if not _same(config.get(name), text):
            config[name] = text
    if config:
        profile["config"] = config


def _apply_profile(properties: Resource, feature: str, settings: t.Mapping[str, t.Any]) -> None:
    wanted = {"enabled": True, **{name: value for name, value in settings.items() if value is not None}}
    for setting, path in PROFILE_PATHS[feature].items():
        if setting not in wanted or (not wanted["enabled"] and setting != "enabled"):
            continue
        value = wanted[setting]
        if (feature, setting) in WORDS:
            value = WORDS[feature, setting][0 if value else 1]
        if _absent_means_off(properties, path, feature, setting, value):
            continue
        node = properties
        for part in path[:-1]:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        if not _same(node.get(path[-1]), value):
            node[path[-1]] = value


def _absent_means_off(properties: Resource, path: tuple[str, ...], feature: str, setting: str, value: t.Any) -> bool:
    """An off that is asked for and not there needs no write: leave the profile out as AKS does."""
    off = value is False or value == WORDS.get((feature, setting), ("", ""))[1]
    return off and _at(properties, path) is None


def _told_part(cluster: Resource, feature: str, settings: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the settings of C(feature) that the wish names, as they are in C(cluster), in the wish's own words."""
    state = feature_state(cluster, feature)
    enabled = settings.get("enabled", True)
    names = ["enabled"]
    if enabled:
        names += [name for name, value in settings.items() if name != "enabled" and value is not None]
    return {name: state.get(name) for name in names}


def feature_state(cluster: Resource, feature: str) -> dict[str, t.Any]:
    """Return C(enabled) and all settings of C(feature) as the cluster has them, None for one that is not there."""
    properties = cluster.get("properties") or {}
    state: dict[str, t.Any] = {}
    if feature in ADDON_KEYS:
        profiles = properties.get("addonProfiles") or {}
        profile = profiles.get(_find(profiles, ADDON_KEYS[feature])) or {}
        config = profile.get("config") or {}
        state["enabled"] = bool(profile.get("enabled"))
        for setting, name in CONFIG_KEYS[feature].items():
            state[setting] = _from_text(config.get(_find(config, name)))
        return state
    for setting, path in PROFILE_PATHS[feature].items():
        value = _at(properties, path)
        words = WORDS.get((feature, setting))
        if words:
            value = value is not None and str(value).lower() == words[0].lower()
        elif setting == "enabled":
            value = bool(value)
        state[setting] = value
    return state


def describe(cluster: Resource) -> dict[str, dict[str, t.Any]]:
    """Return every feature's state; an enabled add-on also shows the identity that AKS made for it."""
    properties = cluster.get("properties") or {}
    profiles = properties.get("addonProfiles") or {}
    result = {}
    for feature in FEATURES:
        state = feature_state(cluster, feature)
        identity: dict[str, t.Any] = {}
        if feature in ADDON_KEYS:
            identity = (profiles.get(_find(profiles, ADDON_KEYS[feature])) or {}).get("identity") or {}
        elif feature == "app_routing":
            identity = _at(properties, ("ingressProfile", "webAppRouting", "identity")) or {}
        if state["enabled"] and identity:
            state["identity"] = {
                "client_id": identity.get("clientId"),
                "object_id": identity.get("objectId"),
                "resource_id": identity.get("resourceId"),
            }
        result[feature] = state
    return result


def without_read_only(cluster: Resource) -> Resource:
    """Return the cluster as a PUT body: the same, less what only the service writes."""
    body = copy.deepcopy(cluster)
    for path in READ_ONLY:
        node: t.Any = body
        for part in path[:-1]:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(path[-1], None)
    properties = body.get("properties") or {}
    for profile in (properties.get("addonProfiles") or {}).values():
        profile.pop("identity", None)
    for pool in properties.get("agentPoolProfiles") or []:
        for name in POOL_READ_ONLY:
            pool.pop(name, None)
    return body


# -- what AKS refuses --------------------------------------------------------------------------------------------------


def refusals(cluster: Resource, wish: Wish) -> list[str]:
    """Return one sentence for each thing in C(wish) that AKS would refuse, or accept and never make work."""
    properties = cluster.get("properties") or {}
    wanted = {feature: settings for feature, settings in wish.items() if settings is not None}
    on = {feature for feature, settings in wanted.items() if settings.get("enabled", True)}
    off = set(wanted) - on
    return [
        *_refused_settings(cluster, wanted, on),
        *_refused_network(properties, on),
        *_refused_agic(properties, on),
        *_refused_ingress(cluster, wanted, on, off),
        *_refused_power(properties, wanted),
    ]


def _refused_settings(cluster: Resource, wanted: dict[str, t.Any], on: set[str]) -> t.Iterator[str]:
    provider = wanted.get("keyvault_secrets_provider") or {}
    interval = provider.get("rotation_interval")
    if interval and not re.fullmatch(r"(\d+h)?(\d+m)?(\d+s)?", interval):
        yield f"keyvault_secrets_provider.rotation_interval {interval!r} is not a duration such as 2m or 1h30m."
    for feature, setting, kind in (
        ("ingress_application_gateway", "gateway_id", "Microsoft.Network/applicationGateways"),
        ("oms_agent", "workspace_id", "Microsoft.OperationalInsights/workspaces"),
    ):
        if feature not in on:
            continue
        value = wanted[feature].get(setting) or feature_state(cluster, feature).get(setting)
        if not value:
            yield f"{feature} needs {setting} when it is enabled for the first time."
        elif f"/providers/{kind.lower()}/" not in str(value).lower():
            yield f"{feature}.{setting} {value!r} is not the id of a {kind}."
    if ((cluster.get("identity") or {}).get("type") or "None").lower() == "none":
        if "oms_agent" in on and wanted["oms_agent"].get("entra_auth"):
            yield "oms_agent.entra_auth needs a cluster with a managed identity; this one has a service principal."
        if "managed_prometheus" in on:
            yield "managed_prometheus needs a cluster with a managed identity; this one has a service principal."


def _refused_network(properties: Resource, on: set[str]) -> t.Iterator[str]:
    access = str((properties.get("networkProfile") or {}).get("podLinkLocalAccess") or "IMDS")
    if access.lower() == "none":
        for feature in sorted(on & {"ingress_application_gateway", "oms_agent", "azure_policy"}):
            yield f"{feature} does not work in a cluster whose pods are kept from the instance metadata service."


def _refused_agic(properties: Resource, on: set[str]) -> t.Iterator[str]:
    if "ingress_application_gateway" not in on:
        return
    pools = properties.get("agentPoolProfiles") or []
    hard = ("NoSchedule", "NoExecute")
    usable = [
        pool
        for pool in pools
        if str(pool.get("osType") or "Linux").lower() == "linux"
        and not any(str(taint).rpartition(":")[2] in hard for taint in pool.get("nodeTaints") or [])
    ]
    if pools and not usable:
        yield (
            "ingress_application_gateway needs a Linux node pool without a taint, "
            f"and every pool ({', '.join(str(pool.get('name')) for pool in pools)}) is tainted or runs Windows."
        )
    network = properties.get("networkProfile") or {}
    for cidr in network.get("podCidrs") or [network.get("podCidr")]:
        for reserved in AGIC_RESERVED:
            if cidr and _overlap(cidr, reserved):
                yield f"ingress_application_gateway uses {reserved} itself, and the pod range {cidr} overlaps it."


def _refused_ingress(cluster: Resource, wanted: dict[str, t.Any], on: set[str], off: set[str]) -> t.Iterator[str]:
    def will_be(feature: str) -> bool:
        return feature in on or (feature not in off and feature_state(cluster, feature)["enabled"])

    properties = cluster.get("properties") or {}
    routing = wanted.get("app_routing") or {}
    istio = "app_routing" in on and bool(routing.get("istio"))
    stays = will_be("app_routing") and (
        routing["istio"] if routing.get("istio") is not None else feature_state(cluster, "app_routing")["istio"]
    )
    if "app_routing" in on:
        yield from _refused_zones(routing.get("dns_zone_ids") or [])
    if istio and str(_at(properties, ("serviceMeshProfile", "mode")) or "").lower() == "istio":
        yield "app_routing.istio cannot be enabled in a cluster that has the Istio service mesh add-on."
    if stays and not will_be("gateway_api"):
        yield "app_routing.istio needs gateway_api, which is not enabled or is to be disabled."


def _refused_zones(ids: t.Sequence[str]) -> t.Iterator[str]:
    """Application routing takes up to five zones of a kind, those of a kind in one resource group."""
    zones: dict[str, list[str]] = {}
    for zone in ids:
        found = re.search(r"/providers/microsoft\.network/(dnszones|privatednszones)/[^/]+$", zone.lower())
        if not found:
            yield f"app_routing.dns_zone_ids: {zone!r} is not the id of a DNS zone."
            continue
        zones.setdefault(found.group(1), []).append(zone.lower().split("/providers/")[0])
    for kind, groups in zones.items():
        if len(groups) > 5:
            yield f"app_routing.dns_zone_ids has {len(groups)} {kind}; AKS takes five."
        if len(set(groups)) > 1:
            yield f"app_routing.dns_zone_ids: all {kind} must lie in one resource group."


def _refused_power(properties: Resource, wanted: dict[str, t.Any]) -> t.Iterator[str]:
    code = str((properties.get("powerState") or {}).get("code") or "Running")
    if wanted and code.lower() == "stopped":
        yield "The cluster is stopped; start it before its add-ons are changed."


def _overlap(cidr: str, other: str) -> bool:
    try:
        left, right = ipaddress.ip_network(cidr, strict=False), ipaddress.ip_network(other)
    except ValueError:
        return False
    return left.version == right.version and left.overlaps(right)


# -- small things ------------------------------------------------------------------------------------------------------


def _find(mapping: t.Mapping[str, t.Any], key: str) -> str:
    """Return the spelling of C(key) that C(mapping) has: AKS is not consistent in case."""
    return next((name for name in mapping if name.lower() == key.lower()), key)


def _at(node: t.Any, path: tuple[str, ...]) -> t.Any:
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _text(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_text(value: t.Any) -> t.Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _same(left: t.Any, right: t.Any) -> bool:
    """Compare two settings; resource ids, words and texts of booleans without regard to case, lists as sets."""
    if isinstance(left, str) and isinstance(right, str):
        ids = left.startswith("/") or left.lower() in ("true", "false")
        return left == right or (ids and left.rstrip("/").lower() == right.rstrip("/").lower())
    if isinstance(left, list) and isinstance(right, list):
        return sorted(str(item).lower() for item in left) == sorted(str(item).lower() for item in right)
    return left == right


def _shown(value: t.Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
