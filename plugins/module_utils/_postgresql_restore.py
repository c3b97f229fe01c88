# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a restore out through ARM, from wherever an earlier run stopped.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import datetime
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_offer as offers
from ansible_collections.aksops.platform.plugins.module_utils import _postgresql_restore_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._permissions import allows
from ansible_collections.aksops.platform.plugins.module_utils._postgresql import API_VERSION, SERVER_TYPE, ServerId
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll

LOCATIONS_API = "2022-12-01"
ENDPOINTS_API = "2025-01-01"
DIAGNOSTICS_API = "2021-05-01-preview"
LOCKS_API = "2020-05-01"
PERMISSIONS_API = "2022-04-01"
ACTIVITY_API = "2015-04-01"
#: Seconds until what was written must show; private endpoints show in their server a little later.
_CONFIRM = 300
_BUSY = ("ServerIsBusy", "ServerNotSucceeded", "ServerIsNotReady")


class Servers:
    """Flexible Servers in ARM.

    :param arm: an ArmClient.
    :param busy_timeout: seconds to try a write again for while another operation is at work on the server.
    """

    def __init__(self, arm: t.Any, *, busy_timeout: float = 900, progress: Progress | None = None) -> None:
        self._arm = arm
        self._busy_timeout = busy_timeout
        self._progress = progress or (lambda text: None)

    def get(self, server: ServerId) -> dict[str, t.Any] | None:
        """Return the server, None where there is none."""
        found: dict[str, t.Any] | None = self._arm.get(server.path, API_VERSION)
        return found

    def backups(self, server: ServerId) -> list[dict[str, t.Any]]:
        """Return its backups, the newest first."""
        found = self._arm.list(f"{server.path}/backups", API_VERSION)
        return sorted(found, key=lambda item: str((item.get("properties") or {}).get("completedTime")), reverse=True)

    def paired_region(self, server: ServerId, name: str) -> str | None:
        """Return the region that Azure pairs with the one of that name, None where it has none."""
        locations = self._arm.list(f"/subscriptions/{server.subscription}/locations", LOCATIONS_API)
        return plans.paired_region(locations, name)

    def events(self, server: ServerId, since: datetime.datetime) -> list[dict[str, t.Any]]:
        """Return what the activity log holds of the server, which need not exist any more.

        :raises AksPlatformError: the credential may not read it.
        """
        wanted = quote(f"eventTimestamp ge '{plans.iso(since)}' and resourceUri eq '{server.path}'")
        fields = "operationName,status,resourceId,submissionTimestamp"
        path = f"/subscriptions/{server.subscription}/providers/Microsoft.Insights/eventtypes/management/values"
        try:
            return t.cast(
                "list[dict[str, t.Any]]", self._arm.list(f"{path}?$filter={wanted}&$select={fields}", ACTIVITY_API)
            )
        except ArmError as error:
            if error.status != 403:
                raise
            raise AksPlatformError(
                f"The credential may not read the subscription's activity log, which says when {server.name} was "
                "deleted: assign it Reader on the subscription."
            ) from None

    def missing_rights(self, group_id: str, actions: t.Sequence[str]) -> list[str]:
        """Return what the caller may not do in a resource group; nothing where it may not ask."""
        held = self._allowed(f"{group_id}/providers/Microsoft.Authorization/permissions", PERMISSIONS_API)
        return [action for action in actions if not allows(held, action)]

    def capabilities(self, server: ServerId, location: str) -> list[dict[str, t.Any]]:
        """Return what the region offers; nothing where the caller may not ask."""
        return self._allowed(f"{self._provider(server)}/locations/{location}/capabilities", API_VERSION)

    def quotas(self, server: ServerId, location: str) -> list[dict[str, t.Any]]:
        """Return the vCores that the subscription has and uses; nothing where the caller may not ask."""
        path = f"{self._provider(server)}/locations/{location}/resourceType/flexibleServers/usages"
        return self._allowed(path, API_VERSION)

    def network(self, subnet_id: str) -> tuple[dict[str, t.Any] | None, list[dict[str, t.Any]]]:
        """Return the virtual network of a subnet, and the addresses in use where the caller may ask."""
        path = subnet_id.split("/subnets/", 1)[0]
        return self._arm.get(path, ENDPOINTS_API), self._allowed(f"{path}/usages", ENDPOINTS_API)

    def _allowed(self, path: str, version: str) -> list[dict[str, t.Any]]:
        try:
            found: list[dict[str, t.Any]] = self._arm.list(path, version)
        except ArmError as error:
            if error.status != 403:
                raise
            return []
        return found

    @staticmethod
    def _provider(server: ServerId) -> str:
        return f"/subscriptions/{server.subscription}/providers/{SERVER_TYPE.split('/', 1)[0]}"

    def name_is_free(self, server: ServerId) -> tuple[bool, str]:
        """Return whether no server in Azure has that name, and what Azure says otherwise."""
        path = f"{self._provider(server)}/checkNameAvailability"
        answer = self._arm.post(path, API_VERSION, {"name": server.name, "type": SERVER_TYPE})
        return bool(answer.get("nameAvailable")), str(answer.get("message") or "")

    def snapshot(self, server: ServerId, content: dict[str, t.Any], what: plans.Reconcile) -> plans.Snapshot:
        """Return what of the server a restore does not carry over; the parts are read side by side."""
        with ThreadPoolExecutor(max_workers=6) as pool:
            jobs = {
                "configurations": pool.submit(self._children, server, "configurations", what.parameters),
                "firewall": pool.submit(self._children, server, "firewallRules", what.firewall_rules),
                "administrators": pool.submit(self._children, server, "administrators", what.administrators),
                "diagnostics": pool.submit(self._diagnostics, server, what.diagnostics),
                "endpoints": pool.submit(self._endpoints, content, what.private_endpoints),
                "locks": pool.submit(self._locks, server, what.locks),
            }
            found = {name: job.result() for name, job in jobs.items()}
        snapshot = plans.Snapshot(content, diagnostics=found["diagnostics"], endpoints=found["endpoints"])
        snapshot.locks = {name: level for name, (level, _) in found["locks"].items()}
        for item in found["configurations"]:
            properties = item.get("properties") or {}
            if properties.get("source") == "user-override" and not properties.get("isReadOnly"):
                snapshot.parameters[item["name"]] = str(properties.get("value") or "")
            snapshot.pending_restart = snapshot.pending_restart or bool(properties.get("isConfigPendingRestart"))
        for item in found["firewall"]:
            properties = item["properties"]
            snapshot.firewall_rules[item["name"]] = (properties["startIpAddress"], properties["endIpAddress"])
        for item in found["administrators"]:
            properties = item["properties"]
            object_id = str(properties.get("objectId") or item["name"]).lower()
            snapshot.administrators[object_id] = (
                properties["principalName"],
                properties["principalType"],
                properties.get("tenantId") or "",
            )
        return snapshot

    def _children(self, server: ServerId, kind: str, wanted: bool) -> list[dict[str, t.Any]]:
        return self._arm.list(f"{server.path}/{kind}", API_VERSION) if wanted else []

    def _diagnostics(self, server: ServerId, wanted: bool) -> dict[str, dict[str, t.Any]]:
        if not wanted:
            return {}
        path = f"{server.path}/providers/Microsoft.Insights/diagnosticSettings"
        return {item["name"]: item["properties"] for item in self._arm.list(path, DIAGNOSTICS_API)}

    def _locks(self, server: ServerId, wanted: bool) -> dict[str, tuple[str, str]]:
        """Return the locks on the server itself: name -> (level, notes). Azure lists those above it, too."""
        if not wanted:
            return {}
        own = f"{server.path}/providers/Microsoft.Authorization/locks"
        return {
            item["name"]: (item["properties"]["level"], item["properties"].get("notes") or "")
            for item in self._arm.list(own, LOCKS_API)
            if str(item.get("id")).lower() == f"{own}/{item['name']}".lower()
        }

    def _endpoints(self, content: t.Mapping[str, t.Any], wanted: bool) -> list[dict[str, t.Any]]:
        found = []
        for connection in ((content.get("properties") or {}).get("privateEndpointConnections") or []) if wanted else []:
            endpoint_id = ((connection.get("properties") or {}).get("privateEndpoint") or {}).get("id")
            endpoint = self._arm.get(endpoint_id, ENDPOINTS_API) if endpoint_id else None
            if endpoint is None:
                continue
            zones = []
            for group in self._arm.list(f"{endpoint_id}/privateDnsZoneGroups", ENDPOINTS_API):
                for zone in (group.get("properties") or {}).get("privateDnsZoneConfigs") or []:
                    zones.append((zone.get("properties") or {}).get("privateDnsZoneId"))
            found.append({**endpoint, "zones": [zone for zone in zones if zone]})
        return found

    # -- writes --------------------------------------------------------------------------------------------------------

    def write(self, method: str, path: str, version: str, content: t.Any) -> t.Any:
        """Write, and try again while the server is busy with another operation."""
        deadline = time.monotonic() + self._busy_timeout
        send = {"PUT": self._arm.put, "PATCH": self._arm.patch, "POST": self._arm.post}[method]
        while True:
            try:
                return send(path, version, content)
            except ArmError as error:
                if error.code not in _BUSY or time.monotonic() > deadline:
                    raise
                self._progress(f"waiting for {path.split('/')[-1]}: {error.code}")
            time.sleep(3)

    def wait_ready(self, server: ServerId, *, timeout: float, interval: float) -> dict[str, t.Any]:
        """Wait until the server is Ready.

        :raises AksPlatformError: it is gone, or it ended in a state that it does not leave by itself.
        """
        latest: dict[str, t.Any] = {}

        def check() -> tuple[bool, str]:
            found = self.get(server)
            if found is None:
                raise AksPlatformError(f"The server {server.name} is gone: its creation failed; see the activity log.")
            latest.clear()
            latest.update(found)
            state = str((found.get("properties") or {}).get("state") or "")
            if state in ("Dropping", "Disabled", "Inaccessible"):
                raise AksPlatformError(
                    f"The server {server.name} is {state}: its restore failed; see the activity log, delete it, and "
                    "start again."
                )
            return state == "Ready", state

        poll(check, timeout=timeout, interval=interval, describe=f"server {server.name}", progress=self._progress)
        return latest

    def tag(self, server: ServerId, tags: dict[str, str]) -> dict[str, t.Any]:
        """Replace the server's tags."""
        return t.cast("dict[str, t.Any]", self.write("PATCH", server.path, API_VERSION, {"tags": tags}))

    def carry_out(self, server: ServerId, action: plans.Action) -> None:
        """Carry one action out."""
        path = server.path
        if action.kind == "parameter":
            self.write("PATCH", f"{path}/configurations/{action.name}", API_VERSION, action.content)
        elif action.kind == "restart":
            if any(
                (item.get("properties") or {}).get("isConfigPendingRestart")
                for item in self._arm.list(f"{path}/configurations", API_VERSION)
            ):
                self.write("POST", f"{path}/restart", API_VERSION, None)
        elif action.kind == "firewall_rule":
            self.write("PUT", f"{path}/firewallRules/{action.name}", API_VERSION, action.content)
        elif action.kind == "administrator":
            self.write("PUT", f"{path}/administrators/{action.name}", API_VERSION, action.content)
        elif action.kind == "server":
            self.write("PATCH", path, API_VERSION, action.content)
        elif action.kind == "diagnostics":
            diagnostics = f"{path}/providers/Microsoft.Insights/diagnosticSettings/{action.name}"
            self.write("PUT", diagnostics, DIAGNOSTICS_API, action.content)
        elif action.kind == "lock":
            self.write("PUT", self._lock(server, action.name), LOCKS_API, action.content)
        elif action.kind == "private_endpoint":
            self._make_endpoint(server, action)
        elif action.kind == "zone_group":
            self._enter_zones(server, action)
        else:
            raise AssertionError(action.kind)

    def delete(self, path: str, version: str) -> bool:
        """Delete, and try again while another operation is at work."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                return bool(self._arm.delete(path, version))
            except ArmError as error:
                if error.code not in _BUSY or time.monotonic() > deadline:
                    raise
                self._progress(f"waiting to delete {path.split('/')[-1]}: {error.code}")
            time.sleep(3)

    def own_endpoints(self, server: ServerId, content: t.Mapping[str, t.Any]) -> list[str]:
        """Return the ids of private endpoints that a restore has made for this server."""
        found = self._endpoints(content, True)
        names = {plans.endpoint_name(server.name, number) for number in range(len(found))}
        return [item["id"] for item in found if item["id"].rsplit("/", 1)[-1] in names]

    @staticmethod
    def _lock(server: ServerId, name: str) -> str:
        return f"{server.path}/providers/Microsoft.Authorization/locks/{name}"

    def own_locks(self, server: ServerId) -> list[str]:
        """Return the ids of locks that a restore has brought over."""
        found = self._locks(server, True)
        return [self._lock(server, name) for name, (_, notes) in sorted(found.items()) if notes == plans.LOCK_NOTES]

    def _make_endpoint(self, server: ServerId, action: plans.Action) -> None:
        content = action.content
        connection = {
            "name": server.name,
            "properties": {"privateLinkServiceId": server.path, "groupIds": ["postgresqlServer"]},
        }
        # Named as Terraform names it: a name is decided at creation, and a promoted server is Terraform's afterwards.
        properties = {
            "subnet": {"id": content["subnet"]},
            "privateLinkServiceConnections": [connection],
            "customNetworkInterfaceName": f"nic-{action.name}"[:80],
        }
        body = {"location": content["location"], "tags": content["tags"], "properties": properties}
        self.write("PUT", self._endpoint(server, action), ENDPOINTS_API, body)

    def _enter_zones(self, server: ServerId, action: plans.Action) -> None:
        zones = [
            {"name": zone.split("/")[-1].replace(".", "-"), "properties": {"privateDnsZoneId": zone}}
            for zone in action.content["zones"]
        ]
        path = f"{self._endpoint(server, action)}/privateDnsZoneGroups/default"
        self.write("PUT", path, ENDPOINTS_API, {"properties": {"privateDnsZoneConfigs": zones}})

    @staticmethod
    def _endpoint(server: ServerId, action: plans.Action) -> str:
        return (
            f"/subscriptions/{server.subscription}/resourceGroups/{action.content['group']}"
            f"/providers/Microsoft.Network/privateEndpoints/{action.name}"
        )


class Restore:
    """One restore.

    :param administrator_password: gives a new password of the password administrator; it is asked for once before the
        first write, and set at the end of the configuration.
    """

    def __init__(
        self,
        servers: Servers,
        request: plans.Request,
        what: plans.Reconcile,
        *,
        timeout: float,
        interval: float,
        administrator_password: t.Callable[[], str] | None = None,
        now: t.Callable[[], datetime.datetime] | None = None,
    ) -> None:
        self._servers = servers
        self._request = request
        self._what = what
        self._timeout = timeout
        self._interval = interval
        self._password = administrator_password
        self._now = now or (lambda: datetime.datetime.now(plans.UTC))
        self._before: plans.Snapshot | None = None
        self.actions: list[str] = []
        self.seconds: dict[str, float] = {}

    def run(self, *, check_mode: bool) -> dict[str, t.Any]:
        """Carry the restore out, or say what it would do.

        :returns: server, phase, point and whether it was there already.
        :raises AksPlatformError: refused before any write, or failed; running it again goes on.
        """
        request, servers = self._request, self._servers
        plans.check_names(request)
        source = servers.get(request.source)
        target = servers.get(request.target)
        if target is not None:
            phase = plans.resume(request, target)
            text = (target.get("tags") or {}).get(plans.TAG_POINT)
            point = plans.parse_point(text) if text else None
        else:
            phase, point = "absent", self._preflight(source)
        if phase == "absent":
            self.actions.append(
                f"create {request.target.name} by {request.mode}" + (f" at {plans.iso(point)}" if point else "")
            )
            if source is not None:
                # Read now what is brought over later: a right that is missing must not show after the first write.
                self._before = servers.snapshot(request.source, source, self._what)
            self._check_rights(source)
            if self._password:
                self._password()
            if check_mode:
                self._plan_only(plans.Snapshot({"name": request.target.name, "properties": {}}))
                return {"phase": "absent", "point": point, "server": None, "existed": False}
            started = time.monotonic()
            content = plans.body(request, source or {"location": request.location}, point)
            # A server that is deleted and restored again by the same words is another one: older receipts are not its.
            content["tags"][plans.TAG_ID] += f".{self._now():%Y%m%dT%H%M%SZ}"
            servers.write("PUT", request.target.path, API_VERSION, content)
            self.seconds["provision"] = round(time.monotonic() - started, 1)
        existed = phase != "absent"
        if phase == plans.PHASES[-1]:
            return {"phase": phase, "point": point, "server": target, "existed": True}
        if check_mode:
            if source is not None:
                self._before = servers.snapshot(request.source, source, self._what)
            self._plan_only(servers.snapshot(request.target, target or {}, self._what))
            return {"phase": phase, "point": point, "server": target, "existed": existed}
        server = servers.wait_ready(request.target, timeout=self._timeout, interval=self._interval)
        server = self._configure(source, server, point)
        return {"phase": plans.PHASES[-1], "point": point, "server": server, "existed": existed}

    def discard(self, *, check_mode: bool) -> dict[str, t.Any]:
        """Delete the restored server and the private endpoints that were made for it, or say what would be deleted."""
        request, servers = self._request, self._servers
        target = servers.get(request.target)
        if target is None:
            return {"phase": "absent", "point": None, "server": None, "existed": False}
        plans.discardable(request, target)
        for path in servers.own_locks(request.target):
            self.actions.append(f"take the lock {path.rsplit('/', 1)[-1]} away")
            if not check_mode:
                servers.delete(path, LOCKS_API)
        for path in servers.own_endpoints(request.target, target):
            self.actions.append(f"delete the private endpoint {path.rsplit('/', 1)[-1]}")
            if not check_mode:
                servers.delete(path, ENDPOINTS_API)
        self.actions.append(f"delete the restored server {request.target.name}")
        if not check_mode:
            servers.delete(request.target.path, API_VERSION)
        return {"phase": "absent", "point": None, "server": None, "existed": True}

    def _preflight(self, source: dict[str, t.Any] | None) -> datetime.datetime | None:
        request = self._request
        backups = self._servers.backups(request.source) if source and request.mode == "backup" else []
        pair = None
        if source and request.mode == "geo":
            pair = self._servers.paired_region(request.source, plans.region(source))
        now = self._now()
        events = []
        if request.mode == "dropped":
            events = self._servers.events(request.source, now - datetime.timedelta(days=plans.DELETIONS_DAYS))
        point = plans.resolve(request, source, backups, now, pair, events)
        free, words = self._servers.name_is_free(request.target)
        if not free:
            raise AksPlatformError(f"The server name {request.target.name} is taken: {words or 'choose another name.'}")
        if source is not None and request.mode != "dropped":
            found = plans.blockers(source, self._now())
            if found:
                raise AksPlatformError(f"{request.source.name} cannot be restored now: {' '.join(found)}")
        self._check_room(source or {})
        return point

    def _check_room(self, source: dict[str, t.Any]) -> None:
        """Refuse a server that the region, the quota or the subnet has no room for."""
        request, servers = self._request, self._servers
        properties = source.get("properties") or {}
        location = plans.short_region(request.location) or plans.region(source)
        size = str((request.sku or source.get("sku") or {}).get("name") or "")
        high = self._what.high_availability and (properties.get("highAvailability") or {}).get("mode", "Disabled")
        burstable = (request.sku or source.get("sku") or {}).get("tier") == "Burstable"
        machines = 1 if burstable or high in (False, "Disabled") else 2
        if size:
            version = str(properties.get("version") or "")
            offers.check_offer(servers.capabilities(request.target, location), size, version, request.zone, location)
            offers.check_quota(servers.quotas(request.target, location), size, machines, location)
        network = plans.network_of(request, source)
        subnet = network.get("delegatedSubnetResourceId")
        if subnet:
            found = servers.network(subnet)
            offers.check_subnet(*found, subnet, network.get("privateDnsZoneArmResourceId"), machines, location)

    def _check_rights(self, source: dict[str, t.Any] | None) -> None:
        """Refuse a restore that would stop half-way for want of a right."""
        before = self._before or plans.Snapshot(source or {})
        for group, actions in plans.rights(self._request, before, self._what).items():
            missing = self._servers.missing_rights(group, actions)
            if missing:
                raise AksPlatformError(
                    f"The credential may not do {', '.join(missing)} in {group.rsplit('/', 1)[-1]}: assign a role "
                    "there that allows it, such as Contributor (locks need User Access Administrator)."
                )

    def _plan_only(self, target: plans.Snapshot) -> None:
        if self._before is not None:
            self.actions += [action.text for action in plans.reconcile(self._before, target, self._what)]

    def _configure(
        self, source: dict[str, t.Any] | None, server: dict[str, t.Any], point: datetime.datetime | None
    ) -> dict[str, t.Any]:
        request, servers = self._request, self._servers
        started = time.monotonic()
        tags = {**(server.get("tags") or {}), plans.TAG_PHASE: "configuring"}
        if tags != server.get("tags"):
            server = servers.tag(request.target, tags)
        if source is not None:
            before = self._before or servers.snapshot(request.source, source, self._what)
            after = servers.snapshot(request.target, server, self._what)
            actions = plans.reconcile(before, after, self._what)
            for action in actions:
                self.actions.append(action.text)
                servers.carry_out(request.target, action)
            if actions:
                self._confirm(before)
        if self._password:
            self.actions.append("reset the administrator's password")
            body = {"properties": {"administratorLoginPassword": self._password()}}
            servers.write("PATCH", request.target.path, API_VERSION, body)
        server = servers.tag(request.target, {**tags, plans.TAG_PHASE: plans.PHASES[-1]})
        self.seconds["configure"] = round(time.monotonic() - started, 1)
        return server

    def _confirm(self, before: plans.Snapshot) -> None:
        """Read the new server again: a write that Azure took and did not carry out is no success."""
        request, servers = self._request, self._servers

        def check() -> tuple[bool, str]:
            server = servers.get(request.target) or {}
            left = plans.reconcile(before, servers.snapshot(request.target, server, self._what), self._what)
            return not left, "still to " + ", ".join(action.text for action in left)

        timeout = min(self._timeout, _CONFIRM)
        poll(check, timeout=timeout, interval=self._interval, describe=f"settings of {request.target.name}")
