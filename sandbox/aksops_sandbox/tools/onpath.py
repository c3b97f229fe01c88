"""A tool of the right version on PATH is used instead of a build."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path

from .manifest import Tool

MINIMUM_TERRAFORM = (1, 11, 0)
"""write-only arguments and ephemeral resources need it"""

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?")


def parse(text: str) -> tuple[int, int, int] | None:
    """First release version in a text; a pre-release (1.36.0-rc.1) is not a release and gives None."""
    found = _VERSION.search(text)
    if not found or found.group(4):
        return None
    return int(found.group(1)), int(found.group(2)), int(found.group(3))


@functools.cache
def version_of(path: str, probe: tuple[str, ...]) -> tuple[int, int, int] | None:
    try:
        done = subprocess.run(
            [path, *probe], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse(done.stdout or done.stderr) if done.returncode == 0 else None


def _probe(tool: Tool, binary: str) -> tuple[str, ...] | None:
    if binary == "kubectl":
        return ("version", "--client")
    return tool.probe


def find(tool: Tool, binary: str, search: str | None = None) -> Path | None:
    """The binary on PATH (or on `search`), if it reports exactly the manifest's version."""
    probe = _probe(tool, binary)
    found = shutil.which(binary, path=search) if probe is not None else None
    if found is None or probe is None:
        return None
    return Path(found) if version_of(found, probe) == parse(tool.version) else None


def find_terraform(search: str | None = None) -> Path | None:
    """`terraform` or, failing that, `tofu` on PATH of at least MINIMUM_TERRAFORM."""
    for binary in ("terraform", "tofu"):
        found = shutil.which(binary, path=search)
        if found is None:
            continue
        version = version_of(found, ("version",))
        if version is not None and version >= MINIMUM_TERRAFORM:
            return Path(found)
    return None
