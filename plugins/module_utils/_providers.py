# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registration of resource providers. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import poll

API_VERSION = "2021-04-01"

#: What a platform of this collection needs.
PROVIDERS = (
    "Microsoft.AlertsManagement",
    "Microsoft.Authorization",
    "Microsoft.Cache",
    "Microsoft.Compute",
    "Microsoft.ContainerRegistry",
    "Microsoft.ContainerService",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.LoadTestService",
    "Microsoft.ManagedIdentity",
    "Microsoft.Monitor",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.PolicyInsights",
    "Microsoft.ServiceBus",
    "Microsoft.Storage",
)


def states(client: t.Any, base: str, wanted: t.Sequence[str] = ()) -> dict[str, str]:
    """Return the registration state of each wanted provider (ours by default) in the subscription at C(base).

    :raises AksPlatformError: a name is not a provider.
    """
    listed = {item["namespace"].lower(): item for item in client.list(f"{base}/providers", API_VERSION)}
    found = {}
    for name in wanted or PROVIDERS:
        if name.lower() not in listed:
            raise AksPlatformError(f"{name} is not a resource provider that Azure knows in {base}.")
        found[name] = str(listed[name.lower()].get("registrationState") or "NotRegistered")
    return found


def is_registered(state: str) -> bool:
    """Whether the provider can be used, or soon will be without our doing."""
    return state.lower() in ("registered", "registering")


def missing(found: t.Mapping[str, str]) -> list[str]:
    """Return the providers that somebody must register."""
    return sorted(name for name, state in found.items() if not is_registered(state))


def register(client: t.Any, base: str, names: t.Sequence[str], *, timeout: float, interval: float) -> None:
    """Register providers and wait until all are; a timeout of 0 does not wait."""
    for name in names:
        client.post(f"{base}/providers/{name}/register", API_VERSION)
    if not timeout:
        return

    def check() -> tuple[bool, str]:
        now = states(client, base, names)
        waiting = sorted(name for name, state in now.items() if state.lower() != "registered")
        return not waiting, ", ".join(waiting)

    poll(check, timeout=timeout, interval=interval, describe="the registration of resource providers")
