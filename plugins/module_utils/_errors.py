# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions of the collection. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import re
import traceback
import typing as t


def one_sentence(text: str, limit: int = 600) -> str:
    """Return C(text) on one line, at most C(limit) characters, so that an error stays readable in a task's output."""
    flat = re.sub(r"\s+", " ", str(text)).strip()
    return flat if len(flat) <= limit else flat[: limit - 3].rstrip() + "..."


class AksPlatformError(Exception):
    """Base of every error a module of this collection reports.

    The message is one sentence: what is wrong, where, and what to do. C(details) become keys of the failed result.
    """

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details: dict[str, t.Any] = details


class ArmError(AksPlatformError):
    """An answer of Azure Resource Manager that is an error, or an operation that ended as Failed or Canceled."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        message: str,
        method: str = "",
        path: str = "",
        request_id: str | None = None,
    ) -> None:
        where = f"{method} {path}: " if method else ""
        number = f" (HTTP {status})" if status else ""
        tail = f" [request id {request_id}]" if request_id else ""
        text = one_sentence(message or "the service gave no reason")
        super().__init__(f"{where}{code}{number}: {text}{tail}", status=status, code=code, request_id=request_id)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id


def missing_library(name: str, error: ImportError, reason: str | None = None) -> AksPlatformError:
    """Return the error for an SDK that cannot be imported, in Ansible's own words."""
    from ansible.module_utils.basic import missing_required_lib

    text = missing_required_lib(name, reason=reason)
    return AksPlatformError(one_sentence(text), import_error=str(error))


def fail_from(module: t.Any, error: AksPlatformError, **result: t.Any) -> t.NoReturn:
    """End C(module) with the error's sentence, its details and the traceback (shown at -vvv)."""
    trace = "".join(traceback.format_exception(error))
    module.fail_json(msg=str(error), exception=trace, **{**error.details, **result})
    raise AssertionError("fail_json returned")
