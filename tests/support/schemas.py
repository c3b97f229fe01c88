"""JSON schemas for kubeconform, made of what an API server says of its kinds (/openapi/v3), custom resources too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LOCAL = "#/components/schemas/"
LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"


def group_path(version: str) -> str:
    """The path of a group and version below /openapi/v3: `apps/v1` -> `apis/apps/v1`, `v1` -> `api/v1`."""
    return f"apis/{version}" if "/" in version else f"api/{version}"


def kinds(document: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """(apiVersion, kind) -> name of its schema, of one document."""
    found = {}
    for name, schema in ((document.get("components") or {}).get("schemas") or {}).items():
        for item in schema.get("x-kubernetes-group-version-kind") or []:
            version = f"{item['group']}/{item['version']}" if item["group"] else item["version"]
            found[version, item["kind"]] = name
    return found


def write(folder: Path, document: Mapping[str, Any], version: str, kind: str) -> Path:
    """Write the schema of one kind, under the name by which kubeconform looks for it.

    Raises KeyError where the document does not know the kind.
    """
    name = kinds(document)[version, kind]
    schemas = document["components"]["schemas"]
    needed: dict[str, Any] = {}
    open_names = [name]
    while open_names:
        current = open_names.pop()
        if current not in needed:
            needed[current] = strict(schemas[current])
            open_names += _references(needed[current])
    group, _, number = version.rpartition("/")
    suffix = f"-{group.split('.')[0]}-{number}" if group else f"-{number}"
    path = folder / f"{kind.lower()}{suffix.lower()}.json"
    path.write_text(json.dumps({"$ref": f"#/definitions/{name}", "definitions": needed}))
    return path


def strict(schema: Any) -> Any:
    """An OpenAPI schema as JSON schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key in ("description", "default", "example", "format", "nullable") or key.startswith("x-"):
            continue
        if key == "$ref":
            result[key] = value.replace(_LOCAL, "#/definitions/")
        elif key in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
            continue
        elif key in ("properties", "patternProperties"):
            result[key] = {name: strict(item) for name, item in value.items()}
        else:
            result[key] = strict(value)
    if schema.get("nullable") and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
        result.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    closed = "properties" in result and "additionalProperties" not in result
    if closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for item in schema for name in _references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].removeprefix("#/definitions/")] if isinstance(schema.get("$ref"), str) else []
    return own + [name for value in schema.values() for name in _references(value)]
