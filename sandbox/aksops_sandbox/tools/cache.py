"""Where built tools lie: one folder per tool and version under the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .manifest import GoBuild, Tool


def default_root(environ: dict[str, str] | None = None) -> Path:
    """$XDG_CACHE_HOME/aksops-platform/tools, or ~/.cache/aksops-platform/tools."""
    environ = dict(os.environ) if environ is None else environ
    base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "aksops-platform" / "tools"


def folder(root: Path, tool: Tool) -> Path:
    return root / tool.name / tool.version


def recipe(tool: Tool) -> str:
    """Digest of what decides the result besides the version, so that a changed flag rebuilds and nothing else does."""
    text = json.dumps([tool.name, tool.version, repr(tool.build)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_built(root: Path, tool: Tool) -> bool:
    place = folder(root, tool)
    try:
        receipt = json.loads((place / "build.json").read_text())
    except (OSError, ValueError):
        return False
    return receipt.get("recipe") == recipe(tool) and all(
        os.access(binary_path(root, tool, binary), os.X_OK) for binary in tool.build.binaries
    )


def binary_path(root: Path, tool: Tool, binary: str) -> Path:
    return folder(root, tool) / "bin" / binary


def shared_path(root: Path, tool: Tool, name: str) -> Path:
    """A folder of files that the tool's module ships (ModuleFiles.target)."""
    if not isinstance(tool.build, GoBuild) or name not in {item.target for item in tool.build.files}:
        raise KeyError(f"{tool.name} ships no files named {name!r}")
    return folder(root, tool) / "share" / name
