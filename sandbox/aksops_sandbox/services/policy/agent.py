"""The Azure Policy add-on of one cluster, played: brings the assigned policies into it, and audits what is there."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aksops_sandbox.engines.kubernetes import Client, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path
from aksops_sandbox.services import shapes

from . import admission, constraints
from .constraints import Constraint

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_EVERY = 1.0
_AUDIT_EVERY = 60.0
#: The API server takes a moment to load a policy, longer under load: the audits after a change come sooner.
_FRESH = 30.0
_AUDIT_FRESH = 3.0
_SELECTOR = ",".join(f"{key}={value}" for key, value in admission.LABELS.items())
_POLICIES = path(admission.VERSION, "validatingadmissionpolicies")
_BINDINGS = path(admission.VERSION, "validatingadmissionpolicybindings")


@dataclass(frozen=True)
class Violation:
    """An object that does not comply, and what the policy says of it."""

    kind: str
    namespace: str
    name: str
    message: str


@dataclass
class Audit:
    """What the newest audit found: violations by the key of a constraint."""

    time: str = ""
    constraints: dict[str, Constraint] = field(default_factory=dict)
    violations: dict[str, list[Violation]] = field(default_factory=dict)


class PolicyAgent:
    """The player of one cluster; an assignment, and its end, counts there after `ctx.policy_delay` seconds."""

    def __init__(self, ctx: Sandbox, cluster_id: str, client: Client) -> None:
        self._ctx = ctx
        self._cluster_id = cluster_id
        self._client = client
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._applied: dict[str, str] | None = None
        self._held: dict[str, Constraint] = {}
        self._pending: dict[str, tuple[str, float]] = {}
        self._next_audit = 0.0
        self._changed = 0.0
        self.audit = Audit()
        self._thread = threading.Thread(target=self._run, name="azure policy agent", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()

    def evaluate(self) -> None:
        """Audit now. Raises OSError or KubernetesError."""
        with self._lock:
            self._audit()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            try:
                with self._lock:
                    self._turn()
            except (OSError, KubernetesError):
                self._ended.wait(2)
            except Exception:  # the player must outlive any single policy
                traceback.print_exc()
                self._ended.wait(5)

    # The policies ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        cluster = self._ctx.store.get(self._cluster_id)
        profiles = (cluster.properties.get("addonProfiles") or {}) if cluster else {}
        enabled = any(
            name.lower() == "azurepolicy" and (profile or {}).get("enabled") for name, profile in profiles.items()
        )
        found = constraints.reach(self._ctx.store, cluster) if cluster is not None and enabled else []
        wanted = {item.key: item for item in found}
        if self._applied is None:
            self._applied = self._read()
        if self._bring(wanted):
            self._changed = time.monotonic()
            self._next_audit = self._changed + _AUDIT_FRESH
        if not enabled:
            self.audit = Audit()
        elif not self._pending and time.monotonic() >= self._next_audit:
            self._audit()

    def _read(self) -> dict[str, str]:
        """Key -> digest of what an earlier run of the sandbox has left in the cluster."""
        found = {}
        for item in self._client.list(_POLICIES, labelSelector=_SELECTOR):
            metadata = item["metadata"]
            found[metadata["name"].rsplit("-", 1)[-1]] = (metadata.get("annotations") or {}).get(admission.DIGEST, "")
        return found

    def _bring(self, wanted: dict[str, Constraint]) -> bool:
        """Apply and remove what has waited long enough; True where something changed."""
        assert self._applied is not None
        delay = self._ctx.policy_delay
        changed = False
        for key in {*wanted, *self._applied}:
            target = wanted[key].digest if key in wanted else ""
            if self._applied.get(key, "") == target:
                self._pending.pop(key, None)
                if target:
                    self._held[key] = wanted[key]
                continue
            waits = self._pending.get(key)
            if waits is None or waits[0] != target:
                waits = self._pending[key] = (target, time.monotonic())
            if time.monotonic() - waits[1] < delay:
                continue
            if key in wanted:
                for manifest in admission.manifests(wanted[key]):
                    self._client.apply(manifest)
                self._applied[key], self._held[key] = target, wanted[key]
            else:
                self._remove(key)
                del self._applied[key]
                self._held.pop(key, None)
            self._pending.pop(key)
            changed = True
        return changed

    def _remove(self, key: str) -> None:
        for collection in (_BINDINGS, _POLICIES):
            for item in self._client.list(collection, labelSelector=_SELECTOR):
                if item["metadata"]["name"].endswith(f"-{key}"):
                    self._client.delete(f"{collection}/{item['metadata']['name']}")

    # The audit -------------------------------------------------------------------------------------------------------

    def _audit(self) -> None:
        """Ask the audit's policies about every object they concern, by updates that change and store nothing."""
        now = time.monotonic()
        self._next_audit = now + (_AUDIT_FRESH if now - self._changed < _FRESH else _AUDIT_EVERY)
        held = dict(self._held)
        by_name = {admission.audit_name(item): key for key, item in held.items()}
        found: dict[str, list[Violation]] = {key: [] for key in held}
        for group, plural in sorted(constraints.resources(held.values())):
            version = f"{group}/v1" if group else "v1"
            answer = self._client.request("GET", path(version, plural))
            kind = answer["kind"].removesuffix("List")
            for item in answer.get("items") or []:
                metadata = item["metadata"]
                if metadata["namespace"] in admission.EXEMPT or metadata.get("deletionTimestamp"):
                    continue
                item |= {"apiVersion": version, "kind": kind}
                warnings = self._warnings(path(version, plural, metadata["namespace"], metadata["name"]), item)
                for name, message in admission.violations(warnings).items():
                    if name in by_name:
                        violation = Violation(kind, metadata["namespace"], metadata["name"], message)
                        found[by_name[name]].append(violation)
        self.audit = Audit(shapes.now(), held, found)

    def _warnings(self, target: str, item: dict[str, Any]) -> list[str]:
        for _attempt in range(3):
            try:
                return self._client.warnings(target, item, admission.AUDITOR)
            except KubernetesError as error:
                if error.status not in (404, 409):
                    raise
                newer = self._client.get(target)
                if newer is None:
                    return []
                item = newer
        return []
