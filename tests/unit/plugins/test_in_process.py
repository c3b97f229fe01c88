"""Modules inside Ansible's own process: the same results as in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
# They start Terraform.
OWN_PROCESS = {"terraform_plan", "terraform_project"}
GROUP = "/subscriptions/s/resourceGroups/rg"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of tasks, each run here and (a variable of Python's is set) in a process of its own."""
    folder = tmp_path_factory.mktemp("in-process")
    kept = folder / "results.json"
    tasks = []
    for name, task in TASKS.items():
        for where, environment in (("here", {}), ("process", {"PYTHONWARNINGS": "default"})):
            tasks.append(
                {
                    "name": f"{name} {where}",
                    **task,
                    "register": f"{name}_{where}",
                    "ignore_errors": True,
                    "environment": {**task.get("environment", {}), **environment},
                }
            )
    names = [f"{name}_{where}" for name in TASKS for where in ("here", "process")]
    texts = ", ".join(f"'{name}': {name}" for name in names)
    tasks.append({"ansible.builtin.copy": {"dest": str(kept), "content": f"{{{{ {{{texts}}} | to_json }}}}"}})
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": tasks,
    }
    file = folder / "play.yml"
    file.write_text(yaml.safe_dump([play], sort_keys=False), encoding="utf-8")
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_"))}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", str(file), "-vvv"],
        cwd=folder,
        env={**outside, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(folder / "tmp")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert kept.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(kept.read_text(encoding="utf-8")), done.stdout


TASKS = {
    "refused": {"aksops.platform.postgresql_promotion": {"resource_group_id": GROUP, "server": "a", "action": "begin"}},
    "misspelt": {"aksops.platform.arm_info": {"request": []}},
    "unauthenticated": {"aksops.platform.arm_info": {"requests": [{"id": GROUP}]}},
    "environment": {
        "aksops.platform.arm_info": {"requests": [{"id": GROUP}], "client_secret": "planted-Zq7rT2mXw9"},
        "environment": {"ARM_TENANT_ID": "not a tenant", "ARM_CLIENT_ID": "x"},
    },
}


@pytest.mark.parametrize("name", TASKS)
def test_the_result_is_the_same(results, name):
    answers, _ = results
    here, process = ({**answers[f"{name}_{where}"]} for where in ("here", "process"))
    assert here["failed"]
    for answer in (here, process):
        for key in ("exception", "invocation", "ansible_facts", "module_stdout", "module_stderr"):
            answer.pop(key, None)
    assert here == process


def test_only_what_must_is_a_process_of_its_own(results):
    _, output = results
    assert output.count("plugins/modules/postgresql_promotion.py") == 1
    # Wrong parameters are told by the module itself, here too.
    assert output.count("plugins/modules/arm_info.py") == 4


def test_the_tasks_environment_counts_and_ends_with_the_task(results):
    answers, _ = results
    assert answers["environment_here"]["msg"] != answers["unauthenticated_here"]["msg"]


def test_what_must_not_be_shown_is_not(results):
    answers, output = results
    assert "planted-Zq7rT2mXw9" not in output
    assert "planted-Zq7rT2mXw9" not in json.dumps(answers)


def test_every_module_but_those_that_start_commands_may_run_here():
    modules = {path.stem for path in (ROOT / "plugins/modules").glob("*.py")} - {"__init__"}
    links = {path.stem: path.readlink() for path in (ROOT / "plugins/action").glob("*.py")}
    assert set(links) == modules - OWN_PROCESS
    assert set(links.values()) == {Path("../plugin_utils/in_process.py")}
    for name in links:
        assert "run_command" not in (ROOT / f"plugins/modules/{name}.py").read_text(encoding="utf-8")
