#!/usr/bin/python
# Copyright (c) 2026, The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: keyvault_secrets
short_description: Bring any number of Key Vault secrets to a wanted state
version_added: 0.1.0
author: The aksops.platform maintainers (@aksops)
description:
  - One task seeds any number of secrets from text, files, the environment, generators, templates over other secrets, or
    keys that Azure Resource Manager lists.
  - The vault is listed once and only values that must be compared are read. A new version is written only if the value
    differs, a metadata change alone is a small update, and a second run writes nothing.
  - Requests run concurrently under the documented limits of Key Vault; throttling, lost answers, role assignments that
    have not arrived yet and the states of soft delete are waited out.
  - No value, and no length or hash of one, is ever returned, logged or shown, at any verbosity.
extends_documentation_fragment:
  - aksops.platform.attributes
  - aksops.platform.attributes.action_group
  - aksops.platform.azure_auth
  - aksops.platform.keyvault
attributes:
  check_mode:
    support: full
    details:
      - RV(ignore:changed) and the action of each secret are those of the real run.
      - Two values cannot be compared in advance, that of a soft-deleted and that of a disabled secret. Such a secret
        changes in any case; its RV(secrets[].note) says that the value is compared afterwards.
  diff_mode:
    support: full
    details: Metadata only. A value that differs is shown as V((differs\)).
