"""Base backups, the WAL archive, and recovery to a point in time.

A backup is a plain copy made by pg_basebackup without WAL: recovery takes all WAL from the archive, so what a restore
proves is the archive too. `completed` of a backup is the earliest moment that it can be recovered to.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from aksops_sandbox.engines.postgres.cluster import Cluster
from aksops_sandbox.engines.postgres.runtime import PostgresError

UTC = datetime.UTC
_ENDED_BEFORE_TARGET = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Backup:
    """A base backup. Times are UTC in ISO form; `kind` is Full (automatic) or Customer On-Demand."""

    name: str
    kind: str
    started: str
    completed: str
    first_wal: str

    @property
    def completed_at(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.completed)


def take(cluster: Cluster, name: str, kind: str = "Full") -> Backup:
    """Take a base backup now; it is listed only when it is complete."""
    folder = cluster.backups / name
    started = cluster.now()
    unfinished = cluster.backups / f".{name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    runtime = cluster.runtime
    try:
        runtime.run(
            runtime.command(
                "pg_basebackup", "--host", cluster.sockets, "--username", "azuresu", "--pgdata", unfinished,
                "--checkpoint", "fast", "--wal-method", "none", "--no-sync", "--label", name,
            )
        )  # fmt: skip
        label = (unfinished / "backup_label").read_text(encoding="utf-8")
        first_wal = label.split("(file ", 1)[1].split(")", 1)[0]
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    backup = Backup(name, kind, started.isoformat(), cluster.now().isoformat(), first_wal)
    cluster.runtime.write(cluster.backups / f"{name}.json", json.dumps(asdict(backup)))
    return backup


def listed(cluster: Cluster) -> list[Backup]:
    """The complete backups, oldest first."""
    found = []
    for path in cluster.backups.glob("*.json"):
        if (path.parent / path.stem).is_dir():
            found.append(Backup(**json.loads(path.read_text(encoding="utf-8"))))
    return sorted(found, key=lambda backup: backup.completed)


def remove(cluster: Cluster, name: str) -> None:
    """Forget a backup, and the WAL that only it needed."""
    (cluster.backups / f"{name}.json").unlink(missing_ok=True)
    shutil.rmtree(cluster.backups / name, ignore_errors=True)
    remaining = listed(cluster)
    if remaining:
        runtime = cluster.runtime
        runtime.run(runtime.command("pg_archivecleanup", cluster.archive, min(item.first_wal for item in remaining)))


def expire(cluster: Cluster, retention_days: int) -> list[str]:
    """Remove automatic backups that retention no longer needs: all before the newest one older than the window."""
    edge = datetime.datetime.now(UTC) - datetime.timedelta(days=retention_days)
    outside = [backup for backup in listed(cluster) if backup.completed_at < edge]
    expired = [backup.name for backup in outside[:-1]]
    for name in expired:
        remove(cluster, name)
    return expired


def archive_now(cluster: Cluster, *, timeout: float = 60) -> None:
    """Close the current WAL segment and wait until it is in the archive.

    A commit is written first, so that recovery to any earlier moment finds a later commit to stop at. Raises
    PostgresError where archiving does not keep up within `timeout` seconds.
    """
    with cluster.connect() as connection:
        connection.execute("SELECT pg_current_xact_id()")
        row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    assert row is not None
    segment = cluster.archive / str(row[0])
    deadline = time.monotonic() + timeout
    # The archiver renames a complete file into place.
    while not segment.exists():
        if time.monotonic() > deadline:
            raise PostgresError(f"WAL segment {segment.name} was not archived within {timeout:.0f} s.")
        time.sleep(0.02)


def choose(backups: list[Backup], target: datetime.datetime | None) -> Backup:
    """The newest backup that can reach the target (None: the latest state)."""
    usable = [backup for backup in backups if target is None or backup.completed_at <= target]
    if not backups:
        raise PostgresError("There is no backup to recover from.")
    if not usable:
        raise PostgresError(f"There is no backup from before {target}: the earliest is from {backups[0].completed}.")
    return usable[-1]


def recover(source: Cluster, target: Cluster, moment: datetime.datetime | None) -> Backup:
    """Make `target` (which must not exist) from source's backup and archive, as of `moment` (None: the latest commit).

    The source may be stopped. Ends with the new cluster running, promoted, with default parameters and its own archive.
    Raises PostgresError with PostgreSQL's words where recovery fails.
    """
    if source.is_running():
        archive_now(source)
    backup = choose(listed(source), moment)
    target.make_folders()
    _copy(source.backups / backup.name, target.data)
    target.write_configuration()
    target.write_parameters({})
    _start_recovery(source, target, moment)
    return backup


def _copy(source: Path, target: Path) -> None:
    """Copy a data folder with owners and modes; by reference where the file system can."""
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", f"{source}/.", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PostgresError(f"The backup could not be copied: {done.stderr.strip()[-300:]}")


def _start_recovery(source: Cluster, target: Cluster, moment: datetime.datetime | None) -> None:
    runtime = target.runtime
    lines = [
        f'restore_command = \'cp "{source.archive}/%f" "%p"\'',
        # Parameters that the source had raised would otherwise have to be as high here.
        "hot_standby = off",
        "recovery_target_timeline = 'current'",
        # Recovery must not write into an archive that later restores read, and its own begins with its own timeline.
        "recovery_target_action = 'promote'",
    ]
    if moment is not None:
        lines.append(f"recovery_target_time = '{moment.astimezone(UTC).isoformat(sep=' ')}'")
    runtime.write(target.data / "sandbox.conf", "\n".join(lines) + "\n")
    runtime.write(target.data / "recovery.signal", "")
    target.start(ready=False)
    try:
        _wait_for_promotion(target)
    except PostgresError as error:
        target.stop()
        if moment is None or _ENDED_BEFORE_TARGET not in str(error):
            raise
        # No commit follows the target, so the end of the archive is exactly the state at the target.
        shutil.rmtree(target.data)
        runtime.make_folder(target.data)
        _copy(source.backups / choose(listed(source), moment).name, target.data)
        target.write_configuration()
        target.write_parameters({})
        _start_recovery(source, target, None)
        return
    runtime.write(target.data / "sandbox.conf", "")
    target.reload()


def _wait_for_promotion(target: Cluster, *, timeout: float = 3 * 3600) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if not target.is_running():
            raise PostgresError(f"Recovery of '{target.name}' ended: {target.last_words()}")
        try:
            if not target.query("SELECT pg_is_in_recovery() AS recovering")[0]["recovering"]:
                return
        except psycopg.OperationalError:
            pass
        time.sleep(0.05)
    raise PostgresError(f"Recovery of '{target.name}' took longer than {timeout:.0f} s.")
