"""What the emulated services share in shaping resources: defaults, computed and fixed fields, keys, references."""

from __future__ import annotations

import base64
import datetime
import re
import secrets
import uuid
from collections.abc import Iterable
from typing import Any

from aksops_sandbox.azure import ids
from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.ids import ResourceId
from aksops_sandbox.azure.store import Resource


def now() -> str:
    """This moment as Azure writes it: UTC, ISO 8601 with seven digits."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def guid() -> str:
    return str(uuid.uuid4())


def access_key(length: int = 64) -> str:
    """A random key of `length` bytes in base64, as the listKeys operations hand them out."""
    return base64.b64encode(secrets.token_bytes(length)).decode()


def identify(resource_id: str) -> ResourceId:
    """A resource id, taken apart. Raises AzureError 400 where it names no resource."""
    found = ids.parse(resource_id)
    if found is None:
        raise AzureError(400, "InvalidResourceId", f"'{resource_id}' is no resource id.")
    return found


def dig(tree: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path, `default` where a step is missing or null."""
    for step in path.split("."):
        if not isinstance(tree, dict) or tree.get(step) is None:
            return default
        tree = tree[step]
    return tree


def plant(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path; missing dicts are made."""
    *steps, last = path.split(".")
    for step in steps:
        if not isinstance(tree.get(step), dict):
            tree[step] = {}
        tree = tree[step]
    tree[last] = value


def defaults(tree: dict[str, Any], values: dict[str, Any]) -> None:
    """Fill what is missing or null, dict by dict."""
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(name), dict):
            defaults(tree[name], value)
        elif tree.get(name) is None:
            tree[name] = value


def computed(new: Resource, old: Resource | None, **values: Any) -> None:
    """Set read-only properties: the old value where there is one, else the given one (called where it is callable).

    What the client sent under these names is dropped, as Azure drops it.
    """
    for name, value in values.items():
        if old is not None and old.properties.get(name) is not None:
            new.properties[name] = old.properties[name]
        else:
            new.properties[name] = value() if callable(value) else value


def carry(new: Resource, old: Resource | None, *names: str) -> None:
    """Keep properties that the request left out: many providers treat PUT as an update of what it names."""
    for name in names:
        if new.properties.get(name) is None and old is not None and old.properties.get(name) is not None:
            new.properties[name] = old.properties[name]


def fixed(
    new: Resource, old: Resource | None, *paths: str, code: str = "PropertyChangeNotAllowed", status: int = 400
) -> None:
    """Refuse a change of what is decided at creation. Paths are dotted from `properties`, or start with `body.`.

    A path that the request leaves out keeps its old value.
    """
    if old is None:
        return
    for path in paths:
        in_body = path.startswith("body.")
        name = path.removeprefix("body.")
        before = dig(old.body if in_body else old.properties, name)
        target = new.body if in_body else new.properties
        after = dig(target, name)
        if before is None:
            continue
        if after is None:
            plant(target, name, before)
        elif str(after).lower() != str(before).lower():
            message = f"Changing property '{name}' of '{new.name}' from '{before}' to '{after}' is not allowed."
            raise AzureError(status, code, message)


def choice(value: Any, allowed: Iterable[str], field: str, code: str = "InvalidParameter") -> str:
    """The allowed spelling of a value, compared without case. Raises AzureError 400 with the allowed values."""
    options = list(allowed)
    for option in options:
        if str(value).lower() == option.lower():
            return option
    raise AzureError(400, code, f"The value '{value}' of '{field}' is invalid. Allowed values: {', '.join(options)}.")


def between(value: Any, low: int, high: int, field: str, code: str = "InvalidParameter") -> None:
    """Raise AzureError 400 where a number is outside its bounds, or no number at all. None passes."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise AzureError(400, code, f"The value '{value}' of '{field}' must be a whole number from {low} to {high}.")


_DURATION = re.compile(
    r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
)


def seconds(duration: str, field: str, code: str = "InvalidParameter") -> float:
    """An ISO 8601 duration in seconds. Raises AzureError 400 where it is none."""
    found = _DURATION.match(str(duration))
    if found is None or not any(found.groups()):
        raise AzureError(400, code, f"The value '{duration}' of '{field}' is not an ISO 8601 duration.")
    units = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)
    return sum(float(part) * unit for part, unit in zip(found.groups(), units, strict=True) if part)


def reference(ctx: Any, resource_id: Any, of: str, code: str = "InvalidResourceReference") -> Resource:
    """The resource that another one refers to. Raises AzureError 400 where it does not exist."""
    found = ctx.store.get(resource_id) if isinstance(resource_id, str) and resource_id else None
    if found is None:
        message = (
            f"Resource {resource_id} referenced by resource {of} was not found. Please make sure that the referenced "
            "resource exists, and that both resources are in the same region."
        )
        raise AzureError(400, code, message)
    return found


def same_id(one: Any, other: Any) -> bool:
    """True where two resource ids name the same resource."""
    return str(one or "").lower().rstrip("/") == str(other or "").lower().rstrip("/") != ""
