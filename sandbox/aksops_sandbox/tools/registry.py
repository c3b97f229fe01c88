"""The published provider, where Terraform can reach its registry: a download instead of a build of many minutes."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from . import onpath, progress
from .manifest import Tool
from .mirror import target_platform

PROVIDERS = {"azurerm": "hashicorp/azurerm"}
"""tool -> its address in the registry"""


def fetch(tool: Tool, staging: Path, log: Path, env: Mapping[str, str]) -> bool:
    """Ask Terraform (or OpenTofu) on PATH to download a provider into staging/bin; False where it cannot.

    The program verifies the provider's signature and checksums itself.
    """
    address = PROVIDERS.get(tool.name)
    program = onpath.find_terraform(env.get("PATH"))
    if address is None or program is None:
        return False
    with tempfile.TemporaryDirectory(dir=staging) as name:
        folder = Path(name)
        source = {"azurerm": {"source": address, "version": tool.version}}
        (folder / "versions.tf.json").write_text(json.dumps({"terraform": {"required_providers": source}}))
        (folder / "cli.tfrc").write_text("disable_checkpoint = true\n")
        asking = {
            **env,
            "TF_CLI_CONFIG_FILE": str(folder / "cli.tfrc"),
            "TF_REGISTRY_CLIENT_TIMEOUT": "5",
            "TF_REGISTRY_DISCOVERY_RETRY": "0",
        }
        argv = [str(program), "providers", "mirror", f"-platform={target_platform()}", str(folder / "mirror")]
        try:
            progress.run(f"{tool.name} {tool.version} (from the registry)", argv, log=log, cwd=folder, env=asking)
        except progress.CommandError:
            return False  # the log says why; building it is the answer
        for archive in (folder / "mirror").rglob(f"*_{tool.version}_*.zip"):
            with zipfile.ZipFile(archive) as content:
                for binary in tool.build.binaries:
                    if binary in content.namelist():
                        content.extract(binary, staging / "bin")
                        os.chmod(staging / "bin" / binary, 0o755)
    return all((staging / "bin" / binary).is_file() for binary in tool.build.binaries)
