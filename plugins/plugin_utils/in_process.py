# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's main() inside Ansible's own worker process where that is the same machine, user and interpreter.

Packing a module, starting another Python and importing the same libraries again costs more than half a second of
processor time, more than the work itself. The result is the same, and the parameters never leave the process. Anything
out of the ordinary (another host, user or interpreter, an asynchronous task, wrong parameters, an environment that
changes Python itself) runs the module as usual.

The files in plugins/action/ are links to this one, each named as its module. A module that may run so ends through
exit_json or fail_json, starts no command and changes nothing of its process that outlives it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible loads this file before it forks a worker for each task, so all of them have what most modules import.
with contextlib.suppress(ImportError):
    import azure.core.rest
    import azure.mgmt.core  # noqa: F401
    import urllib3  # noqa: F401

#: Seconds between two lines of one task about its progress.
PROGRESS_SECONDS = 10.0

#: Variables that count when Python or the C library starts, so that they cannot be set for one task of a process.
_PROCESS_WIDE = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "TZ")


class FinishedError(BaseException):
    """The work has ended with a result, as SystemExit ends a module."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


class NotHereError(BaseException):
    """The module must run as a process of its own, which also says what is wrong with its parameters."""


class Module:
    """What our modules need of an AnsibleModule."""

    def __init__(self, params: dict[str, Any], task: Any, host: str) -> None:
        self.params = params
        self.check_mode = task.check_mode
        self._diff = task.diff
        self._silent = bool(task.no_log)
        self._host = host
        self._said = time.monotonic()
        self._keep_remote_files = False
        self._warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self._warnings.append(warning)

    def debug(self, message: str) -> None:
        """Say now and then what a long wait waits for. A process of its own could only write it to the system's log."""
        if not self._silent and time.monotonic() - self._said >= PROGRESS_SECONDS:
            self._said = time.monotonic()
            Display().display(f"[{self._host}] {message}")

    def exit_json(self, **result: Any) -> NoReturn:
        raise FinishedError({"changed": False, **result, **self._notes()})

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        raise FinishedError({"failed": True, "changed": False, "msg": msg, **result, **self._notes()})

    def _notes(self) -> dict[str, Any]:
        return {"warnings": self._warnings} if self._warnings else {}


class ActionModule(ActionBase):
    """Takes the module's own argument spec and main(), and puts the class Module in the place of AnsibleModule."""

    _supports_check_mode = True
    _supports_async = True
    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables: dict[str, str] = {}
        if not self._is_here(task_vars or {}, variables):
            return self._as_module(result, task_vars)
        try:
            with _environment(variables):
                result.update(self._work(str((task_vars or {}).get("inventory_hostname", ""))))
        except NotHereError:
            return self._as_module(result, task_vars)
        return result

    def _work(self, host: str) -> dict[str, Any]:
        """Run the module's main(); returns its result without values that must not be shown."""
        name = self._task.action.rpartition(".")[2]
        module = importlib.import_module(f"ansible_collections.aksops.platform.plugins.modules.{name}")
        made: list[tuple[Module, set[str]]] = []

        def ansible_module(argument_spec: dict[str, Any], supports_check_mode: bool = False, **rules: Any) -> Module:
            parsed = self._parse(argument_spec, rules)
            if parsed.error_messages or (self._task.check_mode and not supports_check_mode):
                raise NotHereError
            made.append((Module(parsed.validated_parameters, self._task, host), parsed._no_log_values))
            return made[-1][0]

        module.AnsibleModule = ansible_module  # type: ignore[attr-defined]
        finished: dict[str, Any]
        try:
            module.main()
            raise RuntimeError(f"{name} has ended without a result")
        except FinishedError as ended:
            finished = ended.result
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            # The error's own text may hold data.
            sentence = f"Unexpected {type(error).__name__} in {name}; please report it with -vvv."
            finished = {"failed": True, "msg": sentence, "exception": frames}
        shim, secrets = made[-1] if made else (None, set())
        if shim and Display().verbosity >= 3:
            finished["invocation"] = {"module_args": shim.params}
        # Lists and mappings of any kind become what JSON knows, as they do on the way out of a process.
        cleaned: dict[str, Any] = remove_values(json.loads(json.dumps(finished, default=str)), secrets)
        return cleaned

    def _as_module(self, result: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        wrap_async = self._task.async_val
        result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _is_here(self, task_vars: dict[str, Any], variables: dict[str, str]) -> bool:
        """True where a module would run on this machine, as this user, by this interpreter; fills its environment."""
        if self._connection.transport != "local" or self._task.async_val or self._task.become:
            return False
        interpreter = task_vars.get("ansible_python_interpreter")
        if interpreter is None or str(self._templar.template(interpreter)) != sys.executable:
            return False
        self._compute_environment_string(variables)
        return not any(name.startswith(_PROCESS_WIDE) for name in variables)

    def _parse(self, argument_spec: dict[str, Any], rules: dict[str, Any]) -> Any:
        validator = ArgumentSpecValidator(argument_spec, **rules)
        # Plain texts and numbers, as a module gets them: no tags, no encrypted texts, no lazy containers.
        return validator.validate(json.loads(json.dumps(self._task.args, default=str)))


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables for the time of one module; a worker may serve more than one item of a loop."""
    before = {name: os.environ.get(name) for name in variables}
    mask = os.umask(0)
    os.umask(mask)
    os.environ.update({name: str(value) for name, value in variables.items()})
    try:
        yield
    finally:
        os.umask(mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
