# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an application gateway can serve AGIC, and whether what stands behind it is well. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import copy
import typing as t

#: Ports by which Azure's gateway manager must reach every instance of a v2 gateway.
MANAGER_PORTS = (65200, 65535)
MANAGER_SOURCES = ("gatewaymanager", "*", "any", "internet", "0.0.0.0/0")
V2_TIERS = ("Standard_v2", "WAF_v2")

#: The pool that AGIC makes and never fills, and its settings; with other settings it is for a service without a pod.
EMPTY_POOL = "defaultaddresspool"
EMPTY_SETTINGS = "defaulthttpsetting"

Resource = t.Mapping[str, t.Any]


def facts(gateway: Resource) -> dict[str, t.Any]:
    """Return what the role needs to know of a gateway: subnet, public address, identities, tier, certificates."""
    properties = gateway.get("properties") or {}
    configurations = properties.get("gatewayIPConfigurations") or [{}]
    subnet = ((configurations[0].get("properties") or {}).get("subnet") or {}).get("id")
    identity = gateway.get("identity") or {}
    frontends = [item.get("properties") or {} for item in properties.get("frontendIPConfigurations") or []]
    public = [item["publicIPAddress"]["id"] for item in frontends if item.get("publicIPAddress")]
    return {
        "id": gateway.get("id"),
        "resource_group_id": "/".join(str(gateway.get("id")).split("/")[:5]),
        "subnet_id": subnet,
        "public_ip_id": public[0] if public else None,
        "identity_ids": sorted(identity.get("userAssignedIdentities") or {}),
        "tier": (properties.get("sku") or gateway.get("sku") or {}).get("tier"),
        "operational_state": properties.get("operationalState"),
        "certificates": sorted(str(item.get("name")) for item in properties.get("sslCertificates") or []),
    }


def problems(gateway: Resource, subnet: Resource | None, security_group: Resource | None) -> list[str]:
    """Return one sentence for everything that keeps AGIC from working with this gateway.

    :param security_group: the NSG on the gateway's subnet, None where it has none (which is fine).
    """
    found = facts(gateway)
    name = gateway.get("name")
    lines = []
    if found["tier"] not in V2_TIERS:
        lines.append(f"The gateway {name} is of tier {found['tier']}; AGIC needs {' or '.join(V2_TIERS)}.")
    if str(found["operational_state"] or "Running") != "Running":
        lines.append(f"The gateway {name} is {found['operational_state']}; start it.")
    if subnet is not None:
        lines += _foreign(subnet)
    if security_group is not None:
        lines += _closed(security_group)
    return lines


def _foreign(subnet: Resource) -> t.Iterator[str]:
    others = sorted(
        {
            "/".join(str(item.get("id")).split("/")[:9])
            for item in (subnet.get("properties") or {}).get("ipConfigurations") or []
            if "/applicationgateways/" not in str(item.get("id")).lower()
        }
    )
    if others:
        yield f"The subnet {subnet.get('name')} of the gateway is not its own: {', '.join(others)} is in it too."


def _closed(group: Resource) -> t.Iterator[str]:
    """Walk the inbound rules as Azure does: the first that matches a port decides."""
    properties = group.get("properties") or {}
    rules = [
        item.get("properties") or {}
        for item in [*(properties.get("securityRules") or []), *(properties.get("defaultSecurityRules") or [])]
    ]
    low, high = MANAGER_PORTS
    open_ports = [(low, high)]
    for rule in sorted(rules, key=lambda r: int(r.get("priority") or 65500)):
        if str(rule.get("direction")).lower() != "inbound" or not _meets_manager(rule):
            continue
        ranges = _ranges(rule)
        if str(rule.get("access")).lower() == "allow":
            open_ports = [piece for span in open_ports for piece in _minus(span, ranges)]
        elif any(start <= b and end >= a for a, b in open_ports for start, end in ranges):
            break
    if open_ports:
        yield (
            f"The network security group {group.get('name')} keeps Azure's gateway manager out: allow inbound TCP "
            f"{low}-{high} from the service tag GatewayManager."
        )


