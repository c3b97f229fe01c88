"""The sandbox's own API, on a Unix socket in its home: ledger, faults, RBAC delay, status."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.http.message import Request, Response

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox


class Admin:
    """Answers the commands of the CLI and of tests. Services may add commands by name."""

    def __init__(self, ctx: Sandbox) -> None:
        self._ctx = ctx

    def handle(self, request: Request) -> Response:
        """Answer one request; the path names the command."""
        commands = {
            "/status": self._status,
            "/ledger": self._ledger,
            "/fault": self._fault,
            "/rbac-delay": self._rbac_delay,
            "/policy-delay": self._policy_delay,
            "/firewall-delay": self._firewall_delay,
        }
        try:
            command = commands.get(request.path)
            if command is not None:
                return Response.json(200, command(request))
            extra = self._ctx.admin_commands.get(request.path.lstrip("/"))
            if extra is not None:
                return Response.json(200, extra(self._ctx, request.json()))
            raise AzureError(404, "UnknownCommand", f"There is no command '{request.path}'.")
        except AzureError as error:
            return Response.json(error.status, error.body())

    def _status(self, request: Request) -> dict[str, Any]:
        kinds: dict[str, int] = {}
        for resource in self._ctx.store.list():
            kinds[resource.type] = kinds.get(resource.type, 0) + 1
        return {"processes": self._ctx.supervisor.names(), "resources": kinds, "faults": self._ctx.faults.list()}

    def _ledger(self, request: Request) -> list[dict[str, Any]]:
        query = request.query
        return self._ctx.ledger.query(
            since=int(query.get("since", 0)),
            method=query.get("method", ""),
            host=query.get("host", ""),
            path=query.get("path", ""),
            limit=int(query.get("limit", 10_000)),
        )

    def _fault(self, request: Request) -> list[dict[str, Any]]:
        if request.method == "DELETE":
            self._ctx.faults.clear()
        elif request.method == "POST":
            content = request.json()
            if "seed" in content:
                self._ctx.faults.seed(int(content.pop("seed")))
            if content:
                self._ctx.faults.add(content)
        return self._ctx.faults.list()

    def _rbac_delay(self, request: Request) -> dict[str, float]:
        if request.method == "POST":
            self._ctx.rbac.delay = float(request.json()["seconds"])
        return {"seconds": self._ctx.rbac.delay}

    def _policy_delay(self, request: Request) -> dict[str, float]:
        if request.method == "POST":
            self._ctx.policy_delay = float(request.json()["seconds"])
        return {"seconds": self._ctx.policy_delay}

    def _firewall_delay(self, request: Request) -> dict[str, float]:
        if request.method == "POST":
            self._ctx.network.delay = float(request.json()["seconds"])
        return {"seconds": self._ctx.network.delay}


class NotRunningError(Exception):
    """No server answers on the admin socket."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sandbox", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(socket_path: Path, verb: str, command: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
    """Ask a running sandbox. Raises NotRunningError, or RuntimeError with the server's own sentence."""
    connection = _Connection(socket_path)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(verb, f"/{command}?{urlencode(query or {})}", content)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"null")
    except (OSError, http.client.HTTPException) as error:
        message = f"No sandbox answers at {socket_path}: {error}. Start one with 'aksops-sandbox up'."
        raise NotRunningError(message) from None
    finally:
        connection.close()
    if response.status >= 400:
        raise RuntimeError(answer["error"]["message"])
    return answer
