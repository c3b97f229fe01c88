# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  registry_id:
    description: Resource id of the container registry.
    type: str
    required: true
  images:
    description: Images that the registry is to hold.
    type: list
    elements: dict
    required: true
    suboptions:
      source:
        description:
          - Full reference with registry, repository, tag and digest, as in
            C(quay.io/argoproj/argocd:v3.4.4@sha256:...). The digest decides what is copied; the tag names the copy and
            keeps it from the registry's retention policy.
        type: str
        required: true
      repository:
        description: Name of the repository in the registry, by default the one that the image has at its source.
        type: str
  ask_registry:
    description:
      - Whether the registry's own endpoint is asked what it holds. Where it is not reached (a private registry, and a
        runner outside) or refuses the caller, what Azure Resource Manager has on record is believed.
    type: bool
    default: true
notes:
  - Azure Resource Manager cannot say which images a registry holds. So each copy is put on record as a scope map of the
    registry, C(image-NAME-HASH), whose description begins with the digest. It goes with the registry.
"""
