# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the platform's doors for a run and closes them again. FOR INTERNAL COLLECTION USE ONLY."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import json
import re
import socket
import time
import typing as t
from urllib.error import HTTPError, URLError

from ansible_collections.aksops.platform.plugins.module_utils import _access_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils import _aks, _arm, _auth, _preflight_reach
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError, poll

API_VERSIONS = {
    "api_server": _aks.API_VERSION,
    "postgresql": "2025-08-01",
    "state": "2023-05-01",
    "storage": "2023-05-01",
    "vault": "2023-07-01",
}
TAGS_VERSION = "2021-04-01"
WORKERS = 5
TRIES = 8

ARG_SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["open", "closed"], "default": "open"},
    "access": {"type": "str", "choices": ["inside", "allowlist"], "default": "inside"},
    "services": {
        "type": "dict",
        "required": True,
        "options": {kind: {"type": "str"} for kind in sorted(API_VERSIONS)},
    },
    "needs": {"type": "list", "elements": "str", "choices": sorted(API_VERSIONS), "default": []},
    "optional": {"type": "list", "elements": "str", "choices": sorted(API_VERSIONS), "default": []},
    "address": {"type": "str"},
    "holder": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 600},
    "wait_sleep": {"type": "int", "default": 5},
}


class Doors:
    """The doors of one platform, as one host opens and closes them.

    :param services: kind -> resource id; what does not exist is left out by itself.
    :param probe: C((endpoint, credential) -> sentence or None), for tests.
    """

    def __init__(
        self,
        arm: t.Any,
        credential: t.Any,
        services: t.Mapping[str, str],
        *,
        holder: str,
        timeout: float = 600,
        interval: float = 5,
        probe: t.Callable[[t.Any, t.Any], str | None] = _preflight_reach.try_probe,
    ) -> None:
        self._arm = arm
        self._credential = credential
        self._services = {kind: str(path) for kind, path in services.items() if path}
        self._holder = plans.holder_of(holder)
        self._timeout = timeout
        self._interval = interval
        self._probe = probe

    # -- looking ----------------------------------------------------------------------------

    def read(self, kinds: t.Iterable[str]) -> dict[str, plans.Body]:
        """Return the bodies of the services that exist."""
        wanted = [kind for kind in dict.fromkeys(kinds) if kind in self._services]
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            found = pool.map(lambda kind: self._arm.get(self._services[kind], API_VERSIONS[kind]), wanted)
            return {kind: body for kind, body in zip(wanted, found, strict=True) if body}

    def closed(self, bodies: t.Mapping[str, plans.Body]) -> dict[str, str]:
        """Return a sentence for each service that is not reached from here."""
        found = {}
        for kind, body in bodies.items():
            known = _preflight_reach.endpoints({"storage" if kind == "state" else kind: body})
            if known:
                found[kind] = known[0]
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            answers = list(pool.map(lambda item: self._probe(item, self._credential), found.values()))
        return {kind: text for kind, text in zip(found, answers, strict=True) if text}

    # -- opening ----------------------------------------------------------------------------

    def open(self, needs: t.Sequence[str], optional: t.Sequence[str], address: str, *, dry: bool) -> dict[str, t.Any]:
        """Let this host into what it needs and is refused by; see the module's RETURN."""
        bodies = self.read([*needs, "state"])
        account = bodies.get("state")
        shut = self.closed({kind: body for kind, body in bodies.items() if kind in needs})
        # An account that lets everybody in is about to get a firewall, which must know this address by then.
        if account and "state" in needs and address and _lets_all_in(account):
            shut.setdefault("state", "")
        if address:
            address = plans.checked_address(address)
            for kind in plans.OPENABLE:
                if kind in needs and kind in bodies and kind not in shut and plans.lingers(kind, bodies[kind], address):
                    shut[kind] = ""
        refused = {kind: plans.cannot_open(kind, bodies[kind]) for kind in shut}
        final = {kind: text for kind, text in refused.items() if text}
        missing = [text for kind, text in final.items() if kind not in optional]
        if missing:
            raise AksPlatformError(" ".join(missing))
        to_open = [kind for kind in plans.OPENABLE if kind in shut and kind not in final]
        result: dict[str, t.Any] = {"opened": [], "refused": final, "address": address, "state_ranges": []}
        if account is None and "state" in needs:
            if not address and not dry:
                raise AksPlatformError(_ADDRESS.format("no service exists yet that would tell it"))
            address = plans.checked_address(address) if address else ""
            record = plans.Record(self._holder, address, ("state",), _now())
            result.update(address=address, state_ranges=[address] if address else [])
            result["record"] = {plans.TAG + self._holder: record.value} if address else {}
            return result
        if to_open and dry:
            raise AksPlatformError(
                f"Check mode opens no door, and {', '.join(to_open)} is closed to this machine: run the check in the "
                "platform's network, or run without it."
            )
        if to_open and account is None:
            raise AksPlatformError(
                "There is no storage account for Terraform's state yet: run playbooks/state.yml first."
            )
        if to_open:
            address = plans.checked_address(address or self._told_address())
            account = self._open(t.cast(plans.Body, account), to_open, address)
            self._wait(to_open)
            result.update(opened=to_open, address=address)
        result["record"] = {
            plans.TAG + item.holder: item.value
            for item in plans.records((account or {}).get("tags"))
            if item.holder == self._holder
        }
        result["state_ranges"] = plans.rules("state", account) if account else []
        return result

    def _open(self, account: plans.Body, kinds: list[str], address: str) -> plans.Body:
        found = plans.records(account.get("tags"))
        mine = next((item for item in found if item.holder == self._holder), None)
        if mine and mine.address != address:
            self._close(mine, found)
            found, mine = [item for item in found if item is not mine], None
        bodies = self.read(kinds)
        doors = [
            kind
            for kind in kinds
            if kind in bodies and plans.ours(kind, address, plans.is_listed(kind, bodies[kind], address), found)
        ]
        doors += [kind for kind in (mine.doors if mine else ()) if kind not in doors]
        # On record before anything opens: a run that is killed in between has opened less than it noted.
        self._tag("Merge", plans.Record(self._holder, address, tuple(doors), _now()))
        self._write(kinds, address, listed=True)
        return self.read(["state"])["state"]

    def _wait(self, kinds: list[str]) -> None:
        """Firewalls take up to a minute to follow."""

        def check() -> tuple[bool, str]:
            shut = self.closed(self.read(kinds))
            return not shut, " ".join(shut.values())

        try:
            poll(check, timeout=self._timeout, interval=self._interval, describe="the opened doors")
        except WaitTimeoutError as error:
            raise AksPlatformError(
                f"{', '.join(kinds)} still refuses this machine {error.details['waited_seconds']} s after its address "
                f"was let in: check platform_caller_address; {error.details['last_state']}"
            ) from None

    def _told_address(self) -> str:
        """Return the address by which Azure sees this machine, in the words of the vault's refusal."""
        vault = self.read(["vault"]).get("vault")
        uri = ((vault or {}).get("properties") or {}).get("vaultUri")
        found = refused_address(uri, self._credential) if uri else None
        if not found:
            raise AksPlatformError(_ADDRESS.format("no vault tells it"))
        return found

    # -- closing ----------------------------------------------------------------------------

    def close(self, *, dry: bool) -> dict[str, t.Any]:
        """Close what this host has opened, also in an earlier run, and what others have forgotten for long."""
        account = self.read(["state"]).get("state")
        found = plans.records((account or {}).get("tags"))
        mine = [item for item in found if item.holder == self._holder]
        due = [*mine, *plans.overdue(found, self._holder, _now())]
        shut: list[str] = []
        for record in due:
            if not dry:
                self._close(record, found)
            found = [item for item in found if item is not record]
            shut += [door for door in record.doors if door not in shut]
        return {"closed": sorted(shut)}

    def _close(self, record: plans.Record, found: list[plans.Record]) -> None:
        doors = plans.to_close(record, [item for item in found if item is not record])
        self._write([door for door in doors if door != "state"], record.address, listed=False)
        self._write([door for door in doors if door == "state"], record.address, listed=False)
        self._tag("Delete", record)

    # -- writing ----------------------------------------------------------------------------

    def _write(self, kinds: list[str], address: str, *, listed: bool) -> None:
        """Change all side by side; one that fails does not keep the others from it."""

        def change(kind: str) -> str:
            try:
                self._change(kind, address, listed=listed)
            except AksPlatformError as error:
                return f"{kind}: {error}"
            return ""

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            failures = [text for text in pool.map(change, kinds) if text]
        if failures:
            done = "let in" if listed else "taken out"
            raise AksPlatformError(
                f"The address {address} was not {done} everywhere; the next run goes on with it. {' '.join(failures)}"
            )

    def _change(self, kind: str, address: str, *, listed: bool) -> None:
        """Read, change and read again: vault and account know no ETag, so another writer may have come between."""
        path, version = self._services.get(kind), API_VERSIONS[kind]
        for left in reversed(range(TRIES)):
            body = self._arm.get(path, version) if path else None
            new = plans.changed_body(kind, body, address, listed=listed) if body else None
            if body is None or new is None:
                return
            try:
                if kind == "api_server":
                    self._arm.put(path, version, new, etag=body.get("eTag") or body.get("etag"))
                else:
                    self._arm.patch(path, version, new)
            except ArmError as error:
                if error.status not in (409, 412) or not left:
                    raise
                time.sleep(self._interval)
        raise AksPlatformError(f"another writer changes the firewall of {path} again and again.")

    def _tag(self, operation: str, record: plans.Record) -> None:
        path = f"{self._services['state']}/providers/Microsoft.Resources/tags/default"
        body = {"operation": operation, "properties": {"tags": {plans.TAG + record.holder: record.value}}}
        self._arm.patch(path, TAGS_VERSION, body)


