# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Terraform plan says, and what a failed run says. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Pure functions on text and parsed JSON: nothing here starts a process or makes a request.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import typing as t

#: Shown in place of a value that must not be seen.
REDACTED = "(redacted)"

#: Reasons of `terraform show -json`, in words.
_REASONS = {
    "replace_because_cannot_update": "cannot be changed in place",
    "replace_because_tainted": "was left half-made by an earlier run",
    "replace_by_request": "was asked to be replaced",
    "replace_by_triggers": "is decided at creation",
    "delete_because_no_resource_config": "is in the configuration no more",
    "delete_because_wrong_repetition": "is in the configuration no more",
    "delete_because_count_index": "is in the configuration no more",
    "delete_because_each_key": "is in the configuration no more",
    "delete_because_no_module": "its module is in the configuration no more",
}

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BOX = re.compile(r"^[ \t]*[│╷╵|][ \t]?", re.MULTILINE)
_EXISTS = re.compile(
    r"resource with the ID \"(?P<id>[^\"]+)\" already exists - to be managed via Terraform this resource needs to be"
    r" imported.*?\n\s*with (?P<address>\S[^\n]*?),\s*\n",
    re.DOTALL,
)


class Change(t.NamedTuple):
    """One resource that a plan would touch. C(verb) is create, update, replace, delete, forget, import or read.

    C(tainted) is the resource's id where it is replaced only because an apply that failed has marked it, else empty.
    """

    address: str
    verb: str
    reason: str
    tainted: str = ""


class Plan(t.NamedTuple):
    """What a plan would do: resources in the order of the plan, and the names of outputs that would change."""

    changes: list[Change]
    outputs: list[str]

    @property
    def pending(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.changes or self.outputs)

    def counts(self) -> dict[str, int]:
        """Return how many resources each verb touches."""
        result: dict[str, int] = {}
        for change in self.changes:
            result[change.verb] = result.get(change.verb, 0) + 1
        return result


class Lock(t.NamedTuple):
    """Who holds the state's lock: C(who) is user@host, C(since) a time; empty where Terraform wrote nothing."""

    id: str
    who: str
    since: str
    operation: str

    @property
    def host(self) -> str:
        """The host part of C(who)."""
        return self.who.rpartition("@")[2]


def read_plan(document: dict[str, t.Any]) -> Plan:
    """Return what C(terraform show -json <plan>) printed as a Plan."""
    changes = []
    for item in document.get("resource_changes") or []:
        verb = _verb(item.get("change") or {})
        if verb is None or (verb == "read" and item.get("mode") == "data"):
            continue
        changes.append(Change(item["address"], verb, _reason(item), _tainted(item)))
    outputs = [
        name
        for name, change in (document.get("output_changes") or {}).items()
        if change.get("actions") not in (["no-op"], [])
    ]
    return Plan(changes, sorted(outputs))


def _verb(change: dict[str, t.Any]) -> str | None:
    actions = change.get("actions") or []
    if "delete" in actions:
        return "replace" if "create" in actions else "delete"
    if "forget" in actions:
        return "forget"
    for verb in ("create", "update", "read"):
        if verb in actions:
            return verb
    return "import" if change.get("importing") else None


def _reason(item: dict[str, t.Any]) -> str:
    words = _REASONS.get(item.get("action_reason") or "", "")
    paths = [".".join(str(step) for step in path) for path in (item.get("change") or {}).get("replace_paths") or []]
    return f"{words} ({', '.join(paths)})" if words and paths else words


def _tainted(item: dict[str, t.Any]) -> str:
    if item.get("action_reason") != "replace_because_tainted":
        return ""
    return str(((item.get("change") or {}).get("before") or {}).get("id") or "")


def whole(resource_id: str, states: dict[str, str]) -> bool:
    """Whether Azure says that a resource, or the resource that it is a part of, was provisioned to its end.

    :param states: provisioning state by id, in lower case, of what a resource group lists.
    """
    parts = resource_id.lower().rstrip("/").split("/")
    while len(parts) > 8:
        state = states.get("/".join(parts))
        if state is not None:
            return state == "succeeded"
        parts = parts[:-2]
    return False


def refused(plan: Plan, allowed: t.Sequence[str]) -> list[Change]:
    """Return the changes that would destroy something at an address that C(allowed) does not name.

    C(*) in an allowed address stands for any text; everything else, brackets too, stands for itself.
    """
    patterns = [re.compile(".*".join(re.escape(part) for part in address.split("*"))) for address in allowed]
    return [
        change
        for change in plan.changes
        if change.verb in ("delete", "replace", "forget")
        and not any(pattern.fullmatch(change.address) for pattern in patterns)
    ]


