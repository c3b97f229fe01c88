# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module's work inside Ansible's own worker process where that is the same machine, user and interpreter.

Packing a module, starting another Python and compiling the same libraries again costs more than half a second of
processor time, more than the work itself. The result is the same, and the parameters never leave the process. Anything
out of the ordinary (another host, user, interpreter or environment, an asynchronous task, wrong parameters) runs the
module as usual.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class FinishedError(BaseException):
    """The work has ended with a result, as SystemExit ends a module."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__()
        self.result = result


class Module:
    """What the work needs of an AnsibleModule."""

    def __init__(self, params: dict[str, Any], check_mode: bool, diff: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self._diff = diff
        self._keep_remote_files = False
        self._warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self._warnings.append(warning)

    def exit_json(self, **result: Any) -> NoReturn:
        raise FinishedError({"changed": False, **result, **self._notes()})

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        raise FinishedError({"failed": True, "changed": False, "msg": msg, **result, **self._notes()})

    def _notes(self) -> dict[str, Any]:
        return {"warnings": self._warnings} if self._warnings else {}


class InProcessAction(ActionBase):
    """Base of the action plugins; subclasses say which spec and which work."""

    _supports_check_mode = True
    _supports_async = True
    TRANSFERS_FILES = False

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of AnsibleModule: argument_spec and its rules."""
        raise NotImplementedError

    def work(self) -> Callable[[Any], None]:
        """What the module does once its parameters are parsed; imported as late as the module would."""
        raise NotImplementedError

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        parsed = self._parse() if self._is_here(task_vars or {}) else None
        if parsed is None:
            return self._as_module(result, task_vars)
        module = Module(parsed.validated_parameters, self._task.check_mode, self._task.diff)
        try:
            self.work()(module)
        except FinishedError as finished:
            result.update(remove_values(self._complete(finished.result, module), parsed._no_log_values))
        return result

    def _as_module(self, result: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        wrap_async = self._task.async_val
        result.update(self._execute_module(task_vars=task_vars, wrap_async=wrap_async))
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _is_here(self, task_vars: dict[str, Any]) -> bool:
        """True where a module would run on this machine, as this user, by this interpreter, in this environment."""
        if self._connection.transport != "local" or self._task.async_val or self._task.become:
            return False
        environment = self._task.environment or []
        if any(environment if isinstance(environment, list) else [environment]):
            return False
        interpreter = task_vars.get("ansible_python_interpreter")
        return interpreter is not None and str(self._templar.template(interpreter)) == sys.executable

    def _parse(self) -> Any:
        """The validated parameters, or None where something is wrong with them: the module then says what."""
        spec = self.arguments()
        validator = ArgumentSpecValidator(
            spec["argument_spec"],
            mutually_exclusive=spec.get("mutually_exclusive"),
            required_one_of=spec.get("required_one_of"),
        )
        # Plain texts and numbers, as a module gets them: no tags, no encrypted texts, no lazy containers.
        parsed = validator.validate(json.loads(json.dumps(self._task.args, default=str)))
        return None if parsed.error_messages else parsed

    @staticmethod
    def _complete(result: dict[str, Any], module: Module) -> dict[str, Any]:
        return {**result, "invocation": {"module_args": module.params}} if Display().verbosity >= 3 else result
