"""Supervised child processes: a session of their own, a log file, a pid file, and an end with their server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1


@dataclass
class Process:
    """A running child."""

    name: str
    popen: subprocess.Popen[bytes]
    stop_signal: int

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None


class Supervisor:
    """Starts and stops the engines' processes.

    A child gets SIGKILL when the server dies (parent-death signal). The signal is tied to the thread that forked the
    child, so one thread that never ends starts them all.

    Args:
        logs: folder for `<name>.log`.
        run: folder for pid files; what they name is killed before a new start.
    """

    def __init__(self, logs: Path, run: Path) -> None:
        self._logs = logs
        self._run = run
        #: Set where the state is to be deleted next: what need not end in order is killed.
        self.hurried = False
        self._processes: dict[str, Process] = {}
        self._lock = threading.Lock()
        self._requests: queue.Queue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._requests = queue.Queue()
        threading.Thread(target=self._spawn, name="supervisor", daemon=True).start()
        self._clean()

    def _spawn(self) -> None:
        while True:
            make, future = self._requests.get()
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)

    def _clean(self) -> None:
        for file in self._run.glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid, started = file.read_text(encoding="ascii").split()
                if _start_time(int(pid)) == started:
                    os.killpg(int(pid), signal.SIGKILL)
            file.unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def find(self, name: str) -> Process | None:
        """The process of that name where it runs."""
        process = self._processes.get(name)
        return process if process and process.alive else None

    def names(self) -> list[str]:
        """Names of the running processes."""
        return sorted(name for name, process in self._processes.items() if process.alive)

    def start(
        self,
        name: str,
        argv: list[str | Path],
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        ready: Callable[[], bool] | None = None,
        timeout: float = 60.0,
        stop_signal: int = signal.SIGTERM,
        user: int | None = None,
    ) -> Process:
        """Start a process and wait until `ready()` is true.

        Args:
            name: names the log and the pid file; a running process of that name is stopped first.
            env: its whole environment (None: the server's).
            timeout: seconds to wait for `ready`.
            user: numeric user (and group) id to run as, for programs that refuse root.

        Raises:
            RuntimeError: it ended, or was not ready in time; the message ends with the log's last lines.
        """
        self.stop(name)
        log = self.log(name)

        def child() -> None:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        def make() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [str(part) for part in argv],
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=child,
                    user=user,
                    group=user,
                )

        future: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((make, future))
        process = Process(name, future.result(), stop_signal)
        with self._lock:
            self._processes[name] = process
        (self._run / f"{name}.pid").write_text(f"{process.pid} {_start_time(process.pid)}", encoding="ascii")
        self._wait(process, ready, timeout)
        return process

    def _wait(self, process: Process, ready: Callable[[], bool] | None, timeout: float) -> None:
        end = time.monotonic() + timeout
        while ready is not None:
            if not process.alive:
                code = process.popen.returncode
                raise RuntimeError(
                    f"{process.name} ended with exit code {code} while starting: {self.tail(process.name)}"
                )
            with contextlib.suppress(OSError):
                if ready():
                    return
            if time.monotonic() > end:
                self.stop(process.name)
                raise RuntimeError(f"{process.name} was not ready after {timeout:.0f} s: {self.tail(process.name)}")
            time.sleep(0.05)

    def tail(self, name: str, lines: int = 5) -> str:
        """The last lines of a process's log."""
        with contextlib.suppress(OSError):
            return " | ".join(self.log(name).read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def stop(self, name: str, timeout: float = 10.0) -> None:
        """End a process: its stop signal, then SIGKILL for its whole group after `timeout` seconds."""
        with self._lock:
            process = self._processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.popen.send_signal(process.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.popen.wait()
        (self._run / f"{name}.pid").unlink(missing_ok=True)

    def stop_all(self) -> None:
        """End every process, the newest first."""
        for name in reversed(list(self._processes)):
            self.stop(name)


def _start_time(pid: int) -> str:
    """The kernel's start time of a process: with the pid it names one process only. '' where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
