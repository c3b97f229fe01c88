"""The secrets of one vault: versions, soft delete with its windows, backups. No HTTP, no authorization."""

from __future__ import annotations

import base64
import copy
import json
import re
import secrets as randomness
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from aksops_sandbox.azure.errors import AzureError

MAXIMUM_VALUE_BYTES = 25_600
MAXIMUM_TAGS = 15
MAXIMUM_TAG_LENGTH = 256
MAXIMUM_CONTENT_TYPE_LENGTH = 255
MAXIMUM_BACKUP_VERSIONS = 500
NAME = re.compile(r"^[0-9a-zA-Z-]{1,127}$")
DAY = 86_400


@dataclass(frozen=True)
class Policy:
    """What the vault's settings decide for its secrets.

    Args:
        retention_days: days a deleted secret is kept, 7 to 90.
        purge_protection: True where nothing can be purged before its time.
        deletion_seconds: how long a deletion is under way (404 on both ends, 409 for a write).
        recovery_seconds: how long a recovery is under way (404 on reads, 409 for a write).
    """

    retention_days: int = 90
    purge_protection: bool = False
    deletion_seconds: float = 1.0
    recovery_seconds: float = 1.0

    @property
    def recovery_level(self) -> str:
        base = "Recoverable" if self.retention_days == 90 else "CustomizedRecoverable"
        return base if self.purge_protection else f"{base}+Purgeable"


