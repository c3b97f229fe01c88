"""Argo CD's application controller and repo server as processes, for clusters that have Argo CD installed.

kwok's pods run nothing. So where a cluster holds the controller's StatefulSet, the sandbox runs Argo CD itself beside
it: the real binaries, with the rights of the chart's own service account, until the StatefulSet goes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shlex
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aksops_sandbox.engines.kubernetes import ControlPlane, KubernetesError
from aksops_sandbox.engines.kubernetes.client import path as api_path
from aksops_sandbox.settings import write_private

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

CONTROLLER = "argocd-application-controller"
_STATEFUL_SETS = "/apis/apps/v1/statefulsets"
_SELECTOR = f"app.kubernetes.io/name={CONTROLLER}"
_APPLICATIONS = "argoproj.io/v1alpha1"
_TOKEN_SECONDS = 24 * 3600
_WATCH_SECONDS = 20
# Keys of the ConfigMaps that reach the controller, by the variable that the pods of the chart take them in.
_SETTINGS = {
    "ARGOCD_RECONCILIATION_TIMEOUT": ("argocd-cm", "timeout.reconciliation"),
    "ARGOCD_RECONCILIATION_JITTER": ("argocd-cm", "timeout.reconciliation.jitter"),
    "ARGOCD_APPLICATION_CONTROLLER_SERVER_SIDE_DIFF": ("argocd-cmd-params-cm", "controller.diff.server.side"),
    "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH": (
        "argocd-cmd-params-cm",
        "controller.resource.health.persist",
    ),
}
# kubectl holds Kustomize itself, but not its command `edit`, by which Argo CD applies `spec.source.kustomize`.
_KUSTOMIZE = """#!/bin/sh
case "$1" in
  build) shift; exec kubectl kustomize "$@" ;;
  version) kubectl version --client | sed -n 's/^Kustomize Version: //p' ;;
  *) echo "kustomize $1 is not to be had in the sandbox: put it into kustomization.yaml" >&2; exit 1 ;;
