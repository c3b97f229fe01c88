"""The TLS front of every Flexible Server in a sandbox.

A client connects to one loopback address, port 5432, under the server's own name (libpq's `hostaddr`). The front
answers SSLRequest, picks the server by the name in the TLS handshake, enforces network rules, checks Entra tokens as
Azure does, and joins the client to the cluster's Unix socket. Passwords are left to PostgreSQL.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CANCEL_REQUEST = 80877102
_LARGEST_STARTUP = 10_000  # bytes, as in PostgreSQL
_LARGEST_PASSWORD = 65_536  # bytes; a token with many groups has some 10 kB
_LOGIN_TIMEOUT = 60  # seconds
_CHUNK = 262_144  # bytes


class RefusalError(Exception):
    """The client is not let in. Args: SQLSTATE and message, as PostgreSQL sends them."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.message = message


@dataclass(frozen=True)
class Login:
    """How one login goes on: `token_check` raises RefusalError; it is None where PostgreSQL checks a password."""

    socket: Path
    token_check: Callable[[str], None] | None


class Gate(Protocol):
    """Who may come in; asked in a worker thread."""

    def certificate(self, name: str) -> tuple[Path, Path] | None:
        """Certificate and key files for a server's name; None where there is no such server."""

    def login(self, server: str, vantage: str, user: str, database: str) -> Login:
        """Raise RefusalError, or say how this login goes on."""


class Front:
    """Listens on one address per vantage, in a thread of its own.

    Args:
        addresses: vantage (`inside`, `outside`) -> (loopback address, port).
    """

    def __init__(self, gate: Gate, addresses: dict[str, tuple[str, int]]) -> None:
        self._gate = gate
        self._addresses = addresses
        self._contexts: dict[Path, ssl.SSLContext] = {}
        self._cancel_keys: dict[bytes, Path] = {}
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Listen. Raises OSError where an address is taken."""
        started: threading.Event = threading.Event()
        failure: list[BaseException] = []

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            try:
                self._loop.run_until_complete(self._listen())
            except BaseException as error:
                failure.append(error)
                started.set()
                return
            started.set()
            self._loop.run_forever()
            self._loop.close()

        threading.Thread(target=run, name="postgres front", daemon=True).start()
        started.wait()
        if failure:
            raise failure[0]

    async def _listen(self) -> None:
        for vantage, (address, port) in self._addresses.items():
            serve = self._server(vantage)
            self._servers.append(await asyncio.start_server(serve, address, port, limit=_CHUNK))

    def stop(self) -> None:
        """Stop listening and drop every connection."""

        async def close() -> None:
            for server in self._servers:
                server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._loop.stop()

        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(close(), self._loop)

    def _server(self, vantage: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._client(vantage, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accepted

    # -- one client ---

    async def _client(self, vantage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(vantage, reader, writer)
        except RefusalError as refusal:
            with suppress(OSError, ssl.SSLError):
                writer.write(_error(refusal.sqlstate, refusal.message))
                await writer.drain()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
            pass
        finally:
            with suppress(OSError, ssl.SSLError, RuntimeError):
                writer.close()

    async def _serve(self, vantage: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_LOGIN_TIMEOUT):
            server, startup = await self._handshake(reader, writer)
            if startup is None:
                return
            parameters = _parse_startup(startup)
            user, database = parameters.get("user", ""), parameters.get("database") or parameters.get("user", "")
            if not server:
                raise RefusalError(
                    "28000",
                    f'no pg_hba.conf entry for host "{vantage}", user "{user}", database "{database}", no encryption',
                )
            login = await asyncio.to_thread(self._gate.login, server, vantage, user, database)
            if login.token_check is not None:
                writer.write(struct.pack("!cII", b"R", 8, 3))
                await writer.drain()
                await asyncio.to_thread(login.token_check, await _read_password(reader))
            backend_reader, backend_writer = await asyncio.open_unix_connection(str(login.socket), limit=_CHUNK)
        try:
            backend_writer.write(startup)
            await _join(
                self._pass_back(backend_reader, writer, login.socket),
                _copy(reader, backend_writer),
                backend_writer,
                writer,
            )
        finally:
            backend_writer.close()

    async def _handshake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes | None]:
        """(server name, startup packet); the packet is None after a cancellation, the name '' without TLS."""
        names: list[str] = []
        secure = False
        while True:
            packet = await _read_packet(reader)
            code = struct.unpack_from("!I", packet, 4)[0]
            if code == _SSL_REQUEST and not secure:
                writer.write(b"S")
                await writer.start_tls(self._tls(names))
                secure = True
            elif code == _GSS_REQUEST:
                writer.write(b"N")
            elif code == _CANCEL_REQUEST:
                await self._cancel(packet)
                return "", None
            else:
                return (names[0] if names else "?") if secure else "", packet

    def _tls(self, names: list[str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
            files = self._gate.certificate(name.lower()) if name else None
            if name is None or files is None:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            if files[0] not in self._contexts:
                chosen = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                chosen.load_cert_chain(*files)
                self._contexts[files[0]] = chosen
            connection.context = self._contexts[files[0]]
            names.append(name.lower())
            return None

        context.sni_callback = choose
        return context

    async def _cancel(self, packet: bytes) -> None:
        socket = self._cancel_keys.get(packet[8:])
        if socket is None:
            return
        _, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(packet)
        with suppress(OSError):
            await writer.drain()
        writer.close()

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, socket: Path) -> None:
        """Server to client; the session's cancellation key is noted on the way."""
        key = b""
        try:
            while True:
                head = await reader.readexactly(5)
                kind, length = head[:1], struct.unpack("!I", head[1:])[0]
                body = await reader.readexactly(length - 4)
                if kind == b"K":
                    key = body
                    self._cancel_keys[key] = socket
                writer.write(head + body)
                await writer.drain()
                if kind in (b"Z", b"E"):
                    break
            await _copy(reader, writer)
        finally:
            self._cancel_keys.pop(key, None)


async def _read_packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    length = struct.unpack("!I", head)[0]
    if not 8 <= length <= _LARGEST_STARTUP:
        raise RefusalError("08P01", "invalid length of startup packet")
    return head + await reader.readexactly(length - 4)


async def _read_password(reader: asyncio.StreamReader) -> str:
    kind, length = struct.unpack("!cI", await reader.readexactly(5))
    if kind != b"p" or not 5 <= length <= _LARGEST_PASSWORD:
        raise RefusalError("08P01", "expected a password response")
    return (await reader.readexactly(length - 4)).rstrip(b"\0").decode(errors="replace")


def _parse_startup(packet: bytes) -> dict[str, str]:
    if struct.unpack_from("!H", packet, 4)[0] != 3:
        raise RefusalError("0A000", "unsupported frontend protocol")
    parts = packet[8:].rstrip(b"\0").decode(errors="replace").split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=False))


def _error(sqlstate: str, message: str) -> bytes:
    fields = b"".join(
        code + value.encode() + b"\0"
        for code, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", message))
    )
    return b"E" + struct.pack("!I", len(fields) + 5) + fields + b"\0"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


async def _join(back: object, forth: object, backend: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
    """Run both directions; when the server ends, the client's side ends, and the other way round."""
    tasks = [asyncio.ensure_future(back), asyncio.ensure_future(forth)]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(OSError, ssl.SSLError):
            await client.drain()
