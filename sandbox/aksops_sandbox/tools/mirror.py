"""The Terraform provider as a filesystem mirror, and the CLI configuration that points at it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from . import cache
from .manifest import AZURERM_VERSION, BY_NAME

HOSTS = ("registry.terraform.io", "registry.opentofu.org")
"""addresses of the provider as Terraform and OpenTofu spell it, not places that anything is fetched from"""

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}


def target_platform() -> str:
    """Terraform's name of this platform, such as linux_amd64."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"


def write(root: Path) -> Path:
    """Make the mirror and the CLI configuration next to the built provider; returns the configuration's path."""
    mirror = root / "terraform-mirror"
    binaries = cache.folder(root, BY_NAME["azurerm"]) / "bin"
    for host in HOSTS:
        version = mirror / host / "hashicorp" / "azurerm" / AZURERM_VERSION
        version.mkdir(parents=True, exist_ok=True)
        # Terraform follows a link only at this last level of a mirror.
        _link(version / target_platform(), os.path.relpath(binaries, version))
    config = root / "tofurc" / "terraformrc"
    text = (
        "disable_checkpoint = true\n\n"
        "# Nothing but this mirror: an installation that would ask a registry fails at once.\n"
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f'    path = "{mirror}"\n'
        "  }\n"
        "}\n"
    )
    if not config.is_file() or config.read_text() != text:
        config.parent.mkdir(parents=True, exist_ok=True)
        draft = config.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.replace(config)
    return config


def _link(path: Path, target: str) -> None:
    if path.is_symlink() and os.readlink(path) == target:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)
