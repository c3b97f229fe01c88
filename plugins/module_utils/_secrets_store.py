# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking the cluster and the vaults whether pods hold what their SecretProviderClass names.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.aksops.platform.plugins.module_utils import _secrets_store_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import KubernetesClient

VAULT_API_VERSION = "7.4"
VAULT_SCOPE = "https://vault.azure.net/.default"
GROUP = "/apis/secrets-store.csi.x-k8s.io/v1"
#: Kubernetes answers with names and labels alone, so that no value comes here.
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
COLLECTIONS = {"secret": "secrets", "key": "keys", "cert": "certificates"}


def look(
    kubernetes: KubernetesClient,
    classes: t.Iterable[t.Mapping[str, t.Any]],
    vault: t.Callable[[str], ArmClient] | None,
) -> tuple[dict[str, int], list[str]]:
    """Return the pods that mount each class (namespace/name -> number), and what is wrong, one sentence each.

    :param vault: gives a client of a vault's data plane by the vault's name; None leaves the vaults unasked.
    """
    named = [(str(item["namespace"]), str(item["name"])) for item in classes]
    with ThreadPoolExecutor(max_workers=8) as pool:
        spaces = {namespace: pool.submit(_namespace, kubernetes, namespace) for namespace, _ in named}
        content = {namespace: task.result() for namespace, task in spaces.items()}
        found = {(namespace, name): content[namespace]["secretproviderclasses"].get(name) for namespace, name in named}
        newest = _newest(pool, found.values(), vault) if vault else None
        syncing = {key[0] for key, manifest in found.items() if manifest and plan.synced_secrets(manifest)}
        secrets = dict(zip(syncing, pool.map(lambda space: _secret_names(kubernetes, space), syncing), strict=True))
    mounts: dict[str, int] = {}
    lines: list[str] = []
    for (namespace, name), manifest in found.items():
        if manifest is None:
            lines.append(f"{namespace}/{name}: there is no such SecretProviderClass")
            continue
        parts = content[namespace]
        source = plan.wanted_objects(manifest)[0]
        count, problems = plan.class_problems(
            manifest,
            parts["pods"].values(),
            parts["secretproviderclasspodstatuses"].values(),
            parts["events"].values(),
            None if newest is None else newest[source],
            secrets.get(namespace),
        )
        mounts[f"{namespace}/{name}"] = count
        lines += problems
    return mounts, lines


def _namespace(kubernetes: KubernetesClient, namespace: str) -> dict[str, dict[str, t.Any]]:
    """Return the objects of a namespace that matter, by kind and name."""
    paths = {
        "pods": f"/api/v1/namespaces/{namespace}/pods",
        "events": f"/api/v1/namespaces/{namespace}/events?fieldSelector=type%3DWarning",
        "secretproviderclasses": f"{GROUP}/namespaces/{namespace}/secretproviderclasses",
        "secretproviderclasspodstatuses": f"{GROUP}/namespaces/{namespace}/secretproviderclasspodstatuses",
    }
    result = {}
    for kind, path in paths.items():
        status, body = kubernetes.call(path)
        if status == 404:
            raise AksPlatformError(
                f"The cluster does not know {kind}: the Key Vault secrets provider add-on is not (wholly) enabled."
            )
        if status != 200:
            raise AksPlatformError(f"The caller may not read {kind} in {namespace} (HTTP {status}).")
        result[kind] = {item["metadata"]["name"]: item for item in body.get("items") or []}
    return result


def _secret_names(kubernetes: KubernetesClient, namespace: str) -> set[str]:
    """Return the names of a namespace's Secrets, and nothing else of them."""
    status, body = kubernetes.call(f"/api/v1/namespaces/{namespace}/secrets", accept=NAMES_ONLY)
    if status != 200:
        raise AksPlatformError(f"The caller may not list secrets in {namespace} (HTTP {status}).")
    return {item["metadata"]["name"] for item in body.get("items") or []}


def _newest(
    pool: ThreadPoolExecutor, manifests: t.Iterable[dict[str, t.Any] | None], vault: t.Callable[[str], ArmClient]
) -> dict[str, dict[str, str | None]]:
    """Return the newest enabled version of every object, by vault and object id."""
    tasks = {}
    clients: dict[str, ArmClient] = {}
    for manifest in manifests:
        if manifest is None:
            continue
        name, wanted = plan.wanted_objects(manifest)
        client = clients.setdefault(name, vault(name))
        for item in wanted:
            path = f"/{COLLECTIONS.get(item.kind, 'secrets')}/{item.name}/versions"
            tasks.setdefault((name, item.id), pool.submit(client.list, path, VAULT_API_VERSION))
    result: dict[str, dict[str, str | None]] = {name: {} for name in clients}
    for (name, item_id), task in tasks.items():
        result[name][item_id] = plan.newest_version(task.result())
    return result
