# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a platform's resources in Azure, judged from their ARM bodies. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

#: Types that verification reads, and the versions that it speaks to them.
VERSIONS: dict[str, str] = {
    "Microsoft.Cache/redis": "2024-11-01",
    "Microsoft.Cache/redisEnterprise": "2025-07-01",
    "Microsoft.ContainerRegistry/registries": "2025-11-01",
    "Microsoft.ContainerService/managedClusters": "2026-04-01",
    "Microsoft.DBforPostgreSQL/flexibleServers": "2025-08-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.KeyVault/vaults": "2026-02-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Network/applicationGateways": "2025-01-01",
    "Microsoft.Network/natGateways": "2025-01-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.Network/privateEndpoints": "2025-01-01",
    "Microsoft.Network/publicIPAddresses": "2025-01-01",
    "Microsoft.Network/virtualNetworks": "2025-01-01",
    "Microsoft.OperationalInsights/workspaces": "2025-07-01",
    "Microsoft.ServiceBus/namespaces": "2024-01-01",
    "Microsoft.Storage/storageAccounts": "2025-08-01",
}

#: What a platform cannot be without: words, and the types of which it needs one.
NEEDED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AKS cluster", ("Microsoft.ContainerService/managedClusters",)),
    ("container registry", ("Microsoft.ContainerRegistry/registries",)),
    ("PostgreSQL server", ("Microsoft.DBforPostgreSQL/flexibleServers",)),
    ("Service Bus namespace", ("Microsoft.ServiceBus/namespaces",)),
    ("Redis", ("Microsoft.Cache/redisEnterprise", "Microsoft.Cache/redis")),
    ("Key Vault", ("Microsoft.KeyVault/vaults",)),
    ("storage account", ("Microsoft.Storage/storageAccounts",)),
    ("Application Insights", ("Microsoft.Insights/components",)),
    ("application gateway", ("Microsoft.Network/applicationGateways",)),
)

#: Services that are reached by private endpoint: type -> where their diagnostic setting stands, below their id.
PRIVATE: dict[str, str] = {
    "Microsoft.Cache/redis": "",
    "Microsoft.Cache/redisEnterprise": "/databases/default",
    "Microsoft.ContainerRegistry/registries": "",
    "Microsoft.DBforPostgreSQL/flexibleServers": "",
    "Microsoft.KeyVault/vaults": "",
    "Microsoft.ServiceBus/namespaces": "",
    "Microsoft.Storage/storageAccounts": "/blobServices/default",
}

DIAGNOSED: dict[str, str] = {
    **PRIVATE,
    "Microsoft.ContainerService/managedClusters": "",
    "Microsoft.Network/applicationGateways": "",
}

PASS, WARN, FAIL = "pass", "warn", "fail"


class Check(t.NamedTuple):
    """One thing that was looked at; C(evidence) is what was seen."""

    name: str
    subject: str
    status: str
    evidence: str


class Platform(t.NamedTuple):
    """What ARM answered, by resource id in lower case.

    C(children): Redis' default database, by the cluster's id. C(records): the A records of each private DNS zone.
    C(diagnostics): the settings by the id on which they stand. C(backends): the gateway's health, or an error's text.
    C(types): the type of everything in the group, of what is not read too.
    """

    group: dict[str, t.Any]
    resources: dict[str, dict[str, t.Any]]
    children: dict[str, dict[str, t.Any] | None] = {}
    records: dict[str, list[dict[str, t.Any]]] = {}
    diagnostics: dict[str, list[dict[str, t.Any]]] = {}
    backends: dict[str, t.Any] = {}
    types: list[str] = []

    def of(self, *types: str) -> list[dict[str, t.Any]]:
        """Return the resources of some types."""
        wanted = {item.lower() for item in types}
        return [body for body in self.resources.values() if str(body.get("type", "")).lower() in wanted]


def dig(body: t.Any, path: str) -> t.Any:
    """Return what a dotted path leads to, looking at keys without regard to case; None where it ends early."""
    for part in path.split("."):
        if not isinstance(body, dict):
            return None
        body = next((value for key, value in body.items() if key.lower() == part.lower()), None)
    return body


