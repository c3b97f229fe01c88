"""The data plane: https://<vault>.vault.azure.net."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cryptography.fernet import Fernet

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.http.message import Principal, Request, Response
from aksops_sandbox.services.keyvault import certificates, keys, render
from aksops_sandbox.services.keyvault.access import Access
from aksops_sandbox.services.keyvault.secrets import Policy, SecretSpace
from aksops_sandbox.services.keyvault.throttle import VaultLimits

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

HOST = r"[a-z0-9-]+\.vault\.azure\.net"
VAULT_TYPE = "Microsoft.KeyVault/vaults"
PAGE = 25
_API_VERSION = re.compile(r"^(2016-10-01|7\.\d(-preview\.\d+)?|20(2[5-9]|[3-9]\d)-\d\d-\d\d(-preview)?)$")


class Call:
    """One authenticated request on one vault."""

    def __init__(self, plane: DataPlane, ctx: Sandbox, request: Request, vault: Resource, principal: Principal) -> None:
        self.plane = plane
        self.ctx = ctx
        self.request = request
        self.vault = vault
        self.principal = principal
        self.host = request.host
        self.policy = plane.policy(vault)
        self.secrets = plane.space(ctx, vault.name.lower())
        self.certificates = certificates.CertificateSpace(
            ctx.store.table("keyvault-certificates"), vault.name.lower(), self.secrets
        )
        self.keys = keys.KeySpace(ctx.store.table("keyvault-keys"), vault.name.lower(), self.certificates)

    def require(self, verb: str, name: str = "", kind: str = "secrets") -> None:
        self.plane.access.require(self.ctx, self.principal, self.vault, kind, name, verb)

    def page(self, entries: list[dict[str, Any]], shape: Callable[[dict[str, Any]], dict[str, Any]]) -> Response:
        """One page of a list; the next link carries the port, as the service's does."""
        try:
            size = max(1, min(PAGE, int(self.request.query.get("maxresults", PAGE))))
            start = int(base64.urlsafe_b64decode(self.request.query.get("$skiptoken", "MA==")))
        except ValueError:
            raise AzureError(400, "BadParameter", "maxresults or $skiptoken is not valid.") from None
        link = None
        if start + size < len(entries):
            token = quote(base64.urlsafe_b64encode(str(start + size).encode()).decode())
            version = self.request.api_version
            link = (
                f"https://{self.host}:443{self.request.path}?api-version={version}&$skiptoken={token}&maxresults={size}"
            )
        return Response.json(
            200, {"value": [shape(entry) for entry in entries[start : start + size]], "nextLink": link}
        )


class DataPlane:
    """Authenticates, limits and routes the requests of all vaults.

    Args:
        clock: seconds since the epoch, for the dates of secrets.
        monotonic: seconds, for limits.
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self.access = Access()
        self._limits: dict[str, VaultLimits] = {}
        self._spaces: dict[str, SecretSpace] = {}
        self._lock = threading.Lock()

    def policy(self, vault: Resource) -> Policy:
        """What the vault's settings decide for its objects."""
        return Policy(
            retention_days=int(vault.properties.get("softDeleteRetentionInDays") or 90),
            purge_protection=bool(vault.properties.get("enablePurgeProtection")),
            deletion_seconds=float(os.environ.get("AKSOPS_SANDBOX_KEYVAULT_DELETION_SECONDS", "1")),
            recovery_seconds=float(os.environ.get("AKSOPS_SANDBOX_KEYVAULT_RECOVERY_SECONDS", "1")),
        )

    def space(self, ctx: Sandbox, vault: str) -> SecretSpace:
        """The secrets of a vault by its lower-case name."""
        with self._lock:
            if vault not in self._spaces:
                settings = ctx.store.table("keyvault-settings")
                if "backup-key" not in settings:
                    settings["backup-key"] = Fernet.generate_key().decode()
                rows = ctx.store.table("keyvault-secrets")
                self._spaces[vault] = SecretSpace(rows, vault, settings["backup-key"].encode(), self._clock)
            return self._spaces[vault]

    def erase(self, ctx: Sandbox, vault: str) -> None:
        """Forget the objects of a purged vault."""
        secrets = self.space(ctx, vault)
        secrets.erase()
        space = certificates.CertificateSpace(ctx.store.table("keyvault-certificates"), vault, secrets)
        keys.KeySpace(ctx.store.table("keyvault-keys"), vault, space).erase()
        space.erase()

    def handle(self, ctx: Sandbox, request: Request) -> Response:
        """Answer one request, with the headers that each answer of the service carries."""
        headers = {
            "x-ms-keyvault-region": "westeurope",
            "x-ms-request-id": str(uuid.uuid4()),
            "x-ms-keyvault-service-version": "1.9.2000.1",
            "Cache-Control": "no-cache",
        }
        try:
            response = self._handle(ctx, request)
        except AzureError as error:
            response = Response.json(error.status, error.body(), error.headers)
        response.headers.update(headers)
        return response

    def _handle(self, ctx: Sandbox, request: Request) -> Response:
        vault = self._vault(ctx, request.host)
        self.access.check_network(ctx, request, vault)
        principal = self.access.principal(ctx, request)
        if not _API_VERSION.match(request.api_version):
            raise AzureError(
                400, "BadParameter", f"The specified version ({request.api_version or 'none'}) is not recognized."
            )
        parts = [part for part in request.path.split("/") if part]
        write = (request.method == "PUT" and parts[:1] == ["secrets"]) or (
            request.method == "POST" and parts[:1] in (["certificates"], ["keys"])
        )
        with self._lock:
            limits = self._limits.setdefault(vault.id.lower(), VaultLimits(self._monotonic))
        if not limits.take(write):
            raise AzureError(
                429,
                "Throttled",
                "Request was not processed because too many requests were received. Reason: "
                "VaultRequestTypeLimitReached",
                inner={"code": "VaultRequestTypeLimitReached"},
            )
        call = Call(self, ctx, request, vault, principal)
        return _route(call, request.method, parts)

    @staticmethod
    def _vault(ctx: Sandbox, host: str) -> Resource:
        name = host.split(".")[0].lower()
        for vault in ctx.store.list(type=VAULT_TYPE):
            if vault.name.lower() == name:
                return vault
        raise AzureError(
            404, "VaultNotFound", f"There is no vault '{name}' in this sandbox; on Azure its name would not resolve."
        )


