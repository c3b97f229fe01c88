# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From wanted certificates to Key Vault's policies, and what makes a new version needed. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import re
import typing as t

NAME = re.compile(r"^[0-9a-zA-Z-]{1,127}$")
PFX = "application/x-pkcs12"

Item = t.Mapping[str, t.Any]


def problems(wanted: t.Sequence[Item]) -> list[str]:
    """Return one sentence for every certificate that Key Vault would refuse."""
    lines = []
    names = [item["name"].lower() for item in wanted]
    for item in wanted:
        name = item["name"]
        if not NAME.match(name):
            lines.append(f"'{name}' is no name of a certificate: letters, digits and dashes, at most 127.")
        if names.count(name.lower()) > 1:
            lines.append(f"The certificate {name} is named twice.")
        if not item.get("subject") and not item.get("dns_names"):
            lines.append(f"The certificate {name} needs a subject or dns_names.")
        if not 1 <= item["validity_months"] <= 1188:
            lines.append(f"The certificate {name} must be valid for 1 to 1188 months.")
        if not 0 < item["renew_at_percent"] < 100:
            lines.append(f"The certificate {name} must be renewed between 1 and 99 percent of its life.")
    return sorted(set(lines))


def policy(item: Item) -> dict[str, t.Any]:
    """Return the policy by which Key Vault makes the certificate, and renews it by itself."""
    names = list(item.get("dns_names") or [])
    return {
        "issuer": {"name": item["issuer"]},
        "key_props": {"kty": "RSA", "key_size": item["key_size"], "exportable": True, "reuse_key": False},
        "secret_props": {"contentType": PFX},
        "x509_props": {
            "subject": item.get("subject") or f"CN={names[0]}",
            "sans": {"dns_names": names},
            "ekus": ["1.3.6.1.5.5.7.3.1"],
            "key_usage": ["digitalSignature", "keyEncipherment"],
            "validity_months": item["validity_months"],
        },
        "lifetime_actions": [
            {"trigger": {"lifetime_percentage": item["renew_at_percent"]}, "action": {"action_type": "AutoRenew"}}
        ],
    }


def differences(bundle: Item | None, item: Item) -> list[str]:
    """Return why the certificate must be made anew: absent, for other names, or by another authority.

    Fields that say how the next version is made (length, validity, renewal) are no reason to replace this one.
    """
    if bundle is None:
        return ["absent"]
    have = bundle.get("policy") or {}
    properties, wanted = have.get("x509_props") or {}, policy(item)
    lines = []
    before = {str(name).lower() for name in (properties.get("sans") or {}).get("dns_names") or []}
    after = {str(name).lower() for name in wanted["x509_props"]["sans"]["dns_names"]}
    if before != after:
        lines.append(f"names {', '.join(sorted(before)) or 'none'} -> {', '.join(sorted(after)) or 'none'}")
    subject = str(properties.get("subject") or "")
    if _subject(subject) != _subject(wanted["x509_props"]["subject"]):
        lines.append(f"subject {subject} -> {wanted['x509_props']['subject']}")
    issuer = str((have.get("issuer") or {}).get("name"))
    if issuer.lower() != str(item["issuer"]).lower():
        lines.append(f"issuer {issuer} -> {item['issuer']}")
    return lines


def _subject(text: str) -> str:
    """A subject without blanks around its parts, since Key Vault writes them in its own way."""
    return ",".join(part.strip() for part in text.lower().split(","))


def described(name: str, bundle: Item, host: str) -> dict[str, t.Any]:
    """Return what a caller may know of a certificate: nothing secret is in it."""
    identifier = str(bundle.get("id") or "")
    return {
        "name": name,
        "secret_id": f"https://{host}/secrets/{name}",
        "version": identifier.rsplit("/", 1)[-1],
        "thumbprint": str(bundle.get("x5t") or ""),
        "expires": (bundle.get("attributes") or {}).get("exp"),
    }