def _same(value: t.Any, wanted: t.Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return value.lower() == wanted.lower()
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _expect(body: dict[str, t.Any], name: str, path: str, wanted: t.Any, fix: str) -> Check:
    value = dig(body, path)
    good = _same(value, wanted)
    field = path.removeprefix("properties.")
    evidence = f"{field} is {_shown(value)}" + ("" if good else f", must be {_shown(wanted)}: {fix}")
    return Check(name, str(body.get("name")), PASS if good else FAIL, evidence)


def _tolerated(check: Check) -> Check:
    """A failure that was asked for: a warning."""
    if check.status != FAIL:
        return check
    return check._replace(status=WARN, evidence="keys are accepted, as the collector's exporter needs them")


def _shown(value: t.Any) -> str:
    return (
        {None: "not set", True: "true", False: "false"}.get(value, str(value))
        if not isinstance(value, (list, dict))
        else str(value)
    )


# -- what must hold of each type: (name, path, value, what to do) -----------------------------------------------------

_AGAIN = "run playbooks/infrastructure.yml, and find out who changed it"
RULES: dict[str, tuple[tuple[str, str, t.Any, str], ...]] = {
    "Microsoft.ContainerService/managedClusters": (
        ("running", "properties.powerState.code", "Running", "start the cluster with az aks start"),
        ("local accounts off", "properties.disableLocalAccounts", True, _AGAIN),
        ("Azure RBAC", "properties.aadProfile.enableAzureRBAC", True, _AGAIN),
        ("OIDC issuer", "properties.oidcIssuerProfile.enabled", True, _AGAIN),
        ("workload identity", "properties.securityProfile.workloadIdentity.enabled", True, _AGAIN),
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers": (
        ("running", "properties.state", "Ready", "look at the server's health in the portal, or start it"),
        ("Entra sign-in", "properties.authConfig.activeDirectoryAuth", "Enabled", _AGAIN),
    ),
    "Microsoft.KeyVault/vaults": (
        ("permissions by role", "properties.enableRbacAuthorization", True, _AGAIN),
        ("soft delete", "properties.enableSoftDelete", True, _AGAIN),
    ),
    "Microsoft.Storage/storageAccounts": (
        ("keys off", "properties.allowSharedKeyAccess", False, _AGAIN),
        ("no public blobs", "properties.allowBlobPublicAccess", False, _AGAIN),
        ("HTTPS only", "properties.supportsHttpsTrafficOnly", True, _AGAIN),
    ),
    "Microsoft.ServiceBus/namespaces": (("keys off", "properties.disableLocalAuth", True, _AGAIN),),
    "Microsoft.Cache/redis": (
        ("keys off", "properties.disableAccessKeyAuthentication", True, _AGAIN),
        ("TLS only", "properties.enableNonSslPort", False, _AGAIN),
    ),
    "Microsoft.ContainerRegistry/registries": (("admin user off", "properties.adminUserEnabled", False, _AGAIN),),
    "Microsoft.OperationalInsights/workspaces": (("keys off", "properties.features.disableLocalAuth", True, _AGAIN),),
    "Microsoft.Insights/components": (("keys off", "properties.DisableLocalAuth", True, _AGAIN),),
    "Microsoft.Network/applicationGateways": (
        ("running", "properties.operationalState", "Running", "start it with az network application-gateway start"),
        ("web application firewall", "properties.sku.tier", "WAF_v2", _AGAIN),
    ),
}


def checks(platform: Platform, access: str, telemetry_keys: bool = False) -> list[Check]:
    """Return every check of the platform's Azure side.

    :param access: inside or allowlist.
    :param telemetry_keys: whether Application Insights accepts keys on purpose, which is then a warning.
    """
    found = _existence(platform)
    for body in platform.resources.values():
        found += _provisioned(body)
        kind = next((item for item in RULES if item.lower() == str(body.get("type", "")).lower()), "")
        judged = [_expect(body, *rule) for rule in RULES.get(kind, ())]
        wanted = telemetry_keys and kind == "Microsoft.Insights/components"
        found += [_tolerated(item) for item in judged] if wanted else judged
    for body in platform.of("Microsoft.DBforPostgreSQL/flexibleServers"):
        found += _postgresql(body)
    for body in platform.of("Microsoft.KeyVault/vaults"):
        found.append(_purge_protection(body))
    for body in platform.of("Microsoft.ContainerService/managedClusters"):
        found += _cluster(body)
    for body in platform.of("Microsoft.Cache/redisEnterprise"):
        found += _redis(body, platform.children.get(str(body["id"]).lower()))
    for body in platform.of(*PRIVATE):
        found += _private(body, platform, access)
    found += _endpoints(platform)
    for body in platform.of(*DIAGNOSED):
        found.append(_diagnosed(body, platform))
    for body in platform.of("Microsoft.Network/applicationGateways"):
        found += _gateway(body, platform)
    return found


def _existence(platform: Platform) -> list[Check]:
    found = []
    for words, types in NEEDED:
        have = [str(body.get("name")) for body in platform.of(*types)]
        evidence = (
            ", ".join(have) if have else f"{platform.group.get('name')} holds none: run playbooks/infrastructure.yml"
        )
        found.append(Check("exists", words, PASS if have else FAIL, evidence))
    return found


def _provisioned(body: dict[str, t.Any]) -> list[Check]:
    state = dig(body, "properties.provisioningState")
    if state is None:
        return []
    good = str(state).lower() == "succeeded"
    busy = str(state).lower() in ("updating", "creating", "accepted", "upgrading", "scaling", "starting")
    hint = "" if good else ": wait for the operation" if busy else ": look at its activity log, and run the stage again"
    status = PASS if good else WARN if busy else FAIL
    return [Check("provisioned", str(body.get("name")), status, f"provisioningState is {state}{hint}")]


def _postgresql(body: dict[str, t.Any]) -> list[Check]:
    name, found = str(body.get("name")), []
    password = str(dig(body, "properties.authConfig.passwordAuth") or "Enabled")
    found.append(
        Check(
            "passwords off",
            name,
            PASS if password.lower() == "disabled" else WARN,
            f"passwordAuth is {password}"
            + ("" if password.lower() == "disabled" else ": anybody with the password signs in without Entra"),
        )
    )
    mode = str(dig(body, "properties.highAvailability.mode") or "Disabled")
    if mode.lower() != "disabled":
        state = str(dig(body, "properties.highAvailability.state") or "unknown")
        good = state.lower() == "healthy"
        hint = "" if good else ": a failover is not possible now"
        found.append(Check("standby", name, PASS if good else WARN, f"{mode} is {state}{hint}"))
    return found


def _purge_protection(body: dict[str, t.Any]) -> Check:
    on = dig(body, "properties.enablePurgeProtection") is True
    evidence = "enablePurgeProtection is true" if on else "enablePurgeProtection is off: a deleted vault can be purged"
    return Check("purge protection", str(body.get("name")), PASS if on else WARN, evidence)


def addons(body: dict[str, t.Any]) -> list[str]:
    """Return the add-ons of a cluster that are enabled, by their names in ARM."""
    profiles = dig(body, "properties.addonProfiles") or {}
    found = [name for name, profile in profiles.items() if isinstance(profile, dict) and profile.get("enabled")]
    if dig(body, "properties.azureMonitorProfile.metrics.enabled"):
        found.append("managedPrometheus")
    return sorted(found)


def _cluster(body: dict[str, t.Any]) -> list[Check]:
    name, found = str(body.get("name")), []
    pools = dig(body, "properties.agentPoolProfiles") or []
    for pool in pools:
        state, power = str(pool.get("provisioningState")), str(dig(pool, "powerState.code") or "Running")
        good = state.lower() == "succeeded" and power.lower() == "running"
        evidence = f"{pool.get('count')} x {pool.get('vmSize')}, {state}, {power}"
        found.append(Check("node pool", f"{name}/{pool.get('name')}", PASS if good else FAIL, evidence))
    enabled = addons(body)
    evidence = ", ".join(enabled) if enabled else "none: run playbooks/addons.yml"
    found.append(Check("add-ons", name, PASS if enabled else WARN, evidence))
    wanted = str(dig(body, "properties.kubernetesVersion") or "")
    current = str(dig(body, "properties.currentKubernetesVersion") or wanted)
    behind = [
        str(pool.get("name"))
        for pool in pools
        if str(pool.get("currentOrchestratorVersion") or pool.get("orchestratorVersion") or current).split(".")[:2]
        != current.split(".")[:2]
    ]
    evidence = f"Kubernetes {current}" + (f", node pools behind it: {', '.join(behind)}" if behind else "")
    found.append(Check("version", name, WARN if behind else PASS, evidence))
    return found


def _redis(body: dict[str, t.Any], database: dict[str, t.Any] | None) -> list[Check]:
    name = str(body.get("name"))
    if database is None:
        return [Check("database", name, FAIL, "it has no default database: run playbooks/infrastructure.yml")]
    named = {**database, "name": name}
    return [
        _expect(named, "keys off", "properties.accessKeysAuthentication", "Disabled", _AGAIN),
        _expect(named, "TLS only", "properties.clientProtocol", "Encrypted", _AGAIN),
    ]


def _connections(body: dict[str, t.Any], platform: Platform) -> list[tuple[dict[str, t.Any], str]]:
    """The private endpoints of a service, with the state of their connection."""
    found = []
    for endpoint in platform.of("Microsoft.Network/privateEndpoints"):
        for field in ("privateLinkServiceConnections", "manualPrivateLinkServiceConnections"):
            for item in dig(endpoint, f"properties.{field}") or []:
                if str(dig(item, "properties.privateLinkServiceId")).lower() == str(body["id"]).lower():
                    state = str(dig(item, "properties.privateLinkServiceConnectionState.status") or "unknown")
                    found.append((endpoint, state))
    return found


def _private(body: dict[str, t.Any], platform: Platform, access: str) -> list[Check]:
    name, found = str(body.get("name")), []
    delegated = dig(body, "properties.network.delegatedSubnetResourceId")
    public = dig(body, "properties.network.publicNetworkAccess") or dig(body, "properties.publicNetworkAccess")
    closed = str(public or "Enabled").lower() in ("disabled", "securedbyperimeter")
    rules = dig(body, "properties.networkAcls") or dig(body, "properties.networkRuleSet") or {}
    denies = str(dig(rules, "defaultAction") or "Allow").lower() == "deny"
    open_to = [str(item.get("value") or item.get("ipMask")) for item in dig(rules, "ipRules") or []]
    if closed or delegated:
        found.append(
            Check("public access off", name, PASS, "publicNetworkAccess is Disabled" if closed else "in a subnet")
        )
    elif access == "inside":
        evidence = f"publicNetworkAccess is {public or 'Enabled'}, must be Disabled: {_AGAIN}"
        found.append(Check("public access off", name, FAIL, evidence))
    else:
        good = not open_to
        evidence = (
            "open to nobody at rest" if good else f"still open to {', '.join(open_to)}: remove what no run opened"
        )
        if not rules:
            evidence = "its public address asks every caller for an Entra token"
        elif not denies:
            good, evidence = False, "its firewall lets everybody in by default"
        found.append(Check("public access", name, PASS if good else WARN, evidence))
    if delegated:
        return found
    connections = _connections(body, platform)
    approved = [endpoint for endpoint, state in connections if state.lower() == "approved"]
    if approved:
        evidence = ", ".join(str(item.get("name")) for item in approved)
    elif connections:
        evidence = f"{connections[0][0].get('name')} is {connections[0][1]}: approve it on {name}"
    else:
        evidence = "none: run playbooks/infrastructure.yml"
    found.append(Check("private endpoint", name, PASS if approved else FAIL, evidence))
    return found


def _addresses(records: t.Iterable[dict[str, t.Any]]) -> dict[str, set[str]]:
    return {
        str(item.get("name", "")).lower(): {
            str(dig(entry, "ipv4Address")) for entry in dig(item, "properties.aRecords") or []
        }
        for item in records
    }


#: Public domain -> private zone, where it is not privatelink. and the public domain.
ZONES = {"vault.azure.net": "privatelink.vaultcore.azure.net"}


def record_name(fqdn: str, zone: str) -> str | None:
    """Return the name that a public FQDN has in a private zone, None where the zone is not for it."""
    fqdn, zone = fqdn.lower().rstrip("."), zone.lower()
    for public, private in ZONES.items():
        if fqdn.endswith(f".{public}"):
            return fqdn.removesuffix(f".{public}") if zone == private else None
    public = zone.removeprefix("privatelink.")
    return fqdn.removesuffix(f".{public}") if fqdn.endswith(f".{public}") else None


def _endpoints(platform: Platform) -> list[Check]:
    """Each name of a private endpoint stands, with its address, in a zone that is here (zones of a hub are not)."""
    zones = {
        str(body["name"]): platform.records.get(str(body["id"]).lower())
        for body in platform.of("Microsoft.Network/privateDnsZones")
    }
    tables = {name: _addresses(records) for name, records in zones.items() if records is not None}
    found = []
    for endpoint in platform.of("Microsoft.Network/privateEndpoints"):
        for item in dig(endpoint, "properties.customDnsConfigs") or []:
            fqdn, wanted = str(dig(item, "fqdn")), set(dig(item, "ipAddresses") or [])
            for zone, table in tables.items():
                record = record_name(fqdn, zone)
                if record is None:
                    continue
                have = table.get(record, set())
                good = bool(wanted) and wanted <= have
                if good:
                    evidence = f"{record}.{zone} is {', '.join(sorted(wanted))}"
                else:
                    shown = ", ".join(sorted(have)) or "missing"
                    evidence = f"{record}.{zone} is {shown}, must be {', '.join(sorted(wanted)) or 'set'}: {_AGAIN}"
                found.append(Check("DNS record", fqdn, PASS if good else FAIL, evidence))
    return found


def diagnosed_id(body: dict[str, t.Any]) -> str:
    """Return the id on which a resource's diagnostic setting stands."""
    kind = next(item for item in DIAGNOSED if item.lower() == str(body["type"]).lower())
    return f"{body['id']}{DIAGNOSED[kind]}"


def _diagnosed(body: dict[str, t.Any], platform: Platform) -> Check:
    settings = platform.diagnostics.get(diagnosed_id(body).lower()) or []
    sending = [
        item
        for item in settings
        if dig(item, "properties.workspaceId")
        and any(
            entry.get("enabled")
            for entry in (dig(item, "properties.logs") or []) + (dig(item, "properties.metrics") or [])
        )
    ]
    if sending:
        target = str(dig(sending[0], "properties.workspaceId")).rsplit("/", 1)[-1]
        return Check("diagnostics", str(body.get("name")), PASS, f"{sending[0].get('name')} sends to {target}")
    evidence = f"no setting sends anything to Log Analytics: {_AGAIN}"
    return Check("diagnostics", str(body.get("name")), FAIL, evidence)


def _gateway(body: dict[str, t.Any], platform: Platform) -> list[Check]:
    name = str(body.get("name"))
    found = []
    policy = dig(body, "properties.firewallPolicy.id")
    evidence = f"policy {str(policy).rsplit('/', 1)[-1]}" if policy else f"it has no firewall policy: {_AGAIN}"
    found.append(Check("firewall policy", name, PASS if policy else FAIL, evidence))
    health = platform.backends.get(str(body["id"]).lower())
    if health is None:
        return found
    if isinstance(health, str):
        return [*found, Check("backends", name, WARN, f"their health is not known: {health}")]
    good, bad = 0, []
    for pool in health.get("backendAddressPools") or []:
        for settings in pool.get("backendHttpSettingsCollection") or []:
            for server in settings.get("servers") or []:
                if str(server.get("health")).lower() in ("healthy", "up"):
                    good += 1
                else:
                    log = str(server.get("healthProbeLog") or "").strip()
                    bad.append(f"{server.get('address')} is {server.get('health')}" + (f" ({log})" if log else ""))
    if bad:
        return [*found, Check("backends", name, FAIL, f"{'; '.join(bad)}: look at the probe and at the pods behind it")]
    evidence = f"{good} healthy" if good else "none yet: an Ingress of class azure-application-gateway adds them"
    return [*found, Check("backends", name, PASS, evidence)]
