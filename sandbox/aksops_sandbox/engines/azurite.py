"""Azurite behind *.blob.core.windows.net: one supervised process that holds the blobs of every storage account."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from aksops_sandbox.http.message import Request, Response

_NAME = "azurite"
_ADDRESS = "127.0.0.1"

#: Headers that concern one connection only.
_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection", "te", "trailer", "upgrade"}

#: The Storage API version of the sandbox's own requests.
_API_VERSION = "2023-11-03"

#: What node loads first. Loading the telemetry library takes two thirds of the start, and telemetry is off: an empty
#: one stands in. And the index of the blobs is written a tenth of a second after a change, not five, since it may hold
#: Terraform's state when everything is killed.
_PRELOAD = """
const Module = require('node:module');
const load = Module._load;
const prompt = (Loki) => class extends Loki {
  constructor(file, options) {
    super(file, options && options.autosave ? { ...options, autosaveInterval: 100 } : options);
  }
};
let index;
Module._load = function (name, ...rest) {
  if (name === 'applicationinsights') return {};
  if (name === 'lokijs') return (index = index || prompt(load.call(this, name, ...rest)));
  return load.call(this, name, ...rest);
};
"""

#: Who the sandbox is in its own requests; Azurite asks for a token, not for its owner.
_OURSELVES = "00000000-0000-0000-0000-000000000000"


class Azurite:
    """Starts Azurite and forwards requests to it.

    Azurite learns its accounts from its environment, so it starts with the first account that is made and starts
    again, on the same data, with each further one. Requests wait meanwhile; a start waits for the requests under way.

    Args:
        ctx: the sandbox.
        accounts: answers the account names with their two keys.
    """

    def __init__(self, ctx: Any, accounts: Callable[[], dict[str, tuple[str, str]]]) -> None:
        self._ctx = ctx
        self._accounts = accounts
        self._serving: dict[str, tuple[str, str]] = {}
        self._gate = threading.Condition()
        self._active = 0
        self._starting = False
        self._idle: list[http.client.HTTPSConnection] = []
        self._context: ssl.SSLContext | None = None

    # The process -----------------------------------------------------------------------------------------------------

    def prepare(self, account: str) -> None:
        """Start with this account in the background, so that its first request need not wait as long."""

        def run() -> None:
            try:
                self.ensure(account)
            except Exception:  # the first request starts it again and reports what is wrong
                traceback.print_exc()

        threading.Thread(target=run, name="azurite start", daemon=True).start()

    def ensure(self, account: str) -> None:
        """Run Azurite with this account. Raises RuntimeError where it does not start or the account is gone."""
        with self._gate:
            self._gate.wait_for(lambda: not self._starting)
            if self._knows(account):
                return
            if account not in self._accounts():
                raise RuntimeError(f"There is no storage account '{account}' any more.")
            self._starting = True
            self._gate.wait_for(lambda: self._active == 0)
        try:
            self._start(self._accounts())
        finally:
            with self._gate:
                self._starting = False
                self._gate.notify_all()

    def _knows(self, account: str) -> bool:
        keys = self._accounts().get(account)
        return keys is not None and self._serving.get(account) == keys and self._ctx.supervisor.find(_NAME) is not None

    def stop(self) -> None:
        """End the process; the data stays."""
        self._close_idle()
        self._ctx.supervisor.stop(_NAME)

    def _start(self, accounts: dict[str, tuple[str, str]]) -> None:
        node = shutil.which("node")
        if node is None:
            raise RuntimeError("node was not found on PATH: install Node 20 or newer, Azurite needs it.")
        self._close_idle()
        program = self._ctx.tools.path("azurite-blob").resolve()
        certificate, key = self._ctx.certificates.leaf(["*.blob.core.windows.net", "localhost", _ADDRESS])
        self._context = ssl.create_default_context(cafile=str(self._ctx.certificates.ca_path))
        folder = self._ctx.home.sub("azurite")
        self._ctx.supervisor.stop(_NAME)
        self._port = self._ctx.ports.get(_NAME)
        preload = folder.with_name("azurite-preload.cjs")
        preload.write_text(_PRELOAD, encoding="ascii")
        argv = [node, "--require", preload, program, "--location", folder]
        argv += ["--blobHost", _ADDRESS, "--blobPort", str(self._port)]
        argv += ["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--oauth", "basic"]
        argv += ["--blobKeepAliveTimeout", "120", "--cert", certificate, "--key", key]
        env = {
            "AZURITE_ACCOUNTS": ";".join(":".join((name, *keys)) for name, keys in accounts.items()),
            "HOME": str(folder),
            "NODE_OPTIONS": "--max-old-space-size=256",
            "PATH": "/usr/bin:/bin",
        }
        self._ctx.supervisor.start(_NAME, argv, env=env, cwd=folder, ready=self._ready, timeout=90)
        self._serving = accounts

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((_ADDRESS, self._port), timeout=1):
            return True
        return False

    # Requests --------------------------------------------------------------------------------------------------------

    def forward(self, account: str, request: Request) -> Response:
        """Send a client's request on, unchanged, and return Azurite's answer."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        return self._send(account, request.method, request.raw_path, headers, request.body)

    def call(self, account: str, method: str, target: str, headers: dict[str, str] | None = None) -> Response:
        """A request of the sandbox itself, with a token of its own."""
        token = self._ctx.tokens.issue(_OURSELVES, self._ctx.tokens.tenant_id, "https://storage.azure.com")
        own = {
            "host": f"{account}.blob.core.windows.net",
            "authorization": f"Bearer {token}",
            "x-ms-version": _API_VERSION,
        }
        return self._send(account, method, target, own | (headers or {}), b"")

    @contextlib.contextmanager
    def _turn(self, account: str) -> Iterator[None]:
        """A request's time with the process: it neither starts nor stops meanwhile."""
        while True:
            self.ensure(account)
            with self._gate:
                if not self._starting and self._knows(account):
                    self._active += 1
                    break
        try:
            yield
        finally:
            with self._gate:
                self._active -= 1
                self._gate.notify_all()

    def _send(self, account: str, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        with self._turn(account):
            while True:
                connection, kept = self._connection()
                try:
                    answer = self._exchange(connection, method, target, headers, body)
                except (OSError, http.client.HTTPException):
                    connection.close()
                    if not kept:
                        raise
                    continue  # a kept connection had ended meanwhile
                with self._gate:
                    self._idle.append(connection)
                return answer

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        with self._gate:
            if self._idle:
                return self._idle.pop(), True
        connection = http.client.HTTPSConnection(_ADDRESS, self._port, timeout=60, context=self._context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, False

    def _close_idle(self) -> None:
        """Azurite ends only when its connections do."""
        with self._gate:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @staticmethod
    def _exchange(
        connection: http.client.HTTPSConnection, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Response:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if "content-length" not in headers and (body or method in {"PUT", "POST"}):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        content = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        return Response(answer.status, kept, content)
