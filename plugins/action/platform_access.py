# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs platform_access without another process where that changes nothing but the time it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.plugin_utils.in_process import InProcessAction


class ActionModule(InProcessAction):
    """See InProcessAction."""

    def arguments(self) -> dict[str, Any]:
        from ansible_collections.aksops.platform.plugins.module_utils import _access

        return {"argument_spec": {**AUTH_ARG_SPEC, **_access.ARG_SPEC}}

    def work(self) -> Callable[[Any], None]:
        from ansible_collections.aksops.platform.plugins.module_utils import _access

        return _access.guarded
