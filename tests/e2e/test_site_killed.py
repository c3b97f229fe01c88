"""site.yml killed again and again: SIGKILL for the whole group at moments of one seed; then it must converge."""

from __future__ import annotations

import os
import random
import re
import time

import pytest

pytestmark = pytest.mark.e2e

KILLS = 4
# How far a whole run goes on a quiet machine, in seconds.
LONGEST = 150


def moments() -> list[float]:
    """When to kill; AKSOPS_SEED repeats a choice, and CI makes the same one each time."""
    fixed = "20261123" if os.environ.get("CI") else ""
    seed = int(os.environ.get("AKSOPS_SEED") or fixed or random.SystemRandom().randrange(10**6))
    print(f"AKSOPS_SEED={seed}")
    chosen = random.Random(seed)
    return [chosen.uniform(5, LONGEST) for _ in range(KILLS)]


def test_a_run_killed_at_any_moment_is_finished_by_the_next(bench):
    for moment in moments():
        process = bench.start("site")
        time.sleep(moment)
        bench.kill(process)
    run = bench.playbook("site", timeout=1500)
    assert run.code == 0, run.output[-6000:]
    again = bench.playbook("site")
    assert again.code == 0, again.output[-4000:]
    assert again.recap("changed") == 0, again.changed_tasks
    secrets = re.findall(r'"client_secret": "([^"]+)"', (bench.home / "principals.json").read_text(encoding="utf-8"))
    assert secrets
    for file in (path for path in bench.work.rglob("*") if path.is_file()):
        assert not file.name.startswith("ephemeral.")
        assert not [secret for secret in secrets if secret.encode() in file.read_bytes()], file
