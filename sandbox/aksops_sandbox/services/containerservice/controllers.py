"""Controllers of a cluster that AKS runs outside of it: each looks at every object of some kinds when it changes."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from aksops_sandbox.engines.kubernetes import Client, KubernetesError

Manifest = dict[str, Any]
_WATCH = 60
_AGAIN = 3.0


class Controller:
    """One thread for each kind. Subclasses say by path what is done for an object, as often as it is asked."""

    name = ""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended = threading.Event()

    def handlers(self) -> dict[str, Callable[[Manifest], None]]:
        """Path of a collection -> what brings one of its objects to where it should be."""
        raise NotImplementedError

    def start(self) -> None:
        for target, handle in self.handlers().items():
            name = f"{self.name} {target.rsplit('/', 1)[-1]}"
            threading.Thread(target=self._loop, args=(target, handle), name=name, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def _loop(self, target: str, handle: Callable[[Manifest], None]) -> None:
        while not self._ended.is_set():
            try:
                self._follow(target, handle)
            except (OSError, KubernetesError):
                self._ended.wait(_AGAIN)
            except Exception:  # the controller must outlive any single object
                traceback.print_exc()
                self._ended.wait(_AGAIN)

    def _follow(self, target: str, handle: Callable[[Manifest], None]) -> None:
        answer = self._client.request("GET", target)
        for item in answer.get("items") or []:
            handle(item)
        version = answer["metadata"]["resourceVersion"]
        for kind, item in self._client.watch(target, _WATCH, resourceVersion=version):
            if self._ended.is_set():
                return
            if kind in ("ADDED", "MODIFIED"):
                handle(item)
