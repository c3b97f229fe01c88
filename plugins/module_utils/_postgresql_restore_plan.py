# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore of a PostgreSQL Flexible Server asks for, refuses and has to repair: pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

A restored server does not tell that it was restored. So the request writes what it is into tags, and a second run reads
them: the same restore goes on, another one under the same name is refused.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import hashlib
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import SERVER_TYPE, ServerId

UTC = datetime.timezone.utc  # noqa: UP017 - one name for Python 3.11 and later tools alike
MODES = {
    "point_in_time": "PointInTimeRestore",
    "latest": "PointInTimeRestore",
    "backup": "PointInTimeRestore",
    "geo": "GeoRestore",
    "dropped": "ReviveDropped",
}
TAG_SOURCE, TAG_MODE, TAG_POINT, TAG_ID, TAG_PHASE = (
    f"aksops-restore-{name}" for name in ("source", "mode", "point", "id", "phase")
)
TAGS = (TAG_SOURCE, TAG_MODE, TAG_POINT, TAG_ID, TAG_PHASE)
#: What a promotion says of the source is not true of its copy.
TAG_ROLE = "aksops-postgresql-role"
PROMOTION_TAGS = (TAG_ROLE, "aksops-postgresql-fence", "aksops-postgresql-mark")
#: What a promotion may call a server that is in use, or that it may lead back to.
KEPT_ROLES = ("candidate", "active", "superseded")
#: Locks of a promotion say something of the source, not of its copy.
OWN_LOCKS = "aksops-"
LOCK_NOTES = "Brought over by a restore."
#: How long Azure keeps the backups of a server that was deleted.
DROPPED_DAYS = 5
#: How far back a deletion is looked for, so that the refusal of an older one can say when it was.
DELETIONS_DAYS = 30
PHASES = ("restoring", "configuring", "configured")

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])")


@dataclasses.dataclass(frozen=True)
class Request:
    """What the caller asks for. C(point) is set for the mode point_in_time, C(backup) for the mode backup."""

    source: ServerId
    target: ServerId
    mode: str
    point: datetime.datetime | None = None
    backup: str | None = None
    location: str | None = None
    zone: str | None = None
    sku: dict[str, str] | None = None
    delegated_subnet_id: str | None = None
    private_dns_zone_id: str | None = None
    tags: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The same for the same restore: what tags compare, and what receipts are named after."""
        parts = [self.source.path.lower(), self.target.path.lower(), self.mode]
        parts.append(iso(self.point) if self.point else self.backup or "")
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def parse_point(text: str) -> datetime.datetime:
    """Return the moment that C(text) names, in UTC.

    :raises AksPlatformError: it is no time, or has no time zone.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        raise AksPlatformError(
            f"{text!r} is not a moment: write it as 2026-11-23T03:15:00Z, or with another offset."
        ) from None
    if moment.tzinfo is None:
        raise AksPlatformError(
            f"The point in time {text!r} has no time zone: add Z for UTC or an offset such as +01:00, because a wrong "
            "hour restores the wrong data."
        )
    return moment.astimezone(UTC)


