"""What a kubelet does for a pod before its containers start, played: pods wait in a queue until it has been done."""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from typing import Any

from aksops_sandbox.engines.kubernetes import Client, KubernetesError

_WATCH = 60
_BACKOFF = (1.0, 2.0, 4.0, 8.0, 15.0)
Pod = dict[str, Any]


def annotation(pod: Pod, name: str) -> str:
    """The value of an annotation; empty where there is none."""
    return (pod["metadata"].get("annotations") or {}).get(name, "")


def scheduled(pod: Pod) -> bool:
    """True for a pod that has a node and is not on its way out."""
    return bool(pod["spec"].get("nodeName")) and not pod["metadata"].get("deletionTimestamp")


@dataclass
class _Pending:
    pod: Pod
    due: float
    tries: int = 0


class PodQueue:
    """A player of one cluster: one thread watches pods, one works on those that wait, again and again until it is done.

    Subclasses say which pods wait, and what is to be done for one.
    """

    name = ""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._threads = [
            threading.Thread(target=self._loop, args=(part,), name=f"{self.name} {part.__name__}", daemon=True)
            for part in (self._watch, self._work)
        ]

    def waits(self, pod: Pod) -> bool:
        """Whether something is to be done for this pod."""
        raise NotImplementedError

    def attempt(self, pod: Pod, tries: int) -> bool:
        """Do it; False where it cannot be done now. tries: how often it was tried before."""
        raise NotImplementedError

    def tick(self) -> None:
        """Called about once a second."""

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._wake.set()

    def _loop(self, part: Any) -> None:
        while not self._ended.is_set():
            try:
                part()
            except (OSError, KubernetesError):
                self._ended.wait(1)
            except Exception:  # the player must outlive any single pod
                traceback.print_exc()
                self._ended.wait(1)

    def _watch(self) -> None:
        answer = self._client.request("GET", "/api/v1/pods")
        pods = answer.get("items") or []
        with self._lock:
            there = {pod["metadata"]["uid"] for pod in pods}
            self._pending = {uid: item for uid, item in self._pending.items() if uid in there}
        for pod in pods:
            self._take(pod)
        version = answer["metadata"]["resourceVersion"]
        for kind, pod in self._client.watch("/api/v1/pods", _WATCH, resourceVersion=version):
            if self._ended.is_set():
                return
            if kind in ("ADDED", "MODIFIED"):
                self._take(pod)
            elif kind == "DELETED":
                with self._lock:
                    self._pending.pop(pod["metadata"]["uid"], None)

    def _take(self, pod: Pod) -> None:
        uid = pod["metadata"]["uid"]
        with self._lock:
            known = self._pending.get(uid)
            if not self.waits(pod):
                self._pending.pop(uid, None)
            elif known is None:
                self._pending[uid] = _Pending(pod, time.monotonic())
                self._wake.set()
            else:
                known.pod = pod

    def _work(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [item for item in self._pending.values() if item.due <= now]
        for item in due:
            if self._ended.is_set():
                return
            if self.attempt(item.pod, item.tries):
                with self._lock:
                    self._pending.pop(item.pod["metadata"]["uid"], None)
            else:
                item.due = time.monotonic() + _BACKOFF[min(item.tries, len(_BACKOFF) - 1)]
                item.tries += 1
        self.tick()
        with self._lock:
            times = [item.due - time.monotonic() for item in self._pending.values()]
        self._wake.wait(max(0.05, min([1.0, *times])))
        self._wake.clear()