options:
  secrets:
    description:
      - The secrets. Names are compared without case and must be unique.
      - An option that is not given is left as it is, with two exceptions. A new version is enabled and has no times
        unless they are given, since Key Vault does not carry them over.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Letters, digits and dashes, at most 127.
        type: str
        required: true
      state:
        description:
          - V(present) creates, updates or recovers the secret.
          - V(absent) soft-deletes it.
          - Overrides O(state).
        type: str
        choices: [present, absent]
      value:
        description: The value as text. Mutually exclusive with the other sources.
        type: str
      value_file:
        description: A file on the host that runs the module.
        type: str
      value_env:
        description: An environment variable of the module's process.
        type: str
      value_encoding:
        description: For O(secrets[].value_file), V(base64) stores the encoded bytes of the file.
        type: str
        choices: [utf-8, base64]
        default: utf-8
      strip_newline:
        description: For O(secrets[].value_file), drop one final line break.
        type: bool
        default: true
      generate:
        description: Make a random value if the secret is missing, or due by O(secrets[].rotate_after).
        type: dict
        suboptions:
          length:
            description: Number of characters.
            type: int
            default: 32
          alphabet:
            description: Characters to choose from. V(password) adds punctuation to letters and digits.
            type: str
            choices: [alphanumeric, letters, digits, hex, password, custom]
            default: alphanumeric
          characters:
            description: The characters of the alphabet V(custom).
            type: str
          exclude:
            description: Characters that are never used.
            type: str
          require_each:
            description: At least one character of each class of the alphabet.
            type: bool
            default: true
      template:
        description:
          - Text with references to other secrets of this task or of the vault, such as
            V(postgres://app:${secret:pg-app|urlencode}@db:5432/app).
          - The filters are V(urlencode), V(base64) and V(json). V($$) is a dollar sign.
        type: str
      arm_key:
        description: A key that Azure Resource Manager lists for a resource, read while the task runs.
        type: dict
        suboptions:
          resource_id:
            description: The resource.
            type: str
            required: true
          action:
            description: The action to call; V(read) reads the resource itself.
            type: str
            default: listKeys
          api_version:
            description: API version of the resource's type.
            type: str
            required: true
          path:
            description: Where the text stands in the answer, such as V(primaryConnectionString) or V(keys.0.value).
            type: str
            required: true
      apply_to:
        description:
          - An Azure resource that is given each new value too, such as the password of a server's administrator.
          - A tag says that this is still to be done, so that the next run finishes one that was interrupted in between.
        type: dict
        suboptions:
          resource_id:
            description: The resource. It is changed by a PATCH.
            type: str
            required: true
          api_version:
            description: API version of the resource's type.
            type: str
            required: true
          path:
            description: Where the value belongs, such as V(properties.administratorLoginPassword).
            type: str
            required: true
      tags:
        description: Tags to set, beside those of O(tags). Other tags stay unless O(purge_tags=true).
        type: dict
      content_type:
        description: Content type; an empty text removes it.
        type: str
      enabled:
        description: Whether the value can be read by consumers.
        type: bool
      not_before:
        description: Start of validity in ISO 8601 with a zone, or V(never) to remove it.
        type: str
      expires:
        description: End of validity in ISO 8601 with a zone, or V(never) to remove it.
        type: str
      compare:
        description: Overrides O(compare) for this secret.
        type: str
        choices: [value, fingerprint, version, exists]
      value_version:
        description:
          - A text that stands for the value, kept as a tag. For O(compare=version) a new one means a new value.
          - For O(secrets[].generate), a new one rotates the value.
        type: str
      rotate_after:
        description: Age after which a generated value is replaced, such as V(90d).
        type: str
      disable_previous_after:
        description:
          - How long older versions stay enabled after a new one, such as V(7d). V(0d) disables them at once.
          - The time is kept as a tag, and the first run after it disables them.
        type: str
      purge:
        description: With O(secrets[].state=absent), destroy the secret for good. Impossible under purge protection.
        type: bool
        default: false
  state:
    description: State of the secrets that do not say their own.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description: Tags of all secrets; those of a secret win.
    type: dict
    default: {}
  compare:
    description:
      - How to find out whether a value differs.
      - V(value) reads the current value and compares it in memory.
      - V(fingerprint) compares an HMAC under O(fingerprint_key) that is kept as a tag, so that no value need be read
        and the caller needs no right to read values.
      - V(version) compares O(secrets[].value_version) with its tag.
      - V(exists) writes only what is missing.
    type: str
    choices: [value, fingerprint, version, exists]
    default: value
  fingerprint_key:
    description: Key of the fingerprints, kept by the caller and never in the vault.
    type: str
  fingerprint_key_id:
    description: Public name of that key; change it together with the key.
    type: str
    default: "1"
  owner:
    description: Who the secrets belong to, kept as a tag. Secrets that carry another owner's tag are refused.
    type: str
  adopt:
    description: Take over secrets that carry another owner's tag.
    type: bool
    default: false
  tag_prefix:
    description: Prefix of this module's own tags.
    type: str
    default: aksops
  purge_tags:
    description: Remove tags that are not in O(secrets[].tags), where those are given. This module's own tags stay.
    type: bool
    default: false
  prune:
    description: Soft-delete secrets that carry the tag of O(owner) and are not named in O(secrets).
    type: dict
    suboptions:
      match:
        description: Regular expression; only names in which it is found.
        type: str
      max:
        description: If more would be deleted, the task fails before it writes anything.
        type: int
        default: 5
  recover:
    description: Recover a soft-deleted secret that is to be present, and set it in the same run.
    type: bool
    default: true
  recover_vault:
    description: Recover a soft-deleted vault. Used with O(vault_name).
    type: bool
    default: false
  allow_short:
    description:
      - Accept O(secrets[].value) of fewer than four characters. Ansible masks values wherever they occur, so a short
        one garbles the output.
    type: bool
    default: false
  concurrency:
    description: Requests at a time.
    type: int
    default: 16
  backup:
    description: Instead of seeding, export protected backups of all versions, or import them. Excludes O(secrets).
    type: dict
    suboptions:
      mode:
        description:
          - V(export) writes one file a secret and a manifest; secrets that have not changed since are skipped.
          - V(import) restores what the vault does not have, from the same subscription and geography.
        type: str
        choices: [export, import]
        required: true
      path:
        description: A private folder on the host that runs the module; it is made with mode 0700, its files with 0600.
        type: str
        required: true
      match:
        description: Regular expression; only names in which it is found.
        type: str
"""

EXAMPLES = r"""
- name: Seed from a vaulted variable, a file, the environment and a generator, and build a connection string
  aksops.platform.keyvault_secrets:
    vault_uri: https://kv-shop.vault.azure.net
    owner: shop-production
    secrets:
      - name: smtp-password
        value: "{{ vaulted_smtp_password }}"
        content_type: text/plain
        tags: {team: shop}
      - name: licence
        value_file: /run/secrets/licence.bin
        value_encoding: base64
      - name: pager-token
        value_env: PAGER_TOKEN
        expires: "2027-06-30T00:00:00Z"
      - name: pg-app-password
        generate: {length: 40, alphabet: password}
        rotate_after: 90d
        disable_previous_after: 7d
      - name: pg-app-url
        template: "postgres://app:${secret:pg-app-password|urlencode}@{{ postgresql_host }}/app?sslmode=verify-full"

- name: Keep the primary connection string of a Service Bus namespace that still uses keys
  aksops.platform.keyvault_secrets:
    vault_name: kv-shop
    resource_group: rg-shop
    secrets:
      - name: servicebus-connection
        arm_key:
          resource_id: "{{ servicebus_id }}/authorizationRules/app"
          api_version: "2024-01-01"
          path: primaryConnectionString

- name: Give a database server a password that nobody knows, and another one every half year
  aksops.platform.keyvault_secrets:
    vault_uri: https://kv-shop.vault.azure.net
    secrets:
      - name: postgresql-admin-password
        generate: {length: 40, alphabet: password}
        rotate_after: 180d
        apply_to:
          resource_id: "{{ postgresql_id }}"
          api_version: "2025-08-01"
          path: properties.administratorLoginPassword

- name: Remove a secret, and every owned secret that is not named any more
  aksops.platform.keyvault_secrets:
    vault_uri: https://kv-shop.vault.azure.net
    owner: shop-production
    secrets:
      - name: old-token
        state: absent
    prune: {match: ^shop-, max: 10}

- name: Seed without the right to read values
  aksops.platform.keyvault_secrets:
    vault_uri: https://kv-shop.vault.azure.net
    compare: fingerprint
    fingerprint_key: "{{ vaulted_fingerprint_key }}"
    secrets: "{{ vaulted_secrets }}"

- name: Export protected backups of all secrets
  aksops.platform.keyvault_secrets:
    vault_uri: https://kv-shop.vault.azure.net
    backup: {mode: export, path: /var/backups/kv-shop}
"""

RETURN = r"""
vault_uri:
  description: Address of the vault.
  returned: always
  type: str
  sample: https://kv-shop.vault.azure.net/
vault_recovered:
  description: Whether the vault itself was soft-deleted and has been recovered.
  returned: success
  type: bool
secrets:
  description: One entry a secret, in the order of the task; pruned ones follow. Never a value.
  returned: always, unless nothing was tried
  type: list
  elements: dict
  contains:
    name:
      description: Name of the secret.
      type: str
    action:
      description:
        - One of V(unchanged), V(created), V(new_version), V(metadata), V(recovered), V(applied), V(expired_previous),
          V(deleted), V(purged), V(failed); for backups V(exported) or V(imported).
      type: str
    changed_fields:
      description: What differed, such as V(value), V(tags) or V(expires).
      type: list
      elements: str
    version:
      description: Identifier of the current version, where it is known.
      type: str
    note:
      description: What a reader should know, such as that the value of a disabled secret was not compared.
      type: str
  sample: [{name: smtp-password, action: created, changed_fields: [value, tags], version: 0123456789abcdef}]
summary:
  description: How many secrets met which action.
  returned: with RV(secrets)
  type: dict
  sample: {created: 2, unchanged: 198}
requests:
  description: Requests that were sent, by kind.
  returned: with RV(secrets)
  type: dict
  sample: {get: 200, list: 8}
retries:
  description: Requests that were repeated, by reason.
  returned: with RV(secrets)
  type: dict
  sample: {throttled: 3}
seconds:
  description: Time from the first request to the last answer, and time spent waiting for role assignments.
  returned: with RV(secrets)
  type: dict
  sample: {vault: 1.2, waited_for_rbac: 0.0}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aksops.platform.plugins.module_utils._auth import AUTH_ARG_SPEC
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_spec import (
    SECRETS_ARG_SPEC,
    VAULT_ARG_SPEC,
    VAULT_RULES,
)


def main():
    module = AnsibleModule(
        argument_spec={**AUTH_ARG_SPEC, **VAULT_ARG_SPEC, **SECRETS_ARG_SPEC},
        supports_check_mode=True,
        **VAULT_RULES,
    )
    from ansible_collections.aksops.platform.plugins.module_utils import _keyvault_main

    _keyvault_main.guarded(module, _keyvault_main.secrets)


if __name__ == "__main__":
    main()
