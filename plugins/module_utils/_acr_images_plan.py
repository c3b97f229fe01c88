# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to have images in a container registry. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Azure Resource Manager copies images (importImage) and cannot say which a registry holds: that is the registry's own
endpoint's business, which a runner often does not reach. So each copy is written down as a scope map of the registry,
which Resource Manager reads. A scope map is no data of its own: it is the right to read that one repository.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
REGISTRY = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+(?::\d+)?")

#: Roles with the right to pull from a registry whose roles are not conditional on repositories.
PULLING_ROLES = {
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "8311e382-0749-4cb8-b61a-304f252e45ec": "AcrPush",
    "577a9874-89fd-4f24-9dbd-b5034d0ad23a": "Container Registry Data Importer and Data Reader",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
}


class Image(t.NamedTuple):
    """One image: where it comes from, what it is (digest), and what it is called in the registry."""

    registry: str
    path: str
    digest: str
    repository: str
    tag: str

    @property
    def source(self) -> str:
        return f"{self.registry}/{self.path}@{self.digest}"

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def record(self) -> str:
        """Name of its scope map: 5 to 50 letters, digits, hyphens and underscores."""
        readable = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:30].strip("-")
        return f"image-{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:10]}"


class Step(t.NamedTuple):
    """What one image takes: C(action) is none, import, record (it is there, and not written down) or delete."""

    image: Image
    action: str
    before: str | None


def parse(text: str, repository: str | None = None) -> Image:
    """Return the image of a full reference such as quay.io/argoproj/argocd:v3.4.4@sha256:....

    :param repository: its name in the registry, by default the name that it has in its own.
    :raises AksPlatformError: the reference lacks registry, tag or digest.
    """
    rest, _, digest = text.partition("@")
    registry, slash, path = rest.partition("/")
    path, _, tag = path.rpartition(":") if ":" in path else (path, "", "")
    if not slash or not REGISTRY.fullmatch(registry):
        raise AksPlatformError(f"The image {text!r} lacks its registry; write it in full, as docker.io/library/redis.")
    if not DIGEST.fullmatch(digest):
        raise AksPlatformError(
            f"The image {text!r} lacks its digest (@sha256: and 64 hex digits); nothing else says what is copied."
        )
    if not TAG.fullmatch(tag):
        raise AksPlatformError(
            f"The image {text!r} lacks a tag; the registry's retention policy removes manifests that have none."
        )
    if not REPOSITORY.fullmatch(path):
        raise AksPlatformError(f"The image {text!r} names no repository.")
    target = repository or path
    if not REPOSITORY.fullmatch(target):
        raise AksPlatformError(f"{target!r} cannot be the name of a repository.")
    return Image(registry.lower(), path, digest, target, tag)


def images(wanted: t.Iterable[t.Mapping[str, t.Any]]) -> list[Image]:
    """Return the wanted images, each once.

    :raises AksPlatformError: one cannot be meant, or two want to be different things under one name.
    """
    found: dict[str, Image] = {}
    for item in wanted:
        image = parse(str(item["source"]), item.get("repository"))
        other = found.setdefault(image.name, image)
        if other.digest != image.digest:
            raise AksPlatformError(
                f"{image.name} is wanted as {other.digest} and as {image.digest}; give one another tag."
            )
    return list(found.values())


# -- what is written down ----------------------------------------------------------------------------------------------


def record_body(image: Image) -> dict[str, t.Any]:
    """Return the scope map that says that the image was copied."""
    return {
        "properties": {
            "description": f"{image.digest} of {image.registry}/{image.path}"[:256],
            "actions": [
                f"repositories/{image.repository}/content/read",
                f"repositories/{image.repository}/metadata/read",
            ],
        }
    }


def recorded(scope_maps: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, str]:
    """Return record name (lower case) -> digest of every scope map that is such a record."""
    found = {}
    for item in scope_maps:
        match = DIGEST.match(str((item.get("properties") or {}).get("description") or ""))
        if match:
            found[str(item.get("name")).lower()] = match.group()
    return found


# -- what it takes -----------------------------------------------------------------------------------------------------


def steps(
    wanted: t.Iterable[Image],
    records: t.Mapping[str, str],
    held: t.Mapping[str, str | None] | None,
    *,
    present: bool = True,
) -> list[Step]:
    """Return one step for each image.

    :param records: record name -> digest, from Azure Resource Manager.
    :param held: image name -> digest that the registry itself shows under this tag (None: no such tag); None as a
        whole where the registry was not reached, so that the records have to be believed.
    """
    result = []
    for image in wanted:
        record = records.get(image.record.lower())
        seen = record if held is None else held.get(image.name)
        if not present:
            result.append(Step(image, "delete" if record or seen else "none", seen or record))
        elif seen != image.digest:
            result.append(Step(image, "import", seen))
        else:
            result.append(Step(image, "none" if record == image.digest else "record", seen))
    return result


def import_body(image: Image, source: t.Mapping[str, t.Any] | None = None) -> dict[str, t.Any]:
    """Return the body of importImage. It takes a digest or a tag, not both (azure-cli issue 14337).

    :param source: what is known of the source registry: id (an Azure registry), username and password.
    """
    known = source or {}
    body: dict[str, t.Any] = {
        "source": {"sourceImage": f"{image.path}@{image.digest}"},
        "targetTags": [image.name],
        # A run that was killed between copy and record must be able to go on; the tag is this owner's.
        "mode": "Force",
    }
    if known.get("id"):
        body["source"]["resourceId"] = known["id"]
    else:
        body["source"]["registryUri"] = image.registry
    if known.get("password"):
        credentials = {"username": known.get("username"), "password": known["password"]}
        body["source"]["credentials"] = {key: value for key, value in credentials.items() if value}
    return body


# -- what is wrong -----------------------------------------------------------------------------------------------------


def problems(
    wanted: t.Iterable[Image], records: t.Mapping[str, str], held: t.Mapping[str, str | None] | None, registry: str
) -> list[str]:
    """Return one sentence for each image that the registry does not hold as it is wanted."""
    lines = []
    for step in steps(wanted, records, held):
        if step.action != "import":
            continue
        image = step.image
        if step.before:
            lines.append(f"{image.name} is {step.before} in {registry}, not {image.digest}")
        elif held is None:
            lines.append(f"{image.name} was never copied to {registry}")
        elif image.record.lower() in records:
            lines.append(f"{image.name} was copied to {registry} and is not there any more")
        else:
            lines.append(f"{image.name} is not in {registry}")
    return lines


def may_pull(assignments: t.Iterable[t.Mapping[str, t.Any]], registry_id: str) -> bool:
    """Return whether one of a principal's role assignments lets it pull from the registry."""
    for item in assignments:
        properties = item.get("properties") or {}
        scope = str(properties.get("scope") or "").rstrip("/").lower()
        role = str(properties.get("roleDefinitionId") or "").rsplit("/", 1)[-1].lower()
        within = f"{registry_id.rstrip('/').lower()}/".startswith(f"{scope}/")
        if within and role in PULLING_ROLES and not properties.get("condition"):
            return True
    return False