def iso(moment: datetime.datetime) -> str:
    """Return a moment as Azure writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def private(server: t.Mapping[str, t.Any]) -> bool:
    """Whether a server lives in a delegated subnet."""
    network = (server.get("properties") or {}).get("network") or {}
    return bool(network.get("delegatedSubnetResourceId"))


def window(source: t.Mapping[str, t.Any], now: datetime.datetime) -> tuple[datetime.datetime | None, datetime.datetime]:
    """Return the earliest (None: no backup yet) and the latest moment that the server can be restored to."""
    text = ((source.get("properties") or {}).get("backup") or {}).get("earliestRestoreDate")
    return (parse_point(text) if text else None), now


def resolve(
    request: Request,
    source: t.Mapping[str, t.Any] | None,
    backups: t.Sequence[t.Mapping[str, t.Any]],
    now: datetime.datetime,
    pair: str | None = None,
    events: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> datetime.datetime | None:
    """Return the moment to ask Azure for.

    :param pair: the region that Azure pairs with the source's, None where it has none; asked for the mode geo only.
    :param events: what the activity log says of the source, for the mode dropped only.
    :raises AksPlatformError: the request cannot be carried out; one sentence with the allowed values.
    """
    if request.mode == "dropped":
        if source is None and not request.location:
            raise AksPlatformError("mode=dropped needs location, the region of the server that was dropped.")
        return _deletion(request, events, now)
    if source is None:
        raise AksPlatformError(
            f"The source server {request.source.name} does not exist in {request.source.group}; a server that "
            "was dropped within the last five days is restored by mode=dropped."
        )
    _check_place(request, source, pair)
    earliest, latest = window(source, now)
    if request.mode == "geo":
        return now
    if earliest is None:
        raise AksPlatformError(f"The server {request.source.name} has no backup yet; it is taken soon after creation.")
    span = f"{iso(earliest)} to {iso(latest)}"
    if request.mode == "latest":
        return latest
    if request.mode == "backup":
        return _backup_point(request, backups)
    point = request.point
    if point is None:
        raise AksPlatformError("mode=point_in_time needs point_in_time.")
    if point > latest:
        raise AksPlatformError(
            f"The point {iso(point)} is in the future; {request.source.name} can be restored to {span}."
        )
    if point < earliest:
        raise AksPlatformError(
            f"The point {iso(point)} is before the first backup; {request.source.name} can be restored to {span}."
        )
    return point


def check_names(request: Request) -> None:
    """Refuse names that no request can have, whatever exists."""
    name = request.target.name
    if not _NAME.fullmatch(name):
        raise AksPlatformError(
            f"{name!r} is no server name: 3 to 63 lower-case letters, digits and hyphens, no hyphen first or last."
        )
    same_place = request.source.path.lower() == request.target.path.lower()
    if same_place and request.mode != "dropped":
        raise AksPlatformError(f"A restore makes a new server: {name!r} is the source itself; choose another name.")
    if request.mode == "backup" and not request.backup:
        raise AksPlatformError("mode=backup needs the name of a backup.")


def region(server: t.Mapping[str, t.Any]) -> str:
    """Return the short name of the region that a server is in."""
    return short_region(server.get("location"))


def short_region(text: t.Any) -> str:
    """Return a region's short name, whichever way it is written."""
    return str(text or "").replace(" ", "").lower()


def paired_region(locations: t.Iterable[t.Mapping[str, t.Any]], name: str) -> str | None:
    """Return the region that Azure pairs with a region, None where it has none.

    :param locations: the subscription's regions as ARM lists them.
    """
    for item in locations:
        if short_region(item.get("name")) == name:
            pairs = (item.get("metadata") or {}).get("pairedRegion") or []
            return short_region(pairs[0].get("name")) if pairs else None
    return None


def _check_place(request: Request, source: t.Mapping[str, t.Any], pair: str | None) -> None:
    home = region(source)
    location = short_region(request.location)
    backup = (source.get("properties") or {}).get("backup") or {}
    if request.mode == "geo":
        if backup.get("geoRedundantBackup") != "Enabled":
            raise AksPlatformError(
                f"{request.source.name} has no geo-redundant backup, which is decided at creation; it can only be "
                f"restored in {home}."
            )
        key = (source.get("properties") or {}).get("dataEncryption") or {}
        if key.get("type") == "AzureKeyVault" and not key.get("geoBackupKeyURI"):
            raise AksPlatformError(
                f"{request.source.name} is encrypted with a customer's key and has none for its geo-redundant backup, "
                "so it has no geo-restore."
            )
        if pair is None:
            raise AksPlatformError(f"Azure pairs {home} with no region, so {request.source.name} has no geo-restore.")
        if not location:
            raise AksPlatformError(f"mode=geo needs location; the paired region of {home} is {pair}.")
        if location != pair:
            raise AksPlatformError(f"A geo-restore goes to the paired region of {home}, {pair}, not to {location}.")
    elif location and location != home:
        raise AksPlatformError(
            f"{request.source.name} can only be restored in its own region, {home}, not in {location}."
        )
    if private(source) and request.mode == "geo" and not request.delegated_subnet_id:
        raise AksPlatformError(
            "The source is in a delegated subnet: a geo-restore needs delegated_subnet_id and private_dns_zone_id of "
            "the other region's network."
        )
    if request.delegated_subnet_id and not private(source):
        raise AksPlatformError(
            f"{request.source.name} has public access (or private endpoints), and such a server cannot be restored "
            "into a delegated subnet; leave delegated_subnet_id out."
        )
    if request.delegated_subnet_id and not request.private_dns_zone_id:
        raise AksPlatformError("delegated_subnet_id needs private_dns_zone_id.")


