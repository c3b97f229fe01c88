"""Run one long command with its output in a log, and say on the terminal where it is."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO


class CommandError(Exception):
    """A build command failed; the message names the log and its last lines."""


def elapsed(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def last_line(log: Path, width: int = 90) -> str:
    """Last non-empty line of a growing log, without reading all of it."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 4096))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    text = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if text.startswith("$ "):
        return "nothing printed yet"
    return text if len(text) <= width else text[: width - 3] + "..."


def _end_with_parent() -> None:
    """A builder that is killed must not leave a compiler behind (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def run(
    label: str,
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    every: float = 10.0,
    out: TextIO | None = None,
) -> float:
    """Run argv to its end, print a progress line each `every` seconds; returns the seconds it took.

    Raises CommandError when the command cannot be started or exits with another code than 0.
    """
    out = out or sys.stderr
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("ab") as sink:
        sink.write(("$ " + " ".join(argv) + "\n").encode())
        sink.flush()
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            raise CommandError(f"{label}: {argv[0]} cannot be started: {error.strerror or error}") from error
        try:
            while True:
                try:
                    code = process.wait(timeout=every)
                    break
                except subprocess.TimeoutExpired:
                    print(f"{label}: {elapsed(time.monotonic() - started)}, {last_line(log)}", file=out, flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    seconds = time.monotonic() - started
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise CommandError(f"{label} failed after {elapsed(seconds)} (exit code {code}); log: {log}\n{tail}")
    return seconds
