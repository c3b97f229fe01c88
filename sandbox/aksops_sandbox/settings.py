"""Where a sandbox keeps its things, and who it knows at first start."""

from __future__ import annotations

import json
import os
import secrets
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_LOCATION = "westeurope"


def default_home() -> Path:
    """`AKSOPS_SANDBOX_HOME`, else a folder in the user's state directory."""
    chosen = os.environ.get("AKSOPS_SANDBOX_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "aksops-sandbox"


class Home:
    """The private folder of one sandbox; every other path is below it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    def make(self) -> None:
        """Create the folders (mode 0700 at the top)."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for name in ("logs", "run", "pki"):
            self.sub(name)

    def sub(self, name: str) -> Path:
        """A folder below the home, made where it is missing."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def store(self) -> Path:
        return self.path / "store.sqlite"

    @property
    def state(self) -> Path:
        """Ports and process id of the running server (JSON)."""
        return self.path / "run" / "server.json"

    @property
    def admin_socket(self) -> Path:
        return self.path / "run" / "admin.sock"

    @property
    def principals(self) -> Path:
        return self.path / "principals.json"

    @property
    def ports(self) -> Path:
        return self.path / "ports.json"


@dataclass(frozen=True)
class Account:
    """An application (service principal) with a client secret."""

    name: str
    client_id: str
    object_id: str
    client_secret: str


@dataclass(frozen=True)
class Principals:
    """Subscription, tenant and the accounts of a sandbox: `operator` owns the subscription; `second` does too, under
    another identity; `reader` may only read."""

    subscription_id: str
    tenant_id: str
    accounts: tuple[Account, ...]

    def account(self, name: str) -> Account:
        """The account of that name. Raises KeyError."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise KeyError(name)

    @classmethod
    def load(cls, path: Path) -> Principals:
        """Read the file; make it (mode 0600) at the first call."""
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = {
                "subscription_id": str(uuid.uuid4()),
                "tenant_id": str(uuid.uuid4()),
                "accounts": [_account(name) for name in ("operator", "second", "reader")],
            }
            write_private(path, json.dumps(content, indent=2))
        accounts = tuple(Account(**account) for account in content["accounts"])
        return cls(content["subscription_id"], content["tenant_id"], accounts)


def _account(name: str) -> dict[str, str]:
    return {
        "name": name,
        "client_id": str(uuid.uuid4()),
        "object_id": str(uuid.uuid4()),
        "client_secret": f"sbx~{secrets.token_urlsafe(30)}",
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, replacing it in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


class Ports:
    """Ports by name, chosen free once and kept, so that addresses survive `down` and `up`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def get(self, name: str, address: str = "127.0.0.1") -> int:
        """The port of that name; a new one is chosen where there is none or another program holds it now."""
        port = self._ports.get(name)
        if port is None or not _free(address, port):
            port = _any_free(address, set(self._ports.values()))
            self._ports[name] = port
            write_private(self._path, json.dumps(self._ports, indent=2))
        return port

    def get_held(self, name: str) -> int:
        """The port of that name as it was given out, whoever listens on it. Raises KeyError."""
        return self._ports[name]


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _any_free(address: str, taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's object, or None where it is missing or half written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
