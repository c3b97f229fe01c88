# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acr_images and acr_images_info have in common. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _arm, _auth
from ansible_collections.aksops.platform.plugins.module_utils._acr_endpoint import Endpoint
from ansible_collections.aksops.platform.plugins.module_utils._acr_images_plan import Image

IMAGES_ARG_SPEC: dict[str, dict[str, t.Any]] = {
    **_auth.AUTH_ARG_SPEC,
    "registry_id": {"type": "str", "required": True},
    "images": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"source": {"type": "str", "required": True}, "repository": {"type": "str"}},
    },
    "ask_registry": {"type": "bool", "default": True},
}


class Clients(t.NamedTuple):
    """What the modules talk to. C(endpoint_of) is None where the registry itself is not to be asked."""

    arm: _arm.ArmClient
    endpoint_of: t.Callable[[str], Endpoint] | None


def clients(params: t.Mapping[str, t.Any], timeout: float, progress: t.Callable[[str], None]) -> Clients:
    """Return the clients that the options describe; no request is made yet."""
    credential = _auth.credential(params)
    arm = _arm.client(params, timeout=timeout, progress=progress)
    return Clients(arm, (lambda server: Endpoint(server, credential)) if params["ask_registry"] else None)


def shown(image: Image, server: str) -> dict[str, str]:
    """Return what a result says of an image."""
    return {
        "source": image.source,
        "name": image.name,
        "digest": image.digest,
        "reference": f"{server}/{image.repository}@{image.digest}",
    }