class SecretSpace:
    """All secrets of one vault, kept in a mapping that may be persistent.

    Args:
        rows: mapping of keys to JSON values; keys of this vault start with `<vault>/`.
        vault: the vault's name, in lower case.
        backup_key: Fernet key that protects backups.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        rows: MutableMapping[str, Any],
        vault: str,
        backup_key: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rows = rows
        self.vault = vault
        self.clock = clock
        self._fernet = Fernet(backup_key)
        self._lock = threading.RLock()

    # -- rows ------------------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self.vault}/{name.lower()}"

    def _all(self) -> list[dict[str, Any]]:
        prefix = f"{self.vault}/"
        found = [key for key in self.rows if key.startswith(prefix)]
        return [row for row in (self._settled(self.rows[key]) for key in sorted(found)) if row is not None]

    def _find(self, name: str) -> dict[str, Any] | None:
        row = self.rows.get(self._key(name))
        return self._settled(row) if row is not None else None

    def _settled(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The row, or None once its scheduled purge has passed."""
        deleted = row.get("deleted")
        if deleted and deleted["scheduledPurgeDate"] <= self.clock():
            self.rows.pop(self._key(row["name"]), None)
            return None
        return row

    def _save(self, row: dict[str, Any]) -> None:
        self.rows[self._key(row["name"])] = row

    def _state(self, row: dict[str, Any]) -> str:
        now = self.clock()
        if row.get("deleted"):
            return "deleting" if now < row["deleted"]["until"] else "deleted"
        return "recovering" if now < row.get("recovering_until", 0) else "live"

    def _live(self, name: str) -> dict[str, Any]:
        row = self._find(name)
        if row is None or self._state(row) != "live":
            raise _not_found(name)
        return row

    def _deleted(self, name: str) -> dict[str, Any]:
        row = self._find(name)
        if row is None or self._state(row) != "deleted":
            raise AzureError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return row

    # -- live secrets ----------------------------------------------------------------------------------------------

    def set(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A new version. Nothing is inherited from the version before."""
        check_name(name)
        value = body.get("value")
        if not isinstance(value, str):
            raise AzureError(400, "BadParameter", "The request body is missing the required parameter 'value'.")
        if len(value.encode()) > MAXIMUM_VALUE_BYTES:
            raise AzureError(400, "BadParameter", 'The property "value" has an invalid value: longer than 25k bytes.')
        fields = _fields(body, {})
        with self._lock:
            row = self._find(name)
            if row is None:
                row = {"name": name, "versions": []}
            else:
                self._refuse_busy(row)
                if row.get("managed"):
                    raise _managed(name)
            return self._add_version(row, value, fields)

    def _add_version(self, row: dict[str, Any], value: str, fields: dict[str, Any]) -> dict[str, Any]:
        now = int(self.clock())
        version = {"version": randomness.token_hex(16), "value": value, "created": now, "updated": now, **fields}
        row = {**row, "versions": [*row["versions"], version]}
        self._save(row)
        return {"row": row, "version": version}

    def _refuse_busy(self, row: dict[str, Any]) -> None:
        name, state = row["name"], self._state(row)
        if state == "deleting":
            raise _conflict(
                f"Secret {name} is currently being deleted and cannot be re-created; retry later.",
                "ObjectIsBeingDeleted",
            )
        if state == "deleted":
            raise _conflict(
                f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in "
                "this state, the secret can only be recovered or purged.",
                "ObjectIsDeletedButRecoverable",
            )
        if state == "recovering":
            raise _conflict(f"Secret {name} is currently being recovered; retry later.", "ObjectIsBeingRecovered")

    def get(self, name: str, version: str = "") -> dict[str, Any]:
        """A version with its value; the newest where none is named."""
        row = self._live(name)
        found = _version(row, version)
        if not found["enabled"]:
            raise AzureError(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner={"code": "SecretDisabled"}
            )
        return {"row": row, "version": found}

    def update(self, name: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change metadata of a version: fields that are absent stay, fields that are null are cleared."""
        with self._lock:
            row = copy.deepcopy(self._live(name))
            if row.get("managed"):
                raise _managed(name)
            found = _version(row, version)
            found.update(_fields(body, found))
            found["updated"] = int(self.clock())
            self._save(row)
            return {"row": row, "version": found}

    def list(self) -> list[dict[str, Any]]:
        """The newest version of each live secret, by name."""
        live = [row for row in self._all() if self._state(row) == "live"]
        return [{"row": row, "version": row["versions"][-1]} for row in live]

    def versions(self, name: str) -> list[dict[str, Any]]:
        """All versions of a live secret ([] where there is none, as the service answers)."""
        row = self._find(name)
        if row is None or self._state(row) != "live":
            return []
        return [{"row": row, "version": version} for version in row["versions"]]

    # -- soft delete -----------------------------------------------------------------------------------------------

    def delete(self, name: str, policy: Policy) -> dict[str, Any]:
        with self._lock:
            row = self._live(name)
            if row.get("managed"):
                raise _managed(name)
            return self.discard(row, policy)

    def discard(self, row: dict[str, Any], policy: Policy) -> dict[str, Any]:
        """Soft-delete a row, a managed one too (its certificate goes)."""
        now = self.clock()
        row = {
            **row,
            "deleted": {
                "deletedDate": int(now),
                "scheduledPurgeDate": int(now) + policy.retention_days * DAY,
                "until": now + policy.deletion_seconds,
            },
        }
        self._save(row)
        return {"row": row, "version": row["versions"][-1]}

    def list_deleted(self) -> list[dict[str, Any]]:
        gone = [row for row in self._all() if self._state(row) == "deleted"]
        return [{"row": row, "version": row["versions"][-1]} for row in gone]

    def get_deleted(self, name: str) -> dict[str, Any]:
        row = self._deleted(name)
        return {"row": row, "version": row["versions"][-1]}

    def recover(self, name: str, policy: Policy) -> dict[str, Any]:
        with self._lock:
            row = self._find(name)
            if row is not None and self._state(row) in ("deleting", "recovering"):
                self._refuse_busy(row)
            row = {key: value for key, value in self._deleted(name).items() if key != "deleted"}
            row["recovering_until"] = self.clock() + policy.recovery_seconds
            self._save(row)
            return {"row": row, "version": row["versions"][-1]}

    def purge(self, name: str, policy: Policy) -> None:
        with self._lock:
            row = self._find(name)
            if row is not None and self._state(row) == "deleting":
                self._refuse_busy(row)
            row = self._deleted(name)
            if policy.purge_protection:
                raise AzureError(
                    403,
                    "Forbidden",
                    'Operation "purge" is not allowed because purge protection is enabled for this vault.',
                    inner={"code": "ForbiddenByPolicy"},
                )
            del self.rows[self._key(row["name"])]

    # -- backup ----------------------------------------------------------------------------------------------------

    def backup(self, name: str, subscription: str) -> str:
        """All versions as one opaque, encrypted text."""
        row = self._live(name)
        if row.get("managed"):
            raise _managed(name)
        if len(row["versions"]) > MAXIMUM_BACKUP_VERSIONS:
            raise AzureError(400, "BadParameter", f"Secret {name} has more than 500 versions and cannot be backed up.")
        content = {"subscription": subscription, "name": row["name"], "versions": row["versions"]}
        return base64.urlsafe_b64encode(self._fernet.encrypt(json.dumps(content).encode())).decode().rstrip("=")

    def restore(self, blob: Any, subscription: str) -> dict[str, Any]:
        """All versions back under the name they had; refused where the name is taken."""
        try:
            padded = str(blob) + "=" * (-len(str(blob)) % 4)
            content = json.loads(self._fernet.decrypt(base64.urlsafe_b64decode(padded)))
        except (InvalidToken, ValueError):
            raise AzureError(400, "BadParameter", "Backup blob contains invalid or corrupt version.") from None
        if content["subscription"] != subscription:
            raise AzureError(400, "BadParameter", "The backup belongs to another subscription.")
        with self._lock:
            existing = self._find(content["name"])
            if existing is not None:
                self._refuse_busy(existing)
                raise AzureError(
                    409, "Conflict", f"A secret with name {content['name']} already exists in this key vault."
                )
            row = {"name": content["name"], "versions": content["versions"]}
            self._save(row)
            return {"row": row, "version": row["versions"][-1]}

    # -- certificates ----------------------------------------------------------------------------------------------

    def set_managed(self, name: str, value: str, content_type: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The secret behind a certificate's version: the service writes it, nobody else."""
        with self._lock:
            row = self._find(name) or {"name": name, "versions": [], "managed": True}
            self._refuse_busy(row)
            return self._add_version(row, value, {"tags": {}, "enabled": True, "contentType": content_type, **fields})

    def find(self, name: str) -> dict[str, Any] | None:
        """The row of a name in whichever state, or None."""
        return self._find(name)

    def erase(self) -> None:
        """Forget everything of this vault (it was purged)."""
        for key in [key for key in self.rows if key.startswith(f"{self.vault}/")]:
            del self.rows[key]


def check_name(name: str) -> None:
    """Raise AzureError 400 for a name that the service does not take."""
    if not NAME.match(name):
        raise AzureError(400, "BadParameter", f"The request URI contains an invalid name: {name}")


def _version(row: dict[str, Any], version: str) -> dict[str, Any]:
    if not version:
        newest: dict[str, Any] = row["versions"][-1]
        return newest
    for found in row["versions"]:
        if found["version"] == version.lower():
            return found
    raise _not_found(f"{row['name']}/{version}")


def _fields(body: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Tags, content type and attributes of a body over those that were there before."""
    attributes = body.get("attributes") or {}
    fields: dict[str, Any] = {
        "tags": before.get("tags", {}),
        "contentType": before.get("contentType"),
        "enabled": before.get("enabled", True),
        "nbf": before.get("nbf"),
        "exp": before.get("exp"),
    }
    if "tags" in body:
        fields["tags"] = _checked_tags(body["tags"] or {})
    if "contentType" in body:
        content_type = body["contentType"]
        if content_type is not None and len(str(content_type)) > MAXIMUM_CONTENT_TYPE_LENGTH:
            raise AzureError(400, "BadParameter", 'The property "contentType" is longer than 255 characters.')
        fields["contentType"] = content_type
    if attributes.get("enabled") is not None:
        fields["enabled"] = bool(attributes["enabled"])
    for name in ("nbf", "exp"):
        if name in attributes:
            moment = attributes[name]
            if moment is not None and (not isinstance(moment, int) or isinstance(moment, bool)):
                raise AzureError(400, "BadParameter", f'The attribute "{name}" is not a number of seconds.')
            fields[name] = moment
    return fields


def _checked_tags(tags: Any) -> dict[str, str]:
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise AzureError(400, "BadParameter", 'The property "tags" has an invalid value.')
    if len(tags) > MAXIMUM_TAGS:
        raise AzureError(400, "BadParameter", 'The property "tags" has more than 15 entries.')
    if any(len(key) > MAXIMUM_TAG_LENGTH or len(value) > MAXIMUM_TAG_LENGTH for key, value in tags.items()):
        raise AzureError(400, "BadParameter", "A tag's name or value is longer than 256 characters.")
    return dict(tags)


def _conflict(message: str, inner: str) -> AzureError:
    return AzureError(409, "Conflict", message, inner={"code": inner})


def _managed(name: str) -> AzureError:
    return AzureError(
        403,
        "Forbidden",
        f"The operation is not allowed on the secret {name}: it is managed by a certificate.",
        inner={"code": "OperationNotAllowed"},
    )


def _not_found(name: str) -> AzureError:
    return AzureError(
        404,
        "SecretNotFound",
        f"A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may "
        "be able to recover it using the correct recovery command. For help resolving this issue, please see "
        "https://go.microsoft.com/fwlink/?linkid=2125182",
    )
