"""What the Azure provider of the Secrets Store CSI driver reads of a SecretProviderClass, in its order and words.

After Azure/secrets-store-csi-driver-provider-azure, pkg/provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import yaml

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("", "0", "f", "F", "FALSE", "false", "False")
_FIELDS = {
    "objectName": "name",
    "objectType": "kind",
    "objectAlias": "alias",
    "objectVersion": "version",
    "objectFormat": "format",
    "objectEncoding": "encoding",
}


class ObjectError(Exception):
    """A class, or an object of it, cannot be mounted; the message is the provider's."""


@dataclass(frozen=True)
class VaultObject:
    """One entry of the parameter `objects`. history: how many versions are wanted."""

    name: str = ""
    kind: str = ""
    alias: str = ""
    version: str = ""
    format: str = ""
    encoding: str = ""
    history: int = 0

    @property
    def file(self) -> str:
        """Its path in the volume."""
        return self.alias or self.name

    @property
    def uid(self) -> str:
        """What the pod's status calls it."""
        own = f"{self.kind}/{self.name}"
        return own if self.history <= 1 else f"{own}/{self.alias.rsplit('/', 1)[-1]}"

    def error(self, text: Any) -> ObjectError:
        """The provider's error about this object."""
        return ObjectError(
            f"failed to get objectType:{self.kind}, objectName:{self.name}, objectVersion:{self.version}: {text}"
        )

    def versions(self, found: Iterable[tuple[str, int]]) -> list[VaultObject]:
        """An object for each version to mount, of (version, when it was made) pairs: the newest, or from its own on."""
        objects: list[VaultObject] = []
        started = self.version in ("", "latest")
        for version, _ in sorted(found, key=lambda pair: pair[1], reverse=True):
            started = started or version == self.version
            if started:
                objects.append(replace(self, alias=f"{self.file}/{len(objects)}", version=version))
                if len(objects) > self.history:
                    break
        return objects


def flag(parameters: dict[str, str], name: str) -> bool:
    """A parameter that is true or false."""
    value = parameters.get(name, "").strip()
    if value not in _TRUE + _FALSE:
        raise ObjectError(f'failed to parse {name} flag, error: strconv.ParseBool: parsing "{value}": invalid syntax')
    return value in _TRUE


def objects(parameters: dict[str, str]) -> list[VaultObject]:
    """The objects of a class. Raises ObjectError."""
    text = parameters.get("objects", "").strip()
    if not text:
        raise ObjectError("objects is not set")
    try:
        entries = (yaml.safe_load(text) or {}).get("array") or []
    except (yaml.YAMLError, AttributeError) as error:
        raise ObjectError(f"failed to yaml unmarshal objects, error: {_line(error)}") from None
    return [_object(index, entry) for index, entry in enumerate(entries)]


def vault_host(name: str) -> str:
    """The host of a vault. Raises ObjectError for what cannot be the name of one."""
    said = f'failed to get vault: Invalid vault name: "{name}", must'
    if not 3 <= len(name) <= 24:
        raise ObjectError(f"{said} be between 3 and 24 chars")
    if not re.fullmatch(r"[-A-Za-z0-9]+", name):
        raise ObjectError(f"{said} match [-a-zA-Z0-9]{{3,24}}")
    return f"{name}.vault.azure.net"


def refusal(method: str, url: str, status: str, code: str, body: str) -> str:
    """An answer of Azure as its SDK for Go prints it."""
    line = "-" * 80
    codes = f"ERROR CODE: {code}" if code else "ERROR CODE UNAVAILABLE"
    return f"{method} {url}\n{line}\nRESPONSE {status}\n{codes}\n{line}\n{body}\n{line}\n"


def _object(index: int, entry: Any) -> VaultObject:
    try:
        given = yaml.safe_load(entry)
        values = {field: str(given.get(key) or "").strip() for key, field in _FIELDS.items()}
        found = VaultObject(**values, history=int(given.get("objectVersionHistory") or 0))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ObjectError(f"unmarshal failed for keyVaultObjects at index {index}, error: {_line(error)}") from None
    if problem := _problem(found):
        raise found.error(problem)
    return found


def _problem(item: VaultObject) -> str | None:
    if item.format and item.format.lower() not in ("pem", "pfx"):
        return f"invalid objectFormat: {item.format}, should be PEM or PFX"
    if item.format == "pfx" and item.kind != "secret":
        return "PFX format only supported for objectType: secret"
    if item.encoding and item.kind != "secret":
        return "objectEncoding only supported for objectType: secret"
    if item.encoding and item.encoding.lower() not in ("hex", "base64", "utf-8"):
        return f"invalid objectEncoding: {item.encoding}, should be hex, base64 or utf-8"
    if not item.file:
        return "file name must not be empty"
    if item.file.startswith("/"):
        return "file name must be a relative path"
    return "file name must not contain '..'" if ".." in item.file else None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