def _route(call: Call, method: str, parts: list[str]) -> Response:
    area = parts[0] if parts else ""
    handler = {
        "secrets": _secrets,
        "deletedsecrets": _deleted_secrets,
        "certificates": _certificates,
        "deletedcertificates": _deleted_certificates,
        "keys": _keys,
        "deletedkeys": _deleted_keys,
    }.get(area)
    answer = handler(call, method, parts[1:]) if handler else None
    if answer is None:
        path = call.request.path
        raise AzureError(501, "NotImplemented", f"The sandbox's Key Vault has no route {method} {path}.")
    return answer


def _secrets(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.secrets
    match (method, *parts):
        case ("GET",):
            call.require("readMetadata/action")
            return call.page(space.list(), lambda found: render.item(host, found, policy, with_version=False))
        case ("POST", "restore"):
            call.require("restore/action")
            found = space.restore(call.request.json().get("value"), _subscription(call.vault))
            return Response.json(200, render.bundle(host, found, policy, value=False))
        case ("PUT", name):
            call.require("setSecret/action", name)
            found = space.set(name, call.request.json())
            return Response.json(200, render.bundle(host, found, policy, value=True))
        case ("DELETE", name):
            call.require("delete", name)
            return Response.json(200, render.deleted(host, space.delete(name, policy), policy, listed=False))
        case ("GET", name, "versions"):
            call.require("readMetadata/action", name)
            return call.page(space.versions(name), lambda found: render.item(host, found, policy, with_version=True))
        case ("POST", name, "backup"):
            call.require("backup/action", name)
            return Response.json(200, {"value": space.backup(name, _subscription(call.vault))})
        case ("GET", name, *rest) if len(rest) <= 1:
            call.require("getSecret/action", name)
            return Response.json(200, render.bundle(host, space.get(name, *rest), policy, value=True))
        case ("PATCH", name, *rest) if len(rest) <= 1:
            call.require("update/action", name)
            found = space.update(name, rest[0] if rest else "", call.request.json())
            return Response.json(200, render.bundle(host, found, policy, value=False))
    return None


def _deleted_secrets(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.secrets
    match (method, *parts):
        case ("GET",):
            call.require("readMetadata/action")
            return call.page(space.list_deleted(), lambda found: render.deleted(host, found, policy, listed=True))
        case ("GET", name):
            call.require("readMetadata/action", name)
            return Response.json(200, render.deleted(host, space.get_deleted(name), policy, listed=False))
        case ("DELETE", name):
            call.require("purge/action", name)
            space.purge(name, policy)
            return Response.empty(204)
        case ("POST", name, "recover"):
            call.require("recover/action", name)
            return Response.json(200, render.bundle(host, space.recover(name, policy), policy, value=False))
    return None


def _certificates(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.certificates
    match (method, *parts):
        case ("GET",):
            call.require("read", kind="certificates")
            return call.page(space.list(), lambda row: _certificate_item(host, row, policy, with_version=False))
        case ("POST", name, "create"):
            call.require("create/action", name, "certificates")
            row = space.create(name, call.request.json())
            location = f"{render.identifier(host, 'certificates', row['name'])}/pending"
            headers = {"Location": f"{location}?api-version={call.request.api_version}", "Retry-After": "1"}
            return Response.json(202, certificates.operation(host, row, "inProgress"), headers)
        case ("GET", name, "pending"):
            call.require("read", name, "certificates")
            return Response.json(200, certificates.operation(host, space.get(name)[0], "completed"))
        case ("GET", name, "policy"):
            call.require("read", name, "certificates")
            return Response.json(200, certificates.render_policy(host, space.get(name)[0]))
        case ("GET", name, "versions"):
            call.require("read", name, "certificates")
            row, _ = space.get(name)
            rows = [{**row, "versions": [version]} for version in row["versions"]]
            return call.page(rows, lambda entry: _certificate_item(host, entry, policy, with_version=True))
        case ("GET", name, *rest) if len(rest) <= 1:
            call.require("read", name, "certificates")
            return Response.json(200, certificates.render(host, *space.get(name, *rest), policy))
        case ("DELETE", name):
            call.require("delete", name, "certificates")
            return Response.json(200, _deleted_certificate(host, space.delete(name, policy), policy))
    return None


def _deleted_certificates(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.certificates
    match (method, *parts):
        case ("GET", name):
            call.require("read", name, "certificates")
            return Response.json(200, _deleted_certificate(host, space.get_deleted(name), policy))
        case ("DELETE", name):
            call.require("purge/action", name, "certificates")
            space.purge(name, policy)
            return Response.empty(204)
        case ("POST", name, "recover"):
            call.require("recover/action", name, "certificates")
            row = space.recover(name, policy)
            return Response.json(200, certificates.render(host, row, row["versions"][-1], policy))
    return None


def _keys(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.keys
    match (method, *parts):
        case ("GET",):
            call.require("read", kind="keys")
            return call.page(space.list(), lambda found: keys.item(host, found, policy, with_version=False))
        case ("POST", name, "create"):
            call.require("create/action", name, "keys")
            return Response.json(200, keys.render(host, space.create(name, call.request.json()), policy))
        case ("GET", name, "versions"):
            call.require("read", name, "keys")
            return call.page(space.versions(name), lambda found: keys.item(host, found, policy, with_version=True))
        case ("GET", name, *rest) if len(rest) <= 1:
            call.require("read", name, "keys")
            return Response.json(200, keys.render(host, space.get(name, *rest), policy))
        case ("DELETE", name):
            call.require("delete", name, "keys")
            return Response.json(200, keys.render(host, space.delete(name, policy), policy))
    return None


def _deleted_keys(call: Call, method: str, parts: list[str]) -> Response | None:
    host, policy, space = call.host, call.policy, call.keys
    match (method, *parts):
        case ("GET", name):
            call.require("read", name, "keys")
            return Response.json(200, keys.render(host, space.get_deleted(name), policy))
        case ("DELETE", name):
            call.require("purge/action", name, "keys")
            space.purge(name, policy)
            return Response.empty(204)
        case ("POST", name, "recover"):
            call.require("recover/action", name, "keys")
            return Response.json(200, keys.render(host, space.recover(name), policy))
    return None


def _certificate_item(host: str, row: dict[str, Any], policy: Policy, *, with_version: bool) -> dict[str, Any]:
    content = certificates.render(host, row, row["versions"][-1], policy)
    if not with_version:
        content["id"] = render.identifier(host, "certificates", row["name"])
    return {key: content[key] for key in ("id", "x5t", "attributes", "tags")}


def _deleted_certificate(host: str, row: dict[str, Any], policy: Policy) -> dict[str, Any]:
    content = certificates.render(host, row, row["versions"][-1], policy)
    gone = row["deleted"]
    return {
        **content,
        "recoveryId": render.identifier(host, "deletedcertificates", row["name"]),
        "deletedDate": gone.get("deletedDate"),
        "scheduledPurgeDate": gone.get("scheduledPurgeDate"),
    }


def _subscription(vault: Resource) -> str:
    return vault.id.split("/")[2].lower()
