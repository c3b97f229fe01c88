# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SecretProviderClass objects for Azure Key Vault: making them, what they cost the vault, and whether pods got them.

Pure functions. FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

API_VERSION = "secrets-store.csi.x-k8s.io/v1"
KIND = "SecretProviderClass"
DRIVER = "secrets-store.csi.k8s.io"

#: Transactions that a vault answers within ten seconds before it answers 429 (Key Vault service limits).
VAULT_LIMIT = 4000
WINDOW_SECONDS = 10

VAULT_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]")
OBJECT_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
OBJECT_TYPES = ("secret", "key", "cert")
#: What Entra or the vault answered, in an event's text.
SAID = re.compile(r'"(?:error_description|message)":\s*"((?:[^"\\]|\\.)*)')

Class = t.Mapping[str, t.Any]


# -- making them -------------------------------------------------------------------------------------------------------


def provider_class(item: Class, tenant_id: str | None = None) -> dict[str, t.Any]:
    """Return the Kubernetes object for one class.

    :param item: name, namespace, vault_name, client_id, objects (name, type, alias, version, format, encoding,
        file_permission), optionally tenant_id and kubernetes_secret (name, type, keys: key and object).
    :raises AksPlatformError: what the provider would refuse only when a pod starts.
    """
    label = f"SecretProviderClass {item.get('namespace')}/{item.get('name')}"
    tenant = item.get("tenant_id") or tenant_id
    missing = [name for name in ("name", "namespace", "vault_name", "client_id") if not item.get(name)]
    if not tenant:
        missing.append("tenant_id")
    if missing:
        raise AksPlatformError(f"{label} lacks {', '.join(missing)}.")
    if not VAULT_NAME.fullmatch(item["vault_name"]):
        raise AksPlatformError(f"{label}: {item['vault_name']!r} cannot be the name of a Key Vault.")
    entries = [_entry(label, entry) for entry in item.get("objects") or []]
    if not entries:
        raise AksPlatformError(f"{label} mounts no object.")
    files = [entry.get("objectAlias") or entry["objectName"] for entry in entries]
    twice = sorted({name for name in files if files.count(name) > 1})
    if twice:
        raise AksPlatformError(f"{label} has more than one object for the file {', '.join(twice)}; give aliases.")
    spec: dict[str, t.Any] = {
        "provider": "azure",
        "parameters": {
            "usePodIdentity": "false",
            "clientID": item["client_id"],
            "keyvaultName": item["vault_name"],
            "tenantId": tenant,
            "objects": _objects_text(entries),
        },
    }
    if item.get("kubernetes_secret"):
        spec["secretObjects"] = [_synced(label, item["kubernetes_secret"], files)]
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": item["name"],
            "namespace": item["namespace"],
            "labels": {"app.kubernetes.io/managed-by": "aksops.platform"},
        },
        "spec": spec,
    }


def _entry(label: str, entry: t.Mapping[str, t.Any]) -> dict[str, str]:
    name, kind = str(entry.get("name") or ""), str(entry.get("type") or "secret")
    if not OBJECT_NAME.fullmatch(name):
        raise AksPlatformError(f"{label}: {name!r} cannot be the name of a Key Vault object.")
    if kind not in OBJECT_TYPES:
        raise AksPlatformError(f"{label}: the type of {name} is one of {', '.join(OBJECT_TYPES)}, not {kind!r}.")
    result = {"objectName": name, "objectType": kind}
    for option, key in (
        ("alias", "objectAlias"),
        ("version", "objectVersion"),
        ("format", "objectFormat"),
        ("encoding", "objectEncoding"),
        ("file_permission", "filePermission"),
    ):
        if entry.get(option):
            result[key] = str(entry[option])
    return result


def _objects_text(entries: list[dict[str, str]]) -> str:
    """Return the provider's own YAML: an array of texts, each of which is YAML again."""
    lines = ["array:"]
    for entry in entries:
        inner = yaml.safe_dump(entry, sort_keys=False, default_flow_style=False).rstrip("\n").split("\n")
        lines += ["  - |", *(f"    {line}" for line in inner)]
    return "\n".join(lines) + "\n"