def refusal(changes: t.Sequence[Change]) -> str:
    """Return the message that lists what a plan would destroy."""
    lines = [f"  {item.address}: {item.verb}" + (f", {item.reason}" if item.reason else "") for item in changes]
    noun = "resource" if len(changes) == 1 else "resources"
    return "\n".join(
        [
            f"The plan would destroy or replace {len(changes)} {noun}, so nothing was applied.",
            *lines,
            "Where that is wanted, name these addresses in infrastructure_allow_destroy.",
        ]
    )


def nothing_to_do(text: str) -> bool:
    """Whether the text of C(terraform plan) says that nothing would change."""
    return re.search(r"^No changes\. ", plain(text), re.MULTILINE) is not None


def plain(text: str) -> str:
    """Return Terraform's text without colours and without the box drawn around its errors."""
    return _BOX.sub("", _ANSI.sub("", text)).replace("\r", "")


def redact(text: str, secrets: t.Iterable[str]) -> str:
    """Return C(text) with every one of C(secrets) hidden; values of fewer than four characters are left."""
    for secret in sorted({item for item in secrets if item and len(item) >= 4}, key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text


def errors(text: str, limit: int = 4000) -> str:
    """Return what a failed run's output says went wrong: each error once, with the address it is about."""
    blocks = re.split(r"^[ \t]*Error: ", plain(text), flags=re.MULTILINE)[1:]
    if not blocks:
        found = re.sub(r"\n{3,}", "\n\n", plain(text)).strip()
    else:
        found = "\n".join(dict.fromkeys(_error(block) for block in blocks))
    return found if len(found) <= limit else f"{found[:limit].rstrip()}\n... ({len(found) - limit} characters more)"


def _error(block: str) -> str:
    """Return one error as one line: what it is about, and what is wrong."""
    where = re.search(r"^[ \t]*with (\S[^\n]*?),[ \t]*$", block, re.MULTILINE)
    head = re.split(r"^[ \t]*(?:with \S[^\n]*,|on \S+ line \d+.*)[ \t]*$", block, maxsplit=1, flags=re.MULTILINE)
    first, _, rest = head[0].strip().partition("\n\n")
    summary = " ".join(first.split())
    # After the quoted source line comes the detail; providers often repeat the summary there.
    tail = rest + "\n" + (head[1] if len(head) > 1 else "")
    detail = " ".join(line.strip() for line in tail.splitlines() if line.strip())
    detail = re.sub(r"^(?:on \S+ line \d+[^:]*:\s*)?\d+: .*?\{\s*", "", detail)
    squeezed = re.sub(r"\s", "", summary)
    parts = [f"{where[1]}:" if where else "", summary]
    if detail and re.sub(r"\s", "", detail)[:80] not in squeezed:
        parts.append(detail)
    return " ".join(part for part in parts if part)


def existing(text: str) -> dict[str, str]:
    """Return address -> id of what the provider refused to create because it exists."""
    return {match["address"]: match["id"] for match in _EXISTS.finditer(plain(text) + "\n")}


def within(resource_id: str, resource_groups: t.Sequence[str]) -> bool:
    """Whether an id (compared without case) is one of C(resource_groups) or lies inside one."""
    lower = resource_id.lower()
    return any(lower == group.lower() or lower.startswith(group.lower() + "/") for group in resource_groups)


def import_blocks(found: dict[str, str]) -> str:
    """Return Terraform code that takes existing resources into the state."""
    return "\n".join(
        f"import {{\n  to = {address}\n  id = {json.dumps(identifier, ensure_ascii=False)}\n}}\n"
        for address, identifier in sorted(found.items())
    ).replace("${", "$${")


def lock_of(text: str) -> Lock | None:
    """Return the lock that kept Terraform from its state, None where the text is about something else.

    A run that was killed between taking the lease and writing its name leaves a lock without a name.
    """
    clean = plain(text)
    if "Error acquiring the state lock" not in clean and "state blob is already locked" not in clean:
        return None

    def field(name: str) -> str:
        match = re.search(rf"^\s*{name}:[ \t]+(\S.*?)\s*$", clean, re.MULTILINE)
        return match[1] if match else ""

    return Lock(id=field("ID"), who=field("Who"), since=field("Created"), operation=field("Operation"))


def lock_of_metadata(encoded: str) -> Lock | None:
    """Return the lock that Terraform wrote into the state blob's metadata (base64 of JSON), None without one."""
    try:
        value = json.loads(base64.b64decode(encoded))
    except (ValueError, binascii.Error):
        return None
    return Lock(
        id=str(value.get("ID", "")),
        who=str(value.get("Who", "")),
        since=str(value.get("Created", "")),
        operation=str(value.get("Operation", "")),
    )


def tally(plan: Plan) -> str:
    """Return the last line of a plan for people: No changes, or Changes: n."""
    return f"Changes: {len(plan.changes) + len(plan.outputs)}" if plan.pending else "No changes"