def _backup_point(request: Request, backups: t.Sequence[t.Mapping[str, t.Any]]) -> datetime.datetime:
    for backup in backups:
        if str(backup.get("name")) == request.backup:
            return parse_point(str((backup.get("properties") or {}).get("completedTime")))
    names = ", ".join(str(backup.get("name")) for backup in backups) or "none"
    raise AksPlatformError(f"{request.source.name} has no backup {request.backup!r}; it has {names}.")


def _deletion(request: Request, events: t.Sequence[t.Mapping[str, t.Any]], now: datetime.datetime) -> datetime.datetime:
    """Return when the source was deleted last: by this moment Azure finds its backups."""
    moments = [
        parse_point(str(event.get("submissionTimestamp")))
        for event in events
        if str((event.get("operationName") or {}).get("value")).lower() == f"{SERVER_TYPE}/delete".lower()
        and (event.get("status") or {}).get("value") == "Succeeded"
        and str(event.get("resourceId")).lower() == request.source.path.lower()
    ]
    name = request.source.name
    if not moments:
        raise AksPlatformError(
            f"The activity log has no deletion of {name} in {request.source.group} within {DELETIONS_DAYS} days; check "
            "source_id, and wait some minutes where it was deleted just now."
        )
    kept = max(moments) + datetime.timedelta(days=DROPPED_DAYS)
    if now >= kept:
        raise AksPlatformError(
            f"{name} was deleted at {iso(max(moments))}, and Azure kept its backups for {DROPPED_DAYS} days, until "
            f"{iso(kept)}; it cannot be restored any more."
        )
    return max(moments)


def resume(request: Request, target: t.Mapping[str, t.Any]) -> str:
    """Return the phase that an existing target is in.

    :raises AksPlatformError: it is not this restore.
    """
    tags = target.get("tags") or {}
    if TAG_ID not in tags:
        raise AksPlatformError(
            f"The server {request.target.name} exists already and is no restore of this module's; choose another name."
        )
    if tags[TAG_ID].partition(".")[0] != request.identity:
        raise AksPlatformError(
            f"The server {request.target.name} is another restore: of {tags.get(TAG_SOURCE)} by mode "
            f"{tags.get(TAG_MODE)} to {tags.get(TAG_POINT)}; choose another name, or repeat that restore."
        )
    phase = tags.get(TAG_PHASE, PHASES[0])
    return phase if phase in PHASES else PHASES[0]


def discardable(request: Request, target: t.Mapping[str, t.Any]) -> None:
    """Refuse to delete what is not a restore of this source, or is one that people work with.

    :raises AksPlatformError: it is something else.
    """
    tags = target.get("tags") or {}
    name = request.target.name
    if TAG_ID not in tags:
        raise AksPlatformError(f"The server {name} is no restore of this module's and is not deleted.")
    if tags.get(TAG_SOURCE, "").lower() != request.source.path[-256:].lower():
        raise AksPlatformError(f"The server {name} is a restore of {tags.get(TAG_SOURCE)} and is not deleted.")
    role = tags.get(TAG_ROLE, "")
    if role in KEPT_ROLES:
        raise AksPlatformError(f"The server {name} is {role} in a promotion and is not deleted.")
    if tags.get(TAG_PHASE) not in PHASES:
        raise AksPlatformError(f"The restore {name} is {tags.get(TAG_PHASE)} and is not deleted.")


def restore_tags(request: Request, point: datetime.datetime | None, phase: str) -> dict[str, str]:
    """Return the tags that make a restore recognisable. A long source id is cut to what a tag holds."""
    return {
        TAG_SOURCE: request.source.path[-256:],
        TAG_MODE: request.mode,
        TAG_POINT: iso(point) if point else "",
        TAG_ID: request.identity,
        TAG_PHASE: phase,
    }


