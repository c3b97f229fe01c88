# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# For internal use of this collection only: anything here may change in any release.
"""Argument specs of the Key Vault modules. Imports nothing, so that parameters are parsed within milliseconds."""

from __future__ import annotations

from typing import Any

COMPARE = ["value", "fingerprint", "version", "exists"]

VAULT_ARG_SPEC: dict[str, Any] = {
    "vault_uri": {"type": "str"},
    "vault_name": {"type": "str"},
    "resource_group": {"type": "str"},
    "rbac_wait": {"type": "int", "default": 300},
    "request_timeout": {"type": "int", "default": 30},
}

VAULT_RULES: dict[str, Any] = {
    "mutually_exclusive": [("vault_uri", "vault_name")],
    "required_one_of": [("vault_uri", "vault_name")],
}

_GENERATE: dict[str, Any] = {
    "length": {"type": "int", "default": 32},
    "alphabet": {
        "type": "str",
        "choices": ["alphanumeric", "letters", "digits", "hex", "password", "custom"],
        "default": "alphanumeric",
    },
    "characters": {"type": "str"},
    "exclude": {"type": "str"},
    "require_each": {"type": "bool", "default": True},
}

_ARM_KEY: dict[str, Any] = {
    "resource_id": {"type": "str", "required": True},
    "action": {"type": "str", "default": "listKeys"},
    "api_version": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
}

_APPLY_TO: dict[str, Any] = {
    "resource_id": {"type": "str", "required": True},
    "api_version": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
}

_SECRET: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "value": {"type": "str", "no_log": True},
    "value_file": {"type": "str"},
    "value_env": {"type": "str"},
    "value_encoding": {"type": "str", "choices": ["utf-8", "base64"], "default": "utf-8"},
    "strip_newline": {"type": "bool", "default": True},
    "generate": {
        "type": "dict",
        "options": _GENERATE,
        "required_if": [("alphabet", "custom", ("characters",))],
    },
    "template": {"type": "str", "no_log": False},
    "arm_key": {"type": "dict", "options": _ARM_KEY, "no_log": False},
    "apply_to": {"type": "dict", "options": _APPLY_TO},
    "tags": {"type": "dict"},
    "content_type": {"type": "str"},
    "enabled": {"type": "bool"},
    "not_before": {"type": "str"},
    "expires": {"type": "str"},
    "compare": {"type": "str", "choices": COMPARE},
    "value_version": {"type": "str"},
    "rotate_after": {"type": "str"},
    "disable_previous_after": {"type": "str"},
    "purge": {"type": "bool", "default": False},
}

SECRETS_ARG_SPEC: dict[str, Any] = {
    "secrets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "no_log": False,
        "options": _SECRET,
        "mutually_exclusive": [("value", "value_file", "value_env", "generate", "template", "arm_key")],
    },
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "tags": {"type": "dict", "default": {}},
    "compare": {"type": "str", "choices": COMPARE, "default": "value"},
    "fingerprint_key": {"type": "str", "no_log": True},
    "fingerprint_key_id": {"type": "str", "default": "1", "no_log": False},
    "owner": {"type": "str"},
    "adopt": {"type": "bool", "default": False},
    "tag_prefix": {"type": "str", "default": "aksops"},
    "purge_tags": {"type": "bool", "default": False},
    "prune": {"type": "dict", "options": {"match": {"type": "str"}, "max": {"type": "int", "default": 5}}},
    "recover": {"type": "bool", "default": True},
    "recover_vault": {"type": "bool", "default": False},
    "allow_short": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 16},
    "backup": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": ["export", "import"], "required": True},
            "path": {"type": "str", "required": True},
            "match": {"type": "str"},
        },
    },
}

INFO_ARG_SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "default": []},
    "versions": {"type": "bool", "default": False},
    "deleted": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 16},
}

CERTIFICATES_ARG_SPEC: dict[str, Any] = {
    "certificates": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "dns_names": {"type": "list", "elements": "str", "default": []},
            "subject": {"type": "str"},
            "issuer": {"type": "str", "default": "Self"},
            # A length, not a key.
            "key_size": {"type": "int", "choices": [2048, 3072, 4096], "default": 2048, "no_log": False},
            "validity_months": {"type": "int", "default": 12},
            "renew_at_percent": {"type": "int", "default": 80},
            "tags": {"type": "dict", "default": {}},
        },
    },
    "wait_timeout": {"type": "int", "default": 900},
    "wait_sleep": {"type": "int", "default": 2},
}
