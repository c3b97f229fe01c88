# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""Where values come from: text, files, the environment, generators and templates. Errors never carry a value."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets as randomness
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

MAXIMUM_BYTES = 25_600
_REFERENCE = re.compile(
    r"\$\$|\$\{secret:(?P<name>[0-9A-Za-z-]{1,127})(?:\|(?P<filter>[a-z0-9]+))?\}|\$\{(?P<bad>[^}]*)\}?"
)
_CLASSES = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "digits": string.digits,
    "punctuation": "!#%&*+,-./:;<=>?@^_~",
}
ALPHABETS: dict[str, tuple[str, ...]] = {
    "alphanumeric": ("lower", "upper", "digits"),
    "letters": ("lower", "upper"),
    "digits": ("digits",),
    "hex": (),
    "password": ("lower", "upper", "digits", "punctuation"),
}
FILTERS: dict[str, Callable[[str], str]] = {
    "urlencode": lambda text: quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "json": lambda text: json.dumps(text)[1:-1],
}


class ValueSourceError(Exception):
    """A source that gives no usable value. The message names the source, never its content."""


def from_file(path: str, encoding: str, strip_newline: bool) -> str:
    """The content of a file as a value.

    Args:
        path: on the host that runs the module; `~` is expanded.
        encoding: `utf-8` takes the text as it is; `base64` encodes the bytes.
        strip_newline: drop one final line break (text only).
    """
    path = os.path.expanduser(path)
    try:
        with open(path, "rb") as file:
            content = file.read(MAXIMUM_BYTES + 3)
    except OSError as error:
        raise ValueSourceError(f"value_file {path} cannot be read: {error.strerror}") from None
    if encoding == "base64":
        return base64.b64encode(content).decode()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueSourceError(f"value_file {path} is not UTF-8 text: use value_encoding: base64") from None
    if strip_newline:
        text = text.removesuffix("\n").removesuffix("\r")
    return text


def from_environment(name: str, environ: Mapping[str, str]) -> str:
    """The value of an environment variable of the module's process."""
    value = environ.get(name)
    if value is None:
        raise ValueSourceError(f"value_env {name} is not set in the environment of the module")
    return value


def size_problem(value: str) -> str | None:
    """What is wrong with a value's size, or None."""
    if not value:
        return "the value is empty"
    if len(value.encode()) > MAXIMUM_BYTES:
        return f"the value is larger than Key Vault takes ({MAXIMUM_BYTES} bytes)"
    return None


@dataclass(frozen=True)
class Generator:
    """How a value is made.

    Args:
        length: characters, 1 to 4096.
        alphabet: a name of ALPHABETS, or `custom` with `characters`.
        characters: the characters of a custom alphabet.
        exclude: characters that are never used.
        require_each: at least one character of each class of the alphabet.
    """

    length: int = 32
    alphabet: str = "alphanumeric"
    characters: str = ""
    exclude: str = ""
    require_each: bool = True

    def classes(self) -> list[str]:
        """The character classes without the excluded characters."""
        if self.alphabet == "custom":
            groups = ["".join(dict.fromkeys(self.characters))]
        elif self.alphabet == "hex":
            groups = ["0123456789abcdef"]
        else:
            groups = [_CLASSES[name] for name in ALPHABETS[self.alphabet]]
        return ["".join(character for character in group if character not in self.exclude) for group in groups]

    def problem(self) -> str | None:
        """What is wrong with the options, or None."""
        if not 1 <= self.length <= 4096:
            return "generate.length must be between 1 and 4096"
        groups = [group for group in self.classes() if group]
        if len(set("".join(groups))) < 2:
            return "generate leaves fewer than two different characters to choose from"
        if self.require_each and self.length < len(groups):
            return f"generate.length must be at least {len(groups)} to hold one character of each class"
        return None

    def make(self) -> str:
        """A new value from the system's source of randomness."""
        groups = [group for group in self.classes() if group]
        alphabet = "".join(dict.fromkeys("".join(groups)))
        while True:
            value = "".join(randomness.choice(alphabet) for _ in range(self.length))
            if not self.require_each or all(set(group) & set(value) for group in groups):
                return value


class Template:
    """Text with references: `${secret:name}` or `${secret:name|urlencode}`; `$$` is a dollar sign.

    Ansible's own braces are untouched, so that host names and the like are filled in by the caller.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[str | tuple[str, str]] = []
        position = 0
        for match in _REFERENCE.finditer(text):
            self._parts.append(text[position : match.start()])
            position = match.end()
            if match["bad"] is not None:
                raise ValueSourceError(
                    "template has a reference that is not ${secret:<name>} or ${secret:<name>|<filter>}"
                )
            if match["name"] is None:
                self._parts.append("$")
                continue
            if match["filter"] and match["filter"] not in FILTERS:
                raise ValueSourceError(f"template has an unknown filter; known are {', '.join(sorted(FILTERS))}")
            self._parts.append((match["name"], match["filter"] or ""))
        self._parts.append(text[position:])

    @property
    def references(self) -> list[str]:
        """Names in lower case, each once."""
        return list(dict.fromkeys(part[0].lower() for part in self._parts if isinstance(part, tuple)))

    def render(self, lookup: Callable[[str], str]) -> str:
        """The text with each reference replaced by `lookup(name)`."""
        pieces = []
        for part in self._parts:
            if isinstance(part, str):
                pieces.append(part)
            else:
                value = lookup(part[0].lower())
                pieces.append(FILTERS[part[1]](value) if part[1] else value)
        return "".join(pieces)
