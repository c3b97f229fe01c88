"""Where the seconds of site.yml go: a first run on an empty sandbox, a second one, and a bare plan of the same root.

Prints one row per stage and the second run as a ratio to the plan, and writes the rows and a picture to
artifacts/bench-site.{json,svg}. Absolute seconds depend on the machine; the ratios are what to compare.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ARTIFACTS = ROOT / "artifacts"
# Stages that are the cluster's roles: their second runs together are a figure of its own.
ROLES = ("Images", "Add-ons", "Argo CD", "Workload")
# A row of the callback aksops.platform.stages.
_STAGE = re.compile(r"^(\S.*?)\s{2,}(\d+\.\d) s\s+\d+ %", re.MULTILINE)


def run(home: Path, work: Path, name: str) -> tuple[float, dict[str, float]]:
    """Run a playbook in the sandbox; returns whole seconds and seconds by stage. Exits where it fails."""
    started = time.monotonic()
    done = subprocess.run(
        ["aksops-sandbox", "--home", str(home), "exec", "--", "ansible-playbook", "-i", "inventories/sandbox", name],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "AKSOPS_WORK_DIR": str(work)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    if done.returncode != 0:
        sys.exit(f"{name} failed:\n{done.stdout[-3000:]}")
    stages = {stage: float(value) for stage, value in _STAGE.findall(done.stdout.split("PLAY RECAP")[-1])}
    if not stages:
        sys.exit(f"{name} named no stages: {done.stdout[-1000:]}")
    return seconds, stages


def memory(home: Path) -> int:
    """Resident memory of the sandbox's processes in MiB, shared pages counted once (PSS)."""
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if str(home).encode() not in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes():
                continue
            rollup = (folder / "smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE).group(1))
    return total // 1024


def picture(rows: dict[str, tuple[float, float]]) -> str:
    """Bars per stage, first and second run."""
    widest = max((max(pair) for pair in rows.values()), default=1.0)
    lines = []
    for place, (stage, (first, second)) in enumerate(rows.items()):
        top = 30 + place * 44
        lines.append(f'<text x="10" y="{top + 16}">{stage}</text>')
        for offset, seconds, colour in ((0, first, "#0b6"), (17, second, "#06b")):
            width = 520 * seconds / widest
            lines.append(
                f'<rect x="150" y="{top + offset}" width="{width:.1f}" height="15" fill="{colour}"/>'
                f'<text x="{156 + width:.1f}" y="{top + offset + 12}">{seconds:.1f} s</text>'
            )
    height = 50 + 44 * len(rows)
    head = '<text x="150" y="18">site.yml: first run (green), second run (blue)</text>'
    style = '<style>text{font:12px sans-serif}</style><rect width="100%" height="100%" fill="white"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}">{style}{head}'
        + "".join(lines)
        + "</svg>"
    )


def main() -> None:
    """Measure on a sandbox of its own."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o711)
    home, work = folder / "home", folder / "work"
    sandbox = ["aksops-sandbox", "--home", str(home)]
    try:
        started = time.monotonic()
        subprocess.run([*sandbox, "up", "--while", str(os.getpid())], check=True)
        up = time.monotonic() - started
        first, first_stages = run(home, work, "playbooks/site.yml")
        second, second_stages = run(home, work, "playbooks/site.yml")
        plan, _ = run(home, work, "playbooks/plan.yml")
        used = memory(home)
    finally:
        subprocess.run([*sandbox, "down"], check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)
    rows = {stage: (seconds, second_stages.get(stage, 0.0)) for stage, seconds in first_stages.items()}
    print(f"{'stage':24}{'first':>10}{'second':>10}")
    for stage, (one, two) in rows.items():
        print(f"{stage:24}{one:9.1f}s{two:9.1f}s")
    print(f"{'whole command':24}{first:9.1f}s{second:9.1f}s")
    print(
        f"sandbox up {up:.1f} s; bare plan {plan:.1f} s; second run / bare plan {second / plan:.2f}; memory {used} MiB"
    )
    roles = sum(second_stages.get(stage, 0.0) for stage in ROLES)
    print(f"the cluster's roles together ({', '.join(ROLES)}), second run: {roles:.1f} s")
    ARTIFACTS.mkdir(exist_ok=True)
    content = {
        "roles": roles,
        "first": first,
        "second": second,
        "plan": plan,
        "up": up,
        "memory_mib": used,
        "stages": rows,
    }
    (ARTIFACTS / "bench-site.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    (ARTIFACTS / "bench-site.svg").write_text(picture(rows), encoding="utf-8")
    print(f"The figures and a picture are in {ARTIFACTS.relative_to(ROOT)}/bench-site.json and .svg.")


if __name__ == "__main__":
    main()
