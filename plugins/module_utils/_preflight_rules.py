# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one value may be. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

A rule takes a value and returns what it must be, or None where it is that. A schema is a tree of dicts, of C(Field)
(rule and default) and of C(Each) (a map whose keys the user chooses).
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import typing as t

Rule = t.Callable[[t.Any], "str | None"]


class Field(t.NamedTuple):
    """One value: its rule and default. C(required) fields have no default."""

    rule: Rule
    default: t.Any = None
    required: bool = False


class Each(t.NamedTuple):
    """A map: the rule of its keys, the schema (or rule) of its values, its default."""

    keys: Rule
    values: t.Any
    default: t.Any = None
    required: bool = False


def pattern(expression: str, words: str) -> Rule:
    """Text that matches the whole expression; C(words) say so."""
    compiled = re.compile(expression)

    def rule(value: t.Any) -> str | None:
        return None if isinstance(value, str) and compiled.fullmatch(value) else words

    return rule


#: The examples' placeholder of all zeros is refused too.
GUID = pattern(r"(?!0{8}-)[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a GUID of your own")


def any_of(values: t.Iterable[t.Any]) -> str:
    """Return the values as words: a, b or c."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def choice(*values: t.Any) -> Rule:
    """One of the values, of the same type."""

    def rule(value: t.Any) -> str | None:
        same = any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in values)
        return None if same else any_of(values)

    return rule


def between(low: int, high: int) -> Rule:
    """A whole number in a closed range."""

    def rule(value: t.Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"a whole number from {low} to {high}"

    return rule


def number(value: t.Any) -> str | None:
    """Any number."""
    return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "a number"


def boolean(value: t.Any) -> str | None:
    """true or false, not a text that looks so."""
    return None if isinstance(value, bool) else "true or false"


def text(value: t.Any) -> str | None:
    """Text that is not empty."""
    return None if isinstance(value, str) and value.strip() else "text that is not empty"


def scalar(value: t.Any) -> str | None:
    """Text, or a number that is written as text."""
    return None if isinstance(value, (str, int, float)) and not isinstance(value, bool) else "text"


def optional(rule: Rule) -> Rule:
    """None is allowed too."""
    return lambda value: None if value is None else rule(value)


def list_of(rule: Rule, unique: bool = False) -> Rule:
    """A list whose items all follow a rule."""

    def check(value: t.Any) -> str | None:
        if not isinstance(value, (list, tuple)):
            return "a list"
        for item in value:
            wrong = rule(item)
            if wrong:
                return f"a list of which each item is {wrong} (not {item!r})"
        if unique and len({str(item) for item in value}) < len(value):
            return "a list without repetitions"
        return None

    return check


def network(value: t.Any) -> ipaddress.IPv4Network | None:
    """Return the IPv4 block that a text writes by its first address, None where it does not."""
    if not isinstance(value, str) or "/" not in value:
        return None
    try:
        return ipaddress.IPv4Network(value, strict=True)
    except ValueError:
        return None


def cidr(value: t.Any) -> str | None:
    """An IPv4 block, with the correction where only host bits are set."""
    if network(value):
        return None
    words = "a block of IPv4 addresses written by its first address, as in 10.40.0.0/16"
    try:
        return f"{words} (did you mean {ipaddress.IPv4Network(value, strict=False)}?)" if "/" in str(value) else words
    except ValueError:
        return words


def resource_id(kind: str) -> Rule:
    """The id of a resource of one type."""

    def rule(value: t.Any) -> str | None:
        good = isinstance(value, str) and re.fullmatch(
            rf"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/{re.escape(kind)}(/[^/]+)+", value, re.I
        )
        return None if good else f"the id of a resource of type {kind}"

    return rule


def nearest(name: str, known: t.Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like C(name), None where none is near."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def complete(schema: t.Any, value: t.Any) -> t.Any:
    """Return C(value) with the schema's defaults for what it leaves out or sets to null; unknown keys stay out."""
    if isinstance(schema, Field):
        return schema.default if value is None else value
    if isinstance(schema, Each):
        given = schema.default if value is None else value
        if not isinstance(given, dict):
            return given
        return {str(key): complete(schema.values, item) for key, item in given.items()}
    if value is not None and not isinstance(value, dict):
        return value
    given = value or {}
    return {key: complete(part, given.get(key)) for key, part in schema.items()}


def violations(schema: t.Any, value: t.Any, where: str) -> list[str]:
    """Return a sentence for each value that breaks its rule, is missing or is unknown."""
    if isinstance(schema, Field):
        if value is None:
            return [f"{where} is missing: it must be {_wants(schema)}."] if schema.required else []
        wrong = schema.rule(value)
        return [f"{where} is {_shown(value)}: it must be {wrong}."] if wrong else []
    if isinstance(schema, Each):
        return _each(schema, value, where)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return [f"{where} is {_shown(value)}: it must be a dictionary of {', '.join(sorted(schema))}."]
    found = []
    for key in value:
        if key not in schema:
            near = nearest(str(key), schema)
            help_ = f"did you mean {near}?" if near else f"known are {', '.join(sorted(schema))}."
            found.append(f"{where}.{key} is not known and would be ignored: {help_}")
    for key, part in schema.items():
        found += violations(part, value.get(key), f"{where}.{key}")
    return found


def _each(schema: Each, value: t.Any, where: str) -> list[str]:
    if value is None:
        return [f"{where} is missing: it must be a dictionary with at least one entry."] if schema.required else []
    if not isinstance(value, dict):
        return [f"{where} is {_shown(value)}: it must be a dictionary."]
    found = [f"{where} is empty: it must have at least one entry."] if schema.required and not value else []
    for key, item in value.items():
        wrong = schema.keys(key)
        if wrong:
            found.append(f"{where} has the key {key}: it must be {wrong}.")
        found += violations(schema.values, item, f"{where}.{key}")
    return found


def _wants(field: Field) -> str:
    return field.rule(None) or "set"


def _shown(value: t.Any) -> str:
    words = "empty" if value == "" else repr(value) if isinstance(value, (dict, list, bool)) else str(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9.]+|true|false|yes|no", value, re.I):
        words = f'"{value}"'
    return words if len(words) <= 80 else words[:77] + "..."
