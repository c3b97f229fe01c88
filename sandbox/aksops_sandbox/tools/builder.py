"""Build what is missing: one tool at a time, under a lock, renamed into place when it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import cache, recipes
from .manifest import Tool
from .progress import elapsed


def build(tool: Tool, root: Path, *, trim: bool = False, environ: Mapping[str, str] | None = None) -> float:
    """Make a tool present in the cache; returns the seconds it took, 0.0 if it was there.

    trim: compile with a private Go build cache that is removed afterwards (disk in CI); the user's own stays as it is.
    Raises recipes.PrerequisiteError or progress.CommandError.
    """
    if cache.is_built(root, tool):
        return 0.0
    with _lock(root, tool):
        if cache.is_built(root, tool):  # another builder made it while this one waited
            return 0.0
        started = time.monotonic()
        print(f"{tool.name} {tool.version}: building (once; for {tool.needed_by})", file=sys.stderr, flush=True)
        _build(tool, root, trim, dict(os.environ if environ is None else environ))
        seconds = time.monotonic() - started
        print(f"{tool.name} {tool.version}: ready after {elapsed(seconds)}", file=sys.stderr, flush=True)
        return seconds


def _build(tool: Tool, root: Path, trim: bool, env: dict[str, str]) -> None:
    place = cache.folder(root, tool)
    place.parent.mkdir(parents=True, exist_ok=True)
    log = root / "logs" / f"{tool.name}-{tool.version}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    for leftover in place.parent.glob(f".{tool.version}.*"):  # of a build that was killed; the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{tool.version}.", dir=place.parent))
    started = time.monotonic()
    try:
        if trim:
            env["GOCACHE"] = str(root / "go-build")
        recipes.make(tool, staging, log, env)
        receipt = {
            "tool": tool.name,
            "version": tool.version,
            "recipe": cache.recipe(tool),
            "seconds": round(time.monotonic() - started, 1),
        }
        (staging / "build.json").write_text(json.dumps(receipt, indent=2) + "\n")
        staging.chmod(0o755)
        if place.exists():
            shutil.rmtree(place)
        staging.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if trim:
            shutil.rmtree(root / "go-build", ignore_errors=True)


@contextmanager
def _lock(root: Path, tool: Tool) -> Iterator[None]:
    """One build at a time per cache: two linkers at once need more memory than a laptop has."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("a+") as handle:
        started = time.monotonic()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = int(time.monotonic() - started)
                if waited % 10 == 0:
                    print(
                        f"{tool.name} {tool.version}: waiting for another build, {elapsed(waited)}",
                        file=sys.stderr,
                        flush=True,
                    )
                time.sleep(1.0)
        yield
