"""docs/ownership.md names every field that Terraform leaves alone."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: AGIC's fields are named as a group.
GATEWAY = {
    "backend_address_pool": "pools",
    "backend_http_settings": "settings",
    "frontend_port": "ports",
    "http_listener": "listeners",
    "probe": "probes",
    "redirect_configuration": "redirects",
    "request_routing_rule": "rules",
    "rewrite_rule_set": "rewrites",
    "ssl_certificate": "certificates",
    "tags": "tags",
    "trusted_root_certificate": "certificates",
    "url_path_map": "path maps",
    "ip_rules": "address rules",
}


def ignored() -> set[str]:
    """Last part of each ignored attribute, over all modules."""
    fields = set()
    for file in (ROOT / "terraform").rglob("*.tf"):
        text = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
        for block in re.findall(r'ignore_changes\s*=\s*\[((?:[^\[\]]|\[\d+\]|\["[^"]*"\])*)\]', text):
            fields |= {part.strip().rsplit(".", 1)[-1] for part in block.split(",") if part.strip()}
    return fields


def test_every_ignored_field_is_named():
    document = (ROOT / "docs" / "ownership.md").read_text(encoding="utf-8")
    fields = ignored()
    assert len(fields) > 15
    assert not [field for field in sorted(fields) if GATEWAY.get(field, field) not in document]
