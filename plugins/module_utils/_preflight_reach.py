# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the services that exist are reached from here. FOR INTERNAL COLLECTION USE ONLY.

A closed firewall and a missing role both answer 403, and only a caller with a token learns which: so the vault and the
state account are asked with one.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import typing as t
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, one_sentence

TIMEOUT = 8.0
VAULT_SCOPE = "https://vault.azure.net/.default"
STORAGE_SCOPE = "https://storage.azure.com/.default"

#: Codes (of the error or the inner error) that mean a closed network rather than a missing role.
CLOSED = ("forbiddenbyconnection", "forbiddenbyfirewall", "authorizationfailure", "publicaccessdisabled")
ADVICE = "run in the platform's network or a peered one that resolves its private DNS zones, or set access to allowlist"


class Endpoint(t.NamedTuple):
    """What is probed: its kind (vault, storage, api_server, postgresql), its name and its address.

    C(doors) are the ids of the private endpoints by which alone it is reached; empty where it has a public address.
    """

    kind: str
    name: str
    address: str
    doors: tuple[str, ...] = ()


def endpoints(resources: t.Mapping[str, t.Mapping[str, t.Any] | None]) -> list[Endpoint]:
    """Return what can be probed of the existing vault, storage, cluster and postgresql bodies (None: absent)."""
    found = []
    for kind, path in (
        ("vault", ("vaultUri",)),
        ("storage", ("primaryEndpoints", "blob")),
        ("api_server", ("privateFQDN",)),
        ("postgresql", ("fullyQualifiedDomainName",)),
    ):
        body = resources.get(kind)
        properties = (body or {}).get("properties") or {}
        value: t.Any = properties
        for key in path:
            value = (value or {}).get(key)
        if kind == "api_server":
            value = value or properties.get("fqdn")
            stopped = ((properties.get("powerState") or {}).get("code") or "Running") != "Running"
            value = None if stopped else value
        if kind == "postgresql" and properties.get("state") not in (None, "Ready"):
            value = None
        if str(properties.get("provisioningState") or "Succeeded").lower() != "succeeded":
            value = None
        doors = _doors(properties)
        if body and value and doors is not None:
            found.append(Endpoint(kind, str(body.get("name")), str(value), doors))
    return found


def _doors(properties: t.Mapping[str, t.Any]) -> tuple[str, ...] | None:
    """Return the private endpoints of a service without a public address, () where it has one.

    None where it has neither: a run that was killed, or destroyed all but the data, left it so.
    """
    network = properties.get("network") or {}
    public = network.get("publicNetworkAccess") or properties.get("publicNetworkAccess") or "Enabled"
    if str(public).lower() == "enabled" or network.get("delegatedSubnetResourceId"):
        return ()
    found = []
    for item in properties.get("privateEndpointConnections") or []:
        connection = item.get("properties") or {}
        state = (connection.get("privateLinkServiceConnectionState") or {}).get("status")
        if state == "Approved":
            found.append(str((connection.get("privateEndpoint") or {}).get("id")))
    return tuple(found) or None


def verdict(kind: str, name: str, status: int, body: t.Any) -> str | None:
    """Return the sentence for an answer that says the door is closed, None where the service was reached."""
    if status != 403:
        return None
    text = json.dumps(body).lower() if not isinstance(body, str) else body.lower()
    if not any(code in text for code in CLOSED):
        return None
    what = "Key Vault" if kind == "vault" else "storage account"
    return f"The {what} {name} refuses this machine's network (HTTP 403): {ADVICE}."


def probe(endpoint: Endpoint, credential: t.Any, opener: t.Callable[..., t.Any] | None = None) -> str | None:
    """Return None where the endpoint is reached, else the sentence that says which is closed and what to do."""
    if endpoint.kind == "postgresql":
        return _probe_postgresql(endpoint)
    if opener is None:
        from ansible.module_utils.urls import open_url

        opener = open_url
    headers, url, check = {}, f"https://{endpoint.address}/readyz", False
    if endpoint.kind in ("vault", "storage"):
        scope = VAULT_SCOPE if endpoint.kind == "vault" else STORAGE_SCOPE
        query = "secrets?maxresults=1&api-version=7.4" if endpoint.kind == "vault" else "?comp=list&maxresults=1"
        url, check = f"{endpoint.address.rstrip('/')}/{query}", True
        headers = {"Authorization": f"Bearer {credential.get_token(scope).token}", "x-ms-version": "2023-11-03"}
    try:
        # The API server's private CA is not known yet, and nothing secret is sent to it.
        opener(url, headers=headers, timeout=TIMEOUT, validate_certs=check, http_agent="aksops.platform")
    except HTTPError as error:
        return verdict(endpoint.kind, endpoint.name, error.code, _parsed(error.read()))
    except (URLError, OSError) as error:
        return _unreachable(endpoint, urlsplit(url).hostname or endpoint.address, getattr(error, "reason", error))
    return None


def _probe_postgresql(endpoint: Endpoint) -> str | None:
    """Knock as a client does: a firewall of Azure lets the connection in, and refuses the first message over TLS."""
    # As libpq: PGHOSTADDR says where the name leads.
    address = os.environ.get("PGHOSTADDR") or endpoint.address
    # Who answers is not checked: nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    hello = struct.pack("!I", 196608) + b"user\0probe\0database\0postgres\0\0"
    try:
        with socket.create_connection((address, 5432), timeout=TIMEOUT) as plain:
            plain.sendall(struct.pack("!II", 8, 80877103))
            if plain.recv(1) != b"S":
                return None
            with context.wrap_socket(plain, server_hostname=endpoint.address) as secure:
                secure.sendall(struct.pack("!I", len(hello) + 4) + hello)
                answer = secure.recv(4096)
    except OSError as error:
        return _unreachable(endpoint, endpoint.address, error)
    if answer[:1] == b"E" and b"no pg_hba.conf entry" in answer:
        return _unreachable(endpoint, endpoint.address, "its firewall does not list this machine's address")
    return None


def _unreachable(endpoint: Endpoint, host: str, reason: t.Any) -> str:
    names = {
        "vault": "Key Vault",
        "storage": "storage account",
        "api_server": "API server of the cluster",
        "postgresql": "PostgreSQL server",
    }
    why = "its name does not resolve here" if isinstance(reason, socket.gaierror) else one_sentence(str(reason), 120)
    return f"The {names[endpoint.kind]} {endpoint.name} ({host}) is not reached: {why}; {ADVICE}."


def _parsed(raw: bytes) -> t.Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def try_probe(endpoint: Endpoint, credential: t.Any) -> str | None:
    """As C(probe), with a refused token as a sentence of its own."""
    try:
        return probe(endpoint, credential)
    except AksPlatformError as error:
        return str(error)
