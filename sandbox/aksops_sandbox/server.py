"""Starts and stops everything: services with their engines, the proxies, the admin socket."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path

from aksops_sandbox.admin import Admin
from aksops_sandbox.http.proxy import Listener, Proxy, serve_http
from aksops_sandbox.http.router import Router
from aksops_sandbox.sandbox import Sandbox
from aksops_sandbox.services import SERVICES
from aksops_sandbox.settings import Home, write_private

_VANTAGES = ("inside", "outside")


def serve(home: Home, companion: int | None = None) -> None:
    """Run a sandbox in this process until SIGTERM or SIGINT; until SIGUSR1 where it is to end at once.

    Args:
        companion: id of the process with which the sandbox is to end, whatever ends that.
    """
    ended = threading.Event()
    os.umask(0o077)
    ctx = Sandbox(home)

    def end(number: int, _frame: object) -> None:
        ctx.supervisor.hurried = number == signal.SIGUSR1
        ended.set()

    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(name, end)
    if companion is not None:
        threading.Thread(target=_end_with, args=(companion,), daemon=True).start()
    ctx.register([service() for service in SERVICES])
    router = Router(ctx)
    proxies = [Proxy(ctx, router, vantage, ctx.ports.get(f"proxy-{vantage}")) for vantage in _VANTAGES]
    for proxy in proxies:
        proxy.start()
    try:
        for service in ctx.services:
            service.start(ctx)
        _write_bundle(ctx)
        admin = _admin(ctx)
        ports = {vantage: ctx.ports.get_held(f"proxy-{vantage}") for vantage in _VANTAGES}
        state = {"pid": os.getpid(), "ports": ports, "environment": ctx.environment}
        write_private(home.state, json.dumps(state))
        print(f"ready: proxies {ports}", flush=True)
        ended.wait()
        admin.stop()
    finally:
        home.state.unlink(missing_ok=True)
        for proxy in proxies:
            proxy.stop()
        for service in reversed(ctx.services):
            with contextlib.suppress(Exception):
                service.stop(ctx)
        ctx.supervisor.stop_all()
        ctx.store.close()
        home.admin_socket.unlink(missing_ok=True)


def _end_with(companion: int) -> None:
    """Wait until a process has ended, then end the sandbox at once."""
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(companion)
        select.select([process], [], [])
    os.kill(os.getpid(), signal.SIGUSR1)


def _admin(ctx: Sandbox) -> Listener:
    path = ctx.home.admin_socket
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise SystemExit(
            f"The home folder's path is too long for a socket ({error}): choose a shorter --home."
        ) from None
    listener.listen(64)
    admin = Admin(ctx)
    server = Listener(listener, lambda stream: serve_http(stream, admin.handle, "sandbox"), "admin")
    server.start()
    return server


def _write_bundle(ctx: Sandbox) -> None:
    """One CA file for every client: the system's authorities and ours (SSL_CERT_FILE replaces, it does not add)."""
    system = os.environ.get("AKSOPS_SYSTEM_CA") or ssl.get_default_verify_paths().cafile
    candidates = [system, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
    text = ""
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            text = Path(candidate).read_text(encoding="utf-8", errors="replace")
            break
    ours = ctx.certificates.ca_path.read_text(encoding="ascii")
    (ctx.home.sub("pki") / "bundle.pem").write_text(f"{text}\n{ours}", encoding="utf-8")


if __name__ == "__main__":
    serve(Home(Path(sys.argv[1])), *map(int, sys.argv[2:]))
