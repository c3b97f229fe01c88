"""The Kubernetes objects of this repository: of charts as helm renders them, of roles as their tasks template them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from aksops_sandbox.tools import Tools
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("kubernetes.core.k8s", "k8s")
Object = dict[str, Any]


class _Plain(str):
    """A text that Ansible must not template (`!unsafe`)."""


class _Loader(yaml.SafeLoader):
    """Reads Ansible's own tags."""


_Loader.add_constructor("!unsafe", lambda loader, node: _Plain(loader.construct_scalar(node)))


def chart(path: Path, values: dict[str, Any], folder: Path, namespace: str, *files: str) -> list[Object]:
    """What `helm template` makes of a chart.

    files: values files beside the chart, before `values`.
    """
    given = folder / "values.yaml"
    given.write_text(yaml.safe_dump(values))
    argv = [str(Tools().path("helm")), "template", path.name, str(path), "-n", namespace, "--include-crds"]
    for name in files:
        argv += ["-f", str(path / name)]
    done = subprocess.run(
        [*argv, "-f", str(given)], capture_output=True, text=True, env={"HOME": str(folder), "PATH": ""}, check=False
    )
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


class Role:
    """A role with variables: templates what its tasks would send to Kubernetes."""

    def __init__(self, name: str, **given: Any) -> None:
        self.folder = ROOT / "roles" / name
        self._variables = {
            **_load(self.folder / "defaults/main.yml"),
            **_load(self.folder / "vars/main.yml"),
            **given,
            "ansible_search_path": [str(self.folder)],
            "role_path": str(self.folder),
            "inventory_hostname": "test",
            "ansible_check_mode": False,
        }

    def value(self, name: str) -> Any:
        """The value of one variable."""
        return self.template("{{ " + name + " }}")

    def template(self, text: Any, **more: Any) -> Any:
        """The value of a template."""
        variables = {**self._variables, **more}
        trusted = {name: _trusted(value) for name, value in variables.items()}
        value = Templar(loader=DataLoader(), variables=trusted).template(_trusted(text))
        # Ansible's marks of origin go.
        return json.loads(json.dumps(value))

    def definitions(self) -> list[Any]:
        """The `definition` of every task that writes objects, with the task's own variables."""
        return [
            (task.get("vars") or {}, task[module]["definition"])
            for path in sorted((self.folder / "tasks").glob("*.yml"))
            for task in _tasks(yaml.safe_load(path.read_text()) or [])
            for module in MODULES
            if module in task and task[module].get("state", "present") == "present" and "definition" in task[module]
        ]

    def objects(self) -> list[Object]:
        """What the role writes."""
        found = []
        for own, definition in self.definitions():
            value = self.template(definition, **own)
            if isinstance(value, str):
                value = list(yaml.safe_load_all(value))
            found += value if isinstance(value, list) else [value]
        return [item for item in found if item]


def writers() -> set[str]:
    """Names of the roles that write objects."""
    return {path.name for path in (ROOT / "roles").iterdir() if path.is_dir() and Role(path.name).definitions()}


def pods(objects: list[Object]) -> list[Object]:
    """A bare pod of the template of every workload, so that admission judges it at once."""
    found = []
    for item in objects:
        spec = item.get("spec") or {}
        if item["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Rollout"):
            template = spec["template"]
            name = f"{item['metadata']['name']}-{item['kind'].lower()}"
            labels = (template.get("metadata") or {}).get("labels") or {}
            pod = {**template["spec"], "serviceAccountName": "default"}
            metadata = {"name": name, "labels": {k: v for k, v in labels.items() if "workload.identity" not in k}}
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    return found


def _tasks(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for entry in entries:
        found.append(entry)
        for part in ("block", "rescue", "always"):
            found += _tasks(entry.get(part) or [])
    return found


def _load(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), _Loader) or {} if path.exists() else {}


def _trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) and not isinstance(value, _Plain) else value
