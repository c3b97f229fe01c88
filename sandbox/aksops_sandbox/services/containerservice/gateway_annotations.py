"""The annotations of an Ingress, read as AGIC reads them: a value that cannot be parsed counts as not given."""

from __future__ import annotations

import re
from typing import Any

PREFIX = "appgw.ingress.kubernetes.io/"
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


class Annotations:
    """Annotations of one Ingress. invalid: what AGIC says of values that it cannot parse."""

    def __init__(self, ingress: dict[str, Any]) -> None:
        given = ingress["metadata"].get("annotations") or {}
        self._values = {key.removeprefix(PREFIX): str(value) for key, value in given.items() if key.startswith(PREFIX)}
        self.invalid: list[str] = []

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def flag(self, name: str, *, tell: bool = False) -> bool:
        value = self._values.get(name)
        if value is None or value in _FALSE:
            return False
        return value in _TRUE or self._refused(name, value, False, tell)

    def number(self, name: str, default: int | None = None, *, tell: bool = False) -> int | None:
        value = self._values.get(name)
        if value is None:
            return default
        return int(value) if re.fullmatch(r"[+-]?\d+", value) else self._refused(name, value, default, tell)

    def positive(self, name: str, default: int | None = None) -> int | None:
        found = self.number(name)
        return found if found is not None and found > 0 else default

    def protocol(self, default: str, *, tell: bool = False) -> str:
        """The protocol that the backends speak."""
        value = self._values.get("backend-protocol")
        if value is None:
            return default
        known = {"http": "Http", "https": "Https"}.get(value.lower())
        return known or self._refused("backend-protocol", value, default, tell)

    def items(self, name: str) -> list[str]:
        """The parts of a list."""
        return [part.strip() for part in self._values.get(name, "").split(",") if part.strip()]

    def _refused(self, name: str, value: str, default: Any, tell: bool) -> Any:
        if tell:
            text = f"annotation {PREFIX}{name} does not contain a valid value ({value})"
            self.invalid.append(f'Code="ErrorInvalidContent" Message="{text}"')
        return default
