"""All clusters of one sandbox: made, restored, dropped, and backed up every day."""

from __future__ import annotations

import datetime
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from aksops_sandbox.engines.postgres import backups
from aksops_sandbox.engines.postgres.cluster import Cluster
from aksops_sandbox.engines.postgres.runtime import PostgresError, Runtime
from aksops_sandbox.engines.process import Supervisor

UTC = datetime.UTC
_BACKUP_INTERVAL = datetime.timedelta(days=1)
_ROUND = 600.0  # seconds between looks at what is due


class Engine:
    """The clusters below `home`, by server name.

    Args:
        home: the sandbox's folder for PostgreSQL.
        supervisor: the sandbox's supervisor of processes.
        retention: days that a server's automatic backups are kept.
    """

    def __init__(self, home: Path, supervisor: Supervisor, retention: Callable[[str], int]) -> None:
        self.runtime = Runtime(home)
        self._supervisor = supervisor
        self._retention = retention
        self._clusters: dict[str, Cluster] = {}
        self._prepared = False
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def _ensure(self) -> Runtime:
        with self._lock:
            if not self._prepared:
                self.runtime.prepare()
                self._prepared = True
                threading.Thread(target=self._housekeeping, name="postgres backups", daemon=True).start()
        return self.runtime

    def cluster(self, name: str) -> Cluster:
        """The cluster of a server, whether it exists or not."""
        with self._lock:
            if name not in self._clusters:
                runtime = self.runtime
                self._clusters[name] = Cluster(runtime, self._supervisor, name, runtime.root / "servers" / name)
            return self._clusters[name]

    def dropped(self, folder: str) -> Cluster:
        """A dropped server's files, to recover from."""
        return Cluster(self.runtime, self._supervisor, f"dropped-{folder}", self.runtime.root / "dropped" / folder)

    def create(self, name: str) -> Cluster:
        """A new, running, empty cluster with its first backup."""
        self._ensure()
        cluster = self._fresh(name)
        try:
            cluster.create()
            backups.take(cluster, backup_name())
        except BaseException:
            self._discard(cluster)
            raise
        return cluster

    def restore(self, name: str, source: Cluster, moment: datetime.datetime | None) -> Cluster:
        """A new, running cluster with the source's state at a moment (None: its latest)."""
        self._ensure()
        cluster = self._fresh(name)
        try:
            backups.recover(source, cluster, moment)
        except BaseException:
            self._discard(cluster)
            raise
        return cluster

    def back_up_later(self, cluster: Cluster) -> None:
        """Take the first backup of a restored cluster in the background."""

        def run() -> None:
            try:
                backups.take(cluster, backup_name())
            except Exception as error:  # the daily round tries again
                print(f"postgres: first backup of {cluster.name} failed: {error}", flush=True)

        threading.Thread(target=run, name=f"first backup of {cluster.name}", daemon=True).start()

    def start(self, name: str) -> None:
        """Start a cluster that exists."""
        self._ensure()
        cluster = self.cluster(name)
        if not cluster.exists:
            raise PostgresError(f"The data of server '{name}' are gone.")
        cluster.start()
        with cluster.backing_up:
            backups.tidy(cluster)

    def drop(self, name: str) -> str:
        """Stop a cluster and put its backups and WAL aside; returns the name to revive it by."""
        cluster = self.cluster(name)
        with cluster.lock:
            if cluster.is_running():
                backups.archive_now(cluster)
            cluster.stop()
            folder = f"{name}-{datetime.datetime.now(UTC):%Y%m%d%H%M%S%f}"
            place = self.runtime.root / "dropped" / folder
            place.parent.mkdir(exist_ok=True)
            place.parent.chmod(0o711)
            shutil.rmtree(cluster.data, ignore_errors=True)
            shutil.rmtree(cluster.sockets, ignore_errors=True)
            if cluster.folder.exists():
                cluster.folder.rename(place)
        with self._lock:
            self._clusters.pop(name, None)
        return folder

    def discard(self, name: str) -> None:
        """Remove what is left of a cluster that was never finished."""
        self._discard(self.cluster(name))

    def purge_dropped(self, folder: str) -> None:
        """Forget a dropped server for good."""
        shutil.rmtree(self.runtime.root / "dropped" / folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop every cluster; their data stay."""
        self._ended.set()
        for cluster in list(self._clusters.values()):
            cluster.stop()

    def _fresh(self, name: str) -> Cluster:
        cluster = self.cluster(name)
        if cluster.exists:
            raise PostgresError(f"There are data of a server '{name}' already.")
        self._discard(cluster)
        cluster.folder.parent.mkdir(parents=True, exist_ok=True)
        cluster.folder.parent.chmod(0o711)
        return cluster

    @staticmethod
    def _discard(cluster: Cluster) -> None:
        cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)
        shutil.rmtree(cluster.sockets, ignore_errors=True)

    def _housekeeping(self) -> None:
        while not self._ended.wait(_ROUND):
            for cluster in list(self._clusters.values()):
                if not cluster.is_running():
                    continue
                try:
                    self.back_up_if_due(cluster)
                except Exception as error:  # the next round tries again
                    print(f"postgres: backup of {cluster.name} failed: {error}", flush=True)

    def back_up_if_due(self, cluster: Cluster) -> bool:
        """Take the daily backup where the last one is a day old, and remove what retention no longer needs."""
        taken = backups.listed(cluster)
        if taken and datetime.datetime.now(UTC) - taken[-1].completed_at < _BACKUP_INTERVAL:
            return False
        self.back_up(cluster)
        return True

    def back_up(self, cluster: Cluster) -> backups.Backup:
        """Take the next automatic backup now, and remove what retention no longer needs."""
        taken = backups.take_automatic(cluster, backup_name())
        backups.expire(cluster, self._retention(cluster.name))
        return taken


def backup_name() -> str:
    """A name as Azure gives automatic backups."""
    return f"backup_{datetime.datetime.now(UTC):%Y%m%d%H%M%S%f}"