def _meets_manager(rule: Resource) -> bool:
    sources = [rule.get("sourceAddressPrefix"), *(rule.get("sourceAddressPrefixes") or [])]
    named = any(str(source).lower() in MANAGER_SOURCES for source in sources if source)
    return named and str(rule.get("protocol") or "*").lower() in ("*", "tcp", "any")


def _ranges(rule: Resource) -> list[tuple[int, int]]:
    texts = [rule.get("destinationPortRange"), *(rule.get("destinationPortRanges") or [])]
    ranges = []
    for text in texts:
        if not text:
            continue
        if str(text) in ("*", "Any"):
            return [(0, 65535)]
        start, _, end = str(text).partition("-")
        ranges.append((int(start), int(end or start)))
    return ranges


def _minus(span: tuple[int, int], ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is left of C(span) without C(ranges)."""
    left = [span]
    for start, end in ranges:
        pieces = [piece for low, high in left for piece in ((low, min(high, start - 1)), (max(low, end + 1), high))]
        left = [(low, high) for low, high in pieces if low <= high]
    return left


def health(answer: Resource) -> tuple[dict[str, int], list[str]]:
    """Return the number of servers by state, and one sentence for each that is not healthy.

    :param answer: what the gateway's action backendhealth gives.
    """
    counts: dict[str, int] = {}
    lines = []
    for pool in answer.get("backendAddressPools") or []:
        name = str((pool.get("backendAddressPool") or {}).get("id")).rsplit("/", 1)[-1]
        settings = pool.get("backendHttpSettingsCollection") or []
        servers = [server for setting in settings for server in setting.get("servers") or []]
        if name.lower() == EMPTY_POOL:
            ids = [(item.get("backendHttpSettings") or {}).get("id") or EMPTY_SETTINGS for item in settings]
            used = sorted(str(item).rsplit("/", 1)[-1] for item in ids)
            lines += [
                f"the service behind {setting} has no server: no pod of it has an address"
                for setting in used
                if setting.lower() != EMPTY_SETTINGS
            ]
        elif not servers:
            lines.append(f"pool {name} has no server")
        for server in servers:
            state = str(server.get("health") or "Unknown")
            counts[state] = counts.get(state, 0) + 1
            if state not in ("Healthy", "Up", "Draining"):
                log = " ".join(str(server.get("healthProbeLog") or "the gateway says no more").split())
                lines.append(f"pool {name}: {server.get('address')} is {state}: {log[:300]}")
    return counts, lines


def certificates(
    gateway: Resource, wanted: t.Iterable[Resource]
) -> tuple[list[str], dict[str, t.Any], dict[str, t.Any], dict[str, t.Any]]:
    """Return the changes in words, the PUT body, and the certificates before and after (name -> secret id).

    Certificates that are not in C(wanted) stay as they are; one that something on the gateway uses cannot go.
    """
    body = {
        key: value for key, value in copy.deepcopy(dict(gateway)).items() if key not in ("id", "name", "type", "etag")
    }
    properties = body.setdefault("properties", {})
    for name in ("provisioningState", "operationalState", "resourceGuid"):
        properties.pop(name, None)
    held = properties.get("sslCertificates") or []
    before = {str(item.get("name")): (item.get("properties") or {}).get("keyVaultSecretId") for item in held}
    after = dict(before)
    lines = []
    for item in wanted:
        name, secret = item["name"], (item.get("secret_id") or "").rstrip("/")
        if item.get("state") == "absent":
            if name in after:
                lines.append(f"certificate {name}: removed")
                del after[name]
            continue
        if name not in after:
            lines.append(f"certificate {name}: added from {secret}")
        elif (after[name] or "").rstrip("/").lower() != secret.lower():
            lines.append(f"certificate {name}: {after[name] or 'uploaded'} -> {secret}")
        else:
            continue
        after[name] = secret
    kept = [item for item in held if item.get("name") in after and after[item.get("name")] == before[item.get("name")]]
    new = [
        {"name": name, "properties": {"keyVaultSecretId": secret}}
        for name, secret in after.items()
        if name not in before or before[name] != secret
    ]
    properties["sslCertificates"] = kept + new
    return lines, body, before, after
