"""Azurite behind *.blob.core.windows.net: one supervised process that holds the blobs of every storage account."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from aksops_sandbox.http.message import Request, Response

_NAME = "azurite"
_ADDRESS = "127.0.0.1"

#: Headers that concern one connection only.
_HOP = {"connection", "keep-alive", "transfer-encoding", "proxy-connection", "te", "trailer", "upgrade"}

#: The Storage API version of the sandbox's own requests.
_API_VERSION = "2023-11-03"


class Azurite:
    """Starts Azurite and forwards requests to it.

    Azurite learns its accounts from its environment, so it starts with the first account that is used and starts again,
    on the same data, when one is used that it does not know.

    Args:
        ctx: the sandbox.
        accounts: answers the account names with their two keys.
    """

    def __init__(self, ctx: Any, accounts: Callable[[], dict[str, tuple[str, str]]]) -> None:
        self._ctx = ctx
        self._accounts = accounts
        self._serving: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._local = threading.local()
        self._generation = 0
        self._context: ssl.SSLContext | None = None

    def ensure(self, account: str) -> None:
        """Run Azurite with this account. Raises RuntimeError where it does not start."""
        with self._lock:
            known = self._accounts()
            running = self._ctx.supervisor.find(_NAME) is not None
            if running and self._serving.get(account) == known.get(account):
                return
            self._start(known)

    def stop(self) -> None:
        """End the process; the data stays."""
        self._ctx.supervisor.stop(_NAME)

    def _start(self, accounts: dict[str, tuple[str, str]]) -> None:
        node = shutil.which("node")
        if node is None:
            raise RuntimeError("node was not found on PATH: install Node 20 or newer, Azurite needs it.")
        program = self._ctx.tools.path("azurite-blob").resolve()
        certificate, key = self._ctx.certificates.leaf(["*.blob.core.windows.net", "localhost", _ADDRESS])
        self._context = ssl.create_default_context(cafile=str(self._ctx.certificates.ca_path))
        self._port = self._ctx.ports.get(_NAME)
        folder = self._ctx.home.sub("azurite")
        argv = [node, program, "--blobHost", _ADDRESS, "--blobPort", str(self._port), "--location", folder]
        argv += ["--disableTelemetry", "--skipApiVersionCheck", "--silent", "--oauth", "basic"]
        argv += ["--blobKeepAliveTimeout", "120", "--cert", certificate, "--key", key]
        listed = ";".join(":".join((name, *keys)) for name, keys in accounts.items())
        env = {
            "AZURITE_ACCOUNTS": listed,
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "NODE_OPTIONS": "--max-old-space-size=256",
        }
        self._ctx.supervisor.start(_NAME, argv, env=env, cwd=folder, ready=self._ready, timeout=60)
        self._serving = accounts
        self._generation += 1

    def _ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((_ADDRESS, self._port), timeout=1):
            return True
        return False

    def forward(self, account: str, request: Request) -> Response:
        """Send a client's request on, unchanged, and return Azurite's answer."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        return self.send(account, request.method, request.raw_path, headers, request.body)

    def call(self, account: str, method: str, target: str, headers: dict[str, str] | None = None) -> Response:
        """A request of the sandbox itself, with a token of its own."""
        token = self._ctx.tokens.issue(
            "00000000-0000-0000-0000-000000000000", self._ctx.tokens.tenant_id, "https://storage.azure.com"
        )
        own = {
            "host": f"{account}.blob.core.windows.net",
            "authorization": f"Bearer {token}",
            "x-ms-version": _API_VERSION,
        }
        return self.send(account, method, target, own | (headers or {}), b"")

    def send(self, account: str, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        self.ensure(account)
        for attempt in (1, 2):
            connection, kept = self._connection()
            try:
                return self._exchange(connection, method, target, headers, body)
            except (OSError, http.client.HTTPException):
                self._drop()
                if attempt == 2 or not kept:
                    raise
        raise AssertionError

    def _connection(self) -> tuple[http.client.HTTPSConnection, bool]:
        connection = getattr(self._local, "connection", None)
        if connection is not None and self._local.generation == self._generation:
            return connection, True
        self._drop()
        connection = http.client.HTTPSConnection(_ADDRESS, self._port, timeout=60, context=self._context)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._local.connection, self._local.generation = connection, self._generation
        return connection, False

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
        self._local.connection = None

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
