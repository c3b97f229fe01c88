"""SIGKILLs the whole run right after the first task that changed something and has not been reached before.

AKSOPS_KILLER names a file of the tasks that were; without it nothing happens.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: killer
type: notification
short_description: Kill a run at its next boundary
description: Kills a run right after the first task that changed something and has not been reached before.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "killer"

    def __init__(self) -> None:
        super().__init__()
        self._task = ""

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._task = task.get_name().strip()

    def v2_runner_on_ok(self, result):
        path = os.environ.get("AKSOPS_KILLER")
        if not path or not result._result.get("changed"):
            return
        reached = Path(path)
        if self._task not in reached.read_text().splitlines():
            with reached.open("a") as file:
                file.write(f"{self._task}\n")
            os.killpg(0, signal.SIGKILL)