def _synced(label: str, wanted: t.Mapping[str, t.Any], files: list[str]) -> dict[str, t.Any]:
    keys = wanted.get("keys") or [{"key": name, "object": name} for name in files]
    unknown = sorted({entry["object"] for entry in keys} - set(files))
    if unknown:
        raise AksPlatformError(
            f"{label}: the Secret {wanted['name']} wants {', '.join(unknown)}, which it does not mount."
        )
    return {
        "secretName": wanted["name"],
        "type": wanted.get("type") or "Opaque",
        "data": [{"objectName": entry["object"], "key": entry["key"]} for entry in keys],
    }


# -- what they cost ----------------------------------------------------------------------------------------------------


def seconds(interval: str) -> float:
    """Return the seconds of a duration such as 2m, 90s or 1h30m.

    :raises AksPlatformError: it is none, or it is zero.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", interval or "")
    total = sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not total:
        raise AksPlatformError(f"{interval!r} is not a duration such as 2m or 1h30m.")
    return float(total)


def request_rates(
    classes: t.Iterable[Class],
    *,
    rotation: bool = True,
    interval: str = "2m",
    share: float = 0.5,
    limit: int = VAULT_LIMIT,
) -> list[dict[str, t.Any]]:
    """Return what the classes ask of each vault, and whether that is too much.

    The provider sends one request for each object of each pod at every look (azure provider issues 722, 1416), and when
    a pod starts. So C(steady) is pods x objects x 10 s / interval, and C(burst) is pods x objects: all pods start
    within ten seconds after a node pool's upgrade or a vault's recovery.

    :param share: part of the limit that the CSI driver may use of each vault (0 to 1); the rest is other clients'.
    :returns: per vault: vault, objects (pods x objects), steady and burst (requests in 10 s), allowed, refused.
    """
    period = seconds(interval)
    totals: dict[str, int] = {}
    for item in classes:
        count = int(item.get("pods") or 1) * len(item.get("objects") or [])
        vault = str(item.get("vault_name") or "").lower()
        totals[vault] = totals.get(vault, 0) + count
    rates = []
    for vault, count in sorted(totals.items()):
        steady = count * WINDOW_SECONDS / period if rotation else 0.0
        refused = ""
        if steady > limit * share:
            least = count * WINDOW_SECONDS / (limit * share)
            refused = (
                f"rotation would send {steady:.0f} requests in 10 s to {vault}, of {limit * share:.0f} allowed; "
                f"make the interval at least {int(least) + 1} s, or mount fewer objects"
            )
        elif count > limit:
            refused = (
                f"a start of all pods would send {count} requests to {vault} at once, of {limit} in 10 s; "
                "spread the objects over more vaults or mount fewer"
            )
        rates.append(
            {
                "vault": vault,
                "objects": count,
                "steady": round(steady, 1),
                "burst": count,
                "allowed": limit * share,
                "refused": refused,
            }
        )
    return rates


# -- whether pods got them ---------------------------------------------------------------------------------------------


class Wanted(t.NamedTuple):
    """One object that a class mounts: its kind and name in the vault, and the version it is held at (empty: newest)."""

    kind: str
    name: str
    version: str

    @property
    def id(self) -> str:
        """As the provider writes it into SecretProviderClassPodStatus."""
        return f"{self.kind}/{self.name}"


def wanted_objects(manifest: dict[str, t.Any]) -> tuple[str, list[Wanted]]:
    """Return the vault and the objects that a SecretProviderClass in the cluster names."""
    parameters = (manifest.get("spec") or {}).get("parameters") or {}
    array = (yaml.safe_load(parameters.get("objects") or "") or {}).get("array") or []
    entries = [yaml.safe_load(text) if isinstance(text, str) else text for text in array]
    found = [
        Wanted(str(e.get("objectType") or "secret"), str(e["objectName"]), str(e.get("objectVersion") or ""))
        for e in entries
    ]
    return str(parameters.get("keyvaultName") or ""), found


def newest_version(versions: t.Iterable[dict[str, t.Any]]) -> str | None:
    """Return the newest enabled version's id of a vault's list of versions, None where there is none."""
    usable = [v for v in versions if (v.get("attributes") or {}).get("enabled", True)]
    if not usable:
        return None
    newest = max(usable, key=lambda v: (v.get("attributes") or {}).get("created", 0))
    return str(newest.get("id") or newest.get("kid")).rstrip("/").rsplit("/", 1)[-1]


def mounting_pods(pods: t.Iterable[dict[str, t.Any]], class_name: str) -> list[str]:
    """Return the names of living pods that have a volume of the class."""
    names = []
    for pod in pods:
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") or pod["metadata"].get(
            "deletionTimestamp"
        ):
            continue
        for volume in (pod.get("spec") or {}).get("volumes") or []:
            csi = volume.get("csi") or {}
            if (
                csi.get("driver") == DRIVER
                and (csi.get("volumeAttributes") or {}).get("secretProviderClass") == class_name
            ):
                names.append(pod["metadata"]["name"])
                break
    return names


def class_problems(
    manifest: dict[str, t.Any],
    pods: t.Iterable[dict[str, t.Any]],
    statuses: t.Iterable[dict[str, t.Any]],
    events: t.Iterable[dict[str, t.Any]],
    newest: t.Mapping[str, str | None] | None,
    secrets: t.Container[str] | None = None,
) -> tuple[int, list[str]]:
    """Return how many pods mount the class, and one sentence for everything that is not as it should be.

    :param newest: object id (secret/name) -> newest enabled version in the vault, None where it does not exist; without
        the mapping the vault is not compared.
    :param secrets: names of the namespace's Secrets; without them synced ones are not looked for.
    """
    name = manifest["metadata"]["name"]
    label = f"{manifest['metadata'].get('namespace')}/{name}"
    events = list(events)
    vault, wanted = wanted_objects(manifest)
    lines = []
    for item in wanted:
        if newest is not None and newest.get(item.id) is None:
            lines.append(f"{label}: {item.id} does not exist, or is disabled, in the vault {vault}")
    mounting = mounting_pods(pods, name)
    by_pod = {
        (entry.get("status") or {}).get("podName"): entry["status"]
        for entry in statuses
        if (entry.get("status") or {}).get("secretProviderClassName") == name
    }
    failures, stuck = _last(events, "FailedMount"), _last(events, "MountRotationFailed")
    for pod in mounting:
        status = by_pod.get(pod)
        if status is None or not status.get("mounted"):
            why = failures.get(pod) or "the driver has not reported on it yet"
            lines.append(f"{label}: pod {pod} has not mounted it: {_short(why)}")
            continue
        stale = _stale(label, pod, status, wanted, newest or {})
        lines += stale
        if stale and pod in stuck:
            lines.append(f"{label}: pod {pod} cannot be brought up to date: {_short(stuck[pod])}")
    if secrets is not None and any((by_pod.get(pod) or {}).get("mounted") for pod in mounting):
        refused = _last(events, "FailedToCreateSecret")
        for name in synced_secrets(manifest):
            if name not in secrets:
                why = next((text for pod, text in refused.items() if pod in mounting and name in text), "")
                reason = f": {_short(why)}" if why else ""
                lines.append(f"{label}: the Secret {name} is not there, though pods mount the class{reason}")
    return len(mounting), lines


def _short(text: str) -> str:
    """Return what an event of the driver says, without what it says of itself before, in one line."""
    inner = text.rpartition("failed to mount objects, error: ")[2]
    if said := SAID.search(inner):
        inner = f"{inner.splitlines()[0]} {said.group(1)}"
    return " ".join(inner.split())[:400]


def _last(events: t.Sequence[dict[str, t.Any]], reason: str) -> dict[str, str]:
    """Return the newest message with a reason, by the name of what it is about."""
    found = {}
    for event in sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or "")):
        if event.get("reason") == reason:
            found[str((event.get("involvedObject") or {}).get("name"))] = str(event.get("message") or "")
    return found


def synced_secrets(manifest: dict[str, t.Any]) -> list[str]:
    """Return the names of the Secrets that the driver is to keep for a class."""
    return [str(item.get("secretName")) for item in (manifest.get("spec") or {}).get("secretObjects") or []]


def _stale(
    label: str, pod: str, status: dict[str, t.Any], wanted: list[Wanted], newest: t.Mapping[str, str | None]
) -> list[str]:
    held = {str(entry.get("id")): str(entry.get("version")) for entry in status.get("objects") or []}
    lines = []
    for item in wanted:
        version = item.version or newest.get(item.id)
        if item.id not in held:
            lines.append(f"{label}: pod {pod} lacks {item.id}, which the class names; restart the pod")
        elif version and held[item.id] != version:
            lines.append(
                f"{label}: pod {pod} holds version {held[item.id]} of {item.id}, the vault's newest is {version}"
            )
    return lines
