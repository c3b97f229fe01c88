# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""One seeding run: list, read what is needed, plan, and (outside of check mode) carry the plan out concurrently."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import KeyVaultError, VaultClient
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_plan import (
    Change,
    Current,
    Desired,
    Metadata,
    Settings,
    decide,
    expired_versions,
    format_time,
    order,
    prune,
    referenced,
    refusals,
    rotation_due,
    wants_value,
)
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_values import (
    Generator,
    Template,
    ValueSourceError,
    size_problem,
)


@dataclass(frozen=True)
class Source:
    """Where the value of one secret comes from (one field or none), and the Azure resource that gets it too."""

    text: str | None = field(default=None, repr=False)
    generator: Generator | None = None
    template: Template | None = field(default=None, repr=False)
    arm: Mapping[str, str] | None = None
    apply_to: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Pruning:
    """Deletion of owned secrets that are not named: at most `maximum`, only names that `match`."""

    match: str | None = None
    maximum: int = 5


@dataclass
class Outcome:
    """What happened, or would happen, to one secret. `touched`: something was written before an error."""

    change: Change
    version: str | None = None
    error: AksPlatformError | None = None
    touched: bool = False

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {
            "name": self.change.name,
            "action": "failed" if self.error else self.change.action,
            "changed_fields": list(self.change.fields),
        }
        if self.version:
            row["version"] = self.version
        if self.change.note:
            row["note"] = self.change.note
        return row


@dataclass
class Report:
    """The outcomes of a run, in the order in which the secrets were named; pruned ones follow."""

    outcomes: list[Outcome]

    @property
    def changed(self) -> bool:
        return any(outcome.touched if outcome.error else outcome.change.changed for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error]

    def summary(self) -> dict[str, int]:
        """How many secrets met which fate."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            action = "failed" if outcome.error else outcome.change.action
            counts[action] = counts.get(action, 0) + 1
        return counts

    def table(self) -> str:
        """The failures, one a line: name, action, HTTP status, codes, request id."""
        lines = []
        for outcome in self.failures:
            error = outcome.error
            status = getattr(error, "status", 0) or "-"
            code = "/".join(filter(None, (getattr(error, "code", ""), getattr(error, "inner", "")))) or "-"
            request_id = getattr(error, "request_id", "") or "-"
            lines.append(f"  {outcome.change.name}: {outcome.change.action}, {status} {code}, {request_id}: {error}")
        return "\n".join(lines)

    def diff(self) -> dict[str, Any]:
        """Metadata before and after of what changes; a value is only ever '(differs)'."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        for outcome in self.outcomes:
            change = outcome.change
            if not change.changed:
                continue
            if change.before is not None:
                before[change.name] = change.before.shown()
            if change.after is not None and change.action not in ("deleted", "purged"):
                after[change.name] = change.after.shown()
                if change.write:
                    after[change.name]["value"] = "(differs)" if change.before is not None else "(new)"
        return {"before": before, "after": after}


