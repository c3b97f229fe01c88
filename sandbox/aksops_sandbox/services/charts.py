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


class ChartsService(Service):
    """argoproj.github.io/argo-helm: `index.yaml` and the packed charts."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = [(r"argoproj\.github\.io", self._answer)]

    def _answer(self, ctx: Sandbox, request: Request) -> Response:
        root = "/argo-helm/"
        if request.method not in {"GET", "HEAD"} or not request.path.startswith(root):
            raise AzureError(404, "NotFound", f"There is no {request.path} at {request.host}.")
        charts = {f"{name}-{version}.tgz": (name, data) for name, version, data in self._charts(ctx)}
        file = request.path.removeprefix(root)
        if file == "index.yaml":
            url = f"https://{request.host}{root}"
            entries: dict[str, list[dict[str, Any]]] = {}
            for target, (name, data) in charts.items():
                digest = hashlib.sha256(data).hexdigest()
                entry = {**metadata(name), "urls": [url + target], "digest": digest, "created": _CREATED}
                entries.setdefault(name, []).append(entry)
            index = {"apiVersion": "v1", "entries": entries, "generated": _CREATED}
            return Response(200, {"Content-Type": "text/yaml"}, yaml.safe_dump(index, sort_keys=False).encode())
        if file in charts:
            return Response(200, {"Content-Type": "application/gzip"}, charts[file][1])
        raise AzureError(404, "NotFound", f"The stand-in repository has no {file}; it has {', '.join(charts)}.")

    @staticmethod
    def _charts(ctx: Sandbox) -> list[tuple[str, str, bytes]]:
        crds = {"argo-cd": ctx.tools.shared("argocd", "crds")}
        return [(name, metadata(name)["version"], pack(name, folder)) for name, folder in crds.items()]


def metadata(name: str) -> dict[str, Any]:
    """Chart.yaml of a stand-in."""
    return yaml.safe_load((SOURCES / name / "Chart.yaml").read_text(encoding="utf-8"))


@functools.cache
def pack(name: str, crds: Path) -> bytes:
    """A chart archive, byte for byte the same each time: the stand-in's files and the CRDs of the built project."""
    source = SOURCES / name
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
    files |= {f"files/{path.name}": path for path in crds.glob("*-crd.yaml")}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for target in sorted(files, key=lambda item: (item != "Chart.yaml", item)):
            data = files[target].read_bytes()
            entry = tarfile.TarInfo(f"{name}/{target}")
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)
