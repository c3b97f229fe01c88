# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback that prints how long each stage of a run took."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stages
type: aggregate
short_description: Print the seconds of each stage
version_added: 0.1.0
description:
  - At the end of a run it prints one line for each play (a stage of C(site.yml)) with its seconds, its share of the
    run, and its longest task.
  - In check mode the heading says so. Plays that no host took part in are left out.
requirements:
  - enable in configuration, C(callbacks_enabled = aksops.platform.stages) in the section C(defaults)
options:
  minimum_seconds:
    description: Stages that took less are counted together in one line.
    type: float
    default: 0
    env:
      - name: AKSOPS_STAGES_MINIMUM_SECONDS
    ini:
      - section: callback_stages
        key: minimum_seconds
author:
  - The aksops.platform maintainers (@aksops)
"""

import time
import typing as t

from ansible.plugins.callback import CallbackBase


class Stage(t.NamedTuple):
    """A stage that has ended: its name, its seconds, and name and seconds of its longest task."""

    name: str
    seconds: float
    task: str = ""
    task_seconds: float = 0.0


def lines(stages: t.Sequence[Stage], minimum: float = 0.0, width: int = 79) -> list[str]:
    """Return the table of the stages, with their sum, aligned for a terminal of C(width) characters."""
    total = sum(stage.seconds for stage in stages)
    shown = [stage for stage in stages if stage.seconds >= minimum]
    rest = [stage for stage in stages if stage.seconds < minimum]
    if rest:
        shown.append(Stage(f"{len(rest)} shorter", sum(stage.seconds for stage in rest)))
    head = max([len(stage.name) for stage in shown] + [len("all")])
    found = []
    for stage in shown:
        share = f"{100 * stage.seconds / total:3.0f} %" if total else "  0 %"
        line = f"{stage.name:<{head}} {stage.seconds:8.1f} s {share}"
        if stage.task:
            line = f"{line}   {stage.task} {stage.task_seconds:.1f} s"
        found.append(_cut(line, stage, width))
    found.append(f"{'all':<{head}} {total:8.1f} s")
    return found


def _cut(line: str, stage: Stage, width: int) -> str:
    if len(line) <= width or not stage.task:
        return line
    room = len(stage.task) - (len(line) - width) - 3
    return (
        line.replace(stage.task, f"{stage.task[:room].rstrip()}...")
        if room > 8
        else line[: line.index(stage.task)].rstrip()
    )


class CallbackModule(CallbackBase):
    """Measures plays and tasks on a monotonic clock."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "aksops.platform.stages"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: t.Any = None, clock: t.Callable[[], float] = time.monotonic) -> None:
        super().__init__(display=display)
        self._clock = clock
        self._stages: list[Stage] = []
        self._play = ""
        self._play_since = 0.0
        self._task = ""
        self._task_since = 0.0
        self._longest = ("", 0.0)
        self._check = False

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._end_play()
        self._play = play.get_name().strip()
        self._check = bool(getattr(play, "check_mode", False))
        self._play_since = self._clock()

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        self._end_task()
        self._task = str(task.name or task.action)
        self._task_since = self._clock()

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        self.v2_playbook_on_task_start(task, is_conditional=False)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._end_play()
        stages = [stage for stage in self._stages if stage.task]
        if not stages:
            return
        minimum = float(self.get_option("minimum_seconds") or 0)
        self._display.banner("STAGES (check mode: nothing was changed)" if self._check else "STAGES")
        for line in lines(stages, minimum, getattr(self._display, "columns", 79)):
            self._display.display(line)

    def _end_task(self) -> None:
        if not self._task:
            return
        seconds = self._clock() - self._task_since
        if not self._longest[0] or seconds > self._longest[1]:
            self._longest = (self._task, seconds)
        self._task = ""

    def _end_play(self) -> None:
        self._end_task()
        if self._play:
            self._stages.append(Stage(self._play, self._clock() - self._play_since, *self._longest))
        self._play, self._longest = "", ("", 0.0)
