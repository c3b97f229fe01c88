"""The CONNECT proxy: ends TLS under the sandbox's CA for the hosts it knows, and refuses every other host.

One listener per vantage, so that a client's place in the network is which proxy it was given.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import h11

from aksops_sandbox.http.message import Request, Response
from aksops_sandbox.http.router import DroppedError, Router

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

_IDLE = 300.0
_MAX_BODY = 256 * 1024 * 1024
Stream = socket.socket | ssl.SSLSocket


class Listener:
    """A loopback listener with one thread a connection."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None], name: str) -> None:
        self._socket = listener
        self._serve = serve
        self._name = name
        self._thread = threading.Thread(target=self._accept, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), name=self._name, daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), contextlib.closing(connection):
            self._serve(connection)


class Proxy:
    """Serves one vantage.

    Args:
        ctx: the sandbox.
        router: answers the requests.
        vantage: `inside` or `outside`.
        port: loopback port to listen on.
    """

    def __init__(self, ctx: Sandbox, router: Router, vantage: str, port: int) -> None:
        self._ctx = ctx
        self._router = router
        self._vantage = vantage
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._listener = Listener(listener, self._connection, f"proxy {vantage}")

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop()

    def _connection(self, connection: socket.socket) -> None:
        connection.settimeout(_IDLE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = _read_head(connection)
        if head is None:
            return
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        if method != "CONNECT":
            _refuse(connection, "This proxy takes CONNECT only: the sandbox serves https.")
            return
        host, _, port = target.rpartition(":")
        host = host.strip("[]").lower()
        tunnel = self._ctx.tunnels.get(host)
        if tunnel is not None:
            guard = self._ctx.tunnel_guards.get(host)
            if guard is not None and not guard(self._vantage):
                _refuse(connection, f"'{host}' is not reachable from {self._vantage} the virtual network.")
                return
            self._tunnel(connection, tunnel)
            return
        if not self._router.knows(host):
            _refuse(connection, f"The sandbox has no service at '{host}', and lets nothing out.")
            return
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self._ctx.certificates.server_context(host).wrap_socket(connection, server_side=True) as secure:
            serve_http(secure, self._router.handle, host, int(port or 443), self._vantage)

    def _tunnel(self, connection: socket.socket, target: tuple[str, int]) -> None:
        try:
            other = socket.create_connection(target, timeout=10)
        except OSError:
            _refuse(connection, "The tunnel's target does not answer.", status=b"502 Bad Gateway")
            return
        with contextlib.closing(other):
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            pump(connection, other)


def pump(one: socket.socket, two: socket.socket) -> None:
    """Copy bytes both ways until one side closes."""
    for side in (one, two):
        side.settimeout(None)
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        ready, _, _ = select.select([one, two], [], [], 3600)
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (two if source is one else one).sendall(data)


def _read_head(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk or len(data) > 65536:
            return None
        data += chunk
    return data


def _refuse(connection: socket.socket, message: str, status: bytes = b"403 Forbidden") -> None:
    body = message.encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    connection.sendall(head % (status, len(body)) + body)


def serve_http(
    stream: Stream, handle: Callable[[Request], Response], host: str, port: int = 443, vantage: str = "inside"
) -> None:
    """Answer the HTTP/1.1 requests of one connection until it closes."""
    machine = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
    while True:
        request = _receive(machine, stream, host, port, vantage)
        if request is None:
            return
        try:
            response = handle(request)
        except DroppedError:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            return
        _send(machine, stream, request, response)
        if machine.our_state is h11.MUST_CLOSE or machine.their_state is h11.MUST_CLOSE:
            return
        machine.start_next_cycle()


def _receive(machine: h11.Connection, stream: Stream, host: str, port: int, vantage: str) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event = machine.next_event()
        except h11.RemoteProtocolError:
            return None
        if event is h11.NEED_DATA:
            if machine.they_are_waiting_for_100_continue:
                stream.sendall(machine.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            data = stream.recv(262144)
            if not data and head is None:
                return None
            machine.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return _request(head, bytes(body), host, port, vantage)
        else:
            return None


def _request(head: h11.Request, body: bytes, host: str, port: int, vantage: str) -> Request:
    target = urlsplit(re.sub(r"^/{2,}", "/", head.target.decode("latin-1")))
    return Request(
        method=head.method.decode("ascii").upper(),
        host=host,
        port=port,
        path=unquote(target.path),
        query=dict(parse_qsl(target.query, keep_blank_values=True)),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in head.headers},
        body=body,
        vantage=vantage,
        raw_path=head.target.decode("latin-1"),
    )


def _send(machine: h11.Connection, stream: Stream, request: Request, response: Response) -> None:
    headers = [(name, value) for name, value in response.headers.items()]
    bodiless = request.method == "HEAD" or response.status in {204, 304}
    names = {name.lower() for name, _ in headers}
    if "content-length" not in names and response.status not in {204, 304}:
        headers.append(("Content-Length", str(len(response.body))))
    parts = [machine.send(h11.Response(status_code=response.status, headers=headers, reason=b"-"))]
    if response.body and not bodiless:
        parts.append(machine.send(h11.Data(data=response.body)))
    parts.append(machine.send(h11.EndOfMessage()))
    stream.sendall(b"".join(part for part in parts if part))
