from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.aksops.platform.plugins.callback.stages import CallbackModule, Stage, lines


class Screen:
    """What Ansible's display offers, kept."""

    columns = 60
    verbosity = 0

    def __init__(self):
        self.lines = []

    def banner(self, text):
        self.lines.append(text)

    def display(self, text):
        self.lines.append(text)


class Run:
    """A run that is told by its events, on a clock of its own."""

    def __init__(self, check=False, minimum=0):
        self.now, self.screen, self.check = 100.0, Screen(), check
        self.callback = CallbackModule(self.screen, clock=lambda: self.now)
        self.callback.get_option = {"minimum_seconds": minimum}.__getitem__

    def play(self, name, *tasks):
        self.callback.v2_playbook_on_play_start(SimpleNamespace(get_name=lambda: name, check_mode=self.check))
        for task, seconds in tasks:
            self.callback.v2_playbook_on_task_start(SimpleNamespace(name=task, action="debug"), False)
            self.now += seconds

    def end(self):
        self.callback.v2_playbook_on_stats(None)
        return self.screen.lines


def test_each_stage_has_a_line_and_their_sum_is_the_run():
    run = Run()
    run.play("Preflight", ("Ask", 1.5))
    run.play("Infrastructure", ("Plan", 20), ("Apply", 70), ("Read", 8.5))
    assert run.end() == [
        "STAGES",
        "Preflight           1.5 s   2 %   Ask 1.5 s",
        "Infrastructure     98.5 s  98 %   Apply 70.0 s",
        "all               100.0 s",
    ]


def test_check_mode_is_said_and_plays_without_tasks_are_left_out():
    run = Run(check=True)
    run.play("Nobody")
    run.play("Somebody", ("Look", 2))
    shown = run.end()
    assert shown[0] == "STAGES (check mode: nothing was changed)"
    assert not any("Nobody" in line for line in shown)


def test_a_run_without_tasks_prints_nothing():
    run = Run()
    run.play("Nobody")
    assert run.end() == []


def test_short_stages_are_counted_together():
    run = Run(minimum=1)
    run.play("Long", ("Work", 5))
    run.play("Short", ("Blink", 0.5))
    run.play("Shorter", ("Blink", 0.25))
    shown = run.end()
    assert shown[2] == "2 shorter      0.8 s  13 %"
    assert shown[-1] == "all            5.8 s"


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_lines_fit_the_terminal_and_numbers_are_aligned(width):
    stages = [
        Stage("Add-ons", 12.25, "Wait for what AKS deploys for the add-ons of the cluster", 9.0),
        Stage("A", 1000.0),
    ]
    shown = lines(stages, width=width)
    assert all(len(line) <= width for line in shown)
    assert len({line.index(" s") for line in shown}) == 1