_ADDRESS = (
    "The public address of this machine is not known, and {}: set platform_caller_address to the address by which "
    "Azure sees it."
)


def refused_address(uri: str, credential: t.Any, opener: t.Callable[..., t.Any] | None = None) -> str | None:
    """Return the caller's address that a vault names in its refusal, None where it does not refuse."""
    if opener is None:
        from ansible.module_utils.urls import open_url

        opener = open_url
    token = credential.get_token(_preflight_reach.VAULT_SCOPE).token
    try:
        opener(
            f"{uri.rstrip('/')}/secrets?maxresults=1&api-version=7.4",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_preflight_reach.TIMEOUT,
        )
    except HTTPError as error:
        return client_address(error.read().decode(errors="replace"))
    except (URLError, OSError):
        return None
    return None


def client_address(text: str) -> str | None:
    """Return the address that follows C(Client address:) in an error of Key Vault."""
    # A JSON body may hold its words escaped.
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    found = re.search(r"Client address: *(\d+(?:\.\d+){3})\b", text)
    return found.group(1) if found else None


def _lets_all_in(account: plans.Body) -> bool:
    acls = (account.get("properties") or {}).get("networkAcls") or {}
    return str(acls.get("defaultAction") or "Allow").lower() == "allow"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def run(module: t.Any) -> None:
    """The module platform_access."""
    params = module.params
    credential = _auth.credential(params)
    doors = Doors(
        _arm.ArmClient(credential, endpoint=_auth.arm_endpoint(params)),
        credential,
        params["services"],
        holder=params["holder"] or socket.gethostname(),
        timeout=params["wait_timeout"],
        interval=params["wait_sleep"],
    )
    if params["state"] == "closed":
        done = doors.close(dry=module.check_mode)
        module.exit_json(changed=bool(done["closed"]), **done)
    if params["access"] == "allowlist":
        done = doors.open(params["needs"], params["optional"], params["address"] or "", dry=module.check_mode)
        module.exit_json(changed=bool(done["opened"]), **done)
    shut = doors.closed(doors.read(params["needs"]))
    if any(kind not in params["optional"] for kind in shut):
        raise AksPlatformError(" ".join(text for kind, text in shut.items() if kind not in params["optional"]))
    module.exit_json(changed=False, opened=[], refused=shut, address="", state_ranges=[], record={})


def guarded(module: t.Any) -> None:
    """As C(run), with an expected failure as the task's."""
    try:
        run(module)
    except AksPlatformError as error:
        module.fail_json(msg=str(error), **error.details)
