"""A vault in this process, behind the transport interface of the collection's client: real semantics, no sockets.

Its clock moves only when somebody sleeps, so that waits of minutes cost nothing.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.network_access import NetworkAccess
from aksops_sandbox.azure.rbac import Rbac
from aksops_sandbox.azure.store import Resource, Store
from aksops_sandbox.http.message import Request
from aksops_sandbox.services.keyvault.control import VaultType
from aksops_sandbox.services.keyvault.data import DataPlane
from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_task
from ansible_collections.aksops.platform.plugins.module_utils._keyvault import Report
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import VaultClient
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_http import LostAnswerError, Reply

TENANT = "11111111-1111-1111-1111-111111111111"
CALLER = "22222222-2222-2222-2222-222222222222"
VAULT = (
    "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-unit"
)
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
READER = "21090545-7ca7-4776-b22c-e363652d74d2"
URI = "https://kv-unit.vault.azure.net"
WRITES = {"PUT", "PATCH", "DELETE", "POST"}


class Clock:
    """Seconds since the epoch; `sleep` moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += max(seconds, 0.001)


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the module may catch it."""


@dataclass
class Faults:
    """What goes wrong: a share of the requests, chosen by a seed, or everything from one request on."""

    rate: float = 0.0
    seed: int = 0
    kill_at: int | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self.count = 0

    def draw(self) -> str | None:
        """The kind of fault that hits this request, or None."""
        with self._lock:
            self.count += 1
            if self.kill_at is not None and self.count >= self.kill_at:
                return "kill"
            if self._random.random() >= self.rate:
                return None
            return self._random.choice(["429", "500", "503", "reset", "lost", "lost-500", "timeout"])


class LocalVault:
    """A vault with its data plane, and a transport to it."""

    uri = URI

    def __init__(self, role: str | None = OFFICER, **properties: Any) -> None:
        self.clock = Clock()
        self.store = Store(Path(":memory:"))
        claims = {"oid": CALLER, "tid": TENANT, "exp": 4_000_000_000}
        self.ctx: Any = SimpleNamespace(
            store=self.store,
            rbac=Rbac(self.store),
            network=NetworkAccess(self.store),
            tokens=SimpleNamespace(tenant_id=TENANT, verify=lambda token, audiences: claims),
        )
        vault = Resource(VAULT, "kv-unit", VaultType.type, "westeurope", {}, {"sku": {"name": "standard"}})
        vault.properties.update(tenantId=TENANT, **properties)
        VaultType().prepare(self.ctx, vault, None)
        self.store.put(vault)
        self.plane = DataPlane(self.clock, self.clock)
        if role:
            self.grant(role)
        self.faults = Faults()
        self.seen: Counter[str] = Counter()
        self.paths: list[str] = []
        self.vantage = "inside"
        self._lock = threading.Lock()

    def grant(self, role: str) -> None:
        """Assign a role on the vault to the caller."""
        self.ctx.rbac.assign(CALLER, role, VAULT)

    # The transport's interface.

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        """One request, with the faults in force."""
        fault = self.faults.draw()
        if fault == "kill":
            raise KilledError
        if fault in ("reset", "timeout"):
            raise LostAnswerError(fault)
        if fault in ("429", "500", "503"):
            return Reply(int(fault), {}, {"error": {"code": fault, "message": "injected"}})
        reply = self.answer(method, path, headers, body)
        if fault == "lost":
            raise LostAnswerError(fault)
        if fault == "lost-500":
            return Reply(500, {}, {"error": {"code": "500", "message": "injected after the work"}})
        return reply

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Reply:
        """One request without faults."""
        parts = urlsplit(path)
        with self._lock:
            self.seen[method] += 1
            self.paths.append(f"{method} {parts.path}")
        request = Request(
            method,
            "kv-unit.vault.azure.net",
            443,
            parts.path,
            dict(parse_qsl(parts.query)),
            {name.lower(): text for name, text in headers.items()},
            body or b"",
            self.vantage,
        )
        try:
            response = self.plane.handle(self.ctx, request)
        except AzureError as error:
            return Reply(error.status, {}, error.body())
        content = json.loads(response.body) if response.body else {}
        return Reply(response.status, {name.lower(): text for name, text in response.headers.items()}, content)

    # What tests look at, past all authorization.

    @property
    def space(self) -> Any:
        return self.plane.space(self.ctx, "kv-unit")

    def values(self, name: str) -> list[str]:
        """The values of all versions, oldest first ([] where the secret is not live)."""
        row = self.space.find(name)
        return [] if row is None or row.get("deleted") else [version["value"] for version in row["versions"]]

    def newest(self, name: str) -> dict[str, Any]:
        """The newest version's fields."""
        return self.space.find(name)["versions"][-1]

    def put(self, name: str, value: str, **fields: Any) -> None:
        """Write a version as somebody else."""
        self.space.set(name, {"value": value, **fields})

    def remove(self, name: str) -> None:
        """Soft-delete a secret as somebody else, and wait until that has ended."""
        vault = self.store.get(VAULT)
        assert vault is not None
        self.space.delete(name, self.plane.policy(vault))
        self.clock.sleep(10)

    def writes(self) -> int:
        """Requests that change something, so far."""
        return sum(count for method, count in self.seen.items() if method in WRITES)

    def client(self, **options: Any) -> VaultClient:
        """A client of this vault with this vault's clock."""
        token = SimpleNamespace(token="token", expires_on=4_000_000_000)
        credential = SimpleNamespace(get_token=lambda *scopes, **kwargs: token)
        return VaultClient(self, lambda: credential, clock=self.clock, sleep=self.clock.sleep, **options)


def item(name: str, **options: Any) -> dict[str, Any]:
    """A secret's parameters with the defaults that Ansible fills in."""
    return {"name": name, **options}


def generate(**options: Any) -> dict[str, Any]:
    """The parameters of a generator with Ansible's defaults."""
    return {"length": 32, "alphabet": "alphanumeric", "require_each": True, **options}


def seed(
    vault: LocalVault,
    secrets: list[dict[str, Any]],
    *,
    check_mode: bool = False,
    client: VaultClient | None = None,
    arm_value: Callable[[Any], str] | None = None,
    apply_value: Callable[[Any, str], None] | None = None,
    **options: Any,
) -> Report:
    """One run of the module's work on a vault."""
    params = {"secrets": secrets, "concurrency": 8, "compare": "value", **options}
    wanted, sources, common = _keyvault_task.interpret(params, "kv-unit.vault.azure.net", params.pop("environ", {}))
    pruning = params.get("prune")
    run = _keyvault_task.Run(
        client or vault.client(),
        wanted,
        sources,
        common,
        pruning=_keyvault_task.Pruning(pruning.get("match"), pruning["max"]) if pruning else None,
        recover=params.get("recover", True),
        arm_value=arm_value or (lambda options: ""),
        apply_value=apply_value,
        concurrency=params["concurrency"],
        check_mode=check_mode,
        now=vault.clock,
    )
    return run.execute()


def actions(report: Report) -> dict[str, str]:
    """Action by name; `failed` where there was an error."""
    return {row["name"]: row["action"] for row in (outcome.row() for outcome in report.outcomes)}
