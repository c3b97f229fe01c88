"""Public Helm chart repositories, answered with small stand-in charts of the same name, version and value keys."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

SOURCES = Path(__file__).resolve().parents[1] / "charts"
_CREATED = "2026-07-02T19:18:41Z"
# Published versions that are answered besides the newest, which each Chart.yaml names: an upgrade needs two.
_EARLIER = {"argo-cd": ("10.1.0",)}
# Tools whose CRDs a chart carries.
_CRDS = {"argo-cd": "argocd"}


class ChartsService(Service):
    """argoproj.github.io/argo-helm: `index.yaml` and the packed charts."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = [(r"argoproj\.github\.io", self._answer)]

    def _answer(self, ctx: Sandbox, request: Request) -> Response:
        root = "/argo-helm/"
        if request.method not in {"GET", "HEAD"} or not request.path.startswith(root):
            raise AzureError(404, "NotFound", f"There is no {request.path} at {request.host}.")
        charts = {f"{name}-{version}.tgz": (name, version, data) for name, version, data in self._charts(ctx)}
        file = request.path.removeprefix(root)
        if file == "index.yaml":
            url = f"https://{request.host}{root}"
            entries: dict[str, list[dict[str, Any]]] = {}
            for target, (name, version, data) in charts.items():
                digest = hashlib.sha256(data).hexdigest()
                entry = {**metadata(name, version), "urls": [url + target], "digest": digest, "created": _CREATED}
                entries.setdefault(name, []).append(entry)
            index = {"apiVersion": "v1", "entries": entries, "generated": _CREATED}
            return Response(200, {"Content-Type": "text/yaml"}, yaml.safe_dump(index, sort_keys=False).encode())
        if file in charts:
            return Response(200, {"Content-Type": "application/gzip"}, charts[file][2])
        raise AzureError(404, "NotFound", f"The stand-in repository has no {file}; it has {', '.join(charts)}.")

    @staticmethod
    def _charts(ctx: Sandbox) -> list[tuple[str, str, bytes]]:
        found = []
        for name in sorted(path.parent.name for path in SOURCES.glob("*/Chart.yaml")):
            crds = ctx.tools.shared(_CRDS[name], "crds") if name in _CRDS else None
            for version in (metadata(name)["version"], *_EARLIER.get(name, ())):
                found.append((name, version, pack(name, crds, version)))
        return found


def metadata(name: str, version: str | None = None) -> dict[str, Any]:
    """Chart.yaml of a stand-in, at the newest or another published version."""
    found = yaml.safe_load((SOURCES / name / "Chart.yaml").read_text(encoding="utf-8"))
    return {**found, "version": version or found["version"]}


@functools.cache
def pack(name: str, crds: Path | None = None, version: str | None = None) -> bytes:
    """A chart archive, byte for byte the same each time: the stand-in's files and the CRDs of the built project."""
    source = SOURCES / name
    files = {path.relative_to(source).as_posix(): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    files["Chart.yaml"] = yaml.safe_dump(metadata(name, version), sort_keys=False).encode()
    if crds is not None:
        files |= {f"files/{path.name}": path.read_bytes() for path in crds.glob("*-crd.yaml")}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for target in sorted(files, key=lambda item: (item != "Chart.yaml", item)):
            entry = tarfile.TarInfo(f"{name}/{target}")
            entry.size, entry.mode = len(files[target]), 0o644
            archive.addfile(entry, io.BytesIO(files[target]))
    return gzip.compress(plain.getvalue(), mtime=0)
