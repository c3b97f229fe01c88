# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One secret of a Key Vault, read by a module that needs its value. FOR INTERNAL COLLECTION USE ONLY."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

_ADDRESS = re.compile(r"(https://[A-Za-z0-9-]+\.(?:[A-Za-z0-9-]+\.)+[A-Za-z]+)/secrets/([0-9A-Za-z-]{1,127})/?")


def parse(address: str) -> tuple[str, str]:
    """Return the vault's address and the secret's name.

    :raises AksPlatformError: it is no address of a secret.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise AksPlatformError(
            f"{address!r} is not the address of a Key Vault secret: it has the form "
            "https://VAULT.vault.azure.net/secrets/NAME, without a version."
        )
    return match[1], match[2]


def reader(params: t.Mapping[str, t.Any], address: str, *, rbac_wait: float = 120) -> t.Callable[[], str]:
    """Return what reads the current value of a secret each time it is called.

    :param params: options of C(_auth.AUTH_ARG_SPEC).
    """
    uri, name = parse(address)

    def read() -> str:
        from ansible_collections.aksops.platform.plugins.module_utils import _auth
        from ansible_collections.aksops.platform.plugins.module_utils._keyvault_client import VaultClient
        from ansible_collections.aksops.platform.plugins.module_utils._keyvault_http import Transport

        vault = VaultClient(Transport(uri, 1), lambda: _auth.credential(params), rbac_wait=rbac_wait)
        found = vault.get(name)
        if found is None or found.value is None:
            raise AksPlatformError(
                f"The vault {uri} has no secret {name!r} that can be read; seed it by the role secrets."
            )
        return found.value

    return read


def resolve(databases: t.Iterable[t.Mapping[str, t.Any]], read: t.Callable[[str], str]) -> list[dict[str, t.Any]]:
    """Return databases whose roles have the values of their C(password_secret) as C(password); each is read once.

    :raises AksPlatformError: a role has both.
    """
    values: dict[str, str] = {}
    found = []
    for database in databases:
        roles = []
        for role in database.get("roles") or ():
            address = role.get("password_secret")
            if not address:
                roles.append(dict(role))
                continue
            if role.get("password"):
                raise AksPlatformError(
                    f"Database {database['name']!r}: the role {role['name']!r} has both password and password_secret; "
                    "leave one out."
                )
            if address not in values:
                values[address] = read(address)
            roles.append({**role, "password": values[address]})
        found.append({**database, "roles": roles})
    return found