def body(request: Request, source: t.Mapping[str, t.Any], point: datetime.datetime | None) -> dict[str, t.Any]:
    """Return the PUT that makes the new server."""
    properties: dict[str, t.Any] = {
        "createMode": MODES[request.mode],
        "sourceServerResourceId": request.source.path,
    }
    if point is not None:
        properties["pointInTimeUTC"] = iso(point)
    if request.zone:
        properties["availabilityZone"] = request.zone
    auth = (source.get("properties") or {}).get("authConfig")
    if auth:
        properties["authConfig"] = copy.deepcopy(auth)
    network = network_of(request, source)
    if network:
        properties["network"] = network
    properties |= _storage_and_key(request, source)
    redundancy = ((source.get("properties") or {}).get("backup") or {}).get("geoRedundantBackup")
    if redundancy and request.mode not in ("geo", "dropped"):
        # Decided at creation, and off unless it is asked for.
        properties["backup"] = {"geoRedundantBackup": redundancy}
    foreign = (*TAGS, *PROMOTION_TAGS)
    tags = {key: value for key, value in (source.get("tags") or {}).items() if key not in foreign}
    content: dict[str, t.Any] = {
        "location": request.location or source.get("location"),
        "tags": {**tags, **request.tags, **restore_tags(request, point, PHASES[0])},
        "properties": properties,
    }
    sku = request.sku or source.get("sku")
    if sku:
        content["sku"] = {key: sku[key] for key in ("name", "tier") if key in sku}
    identity = source.get("identity") or {}
    if identity.get("type") not in (None, "None"):
        content["identity"] = {"type": identity["type"]}
        if identity.get("userAssignedIdentities"):
            content["identity"]["userAssignedIdentities"] = {name: {} for name in identity["userAssignedIdentities"]}
    return content


