"""GitOps: a git host with the checkout's charts, and Argo CD for the clusters that have it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.engines.argocd import ArgoCd
from aksops_sandbox.engines.git import GitError, GitServer
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
    """dev.azure.com, read-only, and the supervision of Argo CD.

    At start the checkout's `charts/` are published as https://dev.azure.com/sandbox/platform/_git/platform.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hosts = [(r"dev\.azure\.com", self._answer)]
        self._server: GitServer | None = None
        self._engines: dict[str, ArgoCd] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def start(self, ctx: Sandbox) -> None:
        self._server = GitServer(ctx.home.sub("git"))
        ctx.admin_commands["git-publish"] = self.publish
        if (CHECKOUT / "charts").is_dir():
            self.publish(ctx, {})
        threading.Thread(target=self._run, args=(ctx,), name="argocd", daemon=True).start()

    def stop(self, ctx: Sandbox) -> None:
        self._ended.set()
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.stop()

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
            commit, changed = self._server.publish(name, directory, tuple(argument.get("folders") or ("charts",)), branch)
        except (GitError, OSError) as error:
            raise AzureError(400, "PublishFailed", f"Nothing was published from {directory}: {error}") from None
        refreshed = 0
        if changed:
            with self._lock:
                engines = list(self._engines.values())
            for engine in engines:
                with contextlib.suppress(OSError, RuntimeError):
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
            status, headers, body = self._server.answer(request.method, request.path, query, request.headers, request.body)
        except (GitError, OSError) as error:
            raise AzureError(500, "GitFailed", str(error)) from None
        return Response(status, headers, body)

    # Argo CD -----------------------------------------------------------------------------------------------------------

    def _run(self, ctx: Sandbox) -> None:
        """One engine for each running control plane."""
        while not self._ended.wait(_PAUSE):
            planes = running_planes(ctx)
            with self._lock:
                if self._ended.is_set():
                    return
                gone = [self._engines.pop(key) for key in list(self._engines) if self._engines[key].plane is not planes.get(key)]
                new = {key: ArgoCd(ctx, plane) for key, plane in planes.items() if key not in self._engines}
                self._engines.update(new)
            for engine in gone:
                engine.stop()
            for engine in new.values():
                engine.start()


def running_planes(ctx: Sandbox) -> dict[str, ControlPlane]:
    """Control planes that run, by cluster id."""
    from aksops_sandbox.services.containerservice import ContainerService

    fleet = ctx.service(ContainerService).fleet
    found = {cluster.id.lower(): fleet.find(cluster.id) for cluster in ctx.store.peek(type=CLUSTERS)}
    return {key: plane for key, plane in found.items() if plane is not None}
