"""Tools of the sandbox: where each one is, and what builds those that are not there.

python -m aksops_sandbox.tools build [NAME...]      python -m aksops_sandbox.tools path NAME
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import builder, cache, manifest, mirror, onpath
from .manifest import KUBERNETES_VERSION

__all__ = ["KUBERNETES_VERSION", "ToolMissingError", "Tools"]


class ToolMissingError(Exception):
    """A tool is neither on PATH nor built; the message names the command that builds it."""


class Tools:
    """The tools cache.

    root: folder of the cache; default $XDG_CACHE_HOME/aksops-platform/tools.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root is not None else cache.default_root()

    def locate(self, name: str) -> Path | None:
        """Path of a binary, from PATH if the version there is the right one, else from the cache, else None.

        `terraform` stands for whichever of terraform and tofu is used. KeyError for a name that is in no manifest.
        """
        if name == "terraform":
            found = onpath.find_terraform()
            if found is not None:
                return found
            name = "tofu"
        tool = manifest.find(name)
        binary = name if name in tool.build.binaries else tool.build.binaries[0]
        if cache.is_built(self.root, tool):
            return cache.binary_path(self.root, tool, binary)
        return onpath.find(tool, binary)

    def path(self, name: str) -> Path:
        """Path of a binary; ToolMissingError with one sentence where it is not there."""
        found = self.locate(name)
        if found is None:
            tool = manifest.find("tofu" if name == "terraform" else name)
            raise ToolMissingError(
                f"The tool {name} {tool.version} is not built yet: run `make tools` "
                f"(or `python -m aksops_sandbox.tools build {tool.name}`)."
            )
        return found

    def shared(self, name: str, files: str) -> Path:
        """Folder of files that a tool's module ships: shared('argocd', 'crds'). Raises ToolMissingError."""
        tool = manifest.find(name)
        place = cache.shared_path(self.root, tool, files)
        if not place.is_dir():
            raise ToolMissingError(f"The files {files} of {name} {tool.version} are not there yet: run `make tools`.")
        return place

    def missing(self, names: Iterable[str] = ()) -> list[manifest.Tool]:
        """Those of the named tools (default: all that a plain `build` makes) that would have to be built."""
        return [tool for tool in self._wanted(names) if not self._present(tool)]

    def build(self, names: Iterable[str] = (), *, trim: bool = False) -> dict[str, float]:
        """Build what is missing, one at a time in the manifest's order; returns seconds per tool that was built."""
        seconds = {}
        for tool in self.missing(names):
            seconds[tool.name] = builder.build(tool, self.root, trim=trim)
        if cache.is_built(self.root, manifest.BY_NAME["azurerm"]):
            mirror.write(self.root)
        return seconds

    def terraform_config(self) -> Path:
        """CLI configuration file (TF_CLI_CONFIG_FILE) that makes Terraform use the built provider."""
        if not cache.is_built(self.root, manifest.BY_NAME["azurerm"]):
            raise ToolMissingError("The Terraform provider azurerm is not built yet: run `make tools`.")
        return mirror.write(self.root)

    def bin_folders(self) -> list[Path]:
        """Folders of the built tools that people call by name, for PATH."""
        folders = []
        for name in ("kubectl", "helm", "kubeconform", "argocd", "terraform"):
            found = self.locate(name)
            if found is not None and found.is_relative_to(self.root) and found.parent not in folders:
                folders.append(found.parent)
        return folders

    def _wanted(self, names: Iterable[str]) -> list[manifest.Tool]:
        chosen = {"tofu" if name == "terraform" else name for name in names}
        if not chosen:
            return [tool for tool in manifest.TOOLS if tool.default or tool.name == "opentofu"]
        picked = {manifest.find(name).name for name in chosen}
        return [tool for tool in manifest.TOOLS if tool.name in picked]

    def _present(self, tool: manifest.Tool) -> bool:
        if tool.name == "opentofu" and onpath.find_terraform() is not None:
            return True
        if cache.is_built(self.root, tool):
            return True
        ships_files = isinstance(tool.build, manifest.GoBuild) and bool(tool.build.files)
        return not ships_files and all(onpath.find(tool, binary) for binary in tool.build.binaries)
