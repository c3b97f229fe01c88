"""The certificates under which the sandbox answers for Azure's host names."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from aksops_sandbox.engines.authority import Authority


class Certificates:
    """A private CA in a folder, and leaves of it made on demand.

    Args:
        folder: where `ca.pem`, `ca.key` and the leaves lie (private).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._authority = Authority(folder / "ca.pem", folder / "ca.key", "aksops sandbox CA")
        self.ca_path = self._authority.certificate_path

    def leaf(self, names: list[str]) -> tuple[Path, Path]:
        """Certificate and key files for DNS names and addresses; the first name is the file's name."""
        stem = names[0].replace("*", "_").replace(":", "_")
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        with self._lock:
            self._authority.issue(certificate, key, names[0], names, chain=True)
        return certificate, key

    def server_context(self, host: str) -> ssl.SSLContext:
        """A TLS server context for one host name, kept in memory."""
        context = self._contexts.get(host)
        if context is None:
            certificate, key = self.leaf([host])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            context.set_alpn_protocols(["http/1.1"])
            self._contexts[host] = context
        return context
