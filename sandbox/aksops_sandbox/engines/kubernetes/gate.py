"""The one HTTPS endpoint on loopback that the API servers ask: who signs Entra tokens, and what Azure RBAC allows."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Handler = Callable[[dict[str, Any]], dict[str, Any]]


class Gate:
    """Serves fixed documents (GET) and functions (POST) by path.

    Args:
        port: loopback port.
        certificate, key: PEM files for 127.0.0.1.
    """

    def __init__(self, port: int, certificate: Path, key: Path) -> None:
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        self.documents: dict[str, Callable[[], dict[str, Any]]] = {}
        self.functions: dict[str, Handler] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Server(("127.0.0.1", port), self._handler(), context)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="kubernetes gate", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 300

            def do_GET(self) -> None:
                document = gate.documents.get(self.path.split("?")[0])
                if document is None:
                    self._send(404, {"message": "not found"})
                else:
                    self._send(200, document())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                function = gate.functions.get(self.path.split("?")[0])
                if function is None:
                    self._send(404, {"message": "not found"})
                    return
                try:
                    answer = function(json.loads(body))
                except Exception as error:  # a refusal must reach the API server, not a closed connection
                    self._send(500, {"message": f"{type(error).__name__}: {error}"})
                    return
                self._send(200, answer)

            def _send(self, status: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """No access log: the API servers ask often, and their own logs say why."""

        return Answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext
    ) -> None:
        self._context = context
        super().__init__(address, handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # The handshake belongs to the connection's own thread: a silent client must not block the others.
        request.settimeout(10)
        with contextlib.suppress(OSError, ssl.SSLError):
            secure = self._context.wrap_socket(request, server_side=True)
            with contextlib.closing(secure):
                super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is no news."""