esac
"""


@dataclass(frozen=True)
class Installation:
    """What decides the processes: another value means a restart.

    namespace: where Argo CD lives. template: fingerprint of the controller's pod template.
    """

    namespace: str
    template: str


class ArgoCd:
    """Keeps one cluster's Argo CD processes as the cluster says.

    Args:
        ctx: the sandbox.
        plane: its running control plane.
    """

    def __init__(self, ctx: Sandbox, plane: ControlPlane) -> None:
        self._ctx = ctx
        self._plane = plane
        self._key = f"{plane.spec.key}-argocd"
        self._folder = ctx.home.sub("argocd") / plane.spec.key
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._running: Installation | None = None
        self._token_until = 0.0
        self._thread = threading.Thread(target=self._run, name=self._key, daemon=True)

    @property
    def plane(self) -> ControlPlane:
        return self._plane

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and end the processes."""
        self._ended.set()
        with self._lock:
            self._stop_processes()

    def refresh(self) -> int:
        """Tell Argo CD that git has changed, as a git host's webhook does; returns the number of applications."""
        if self._running is None:
            return 0
        collection = api_path(_APPLICATIONS, "applications", self._running.namespace)
        applications = self._plane.client.list(collection)
        for application in applications:
            note = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
            self._plane.client.merge(f"{collection}/{application['metadata']['name']}", note)
        return len(applications)

    # Watching -------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._lock:
                    if self._ended.is_set():
                        return
                    version = self._look()
                self._watch(version)
            except Exception as error:  # a cluster that stops, a tool that is not built: look again until told to end
                if self._ended.wait(2.0):
                    return
                if self._answers():
                    print(f"{self._key}: {type(error).__name__}: {error}", flush=True)

    def _answers(self) -> bool:
        try:
            return self._plane.client.ready()
        except RuntimeError:
            return False

    def _look(self) -> str:
        """Compare the cluster with the processes; returns the resource version to watch from."""
        answer = self._plane.client.request("GET", _STATEFUL_SETS, query={"labelSelector": _SELECTOR})
        wanted = None
        for item in answer.get("items") or []:
            if not item["metadata"].get("deletionTimestamp") and item["spec"].get("replicas", 1) > 0:
                template = json.dumps(item["spec"]["template"], sort_keys=True)
                wanted = Installation(item["metadata"]["namespace"], template)
        alive = all(self._ctx.supervisor.find(name) for name in self._names)
        if wanted != self._running or (wanted and not alive):
            self._stop_processes()
            if wanted:
                self._start_processes(wanted)
                self._running = wanted
        elif wanted and time.time() > self._token_until:
            self._write_token(wanted.namespace)
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        """Return at the first change, or after a while."""
        client = self._plane.client
        for _ in client.watch(_STATEFUL_SETS, _WATCH_SECONDS, labelSelector=_SELECTOR, resourceVersion=version):
            return

    # Processes ------------------------------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [f"{self._key}-{part}" for part in ("redis", "repo-server", "controller")]

    def _stop_processes(self) -> None:
        self._running = None
        for name in reversed(self._names):
            self._ctx.supervisor.stop(name, timeout=3.0)

    def _start_processes(self, wanted: Installation) -> None:
        ctx, namespace = self._ctx, wanted.namespace
        binary = ctx.tools.path("argocd")
        for name in ("", "tmp", "home", "tls", "ssh", "gpg", "plugins", "bin"):
            (self._folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        password = self._initialise(namespace)
        redis = self._start_redis(password)
        base = self._environment(binary, password)
        repo_port, repo_metrics = self._port("repo-server"), self._port("repo-server-metrics")
        ctx.supervisor.start(
            self._names[1],
            [
                binary, "--address=127.0.0.1", f"--port={repo_port}",
                "--metrics-address=127.0.0.1", f"--metrics-port={repo_metrics}",
                f"--redis=127.0.0.1:{redis}", "--disable-tls", "--parallelismlimit=2",
            ],
            env={**base, **self._outward(), "ARGOCD_BINARY_NAME": "argocd-repo-server", "GOMEMLIMIT": "150MiB"},
            cwd=self._folder,
            ready=lambda: _listens(repo_port),
        )  # fmt: skip
        kubeconfig = self._write_kubeconfig(namespace)
        ctx.supervisor.start(
            self._names[2],
            [
                binary, f"--kubeconfig={kubeconfig}", f"--namespace={namespace}",
                f"--repo-server=127.0.0.1:{repo_port}", "--repo-server-plaintext",
                f"--redis=127.0.0.1:{redis}", f"--metrics-port={self._port('controller-metrics')}",
                "--status-processors=4", "--operation-processors=2", "--kubectl-parallelism-limit=4",
            ],
            env={
                **base, "ARGOCD_BINARY_NAME": CONTROLLER, "ARGOCD_FAKE_IN_CLUSTER": "true",
                "KUBECONFIG": str(kubeconfig), "GOMEMLIMIT": "250MiB", **self._settings(namespace),
            },
            cwd=self._folder,
        )  # fmt: skip

    def _settings(self, namespace: str) -> dict[str, str]:
        client = self._plane.client
        maps = {
            name: (client.get(api_path("v1", "configmaps", namespace, name)) or {}).get("data") or {}
            for name in ("argocd-cm", "argocd-cmd-params-cm")
        }
        found = {variable: maps[name].get(key) for variable, (name, key) in _SETTINGS.items()}
        return {variable: value for variable, value in found.items() if value}

    def _port(self, part: str) -> int:
        return self._ctx.ports.get(f"{self._key}-{part}")

    def _start_redis(self, password: str) -> int:
        port = self._port("redis")
        config = self._folder / "redis.conf"
        lines = (
            "bind 127.0.0.1",
            f"port {port}",
            f"requirepass {password}",
            'save ""',
            "appendonly no",
            "maxmemory 64mb",
            "maxmemory-policy allkeys-lru",
            f"dir {self._folder / 'tmp'}",
        )
        write_private(config, "\n".join(lines) + "\n")
        binary = self._ctx.tools.path("redis-server")
        self._ctx.supervisor.start(
            self._names[0], [binary, config], env={"PATH": os.defpath}, cwd=self._folder, ready=lambda: _listens(port)
        )
        return port

    def _environment(self, binary: Path, password: str) -> dict[str, str]:
        tools = [str(self._ctx.tools.path(name).parent) for name in ("helm", "kubectl")]
        askpass = self._folder / "bin" / "git-ask-pass.sh"
        if not askpass.exists():
            script = f'#!/bin/sh\nARGOCD_BINARY_NAME=argocd-git-ask-pass exec {shlex.quote(str(binary))} "$@"\n'
            write_private(askpass, script)
            askpass.chmod(0o700)
        kustomize = self._folder / "bin" / "kustomize"
        if not kustomize.exists():
            write_private(kustomize, _KUSTOMIZE)
            kustomize.chmod(0o700)
        return {
            "PATH": os.pathsep.join([str(askpass.parent), *tools, os.environ.get("PATH", os.defpath)]),
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "REDIS_PASSWORD": password,
            "ARGOCD_ASK_PASS_SOCK": str(self._ctx.home.sub("run") / f"{self._key}.askpass"),
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self._folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self._folder / "ssh"),
            "ARGOCD_GNUPGHOME": str(self._folder / "gpg"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self._folder / "plugins"),
            "GOGC": "50",
        }

    def _outward(self) -> dict[str, str]:
        """The way to git hosts and chart repositories: through the sandbox, as everything else."""
        proxy = f"http://127.0.0.1:{self._ctx.ports.get_held('proxy-inside')}"
        bundle = str(self._ctx.home.path / "pki" / "bundle.pem")
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
            "SSL_CERT_FILE": bundle,
            "GIT_SSL_CAINFO": bundle,
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    # What other parts of Argo CD do at their start ------------------------------------------------------------------

    def _initialise(self, namespace: str) -> str:
        """Do what argocd-server and the chart's redis-secret-init job do; returns the Redis password."""
        client = self._plane.client
        secret = api_path("v1", "secrets", namespace)
        found = client.get(f"{secret}/argocd-redis")
        if found is None:
            content = {"metadata": {"name": "argocd-redis"}, "stringData": {"auth": secrets.token_urlsafe(24)}}
            found = client.create(secret, content)
        own = client.get(f"{secret}/argocd-secret")
        if own is not None and "server.secretkey" not in (own.get("data") or {}):
            client.merge(f"{secret}/argocd-secret", {"stringData": {"server.secretkey": secrets.token_urlsafe(32)}})
        settings = client.get(api_path("v1", "configmaps", namespace, "argocd-cm")) or {}
        if (settings.get("data") or {}).get("admin.enabled") != "false":
            initial = {
                "metadata": {"name": "argocd-initial-admin-secret"},
                "stringData": {"password": secrets.token_urlsafe(12)},
            }
            with contextlib.suppress(KubernetesError):
                client.create(secret, initial)
        project = {
            "apiVersion": _APPLICATIONS,
            "kind": "AppProject",
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {
                "sourceRepos": ["*"],
                "destinations": [{"server": "*", "namespace": "*"}],
                "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            },
        }
        try:
            client.create(api_path(_APPLICATIONS, "appprojects", namespace), project)
        except KubernetesError as error:
            if error.status != 409:
                raise
        return base64.b64decode(found["data"]["auth"]).decode()

    def _write_kubeconfig(self, namespace: str) -> Path:
        self._write_token(namespace)
        authority = base64.b64encode(Path(self._plane.pki.authority.certificate).read_bytes()).decode()
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "in-cluster",
                    "cluster": {
                        "server": f"https://127.0.0.1:{self._plane.port}",
                        "certificate-authority-data": authority,
                    },
                }
            ],
            "users": [{"name": CONTROLLER, "user": {"tokenFile": str(self._token)}}],
            "contexts": [
                {"name": "in-cluster", "context": {"cluster": "in-cluster", "user": CONTROLLER, "namespace": namespace}}
            ],
            "current-context": "in-cluster",
        }
        file = self._folder / "kubeconfig"
        write_private(file, json.dumps(content))
        return file

    @property
    def _token(self) -> Path:
        return self._folder / "token"

    def _write_token(self, namespace: str) -> None:
        """A token of the controller's service account; the clients read the file again from time to time."""
        target = api_path("v1", "serviceaccounts", namespace, CONTROLLER) + "/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        answer: dict[str, Any] = self._plane.client.create(target, request)
        write_private(self._token, answer["status"]["token"])
        self._token_until = time.time() + _TOKEN_SECONDS / 2


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
