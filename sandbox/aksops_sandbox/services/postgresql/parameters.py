"""Server parameters as ARM shows them: PostgreSQL's own settings and Azure's, with what the user overrode."""

from __future__ import annotations

import re
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.engines.postgres import settings
from aksops_sandbox.services.postgresql.catalog import AZURE_PARAMETERS, EXTENSIONS, PRELOADABLE

_KINDS = {"bool": "Boolean", "enum": "Enumeration", "integer": "Integer", "real": "Numeric", "string": "String"}
_HIDDEN = re.compile(
    r"(recovery_.*|restore_command|archive_.*command|basic_archive\..*|primary_.*|data_directory.*|config_file)"
)


def describe(row: dict[str, Any], overrides: dict[str, str]) -> dict[str, Any]:
    """The ARM properties of one row of pg_settings."""
    name = row["name"]
    default = row["boot_val"] if row["boot_val"] is not None else ""
    if name in settings.AZURE_DEFAULTS:
        default = settings.AZURE_DEFAULTS[name]
    overridden = name in overrides
    allowed = ""
    if row["vartype"] == "enum":
        allowed = ",".join(row["enumvals"] or ())
    elif row["vartype"] == "bool":
        allowed = "on,off"
    elif row["min_val"] is not None:
        allowed = f"{row['min_val']}-{row['max_val']}"
    read_only = name in settings.READ_ONLY or row["context"] == "internal"
    properties = {
        "value": overrides[name] if overridden else _current(row, default),
        "description": row["short_desc"] or "",
        "defaultValue": default,
        "dataType": _KINDS[row["vartype"]],
        "allowedValues": allowed,
        "source": "user-override" if overridden else "system-default",
        "isDynamicConfig": row["context"] not in ("postmaster", "internal"),
        "isReadOnly": read_only,
        "isConfigPendingRestart": bool(row["pending_restart"]) and not _HIDDEN.fullmatch(name),
        "documentationLink": f"https://www.postgresql.org/docs/current/search/?q={name}",
    }
    if row["unit"]:
        properties["unit"] = row["unit"]
    return properties


def _current(row: dict[str, Any], default: str) -> str:
    """The value in force where the sandbox does not impose another one of its own."""
    imposed = row["name"] in settings.IMPOSED_SIZES
    return default if imposed or row["setting"] is None else str(row["setting"])


def describe_all(rows: list[dict[str, Any]], overrides: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Every parameter by name."""
    found = {row["name"]: describe(row, overrides) for row in rows if not _HIDDEN.fullmatch(row["name"])}
    for parameter in AZURE_PARAMETERS.values():
        found[parameter.name] = {
            "value": overrides.get(parameter.name, parameter.default),
            "description": parameter.description,
            "defaultValue": parameter.default,
            "dataType": parameter.kind,
            "allowedValues": parameter.allowed,
            "source": "user-override" if parameter.name in overrides else "system-default",
            "isDynamicConfig": parameter.dynamic,
            "isReadOnly": False,
            "isConfigPendingRestart": False,
        }
    return dict(sorted(found.items()))


def check(name: str, properties: dict[str, Any], value: str) -> None:
    """Raise AzureError 400 where a parameter does not take a value."""
    if properties["isReadOnly"]:
        raise AzureError(
            400, "InvalidServerParameterName", f"The server parameter '{name}' is read-only and cannot be changed."
        )
    kind, allowed = properties["dataType"], properties["allowedValues"]
    if name.lower() == "azure.extensions":
        _check_set(name, value, EXTENSIONS)
    elif name.lower() == "shared_preload_libraries":
        _check_set(name, value, PRELOADABLE)
    elif (kind in ("Integer", "Numeric") and not _in_range(value, allowed)) or (
        kind in ("Boolean", "Enumeration") and value.lower() not in allowed.lower().split(",")
    ):
        raise _invalid(name, value, allowed)
    if "\n" in value or "\0" in value:
        raise _invalid(name, value, "a value on one line")


def _check_set(name: str, value: str, known: frozenset[str]) -> None:
    for item in value.lower().split(","):
        if item.strip() and item.strip() not in known:
            raise _invalid(name, item.strip(), ",".join(sorted(known)))


def _in_range(value: str, allowed: str) -> bool:
    match = re.fullmatch(r"(-?[0-9.e+]+)-(-?[0-9.e+]+)", allowed)
    try:
        return match is None or float(match[1]) <= float(value) <= float(match[2])
    except ValueError:
        return False


def _invalid(name: str, value: str, allowed: str) -> AzureError:
    return AzureError(
        400,
        "InvalidParameterValue",
        f"The value '{value}' of the server parameter '{name}' is not valid. Allowed values: {allowed}.",
    )
