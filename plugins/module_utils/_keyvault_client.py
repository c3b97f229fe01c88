# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""The verbs of a vault's data plane, with authentication, pace, retries and the waits that Key Vault needs.

Reads are tried again on any trouble. A write whose answer was lost is never just sent again: the current version is
read first, so that no version is written twice.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_http import LostAnswerError, Reply
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import Current, Metadata, Version
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_rate import (
    READ_BURST,
    READ_RATE,
    WRITE_BURST,
    WRITE_RATE,
    TokenBucket,
    backoff,
)

API_VERSION = "7.6"
SUFFIXES = ("vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net")
_RETRIED = frozenset({408, 500, 502, 503, 504})
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Sender(Protocol):
    """What a transport offers."""

    uri: str

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply: ...


class KeyVaultError(AksPlatformError):
    """A request that a vault refused for good, or never answered."""

    def __init__(
        self, sentence: str, *, status: int = 0, code: str = "", inner: str = "", request_id: str = ""
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.inner = inner
        self.request_id = request_id


class Tokens:
    """The bearer token of one vault, shared by all threads.

    A host with one of Azure's own vault domains gets a token for that domain at once. Any other host must first say in
    its challenge which resource it is, and that resource must be the host's own domain: a token never leaves Azure.

    Args:
        factory: makes a credential with `get_token(*scopes, **options)`; called again to get past cached claims.
        host: of the vault.
    """

    def __init__(self, factory: Callable[[], Any], host: str) -> None:
        self._factory = factory
        self._credential = factory()
        self._host = host
        self._lock = threading.Lock()
        self._token: Any = None
        self._scope = ""
        for suffix in SUFFIXES:
            if host.endswith(f".{suffix}"):
                self._scope = f"https://{suffix}/.default"

    def header(self) -> str | None:
        """The Authorization header, None before the vault said what it is."""
        with self._lock:
            if not self._scope:
                return None
            if self._token is None or self._token.expires_on - time.time() < 300:
                self._token = self._credential.get_token(self._scope)
            return f"Bearer {self._token.token}"

    def challenged(self, header: str, used: str | None) -> bool:
        """Learn from a 401; True where it is worth another try."""
        fields = {name.lower(): text for name, text in _CHALLENGE.findall(header)}
        with self._lock:
            resource = fields.get("resource") or fields.get("scope", "").removesuffix("/.default")
            if resource:
                domain = urlsplit(resource).netloc.lower()
                if not domain or not self._host.endswith(f".{domain}"):
                    raise KeyVaultError(
                        f"The vault {self._host} asks for a token of '{domain or resource}', which is not its own "
                        "domain; nothing was sent to it."
                    )
                self._scope = f"{resource.rstrip('/')}/.default"
            if not self._scope:
                return False
            if self._token is not None and used == f"Bearer {self._token.token}":
                options = {"claims": _claims(fields["claims"])} if fields.get("claims") else {}
                self._token = self._credential.get_token(self._scope, **options)
        return True

    def renew(self) -> None:
        """Forget the token and whatever the credential keeps, so that new group memberships count."""
        with self._lock:
            self._credential = self._factory()
            self._token = None


def _claims(encoded: str) -> str:
    import base64

    return base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


class VaultClient:
    """All verbs are safe to call from several threads.

    Args:
        transport: sends single requests.
        credential_factory: see Tokens.
        attempts: tries for one request before it is given up.
        rbac_wait: seconds in all that ForbiddenByRbac is waited for.
        state_wait: seconds that one secret may stay in a state of soft delete.
        clock, sleep: replaced in tests.
    """

    def __init__(
        self,
        transport: Sender,
        credential_factory: Callable[[], Any],
        *,
        attempts: int = 8,
        rbac_wait: float = 300,
        state_wait: float = 120,
        throttle_wait: float = 300,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self.host = (urlsplit(transport.uri).hostname or "").lower()
        self._tokens = Tokens(credential_factory, self.host)
        self._attempts = attempts
        self._rbac_wait = rbac_wait
        self._rbac_deadline: float | None = None
        self._state_wait = state_wait
        self._throttle_wait = throttle_wait
        self._clock = clock
        self._sleep = sleep
        self._writes = TokenBucket(WRITE_BURST, WRITE_RATE, clock, sleep)
        self._others = TokenBucket(READ_BURST, READ_RATE, clock, sleep)
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.rbac_waited = 0.0
        self.first_request: float | None = None
        self.last_answer: float | None = None

    # -- reading -------------------------------------------------------------------------------------------------------

    def pages(self, path: str, kind: str) -> Iterator[list[dict[str, Any]]]:
        """The pages of a list; empty pages in between are passed through."""
        url: str | None = f"{path}?api-version={API_VERSION}&maxresults=25"
        while url:
            reply = self._read(kind, url, f"list {path.strip('/')}")
            yield reply.body.get("value") or []
            url = self._own(reply.body.get("nextLink"))

    def secrets(self) -> Iterator[list[Current]]:
        """All live secrets, page by page: metadata only."""
        for page in self.pages("/secrets", "list"):
            yield [_current(item) for item in page]

    def deleted(self) -> list[Current]:
        """All soft-deleted secrets: metadata only."""
        return [_current(item) for page in self.pages("/deletedsecrets", "list_deleted") for item in page]

    def versions(self, name: str) -> list[Version]:
        """The versions of a secret, oldest first."""
        items = [item for page in self.pages(f"/secrets/{quote(name)}/versions", "versions") for item in page]
        found = [
            Version(
                str(item["id"]).rstrip("/").rsplit("/", 1)[-1],
                int(item["attributes"].get("created", 0)),
                bool(item["attributes"].get("enabled", True)),
            )
            for item in items
        ]
        return sorted(found, key=lambda version: version.created)

    def get(self, name: str, *, wait: bool = True) -> Current | None:
        """A secret with its value, None where it does not exist.

        Args:
            wait: whether missing rights are waited for.
        """
        reply = self._read("get", _path(name), f"read {name}", missing=True, wait=wait)
        return None if reply.status == 404 else _current(reply.body)

    def is_deleted(self, name: str) -> bool:
        """True where the secret is soft-deleted (and the deletion has ended)."""
        reply = self._read("get_deleted", _path(name, "deletedsecrets"), f"read deleted {name}", missing=True)
        return reply.status == 200

    # -- writing -------------------------------------------------------------------------------------------------------

    def set(self, name: str, value: str, metadata: Metadata, known_created: int | None) -> str:
        """Write a new version and return its id.

        Args:
            known_created: `created` of the version before, None where there was none; tells a version that landed
                without an answer where values may not be read.
        """
        content: dict[str, Any] = {"value": value, "tags": dict(metadata.tags)}
        content["attributes"] = _attributes(metadata, clear=False)
        if metadata.content_type:
            content["contentType"] = metadata.content_type
        body = json.dumps(content).encode()

        def landed() -> str | None:
            return self._landed(name, value, metadata, known_created)

        reply = self._write("set", "PUT", _path(name), body, f"set {name}", landed)
        return reply if isinstance(reply, str) else _version(reply.body)

    def update(self, name: str, metadata: Metadata, version: str = "") -> str:
        """Change a version's metadata (the newest's by default) and return its id."""
        content = {
            "contentType": metadata.content_type or "",
            "tags": dict(metadata.tags),
            "attributes": _attributes(metadata, clear=True),
        }
        reply = self._write(
            "update", "PATCH", _path(name, version=version), json.dumps(content).encode(), f"update {name}"
        )
        found = _current(reply.body).metadata
        stuck = [field for field in found.changed(metadata) if field in ("not_before", "expires")]
        if stuck:
            raise KeyVaultError(
                f"Key Vault kept {', '.join(stuck)} of {name} as it was; write a new version to clear it."
            )
        return _version(reply.body)

    def disable_version(self, name: str, version: str) -> None:
        """Disable one version."""
        body = json.dumps({"attributes": {"enabled": False}}).encode()
        self._write("update", "PATCH", _path(name, version=version), body, f"disable a version of {name}")

    def delete(self, name: str) -> None:
        """Soft-delete a secret and wait until that has ended; one that is gone already is no error."""
        before = self.retries["lost"] + self.retries["server"]
        reply = self._write("delete", "DELETE", _path(name), None, f"delete {name}", allowed=(404,))
        if reply.status == 404 and before == self.retries["lost"] + self.retries["server"]:
            return
        self._until(lambda: self.is_deleted(name), f"the deletion of {name}")

    def recover(self, name: str) -> None:
        """Bring a soft-deleted secret back and wait until it can be read and written."""
        path = f"/deletedsecrets/{quote(name)}/recover?api-version={API_VERSION}"
        self._write("recover", "POST", path, b"", f"recover {name}", allowed=(404, 409))
        self._until(lambda: self._exists(name), f"the recovery of {name}")

    def _exists(self, name: str) -> bool:
        path = f"/secrets/{quote(name)}/versions?api-version={API_VERSION}&maxresults=1"
        return bool(self._read("versions", path, f"look for {name}", missing=True).body.get("value"))

    def purge(self, name: str) -> None:
        """Destroy a soft-deleted secret for good."""
        self._write("purge", "DELETE", _path(name, "deletedsecrets"), None, f"purge {name}", allowed=(404,))

    def backup(self, name: str) -> str:
        """All versions of a secret as Key Vault's own protected text."""
        path = f"/secrets/{quote(name)}/backup?api-version={API_VERSION}"
        reply = self._write("backup", "POST", path, b"", f"back up {name}")
        assert isinstance(reply, Reply)
        return str(reply.body["value"])

    def restore(self, name: str, blob: str) -> None:
        """Bring a backed-up secret back. One that was lost on the way is looked for before it is sent again."""
        path = f"/secrets/restore?api-version={API_VERSION}"

        def landed() -> str | None:
            return "" if self._exists(name) else None

        self._write("restore", "POST", path, json.dumps({"value": blob}).encode(), f"restore {name}", landed)

    def _landed(self, name: str, value: str, metadata: Metadata, known_created: int | None) -> str | None:
        """The version id if what was sent stands in the vault, else None."""
        try:
            found = self.get(name, wait=False)
        except KeyVaultError as error:
            if error.status != 403:
                raise
            return self._landed_unread(name, metadata, known_created)
        if found is None or found.value is None:
            return None
        same = hmac.compare_digest(found.value.encode(), value.encode()) and not found.metadata.changed(metadata)
        return found.version if same else None

    def _landed_unread(self, name: str, metadata: Metadata, known_created: int | None) -> str | None:
        """The same by metadata alone, for a disabled secret or a caller that may not read values."""
        items = [item for page in self.pages(f"/secrets/{quote(name)}/versions", "versions") for item in page]
        if not items:
            return None
        newest = max((_current(item) for item in items), key=lambda found: found.created)
        if newest.metadata.changed(metadata) or newest.created == known_created:
            return None
        return newest.version

    # -- one request ---------------------------------------------------------------------------------------------------

    def read(self, path: str, what: str, *, missing: bool = False) -> Reply:
        """GET anything of the vault; 404 is an answer where it may be `missing`."""
        return self._read("get", path, what, missing=missing)

    def post(self, path: str, content: dict[str, Any], what: str) -> Reply:
        """POST something that a vault counts as a write."""
        reply = self._write("set", "POST", path, json.dumps(content).encode(), what)
        assert isinstance(reply, Reply)
        return reply

    def _read(self, kind: str, path: str, what: str, *, missing: bool = False, wait: bool = True) -> Reply:
        allowed = (404,) if missing else ()
        reply = self._send(kind, "GET", path, None, what, allowed, wait=wait)
        assert isinstance(reply, Reply)
        return reply

    def _write(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes | None,
        what: str,
        landed: Callable[[], str | None] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Any:
        return self._send(kind, method, path, body, what, allowed, landed=landed)

    def _send(
        self,
        kind: str,
        method: str,
        path: str,
        body: bytes | None,
        what: str,
        allowed: tuple[int, ...],
        *,
        landed: Callable[[], str | None] | None = None,
        wait: bool = True,
    ) -> Reply | str:
        attempt = throttled = challenges = 0
        throttled_since: float | None = None
        state_since: float | None = None
        while True:
            trouble = ""
            reply: Reply | None = None
            used = self._tokens.header()
            try:
                reply = self._once(kind, method, path, body, used)
            except LostAnswerError as error:
                trouble, carried_out = f"no answer: {error}", error.sent
            if reply is not None:
                if reply.status < 300 or reply.status in allowed:
                    return reply
                if reply.status == 401 and challenges < 2:
                    challenges += 1
                    if self._tokens.challenged(reply.headers.get("www-authenticate", ""), used):
                        continue
                if reply.status == 429:
                    throttled_since = throttled_since or self._clock()
                    if self._clock() - throttled_since < self._throttle_wait:
                        self._throttled(kind, reply, throttled)
                        throttled += 1
                        continue
                if self._waits_for_state(reply, state_since):
                    state_since = state_since or self._clock()
                    self._count_retry("state")
                    self._sleep(0.5 if self._clock() - state_since < 5 else 2.0)
                    continue
                if wait and self._waits_for_rbac(reply):
                    continue
                if reply.status not in _RETRIED:
                    raise self._refused(reply, what)
                trouble, carried_out = f"HTTP {reply.status}", True
            attempt += 1
            if attempt >= self._attempts:
                raise self._exhausted(what, trouble, attempt, reply)
            self._count_retry("lost" if reply is None else "server")
            self._sleep(backoff(attempt - 1, 0.25, 10.0))
            if landed is not None and carried_out:
                version = landed()
                if version is not None:
                    return version

    def _once(self, kind: str, method: str, path: str, body: bytes | None, authorization: str | None) -> Reply:
        (self._writes if kind in ("set", "restore") else self._others).take()
        headers = {"Accept": "application/json", "User-Agent": "aksops.platform"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if authorization:
            headers["Authorization"] = authorization
        else:
            body = b"" if body else body  # nothing secret goes to a host that has not said what it is
        with self._lock:
            self.requests[kind] += 1
            if self.first_request is None:
                self.first_request = self._clock()
        try:
            return self._transport.send(method, path, headers, body)
        finally:
            self.last_answer = self._clock()

    def _count_retry(self, why: str) -> None:
        with self._lock:
            self.retries[why] += 1

    def _throttled(self, kind: str, reply: Reply, times: int) -> None:
        """Hold everybody back: as long as the service says, else 1, 2, 4, 8, 16 seconds as its documentation asks."""
        self._count_retry("throttled")
        try:
            pause = float(reply.headers.get("retry-after", ""))
        except ValueError:
            pause = backoff(times, 1.0, 16.0)
        (self._writes if kind in ("set", "restore") else self._others).penalize(pause)

    def _waits_for_state(self, reply: Reply, since: float | None) -> bool:
        """True for a conflict that passes by itself."""
        if reply.status != 409 or reply.error[1] not in ("ObjectIsBeingDeleted", "ObjectIsBeingRecovered"):
            return False
        return since is None or self._clock() - since < self._state_wait

    def _waits_for_rbac(self, reply: Reply) -> bool:
        """Wait once where a role assignment may not have arrived yet; False where the time is over."""
        if reply.status != 403 or reply.error[1] != "ForbiddenByRbac":
            return False
        with self._lock:
            now = self._clock()
            if self._rbac_deadline is None:
                self._rbac_deadline = now + self._rbac_wait
            left = self._rbac_deadline - now
            if left <= 0:
                return False
            pause = min(left, 2.0 if self.rbac_waited < 10 else 10.0 if self.rbac_waited < 60 else 30.0)
            self.rbac_waited = self._rbac_wait - left + pause
        self._count_retry("rbac")
        self._sleep(pause)
        self._tokens.renew()
        return True

    def _until(self, check: Callable[[], bool], what: str) -> None:
        start = self._clock()
        while not check():
            if self._clock() - start > self._state_wait:
                raise KeyVaultError(f"{what} did not end within {self._state_wait:.0f} s; run again later.")
            self._sleep(0.25 if self._clock() - start < 3 else 2.0)

    def _own(self, link: Any) -> str | None:
        """The path and query of a next link, which must lead to the same vault."""
        if not link:
            return None
        parts = urlsplit(str(link))
        if (parts.hostname or "").lower() != self.host:
            raise KeyVaultError(
                f"The vault {self.host} points to the host {parts.hostname}; the token is not sent there."
            )
        return f"{parts.path}?{parts.query}"

    # -- errors --------------------------------------------------------------------------------------------------------

    def _exhausted(self, what: str, trouble: str, attempts: int, reply: Reply | None) -> KeyVaultError:
        request_id = reply.headers.get("x-ms-request-id", "") if reply else ""
        hint = ""
        if reply is None and "NameResolution" in trouble:
            hint = "; does a vault of this name exist, or is it soft-deleted or private?"
        return KeyVaultError(
            f"{what} on {self.host} failed {attempts} times, last with {trouble}{hint}",
            status=reply.status if reply else 0,
            code=reply.error[0] if reply else "NoAnswer",
            request_id=request_id,
        )

    def _refused(self, reply: Reply, what: str) -> KeyVaultError:
        code, inner, message = reply.error
        explained = _EXPLAINED.get(inner) or (_EXPLAINED.get("Throttled") if reply.status == 429 else None)
        if inner == "ForbiddenByRbac":
            action = re.search(r"Action: '([^']+)'", message)
            needed = f" (missing: {action[1]})" if action else ""
            explained = (
                f"the caller has no role that allows it{needed}; waited {self.rbac_waited:.0f} s for an assignment"
            )
        text = explained or one_sentence(message, 300) or "the service gave no reason"
        name = f"{code}/{inner}" if inner else code
        return KeyVaultError(
            f"{what} on {self.host}: {text} (HTTP {reply.status} {name})",
            status=reply.status,
            code=code,
            inner=inner,
            request_id=reply.headers.get("x-ms-request-id", ""),
        )


_EXPLAINED = {
    "ForbiddenByConnection": "public access is off and this client comes through no private endpoint; run inside the "
    "vault's network, or allow its address for the time of the run",
    "ForbiddenByFirewall": "this client's address is not in the vault's firewall; run inside its network or add the "
    "address",
    "AccessDenied": "the vault uses access policies and none gives the caller this permission",
    "SecretDisabled": "the secret is disabled",
    "ObjectIsDeletedButRecoverable": "the secret is soft-deleted and can only be recovered or purged",
    "ForbiddenByPolicy": "purge protection is on: Key Vault purges the secret on its scheduled date, nobody can before",
    "Throttled": "the vault throttled the request until the time for it was over",
}


def _path(name: str, area: str = "secrets", version: str = "") -> str:
    return f"/{area}/{quote(name)}" + (f"/{version}" if version else "") + f"?api-version={API_VERSION}"


def _version(body: dict[str, Any]) -> str:
    parts = str(body.get("id", "")).rstrip("/").split("/")
    return parts[-1] if len(parts) > 5 else ""


def _current(item: dict[str, Any]) -> Current:
    """A list entry or an answer with a value."""
    attributes = item.get("attributes") or {}
    parts = str(item["id"]).split("/")
    metadata = Metadata(
        content_type=item.get("contentType") or None,
        tags=item.get("tags") or {},
        enabled=bool(attributes.get("enabled", True)),
        not_before=attributes.get("nbf"),
        expires=attributes.get("exp"),
    )
    return Current(
        name=parts[4],
        metadata=metadata,
        created=int(attributes.get("created") or 0),
        updated=int(attributes.get("updated") or 0),
        managed=bool(item.get("managed")),
        version=_version(item) or None,
        value=item.get("value"),
    )


def _attributes(metadata: Metadata, *, clear: bool) -> dict[str, Any]:
    """`clear` sends null for times that are not set, so that an update removes them."""
    content: dict[str, Any] = {"enabled": metadata.enabled}
    for name, moment in (("nbf", metadata.not_before), ("exp", metadata.expires)):
        if moment is not None or clear:
            content[name] = moment
    return content
