"""Backups, the WAL archive, and recovery to a point in time.

A backup is made by pg_basebackup without WAL: recovery takes all WAL from the archive, so what a restore proves is the
archive too. An incremental backup holds what changed since its parent; pg_combinebackup puts them together again.
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path

import psycopg

from aksops_sandbox.engines.postgres import chains
from aksops_sandbox.engines.postgres.chains import AUTOMATIC, Backup
from aksops_sandbox.engines.postgres.cluster import Cluster
from aksops_sandbox.engines.postgres.runtime import PostgresError

UTC = datetime.UTC
_ENDED_BEFORE_TARGET = "recovery ended before configured recovery target was reached"
_PART = ".part"


def take(cluster: Cluster, name: str, kind: str = AUTOMATIC, parent: Backup | None = None) -> Backup:
    """Take a backup now, incremental to `parent`; it is listed only when it is complete and pg_verifybackup agrees."""
    with cluster.backing_up:
        tidy(cluster)
        started = cluster.now()
        unfinished = cluster.backups / f".{name}{_PART}"
        runtime = cluster.runtime
        since: list[str | Path] = ["--incremental", cluster.backups / parent.name / "backup_manifest"] if parent else []
        try:
            runtime.run(
                runtime.command(
                    "pg_basebackup", "--host", cluster.sockets, "--username", "azuresu", "--pgdata", unfinished,
                    "--checkpoint", "fast", "--wal-method", "none", "--no-sync", "--label", name, *since,
                )
            )  # fmt: skip
            runtime.run(runtime.command("pg_verifybackup", "--no-parse-wal", "--quiet", unfinished))
            label = (unfinished / "backup_label").read_text(encoding="utf-8")
            first_wal = label.split("(file ", 1)[1].split(")", 1)[0]
            unfinished.rename(cluster.backups / name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        completed = cluster.now().isoformat()
        backup = Backup(name, kind, started.isoformat(), completed, first_wal, parent.name if parent else "")
        _record(cluster, backup)
    return backup


def take_automatic(cluster: Cluster, name: str) -> Backup:
    """Take the next backup of the daily line: incremental, or full where the week is over or it cannot be else."""
    parent = chains.next_parent(_all(cluster), datetime.datetime.now(UTC))
    if parent is not None:
        try:
            return take(cluster, name, AUTOMATIC, parent)
        except PostgresError as error:
            # For example after a long stop: the summaries of the log since the parent are gone.
            print(f"postgres: {cluster.name} is backed up in full, not from {parent.name} on: {error}", flush=True)
    return take(cluster, name)


def tidy(cluster: Cluster) -> None:
    """Remove what a backup or a removal that was killed has left."""
    for path in cluster.backups.iterdir():
        record = path.parent / f"{path.name}.json"
        if path.is_dir() and (path.name.endswith(_PART) or not record.exists()):
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".json" and not path.with_suffix("").is_dir():
            path.unlink(missing_ok=True)


def _record(cluster: Cluster, backup: Backup) -> None:
    cluster.runtime.write(cluster.backups / f"{backup.name}.json", json.dumps(asdict(backup)))


def _all(cluster: Cluster) -> list[Backup]:
    """Every complete backup, those too that only others still need."""
    found = []
    for path in cluster.backups.glob("*.json"):
        if path.with_suffix("").is_dir():
            found.append(Backup(**json.loads(path.read_text(encoding="utf-8"))))
    return found


def listed(cluster: Cluster) -> list[Backup]:
    """The backups that a restore may begin with, oldest first."""
    return chains.usable(_all(cluster))


def remove(cluster: Cluster, *names: str) -> None:
    """Forget backups, and the WAL that only they needed. Raises PostgresError while one is being restored from."""
    with cluster.removing:
        if cluster.restores:
            raise PostgresError(f"Backups of '{cluster.name}' are being restored from; delete them afterwards.")
        for name in names:
            (cluster.backups / f"{name}.json").unlink(missing_ok=True)
            shutil.rmtree(cluster.backups / name, ignore_errors=True)
        remaining = listed(cluster)
        if remaining:
            runtime = cluster.runtime
            oldest = min(item.first_wal for item in remaining)
            runtime.run(runtime.command("pg_archivecleanup", cluster.archive, oldest))


def expire(cluster: Cluster, retention_days: int) -> set[str]:
    """Remove the backups that retention no longer needs; returns their names."""
    if cluster.restores:
        return set()  # the next round does it
    edge = datetime.datetime.now(UTC) - datetime.timedelta(days=retention_days)
    everything = _all(cluster)
    gone, kept = chains.outdated(everything, edge)
    for backup in everything:
        if backup.name in kept and not backup.expired:
            _record(cluster, replace(backup, expired=True))
    if gone:
        remove(cluster, *gone)
    return gone


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


def recover(source: Cluster, target: Cluster, moment: datetime.datetime | None) -> Backup:
    """Make `target` (which must not exist) from source's backups and archive, as of `moment` (None: the latest commit).

    The source may be stopped. Ends with the new cluster running, promoted, with default parameters and its own archive.
    Raises PostgresError with PostgreSQL's words where recovery fails.
    """
    if source.is_running():
        archive_now(source)
    with source.restoring():
        everything = _all(source)
        backup = chains.choose(everything, moment)
        members = chains.line(everything, backup)
        _lay_out(source, members, target)
        _start_recovery(source, members, target, moment)
    return backup


def _lay_out(source: Cluster, members: list[Backup], target: Cluster) -> None:
    """Make the data folder anew from a full backup and the incremental ones after it."""
    shutil.rmtree(target.data, ignore_errors=True)
    target.make_folders()
    folders = [source.backups / member.name for member in members]
    if len(folders) == 1:
        _copy(folders[0], target.data)
    else:
        runtime = target.runtime
        runtime.run(runtime.command("pg_combinebackup", "--no-sync", "--output", target.data, *folders))
    target.write_configuration()
    target.write_parameters({})


def _copy(source: Path, target: Path) -> None:
    """Copy a data folder with owners and modes; by reference where the file system can."""
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", f"{source}/.", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PostgresError(f"The backup could not be copied: {done.stderr.strip()[-300:]}")


def _start_recovery(source: Cluster, members: list[Backup], target: Cluster, moment: datetime.datetime | None) -> None:
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
        _lay_out(source, members, target)
        _start_recovery(source, members, target, None)
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
