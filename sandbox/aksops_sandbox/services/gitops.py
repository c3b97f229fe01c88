"""What stands beside each running cluster (Argo CD, the metrics API), and a git host with the checkout's charts."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.engines.argocd import ArgoCd
from aksops_sandbox.engines.git import GitError, GitServer
from aksops_sandbox.engines.kubernetes import KubernetesError
from aksops_sandbox.engines.metrics import MetricsServer
from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.services.base import Service

if TYPE_CHECKING:
    from aksops_sandbox.engines.kubernetes import ControlPlane
    from aksops_sandbox.sandbox import Sandbox

CLUSTERS = "Microsoft.ContainerService/managedClusters"
REPOSITORY = "sandbox/platform/_git/platform"
CHECKOUT = Path(__file__).resolve().parents[3]
_PAUSE = 1.0


class GitOpsService(Service):
    """dev.azure.com, read-only, and the engines beside the clusters.

    At start the checkout's `charts/` are published as https://dev.azure.com/sandbox/platform/_git/platform.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hosts = [(r"dev\.azure\.com", self._answer)]
        self._server: GitServer | None = None
        self._beside: dict[str, Beside] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def start(self, ctx: Sandbox) -> None:
        self._server = GitServer(ctx.home.sub("git"))
        ctx.admin_commands["git-publish"] = self.publish
        if (CHECKOUT / "charts").is_dir():
            self.publish(ctx, {})
        threading.Thread(target=self._run, args=(ctx,), name="beside the clusters", daemon=True).start()

    def stop(self, ctx: Sandbox) -> None:
        self._ended.set()
        with self._lock:
            ending = list(self._beside.values())
            self._beside.clear()
        for beside in ending:
            beside.stop()

    def publish(self, ctx: Sandbox, argument: dict[str, Any]) -> dict[str, Any]:
        """Command `git-publish`: `directory` (default: the checkout), `folders`, `repository`, `branch`.

        Applications are refreshed where the repository changed, as a webhook would do.
        """
        assert self._server is not None
        directory = Path(argument.get("directory") or CHECKOUT)
        branch, name = argument.get("branch") or "main", argument.get("repository") or REPOSITORY
        if "://" in name:
            name = urlsplit(name).path.strip("/")
        try:
            folders = tuple(argument.get("folders") or ("charts",))
            commit, changed = self._server.publish(name, directory, folders, branch)
        except (GitError, OSError) as error:
            raise AzureError(400, "PublishFailed", f"Nothing was published from {directory}: {error}") from None
        refreshed = 0
        if changed:
            with self._lock:
                engines = [beside.argocd for beside in self._beside.values()]
            for engine in engines:
                with contextlib.suppress(OSError, RuntimeError, KubernetesError):
                    refreshed += engine.refresh()
        return {
            "repository": f"https://dev.azure.com/{name}",
            "branch": branch,
            "commit": commit,
            "changed": changed,
            "applications_refreshed": refreshed,
        }

    def _answer(self, ctx: Sandbox, request: Request) -> Response:
        assert self._server is not None
        query = urlsplit(request.raw_path).query
        try:
            answer = self._server.answer(request.method, request.path, query, request.headers, request.body)
        except (GitError, OSError) as error:
            raise AzureError(500, "GitFailed", str(error)) from None
        return Response(*answer)

    # Beside the clusters --------------------------------------------------------------------------------------------

    def _run(self, ctx: Sandbox) -> None:
        """One set of engines for each running control plane."""
        while not self._ended.wait(_PAUSE):
            planes = running_planes(ctx)
            with self._lock:
                if self._ended.is_set():
                    return
                gone = [key for key, beside in self._beside.items() if beside.plane is not planes.get(key)]
                old = [self._beside.pop(key) for key in gone]
                new = {key: Beside(ctx, plane) for key, plane in planes.items() if key not in self._beside}
                self._beside.update(new)
            for beside in old:
                beside.stop()
            for beside in new.values():
                beside.start()


class Beside:
    """The engines of one cluster."""

    def __init__(self, ctx: Sandbox, plane: ControlPlane) -> None:
        self.plane = plane
        self.argocd = ArgoCd(ctx, plane)
        self._metrics = MetricsServer(ctx, plane)

    def start(self) -> None:
        self._metrics.start()
        self.argocd.start()

    def stop(self) -> None:
        self.argocd.stop()
        self._metrics.stop()


def running_planes(ctx: Sandbox) -> dict[str, ControlPlane]:
    """Control planes that run, by cluster id."""
    from aksops_sandbox.services.containerservice import ContainerService

    fleet = ctx.service(ContainerService).fleet
    found = {cluster.id.lower(): fleet.find(cluster.id) for cluster in ctx.store.peek(type=CLUSTERS)}
    return {key: plane for key, plane in found.items() if plane is not None}