class Run:
    """Brings a vault's secrets to what is wanted.

    Args:
        client: of the vault.
        wanted: validated secrets (see _keyvault_plan.validate).
        sources: where the value of each comes from, by key.
        arm_value: reads one value from Azure Resource Manager (listKeys).
        apply_value: sets one value on an Azure resource.
        concurrency: requests at a time.
        now: seconds since the epoch; replaced in tests.
    """

    def __init__(
        self,
        client: VaultClient,
        wanted: list[Desired],
        sources: Mapping[str, Source],
        settings: Settings,
        *,
        pruning: Pruning | None = None,
        recover: bool = True,
        arm_value: Callable[[Mapping[str, str]], str] | None = None,
        apply_value: Callable[[Mapping[str, str], str], None] | None = None,
        concurrency: int = 16,
        check_mode: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._wanted = wanted
        self._by_key = {item.key: item for item in wanted}
        self._sources = sources
        self._settings = settings
        self._pruning = pruning
        self._recover = recover
        self._arm_value = arm_value
        self._apply_value = apply_value
        self._concurrency = concurrency
        self._check_mode = check_mode
        self._now = int(now())
        self._referenced = referenced(wanted)
        self._currents: dict[str, Current] = {}
        self._deleted: dict[str, Current] = {}
        self._values: dict[str, str] = {}
        self._problems: dict[str, AksPlatformError] = {}
        self._recovered: dict[str, Current] = {}
        self._pool: ThreadPoolExecutor | None = None

    def execute(self) -> Report:
        """The whole run. Raises AksPlatformError where nothing may be written at all."""
        with ThreadPoolExecutor(max_workers=self._concurrency, thread_name_prefix="keyvault") as pool:
            self._pool = pool
            self._look()
            self._refuse()
            if not self._check_mode:
                self._recover_first()
            self._resolve()
            plan = {item.key: self._decide(item) for item in self._wanted}
            pruned = self._prune()
            outcomes = self._report(plan, pruned) if self._check_mode else self._apply(plan, pruned)
        return Report(outcomes)

    # -- what is there -------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """One list pass; values that are needed are read while further pages are fetched."""
        reads: dict[str, Future[Current | None]] = {}
        arm: dict[str, Future[str]] | None = None
        external = {name for name in self._referenced if name not in self._by_key}
        for page in self._client.secrets():
            if arm is None:  # not before the first page: two threads must not import the same SDK at once
                arm = self._start_arm()
            for current in page:
                key = current.name.lower()
                item = self._by_key.get(key)
                self._currents[key] = current
                if item is None and key not in external:
                    continue
                need = wants_value(item, current, key in self._referenced, self._settings, self._now)
                if need != "no":
                    reads[key] = self._submit(self._client.get, current.name, wait=need == "must")
        missing = [item for item in self._wanted if item.key not in self._currents]
        if any(item.state == "present" or item.purge for item in missing):
            self._deleted = {current.name.lower(): current for current in self._client.deleted()}
        for key, future in reads.items():
            self._take_read(key, future)
        for key, future in (arm or {}).items():
            self._take_arm(key, future)

    def _submit(self, function: Callable[..., Any], *args: Any, **options: Any) -> Future[Any]:
        assert self._pool is not None
        return self._pool.submit(function, *args, **options)

    def _take_read(self, key: str, future: Future[Current | None]) -> None:
        try:
            found = future.result()
        except KeyVaultError as error:
            item = self._by_key.get(key)
            optional = item is not None and item.compare in ("fingerprint", "version") and key not in self._referenced
            if not (optional and error.status == 403) and error.inner != "SecretDisabled":
                hint = ""
                if error.status == 403 and item is not None and item.compare == "value":
                    hint = "; where values may not be read, use compare: fingerprint"
                self._problems[key] = KeyVaultError(
                    f"{error}{hint}",
                    status=error.status,
                    code=error.code,
                    inner=error.inner,
                    request_id=error.request_id,
                )
            return
        if found is None:
            self._currents.pop(key, None)
        else:
            self._currents[key] = replace(found, name=self._currents[key].name)

    def _start_arm(self) -> dict[str, Future[str]]:
        assert self._arm_value is not None or not any(source.arm for source in self._sources.values())
        return {
            key: self._submit(self._arm_value, source.arm)
            for key, source in self._sources.items()
            if source.arm is not None and self._by_key[key].state == "present" and self._arm_value is not None
        }

    def _take_arm(self, key: str, future: Future[str]) -> None:
        try:
            self._values[key] = future.result()
        except AksPlatformError as error:
            self._problems[key] = error

    def _refuse(self) -> None:
        """Stop before the first write where the task asks for something that must not be done."""
        problems = refusals(self._wanted, self._currents, self._settings)
        for name in sorted(self._referenced - set(self._by_key)):
            if name not in self._currents:
                users = ", ".join(item.name for item in self._wanted if name in item.references)
                problems.append(f"{users}: the template needs the secret '{name}', which is not in the vault")
        for item in self._wanted:
            gone = item.key in self._deleted and item.key not in self._currents
            if gone and item.state == "present" and not self._recover:
                problems.append(f"{item.name}: is soft-deleted and recover is off")
            absent = item.key not in self._currents and item.key not in self._deleted
            if absent and item.state == "present" and item.source == "none":
                problems.append(f"{item.name}: does not exist and has no source of a value")
        if problems:
            raise AksPlatformError("Nothing was changed. " + "; ".join(problems) + ".", problems=problems)

    def _recover_first(self) -> None:
        """Recover what is wanted and soft-deleted, so that its value can be compared in this same run."""
        gone = [item for item in self._wanted if self._is_gone(item)]

        def bring_back(item: Desired) -> Current | None:
            self._client.recover(item.name)
            found = self._client.get(item.name) if self._needs_value_after_recovery(item) else None
            return found or self._deleted[item.key]

        futures = {item.key: self._submit(bring_back, item) for item in gone}
        for key, future in futures.items():
            try:
                found = future.result()
            except KeyVaultError as error:
                self._problems[key] = error
                continue
            assert found is not None
            self._recovered[key] = self._deleted[key]
            self._currents[key] = found

    def _is_gone(self, item: Desired) -> bool:
        return item.state == "present" and item.key in self._deleted and item.key not in self._currents

    def _needs_value_after_recovery(self, item: Desired) -> bool:
        deleted = self._deleted[item.key]
        return wants_value(item, deleted, item.key in self._referenced, self._settings, self._now) != "no"

    # -- values --------------------------------------------------------------------------------------------------------

    def _resolve(self) -> None:
        """The wanted value of each secret, templates after what they need."""
        for wave in order(self._by_key):
            for key in wave:
                item, source = self._by_key[key], self._sources.get(key, Source())
                if item.state == "absent" or key in self._problems:
                    continue
                try:
                    self._resolve_one(key, item, source)
                except ValueSourceError as error:
                    self._problems[key] = AksPlatformError(f"{item.name}: {error}")

    def _resolve_one(self, key: str, item: Desired, source: Source) -> None:
        current = self._currents.get(key)
        if source.text is not None:
            self._values[key] = source.text
        elif source.generator is not None:
            if self._makes_value(item, current):
                self._values[key] = source.generator.make()
        elif source.template is not None:
            self._values_of_template(key, item, source.template)
        problem = size_problem(self._values[key]) if key in self._values else None
        if problem:
            raise ValueSourceError(problem)

    def _makes_value(self, item: Desired, current: Current | None) -> bool:
        if current is None:
            return not self._is_gone(item)
        return rotation_due(item, current, self._settings, self._now)

    def _values_of_template(self, key: str, item: Desired, template: Template) -> None:
        unknown = []
        broken = []

        def lookup(name: str) -> str:
            if name in self._problems:
                broken.append(name)
                return ""
            value = self._effective(name)
            if value is None:
                unknown.append(name)
            return value or ""

        text = template.render(lookup)
        if broken:
            raise ValueSourceError(f"needs {', '.join(broken)}, which failed")
        if not unknown:
            self._values[key] = text
        elif not self._check_mode:
            raise ValueSourceError(f"needs the value of {', '.join(unknown)}, which cannot be read (disabled?)")

    def _effective(self, name: str) -> str | None:
        """The value that a secret will have after this run."""
        item, current = self._by_key.get(name), self._currents.get(name)
        if item is not None and name in self._values and not (item.compare == "exists" and current is not None):
            return self._values[name]
        return current.value if current is not None else None

    # -- the plan ------------------------------------------------------------------------------------------------------

    def _decide(self, item: Desired) -> Change:
        current, deleted = self._currents.get(item.key), self._deleted.get(item.key)
        change = decide(item, current, deleted, self._values.get(item.key), self._settings, self._now)
        gone = self._recovered.get(item.key)
        if gone is not None:
            fields = ("state", *change.fields)
            return replace(change, action="recovered", fields=fields, before=gone.metadata)
        return change

    def _prune(self) -> list[Change]:
        if self._pruning is None:
            return []
        found = prune(self._wanted, self._currents, self._settings, self._pruning.match)
        if len(found) > self._pruning.maximum:
            names = ", ".join(change.name for change in found[:20])
            raise AksPlatformError(
                f"Nothing was changed. {len(found)} owned secrets are not wanted any more, more than prune.max "
                f"({self._pruning.maximum}) allows to delete: {names}."
            )
        return found

    def _report(self, plan: Mapping[str, Change], pruned: list[Change]) -> list[Outcome]:
        """The outcomes of a check-mode run: what would be done, and what would fail already now."""
        named = [Outcome(plan[item.key], None, self._problems.get(item.key)) for item in self._wanted]
        return [*named, *(Outcome(change) for change in pruned)]

    # -- carrying it out -----------------------------------------------------------------------------------------------

    def _apply(self, plan: Mapping[str, Change], pruned: list[Change]) -> list[Outcome]:
        done: dict[str, Outcome] = {}
        for wave in order(self._by_key):
            futures = {}
            for key in wave:
                item, change = self._by_key[key], plan[key]
                broken = [name for name in item.references if name in done and done[name].error]
                if key in self._problems:
                    done[key] = Outcome(change, None, self._problems[key])
                elif broken and change.write:
                    names = ", ".join(done[name].change.name for name in broken)
                    done[key] = Outcome(change, None, AksPlatformError(f"not written, since {names} failed"))
                elif not change.changed:
                    current = self._currents.get(key)
                    done[key] = Outcome(change, current.version if current else None)
                else:
                    futures[key] = self._submit(self._carry_out, item, change)
            for key, future in futures.items():
                done[key] = future.result()
        extra = [self._submit(self._delete, change, False) for change in pruned]
        return [*(done[item.key] for item in self._wanted), *(future.result() for future in extra)]

    def _carry_out(self, item: Desired, change: Change) -> Outcome:
        if change.action in ("deleted", "purged"):
            return self._delete(change, item.purge)
        outcome = Outcome(change, touched=item.key in self._recovered)
        try:
            self._write(item, change, outcome)
        except AksPlatformError as error:
            outcome.error = error
        return outcome

    def _write(self, item: Desired, change: Change, outcome: Outcome) -> None:
        current = self._currents.get(item.key)
        assert change.after is not None
        if change.write:
            created = current.created if current else None
            try:
                outcome.version = self._client.set(item.name, self._values[item.key], change.after, created)
            except KeyVaultError as error:
                if error.inner != "ObjectIsDeletedButRecoverable" or not self._recover:
                    raise
                self._client.recover(item.name)
                outcome.version = self._client.set(item.name, self._values[item.key], change.after, created)
            outcome.touched = True
        elif current is not None and current.metadata.changed(change.after):
            outcome.version = self._client.update(item.name, change.after)
            outcome.touched = True
            if change.recheck:
                self._recheck(item, outcome)
                return
        self._follow_up(item, outcome)

    def _hand_over(self, item: Desired, outcome: Outcome) -> None:
        """Set the value on its Azure resource, then say so in the tags: it is done, and where."""
        change, target = outcome.change, self._sources[item.key].apply_to
        current = self._currents.get(item.key)
        value = self._values.get(item.key) if change.write else current.value if current else None
        assert change.after is not None
        if target is None or self._apply_value is None:
            return
        if value is None:
            # It could not be read before: the secret was disabled or deleted until now.
            found = self._client.get(item.name)
            value = found.value if found else None
        if value is None:
            return
        self._apply_value(target, value)
        outcome.touched = True
        pending = self._settings.tag("apply-pending")
        tags = {name: text for name, text in change.after.tags.items() if name != pending}
        after = replace(change.after, tags={**tags, self._settings.tag("applied-to"): item.applied_to})
        outcome.version = self._client.update(item.name, after)
        outcome.change = replace(change, after=after)

    def _recheck(self, item: Desired, outcome: Outcome) -> None:
        """Compare the value of a secret that was disabled until now, and write it where it differs."""
        found = self._client.get(item.name)
        if found is None:
            return
        change = decide(item, found, None, self._values.get(item.key), self._settings, self._now)
        if change.write and change.after is not None:
            outcome.version = self._client.set(item.name, self._values[item.key], change.after, found.created)
            fields = tuple(dict.fromkeys(("value", *outcome.change.fields)))
            outcome.change = replace(change, fields=fields, before=outcome.change.before)
            self._follow_up(item, outcome)
        elif outcome.change.apply:
            self._hand_over(item, outcome)

    def _follow_up(self, item: Desired, outcome: Outcome) -> None:
        """What comes after the write itself: the Azure resource, then older versions."""
        if outcome.change.apply:
            self._hand_over(item, outcome)
        if outcome.change.expire is not None:
            self._expire(item, outcome)

    def _expire(self, item: Desired, outcome: Outcome) -> None:
        """Disable older versions that were superseded long enough ago; the tag says when the next one is due."""
        change = outcome.change
        assert change.after is not None
        assert item.disable_previous_after is not None
        tag = self._settings.tag("overlap-until")
        if change.write and item.disable_previous_after > 0:
            return
        versions = self._client.versions(item.name)
        due, upcoming = expired_versions(versions, item.disable_previous_after, self._now + 1)
        for version in due:
            self._client.disable_version(item.name, version)
        tags = {name: text for name, text in change.after.tags.items() if name != tag}
        if upcoming is not None:
            tags[tag] = format_time(upcoming) or ""
        after: Metadata = replace(change.after, tags=tags)
        if after.changed(change.after):
            outcome.version = self._client.update(item.name, after)
        fields = tuple(dict.fromkeys((*change.fields, "previous_versions"))) if due else change.fields
        outcome.change = replace(change, after=after, fields=fields)

    def _delete(self, change: Change, purge: bool) -> Outcome:
        outcome = Outcome(change)
        try:
            if change.name.lower() in self._currents:
                self._client.delete(change.name)
                outcome.touched = True
            if purge:
                self._client.purge(change.name)
        except AksPlatformError as error:
            outcome.error = error
        return outcome
