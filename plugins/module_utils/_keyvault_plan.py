# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""What has to be done to a vault's secrets: pure functions of what is wanted and what is there."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NAME = re.compile(r"^[0-9a-zA-Z-]{1,127}$")
MAXIMUM_TAGS = 15
MAXIMUM_TAG_LENGTH = 256
MAXIMUM_CONTENT_TYPE = 255
NEVER = -1
_DURATION = re.compile(r"^(\d+)\s*([smhdw])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
OWN_TAGS = ("owner", "fingerprint", "version", "overlap-until", "apply-pending", "applied-to")
WRITES = frozenset(
    {"created", "new_version", "metadata", "recovered", "applied", "deleted", "purged", "expired_previous"}
)


def parse_time(text: str) -> int:
    """Seconds since the epoch of an ISO 8601 time with a zone, or NEVER for `never`. Raises ValueError."""
    if text.strip().lower() == "never":
        return NEVER
    moment = datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace("z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    return int(moment.timestamp())


def format_time(seconds: int | None) -> str | None:
    """The UTC time in ISO 8601, or None."""
    if seconds is None:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_duration(text: str) -> int:
    """Seconds of `90d`, `12h`, `30m`, `45s` or `2w`. Raises ValueError."""
    match = _DURATION.match(text.strip().lower())
    if not match:
        raise ValueError("is not a duration such as 90d, 12h, 30m or 45s")
    return int(match[1]) * _SECONDS[match[2]]


@dataclass(frozen=True)
class Metadata:
    """Everything of a version but its value. Times are seconds since the epoch."""

    content_type: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None

    def shown(self) -> dict[str, Any]:
        """The form used in results and diffs."""
        return {
            "content_type": self.content_type,
            "tags": dict(sorted(self.tags.items())),
            "enabled": self.enabled,
            "not_before": format_time(self.not_before),
            "expires": format_time(self.expires),
        }

    def changed(self, other: Metadata) -> list[str]:
        """The names of the fields that differ."""
        names = ("content_type", "tags", "enabled", "not_before", "expires")
        return [name for name in names if _normal(getattr(self, name)) != _normal(getattr(other, name))]


def _normal(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else (value or None) if isinstance(value, str) else value


@dataclass(frozen=True)
class Current:
    """A secret as the vault's list shows it. `value` is None where it was not read; it is never printed."""

    name: str
    metadata: Metadata
    created: int = 0
    updated: int = 0
    managed: bool = False
    version: str | None = None
    value: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """What holds for all secrets of a run.

    Args:
        owner: who these secrets belong to; written as a tag.
        adopt: take over secrets that carry another owner's tag.
        prefix: of this module's own tags.
        purge_tags: remove tags that are not wanted.
        vault: the vault's host name, part of fingerprints.
        fingerprint_key, fingerprint_id: key of the HMAC and its public name.
    """

    owner: str | None = None
    adopt: bool = False
    prefix: str = "aksops"
    purge_tags: bool = False
    vault: str = ""
    fingerprint_key: bytes | None = field(default=None, repr=False)
    fingerprint_id: str = "1"

    def tag(self, name: str) -> str:
        """The full name of one of OWN_TAGS."""
        return f"{self.prefix}-{name}"

    def fingerprint(self, name: str, value: str) -> str:
        """HMAC-SHA256 of vault, name and value, cut to 128 bits; useless without the key."""
        if self.fingerprint_key is None:
            raise ValueError("no fingerprint key")
        text = "\n".join((self.vault.lower(), name.lower(), value)).encode()
        return f"v1:{self.fingerprint_id}:{hmac.new(self.fingerprint_key, text, hashlib.sha256).hexdigest()[:32]}"


@dataclass(frozen=True)
class Desired:
    """One secret as it should be. None means: not given, leave it as it is.

    Args:
        source: `value`, `file`, `env`, `generate`, `template`, `arm` or `none`.
        compare: `value`, `fingerprint`, `version` or `exists`.
        not_before, expires: seconds since the epoch; NEVER clears.
        rotate_after: seconds of age after which a generated value is replaced.
        disable_previous_after: seconds after which the versions before a new one are disabled.
        applied_to: the Azure resource on which the value is also set; tags tell whether this is still to be done.
        references: names (lower case) that a template needs.
    """

    name: str
    state: str = "present"
    source: str = "none"
    compare: str = "value"
    tags: Mapping[str, str] | None = None
    content_type: str | None = None
    enabled: bool | None = None
    not_before: int | None = None
    expires: int | None = None
    value_version: str | None = None
    rotate_after: int | None = None
    disable_previous_after: int | None = None
    purge: bool = False
    applied_to: str = ""
    references: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name.lower()

    @property
    def applies(self) -> bool:
        return bool(self.applied_to)

    @property
    def keeps_existing(self) -> bool:
        """True where a value that is there is good as it is, whatever it is."""
        return self.source == "generate" or self.compare == "exists"


@dataclass(frozen=True)
class Change:
    """What is to be done to one secret.

    `action` is one of unchanged, created, new_version, metadata, recovered, applied, expired_previous, deleted, purged.
    `write` says that a new version is needed, `apply` that the value has to be set on its Azure resource, and `recheck`
    that the value can be compared only after this change (a disabled or a deleted secret).
    """

    name: str
    action: str
    fields: tuple[str, ...] = ()
    before: Metadata | None = None
    after: Metadata | None = None
    write: bool = False
    recheck: bool = False
    expire: int | None = None
    note: str = ""
    apply: bool = False

    @property
    def changed(self) -> bool:
        return self.action in WRITES


def validate(wanted: Iterable[Desired], settings: Settings) -> list[str]:
    """Everything that is wrong with the wanted secrets, as sentences."""
    problems: list[str] = []
    seen: dict[str, str] = {}
    items = list(wanted)
    for item in items:
        problems.extend(f"{item.name}: {text}" for text in _problems(item, settings))
        if item.key in seen:
            other = seen[item.key]
            more = "" if other == item.name else f" (as {other}; names are compared without case)"
            problems.append(f"{item.name}: is named twice{more}")
        seen[item.key] = item.name
    by_key = {item.key: item for item in items}
    for item in items:
        for name in item.references:
            target = by_key.get(name)
            if target is not None and target.state == "absent":
                problems.append(f"{item.name}: its template needs {target.name}, which is to be absent")
    problems.extend(_cycles(by_key))
    return problems


def _problems(item: Desired, settings: Settings) -> Iterable[str]:
    if not NAME.match(item.name):
        yield "is not a valid name: 1 to 127 letters, digits and dashes (no underscores or dots)"
    tags = dict(item.tags or {})
    total = len(tags) + sum(1 for _ in _own_tag_names(item, settings))
    if total > MAXIMUM_TAGS:
        yield f"needs {total} tags (with this module's own), Key Vault takes {MAXIMUM_TAGS}"
    for name, value in tags.items():
        if len(name) > MAXIMUM_TAG_LENGTH or len(value) > MAXIMUM_TAG_LENGTH:
            yield f"a tag's name or value is longer than {MAXIMUM_TAG_LENGTH} characters"
        if name in (settings.tag(own) for own in OWN_TAGS):
            yield f"the tag {name} is this module's own and cannot be set"
    if len(item.content_type or "") > MAXIMUM_CONTENT_TYPE:
        yield f"content_type is longer than {MAXIMUM_CONTENT_TYPE} characters"
    if item.not_before not in (None, NEVER) and item.expires not in (None, NEVER) and item.not_before >= item.expires:
        yield "expires before it becomes valid (not_before)"
    if item.state == "absent":
        return
    if item.compare == "version" and item.value_version is None:
        yield "compare: version needs value_version"
    if item.compare == "fingerprint" and settings.fingerprint_key is None:
        yield "compare: fingerprint needs fingerprint_key"
    if item.applies and item.source == "none":
        yield "apply_to needs a source of values"
    if item.rotate_after is not None and item.source != "generate":
        yield "rotate_after works on generated values only"
    if item.disable_previous_after is not None and item.source == "none":
        yield "disable_previous_after needs a source of values"


def _own_tag_names(item: Desired, settings: Settings) -> Iterable[str]:
    if item.state == "absent":
        return
    if settings.owner is not None:
        yield "owner"
    if item.compare == "fingerprint":
        yield "fingerprint"
    if item.value_version is not None:
        yield "version"
    if item.disable_previous_after is not None:
        yield "overlap-until"
    if item.applies:
        yield "apply-pending"
        yield "applied-to"


def _cycles(by_key: Mapping[str, Desired]) -> list[str]:
    try:
        order(by_key)
    except ValueError as error:
        return [str(error)]
    return []


def order(by_key: Mapping[str, Desired]) -> list[list[str]]:
    """The keys in waves: each needs only what stands in the waves before it. Raises ValueError on a circle."""
    left = {key: {name for name in item.references if name in by_key} for key, item in by_key.items()}
    waves: list[list[str]] = []
    while left:
        ready = [key for key, needs in left.items() if not needs]
        if not ready:
            names = ", ".join(sorted(by_key[key].name for key in left))
            raise ValueError(f"templates refer to each other in a circle: {names}")
        waves.append(ready)
        done = set(ready)
        left = {key: needs - done for key, needs in left.items() if key not in done}
    return waves


def referenced(wanted: Iterable[Desired]) -> set[str]:
    """Keys that some template of a present secret needs."""
    return {name for item in wanted if item.state == "present" for name in item.references}


def rotation_due(item: Desired, current: Current, settings: Settings, now: int) -> bool:
    """True where a generated value is to be replaced: it is too old, or its value_version was raised."""
    if item.source != "generate":
        return False
    if item.rotate_after is not None and now - current.created >= item.rotate_after:
        return True
    tag = current.metadata.tags.get(settings.tag("version"))
    return item.value_version is not None and tag is not None and tag != item.value_version


def wants_value(item: Desired | None, current: Current, is_referenced: bool, settings: Settings, now: int) -> str:
    """Whether the current value must be read: `no`, `try` (used if it may be read) or `must`."""
    if item is None:
        return "must" if is_referenced else "no"
    if item.state == "absent" or current.managed or not current.metadata.enabled:
        return "no"
    if is_pending(item, current.metadata, settings):
        return "must"
    if item.keeps_existing or item.source == "none":
        return "must" if is_referenced and not rotation_due(item, current, settings, now) else "no"
    tags = current.metadata.tags
    if item.compare == "fingerprint":
        kept = tags.get(settings.tag("fingerprint"), "")
        return "no" if kept.startswith(f"v1:{settings.fingerprint_id}:") else "try"
    if item.compare == "version":
        return "no" if tags.get(settings.tag("version")) == item.value_version and not is_referenced else "try"
    return "must"


def is_pending(item: Desired, current: Metadata, settings: Settings) -> bool:
    """True where the value is in the vault and perhaps not on its Azure resource, or on another than is meant now."""
    if not item.applies:
        return False
    return (
        settings.tag("apply-pending") in current.tags or current.tags.get(settings.tag("applied-to")) != item.applied_to
    )


def value_differs(item: Desired, current: Current, value: str | None, settings: Settings, now: int) -> bool | None:
    """Whether the wanted value is another one than the current; None where it cannot be known."""
    if item.source == "none":
        return False
    if item.keeps_existing:
        return rotation_due(item, current, settings, now)
    if item.compare == "version" and current.metadata.tags.get(settings.tag("version")) == item.value_version:
        return False
    if value is None:
        return None
    if item.compare == "fingerprint":
        kept = current.metadata.tags.get(settings.tag("fingerprint"), "")
        if kept.startswith(f"v1:{settings.fingerprint_id}:"):
            return not hmac.compare_digest(kept, settings.fingerprint(item.name, value))
    if current.value is not None:
        return not hmac.compare_digest(current.value.encode(), value.encode())
    if item.compare == "value" or not current.metadata.enabled:
        return None
    return True


def target(
    item: Desired, current: Metadata | None, value: str | None, settings: Settings, *, new_version: bool, now: int
) -> Metadata:
    """The metadata that the secret shall have."""
    before = current or Metadata()
    own = {settings.tag(name) for name in OWN_TAGS}
    if settings.purge_tags and item.tags is not None:
        tags = {name: text for name, text in before.tags.items() if name in own}
    else:
        tags = dict(before.tags)
    tags.update(item.tags or {})
    if settings.owner is not None:
        tags[settings.tag("owner")] = settings.owner
    if item.value_version is not None:
        tags[settings.tag("version")] = item.value_version
    if item.compare == "fingerprint" and value is not None and not item.keeps_existing:
        tags[settings.tag("fingerprint")] = settings.fingerprint(item.name, value)
    elif new_version:
        tags.pop(settings.tag("fingerprint"), None)
    if new_version and item.applies:
        tags[settings.tag("apply-pending")] = "true"
    overlap = settings.tag("overlap-until")
    if new_version and current is not None and item.disable_previous_after is not None:
        due = format_time(now + item.disable_previous_after) or ""
        kept = tags.get(overlap)
        tags[overlap] = min(kept, due) if kept else due
    return Metadata(
        content_type=before.content_type if item.content_type is None else item.content_type or None,
        tags=tags,
        enabled=(True if new_version else before.enabled) if item.enabled is None else item.enabled,
        not_before=_moment(item.not_before, None if new_version else before.not_before),
        expires=_moment(item.expires, None if new_version else before.expires),
    )


def _moment(wanted: int | None, otherwise: int | None) -> int | None:
    if wanted is None:
        return otherwise
    return None if wanted == NEVER else wanted


def overlap_due(current: Metadata, settings: Settings, now: int) -> bool:
    """True where the versions before the current one are due to be disabled."""
    text = current.tags.get(settings.tag("overlap-until"))
    if not text:
        return False
    try:
        return parse_time(text) <= now
    except ValueError:
        return False


def decide(
    item: Desired,
    current: Current | None,
    deleted: Current | None,
    value: str | None,
    settings: Settings,
    now: int,
) -> Change:
    """The change that brings one secret to what is wanted.

    Args:
        current: the live secret, with its value where it was read.
        deleted: the soft-deleted secret.
        value: the wanted value, None where it is not known (yet) or not needed.
    """
    if item.state == "absent":
        return _decide_absent(item, current, deleted)
    if current is None and deleted is not None:
        return _decide_recovery(item, deleted, value, settings, now)
    if current is None:
        if item.source == "none":
            return Change(item.name, "unchanged", note="does not exist and has no source of a value")
        after = target(item, None, value, settings, new_version=True, now=now)
        fields = ("value", *Metadata().changed(after))
        return Change(item.name, "created", fields, None, after, write=True, apply=item.applies)
    return _decide_existing(item, current, value, settings, now)


def _decide_absent(item: Desired, current: Current | None, deleted: Current | None) -> Change:
    if current is not None:
        return Change(item.name, "purged" if item.purge else "deleted", ("state",), current.metadata)
    if deleted is not None and item.purge:
        return Change(item.name, "purged", ("state",), deleted.metadata)
    return Change(item.name, "unchanged")


def _decide_recovery(item: Desired, deleted: Current, value: str | None, settings: Settings, now: int) -> Change:
    change = _decide_existing(item, replace(deleted, value=None), value, settings, now)
    fields = ("state", *change.fields)
    after = change.after or deleted.metadata
    recheck = item.source != "none" and not item.keeps_existing
    note = "the value is compared once it is recovered" if recheck and not change.write else ""
    return replace(
        change, action="recovered", fields=fields, before=deleted.metadata, after=after, recheck=recheck, note=note
    )


def _decide_existing(item: Desired, current: Current, value: str | None, settings: Settings, now: int) -> Change:
    differs = value_differs(item, current, value, settings, now)
    note, recheck = "", False
    if differs is None:
        if not current.metadata.enabled and item.enabled:
            recheck, note = True, "the value is compared once the secret is enabled"
        elif not current.metadata.enabled:
            note = "the secret is disabled: its value was not compared"
        else:
            recheck, note = True, "the value was not compared"
    after = target(item, current.metadata, value, settings, new_version=bool(differs), now=now)
    fields = (["value"] if differs else []) + current.metadata.changed(after)
    expire = item.disable_previous_after
    due = expire is not None and not differs and overlap_due(current.metadata, settings, now)
    pending = is_pending(item, current.metadata, settings) and after.enabled
    change = Change(item.name, "unchanged", tuple(fields), current.metadata, after, note=note)
    if differs:
        return replace(change, action="new_version", write=True, expire=expire, apply=item.applies)
    expire = expire if due else None
    if fields:
        return replace(change, action="metadata", recheck=recheck, expire=expire, apply=pending)
    if pending:
        return replace(change, action="applied", fields=("azure_resource",), expire=expire, apply=True)
    if due:
        return replace(change, action="expired_previous", fields=("previous_versions",), expire=expire)
    return replace(change, after=current.metadata)


def refusals(wanted: Iterable[Desired], currents: Mapping[str, Current], settings: Settings) -> list[str]:
    """What must not be touched: certificates' secrets and secrets of another owner."""
    problems = []
    for item in wanted:
        current = currents.get(item.key)
        if current is None:
            continue
        if current.managed:
            problems.append(f"{item.name}: belongs to the certificate of that name and is managed by Key Vault")
        owner = current.metadata.tags.get(settings.tag("owner"))
        if settings.owner is not None and owner not in (None, settings.owner) and not settings.adopt:
            problems.append(
                f"{item.name}: is owned by '{owner}', not by '{settings.owner}' (adopt: true takes it over)"
            )
    return problems


def prune(
    wanted: Iterable[Desired], currents: Mapping[str, Current], settings: Settings, match: str | None
) -> list[Change]:
    """Deletions of owned secrets that nobody wants any more."""
    keep = {item.key for item in wanted}
    pattern = re.compile(match) if match else None
    found = []
    for key, current in sorted(currents.items()):
        owner = current.metadata.tags.get(settings.tag("owner"))
        if key in keep or current.managed or settings.owner is None or owner != settings.owner:
            continue
        if pattern is None or pattern.search(current.name):
            found.append(Change(current.name, "deleted", ("state",), current.metadata, note="pruned"))
    return found


@dataclass(frozen=True)
class Version:
    """One version of a secret, oldest first in lists."""

    version: str
    created: int
    enabled: bool


def expired_versions(versions: list[Version], period: int, now: int) -> tuple[list[str], int | None]:
    """Which enabled versions are superseded for longer than `period`, and when the next one is due (or None)."""
    due: list[str] = []
    upcoming: list[int] = []
    for version, successor in itertools.pairwise(versions):
        if not version.enabled:
            continue
        moment = successor.created + period
        if moment <= now:
            due.append(version.version)
        else:
            upcoming.append(moment)
    return due, min(upcoming, default=None)
