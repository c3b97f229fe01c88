"""Key Vault's JSON shapes."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.services.keyvault.secrets import Policy

Found = dict[str, Any]


def identifier(host: str, kind: str, name: str, version: str = "") -> str:
    """`https://<vault>.vault.azure.net/secrets/<name>[/<version>]`."""
    return f"https://{host}/{kind}/{name}" + (f"/{version}" if version else "")


def attributes(version: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """The attributes object of a version."""
    content: dict[str, Any] = {"enabled": version["enabled"]}
    for key in ("nbf", "exp"):
        if version.get(key) is not None:
            content[key] = version[key]
    content["created"] = version["created"]
    content["updated"] = version["updated"]
    content["recoveryLevel"] = policy.recovery_level
    content["recoverableDays"] = policy.retention_days
    return content


def item(host: str, found: Found, policy: Policy, *, with_version: bool) -> dict[str, Any]:
    """A list entry: no value, and no version in the id of a list of secrets."""
    row, version = found["row"], found["version"]
    content: dict[str, Any] = {
        "id": identifier(host, "secrets", row["name"], version["version"] if with_version else ""),
        "attributes": attributes(version, policy),
    }
    if version.get("contentType"):
        content["contentType"] = version["contentType"]
    if version.get("tags"):
        content["tags"] = version["tags"]
    if row.get("managed"):
        content["managed"] = True
    return content


def bundle(host: str, found: Found, policy: Policy, *, value: bool) -> dict[str, Any]:
    """A secret with its version in the id, and with its value where asked."""
    row, version = found["row"], found["version"]
    content = item(host, found, policy, with_version=True)
    if value:
        content = {"value": version["value"], **content}
    if row.get("managed"):
        content["kid"] = identifier(host, "keys", row["name"], version["version"])
    names = [entry["version"] for entry in row["versions"]]
    position = names.index(version["version"])
    if position > 0:
        content["previousVersion"] = names[position - 1]
    return content


def deleted(host: str, found: Found, policy: Policy, *, listed: bool) -> dict[str, Any]:
    """A soft-deleted secret, as an answer of its own or as a list entry."""
    row = found["row"]
    content = item(host, found, policy, with_version=not listed)
    return {
        "recoveryId": identifier(host, "deletedsecrets", row["name"]),
        "deletedDate": row["deleted"]["deletedDate"],
        "scheduledPurgeDate": row["deleted"]["scheduledPurgeDate"],
        **content,
    }
