# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback that says how far Terraform has come while its task runs."""

from __future__ import annotations

DOCUMENTATION = r"""
name: terraform_progress
type: aggregate
short_description: Say how far Terraform has come
version_added: 0.2.0
description:
  - While M(community.general.terraform) or M(cloud.terraform.terraform) runs in a folder that
    M(aksops.platform.terraform_project) prepared, it prints one line for each host now and then that says how many of
    the planned changes have begun, since when, and which came last.
  - It reads the log that Terraform's core writes into that folder, which holds addresses and no values.
requirements:
  - enable in configuration, C(callbacks_enabled = aksops.platform.terraform_progress) in the section C(defaults)
options:
  interval:
    description: Seconds between two lines.
    type: float
    default: 10
    env:
      - name: AKSOPS_TERRAFORM_PROGRESS_INTERVAL
    ini:
      - section: callback_terraform_progress
        key: interval
author:
  - The aksops.platform maintainers (@aksops)
"""

import re
import threading
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

_PROJECT = "aksops.platform.terraform_project"
_PLAN = "aksops.platform.terraform_plan"
_TERRAFORM = ("community.general.terraform", "cloud.terraform.terraform")
_BEGUN = re.compile(r"\bStarting apply for (\S+)")
_CHANGES = re.compile(r"(\d+)$")


def line(host: str, log: str, planned: int, seconds: float) -> str:
    """What to say about one host, from the text of Terraform's log."""
    begun = list(dict.fromkeys(_BEGUN.findall(log)))
    if not begun:
        return f"  {host}: Terraform at work, {seconds:.0f} s"
    of = f" of {planned}" if planned >= len(begun) else ""
    return f"  {host}: {len(begun)}{of} changes begun, {seconds:.0f} s; last {begun[-1]}"


class CallbackModule(CallbackBase):
    """Follows the logs of all hosts in a thread while a task of Terraform runs."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "aksops.platform.terraform_progress"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: t.Any = None, clock: t.Callable[[], float] = time.monotonic) -> None:
        super().__init__(display=display)
        self._clock = clock
        self._logs: dict[str, Path] = {}
        self._planned: dict[str, int] = {}
        self._since = 0.0
        self._working: set[str] = set()
        self._stop: threading.Event | None = None

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._ended(result)
        action, values, host = result._task.resolved_action, result._result, result._host.get_name()
        if action == _PROJECT and values.get("environment"):
            self._logs[host] = Path(values["environment"]["TF_LOG_PATH"])
        elif action == _PLAN:
            found = _CHANGES.search(values.get("tally") or "")
            self._planned[host] = int(found.group(1)) if found else 0

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._ended(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._ended(result)

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        name = host.get_name()
        if task.resolved_action not in _TERRAFORM or name not in self._logs:
            return
        if not self._working:
            self._since = self._clock()
            self._stop = threading.Event()
            threading.Thread(target=self._follow, args=(self._stop,), daemon=True).start()
        self._working.add(name)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._working.clear()
        if self._stop:
            self._stop.set()

    def say(self) -> None:
        """Print one line for each host at which Terraform works."""
        for host in sorted(self._working):
            try:
                log = self._logs[host].read_text(encoding="utf-8", errors="replace")
            except OSError:
                log = ""
            self._display.display(line(host, log, self._planned.get(host, 0), self._clock() - self._since))

    def _follow(self, stop: threading.Event) -> None:
        while not stop.wait(float(self.get_option("interval"))):
            self.say()

    def _ended(self, result: t.Any) -> None:
        if result._task.resolved_action not in _TERRAFORM:
            return
        self._working.discard(result._host.get_name())
        if not self._working and self._stop:
            self._stop.set()