def _storage_and_key(request: Request, source: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what is decided at creation: the kind of disk, and the customer's key that encrypts it."""
    ours = source.get("properties") or {}
    found: dict[str, t.Any] = {}
    if (ours.get("storage") or {}).get("type"):
        found["storage"] = {"type": ours["storage"]["type"]}
    key = ours.get("dataEncryption") or {}
    if key.get("type") == "AzureKeyVault":
        names = ("primaryKeyURI", "primaryUserAssignedIdentityId")
        # The copy in the other region is encrypted with that region's key, which becomes the new server's.
        theirs = ("geoBackupKeyURI", "geoBackupUserAssignedIdentityId") if request.mode == "geo" else names
        own = {name: key[other] for name, other in zip(names, theirs, strict=True) if key.get(other)}
        found["dataEncryption"] = {"type": "AzureKeyVault", **own}
        if request.mode not in ("geo", "dropped"):
            found["dataEncryption"] |= {
                name: key[name] for name in ("geoBackupKeyURI", "geoBackupUserAssignedIdentityId") if key.get(name)
            }
    return found


def network_of(request: Request, source: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the network of the new server: the source's, or the subnet that is named."""
    if request.delegated_subnet_id:
        return {
            "delegatedSubnetResourceId": request.delegated_subnet_id,
            "privateDnsZoneArmResourceId": str(request.private_dns_zone_id),
        }
    network = (source.get("properties") or {}).get("network") or {}
    kept = ["publicNetworkAccess"]
    if request.mode != "geo":
        kept += ["delegatedSubnetResourceId", "privateDnsZoneArmResourceId"]
    return {key: network[key] for key in kept if network.get(key)}


@dataclasses.dataclass
class Snapshot:
    """What of a server a restore does not carry over, as ARM shows it.

    :param parameters: server parameters that a user set, by name.
    :param pending_restart: whether a parameter waits for a restart.
    :param firewall_rules: name -> (start, end).
    :param administrators: object id -> (name, type, tenant).
    :param diagnostics: name -> properties of the diagnostic setting.
    :param endpoints: private endpoints that lead to the server, as ARM resources with C(zones) of their DNS group.
    :param locks: name -> level of the locks on the server itself.
    """

    server: dict[str, t.Any]
    parameters: dict[str, str] = dataclasses.field(default_factory=dict)
    pending_restart: bool = False
    firewall_rules: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    administrators: dict[str, tuple[str, str, str]] = dataclasses.field(default_factory=dict)
    diagnostics: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)
    endpoints: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    locks: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Action:
    """One write: C(kind) says which, C(text) what it does in words."""

    kind: str
    text: str
    name: str = ""
    content: t.Any = None


@dataclasses.dataclass(frozen=True)
class Reconcile:
    """What is brought over from the source; the names are those of the module's options."""

    parameters: bool = True
    firewall_rules: bool = True
    private_endpoints: bool = True
    administrators: bool = True
    maintenance_window: bool = True
    diagnostics: bool = True
    high_availability: bool = True
    settings: bool = True
    locks: bool = True

    @classmethod
    def only(cls, *names: str) -> Reconcile:
        """Return one that brings over the named parts and nothing else."""
        return cls(**{field.name: field.name in names for field in dataclasses.fields(cls)})


def reconcile(source: Snapshot, target: Snapshot, what: Reconcile) -> list[Action]:
    """Return the writes that make the target what the source is, in their order. Nothing is ever taken away."""
    actions: list[Action] = []
    if what.parameters:
        actions += _parameters(source, target)
    if what.firewall_rules and not private(target.server):
        for name, (start, end) in sorted(source.firewall_rules.items()):
            if target.firewall_rules.get(name) != (start, end):
                content = {"properties": {"startIpAddress": start, "endIpAddress": end}}
                actions.append(Action("firewall_rule", f"open the firewall as {name} does", name, content))
    if what.private_endpoints:
        actions += _endpoints(source, target)
    if what.administrators:
        for object_id, (name, kind, tenant) in sorted(source.administrators.items()):
            if object_id not in target.administrators:
                properties = {"principalName": name, "principalType": kind, "tenantId": tenant}
                text = f"make {name} an administrator"
                actions.append(Action("administrator", text, object_id, {"properties": properties}))
    patch = _properties(source.server, target.server, what)
    if patch:
        actions.append(Action("server", f"set {' and '.join(sorted(patch))}", content={"properties": patch}))
    if what.diagnostics:
        for name, properties in sorted(source.diagnostics.items()):
            if target.diagnostics.get(name) != properties:
                text = f"send diagnostics as {name} does"
                actions.append(Action("diagnostics", text, name, {"properties": properties}))
    if what.locks:
        for name in sorted(source.locks):
            if name not in target.locks and not name.startswith(OWN_LOCKS):
                # ReadOnly would keep the restore itself, and whatever works on the new server next, from its end.
                content = {"properties": {"level": "CanNotDelete", "notes": LOCK_NOTES}}
                actions.append(Action("lock", f"lock the server against deletion as {name} does", name, content))
    return actions


def _properties(source: t.Mapping[str, t.Any], target: t.Mapping[str, t.Any], what: Reconcile) -> dict[str, t.Any]:
    """Return the server's own properties that differ and are brought over."""
    ours, theirs = source.get("properties") or {}, target.get("properties") or {}
    patch: dict[str, t.Any] = {}
    window = ours.get("maintenanceWindow") or {}
    if (
        what.maintenance_window
        and window.get("customWindow") == "Enabled"
        and window != theirs.get("maintenanceWindow")
    ):
        patch["maintenanceWindow"] = window
    if what.high_availability:
        wanted = (ours.get("highAvailability") or {}).get("mode", "Disabled")
        there = (theirs.get("highAvailability") or {}).get("mode", "Disabled")
        burstable = (target.get("sku") or {}).get("tier") == "Burstable"
        if wanted not in (there, "Disabled") and not burstable:
            patch["highAvailability"] = {"mode": wanted}
    if what.settings:
        for part, name in _settings(ours):
            value = (ours.get(part) or {}).get(name)
            if value not in (None, "") and value != (theirs.get(part) or {}).get(name):
                patch.setdefault(part, {})[name] = value
    return patch


def _settings(server: t.Mapping[str, t.Any]) -> list[tuple[str, str]]:
    """Return the settings that can be chosen: a disk of the second kind has numbers in place of a tier."""
    second = (server.get("storage") or {}).get("type") == "PremiumV2_LRS"
    disk = ("iops", "throughput") if second else ("autoGrow", "tier")
    return [*(("storage", name) for name in disk), ("backup", "backupRetentionDays")]


def _parameters(source: Snapshot, target: Snapshot) -> list[Action]:
    actions = []
    for name, value in sorted(source.parameters.items()):
        if target.parameters.get(name) != value:
            content = {"properties": {"value": value, "source": "user-override"}}
            actions.append(Action("parameter", f"set the server parameter {name}", name, content))
    if actions or target.pending_restart:
        actions.append(Action("restart", "restart the server where a parameter waits for it"))
    return actions


def _endpoints(source: Snapshot, target: Snapshot) -> list[Action]:
    """Each private endpoint of the source gets a sibling in the same subnet and DNS zones."""
    there = {_subnet(endpoint).lower(): dict(endpoint) for endpoint in target.endpoints}
    actions = []
    for endpoint in source.endpoints:
        subnet, zones = _subnet(endpoint), endpoint.get("zones") or []
        if not subnet:
            continue
        found = there.get(subnet.lower())
        if found is None:
            found = {"name": endpoint_name(target.server["name"], len(there)), "id": endpoint["id"]}
            content = {
                "group": _group(endpoint),
                "location": endpoint.get("location"),
                "subnet": subnet,
                "tags": endpoint.get("tags") or {},
            }
            text = f"make a private endpoint in {subnet.split('/')[-1]}"
            actions.append(Action("private_endpoint", text, found["name"], content))
            there[subnet.lower()] = found
        if zones and not found.get("zones"):
            found["zones"] = zones
            text = f"enter the private endpoint in {subnet.split('/')[-1]} into its DNS zones"
            actions.append(Action("zone_group", text, found["name"], {"group": _group(found), "zones": zones}))
    return actions


def _subnet(endpoint: t.Mapping[str, t.Any]) -> str:
    return str(((endpoint.get("properties") or {}).get("subnet") or {}).get("id") or "")


def _group(endpoint: t.Mapping[str, t.Any]) -> str:
    return str(endpoint["id"]).split("/")[4]


_RIGHTS = {
    "parameter": ("configurations/write",),
    "restart": ("restart/action",),
    "firewall_rule": ("firewallRules/write",),
    "administrator": ("administrators/write",),
}


def rights(request: Request, source: Snapshot, what: Reconcile) -> dict[str, list[str]]:
    """Return what a restore from this source will do: id of the resource group -> operations of Azure."""
    own = f"/subscriptions/{request.target.subscription}/resourceGroups/{request.target.group}"
    server = "Microsoft.DBforPostgreSQL/flexibleServers"
    needed: dict[str, list[str]] = {own: [f"{server}/write"]}
    for identity in (source.server.get("identity") or {}).get("userAssignedIdentities") or {}:
        needed.setdefault(identity.split("/providers/", 1)[0], []).append(
            "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
        )
    blank = Snapshot({"name": request.target.name, "properties": {}})
    for action in reconcile(source, blank, what):
        group, names = own, [f"{server}/{name}" for name in _RIGHTS.get(action.kind, ())]
        if action.kind == "diagnostics":
            names = ["Microsoft.Insights/diagnosticSettings/write"]
        elif action.kind == "lock":
            names = ["Microsoft.Authorization/locks/write"]
        elif action.kind == "private_endpoint":
            group = f"/subscriptions/{request.target.subscription}/resourceGroups/{action.content['group']}"
            names = ["Microsoft.Network/privateEndpoints/write"]
        elif action.kind == "zone_group":
            group = f"/subscriptions/{request.target.subscription}/resourceGroups/{action.content['group']}"
            names = ["Microsoft.Network/privateEndpoints/privateDnsZoneGroups/write"]
        held = needed.setdefault(group, [])
        held += [name for name in names if name not in held]
    return needed


def endpoint_name(server: str, number: int) -> str:
    """Return the name of the private endpoint that a restore makes for a server; the first one's is Terraform's."""
    return f"pe-{server}"[:80] if number == 0 else f"pe-{server}"[:77] + f"-{number + 1}"


def expected(receipts: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, t.Any] | None:
    """Return how long drills of a server took, None where there was none.

    :param receipts: theirs; one that did not come to the new server says nothing.
    """
    spans = []
    for receipt in receipts:
        parts = receipt.get("seconds") or {}
        if parts.get("provision"):
            spans.append(round(sum(float(part or 0) for part in parts.values()), 1))
    return {"drills": len(spans), "least": min(spans), "most": max(spans)} if spans else None


def blockers(source: t.Mapping[str, t.Any] | None, now: datetime.datetime) -> list[str]:
    """Return what keeps a server from being restored now, one sentence each."""
    if source is None:
        return ["The server does not exist; one that was dropped within five days is restored by mode=dropped."]
    found = []
    state = (source.get("properties") or {}).get("state")
    if state not in ("Ready", "Stopped", None):
        found.append(f"The server is {state}; Azure refuses a restore while another operation is at work on it.")
    if window(source, now)[0] is None:
        found.append("The server has no backup yet; the first one is taken soon after creation.")
    return found
