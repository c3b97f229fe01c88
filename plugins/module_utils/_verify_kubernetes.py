# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true inside the cluster, judged from lists of Kubernetes objects. Pure functions.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.
"""

from __future__ import annotations

import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._kubernetes import WORKLOADS
from ansible_collections.aksops.platform.plugins.module_utils._verify_azure import FAIL, PASS, WARN, Check

#: Lists that verification reads: key -> path.
LISTS: dict[str, str] = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "deployments": "/apis/apps/v1/deployments",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "statefulsets": "/apis/apps/v1/statefulsets",
    "applications": "/apis/argoproj.io/v1alpha1/applications",
    "mounts": "/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasspodstatuses",
}

CSI_DRIVER = "secrets-store.csi.k8s.io"

#: Add-on in ARM -> the feature whose workloads AKS deploys for it.
FEATURES: dict[str, str] = {
    "azurekeyvaultsecretsprovider": "keyvault_secrets_provider",
    "azurepolicy": "azure_policy",
    "ingressapplicationgateway": "ingress_application_gateway",
    "managedprometheus": "managed_prometheus",
    "omsagent": "oms_agent",
}

Objects = t.Mapping[str, "list[dict[str, t.Any]] | None"]


def checks(objects: Objects, addons: t.Iterable[str] = (), applications: t.Iterable[str] = ()) -> list[Check]:
    """Return every check of the cluster's inside.

    :param objects: the lists of C(LISTS); None where the cluster does not know the type.
    :param addons: add-ons that ARM says are enabled.
    :param applications: C(namespace/name) of Argo CD Applications that must exist.
    """
    return [
        *_nodes(objects.get("nodes") or []),
        *_addons(objects, addons),
        *_workloads(objects),
        *_applications(objects.get("applications"), applications),
        *_mounts(objects.get("pods") or [], objects.get("mounts")),
    ]


def _name(item: dict[str, t.Any]) -> str:
    meta = item.get("metadata") or {}
    return f"{meta['namespace']}/{meta.get('name')}" if meta.get("namespace") else str(meta.get("name"))


def _condition(item: dict[str, t.Any], kind: str) -> dict[str, t.Any]:
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def _nodes(nodes: list[dict[str, t.Any]]) -> list[Check]:
    if not nodes:
        return [Check("nodes", "cluster", FAIL, "there are none: look at the node pools")]
    bad = [node for node in nodes if _condition(node, "Ready").get("status") != "True"]
    if bad:
        shown = "; ".join(f"{_name(node)}: {_condition(node, 'Ready').get('message') or 'not Ready'}" for node in bad)
        return [Check("nodes", "cluster", FAIL, f"{len(bad)} of {len(nodes)} are not Ready: {shown}")]
    versions = sorted({str(((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion")) for node in nodes})
    return [Check("nodes", "cluster", PASS, f"{len(nodes)} Ready, {', '.join(versions)}")]


def shortfall(item: dict[str, t.Any], kind: str) -> str | None:
    """Return what a workload lacks to be all there in its newest form, None where it is."""
    status, spec = item.get("status") or {}, item.get("spec") or {}
    if kind == "daemonsets":
        desired, ready = int(status.get("desiredNumberScheduled") or 0), int(status.get("numberReady") or 0)
        updated = int(status.get("updatedNumberScheduled") or 0)
    else:
        desired = 1 if spec.get("replicas") is None else int(spec["replicas"])
        ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if int(status.get("observedGeneration") or 0) < int((item.get("metadata") or {}).get("generation") or 0):
        return "its newest form has not been looked at by its controller"
    if ready < desired:
        return f"{ready} of {desired} pods are ready"
    if updated < desired and not _keeps_old_pods(spec):
        return f"{updated} of {desired} pods are of its newest form"
    return None


def _keeps_old_pods(spec: dict[str, t.Any]) -> bool:
    return (spec.get("updateStrategy") or {}).get("type") == "OnDelete"


def _addons(objects: Objects, addons: t.Iterable[str]) -> list[Check]:
    found = []
    for addon in addons:
        missing, unready, present = [], [], []
        for namespace, kind, name in WORKLOADS.get(FEATURES.get(addon.lower(), ""), ()):
            label = f"{namespace}/{name}"
            item = next((entry for entry in objects.get(kind) or [] if _name(entry) == label), None)
            lack = shortfall(item, kind) if item else None
            if item is None:
                missing.append(label)
            elif lack:
                unready.append(f"{label}: {lack}")
            else:
                present.append(label)
        if missing or unready:
            shown = [*[f"{label} is absent" for label in missing], *unready]
            found.append(Check("add-on", addon, FAIL, "; ".join(shown)))
        elif present:
            found.append(Check("add-on", addon, PASS, f"ready: {', '.join(present)}"))
    return found


def _workloads(objects: Objects) -> list[Check]:
    """Every Deployment, DaemonSet and StatefulSet, one line a namespace where all is well."""
    found: list[Check] = []
    good: dict[str, list[str]] = {}
    for kind in ("deployments", "daemonsets", "statefulsets"):
        for item in objects.get(kind) or []:
            lack = shortfall(item, kind)
            namespace = str((item.get("metadata") or {}).get("namespace"))
            if lack:
                found.append(
                    Check(kind[:-1], _name(item), FAIL, f"{lack}: kubectl describe it, and look at its events")
                )
            else:
                good.setdefault(namespace, []).append(str(item["metadata"]["name"]))
    for namespace, names in sorted(good.items()):
        found.append(Check("workloads", namespace, PASS, f"{len(names)} ready: {', '.join(sorted(names))}"))
    return found


def _applications(applications: list[dict[str, t.Any]] | None, wanted: t.Iterable[str]) -> list[Check]:
    found, seen = [], set()
    for item in applications or []:
        status = item.get("status") or {}
        sync = str((status.get("sync") or {}).get("status") or "Unknown")
        health = str((status.get("health") or {}).get("status") or "Unknown")
        seen.add(_name(item))
        good = sync == "Synced" and health == "Healthy"
        why = "" if good else _reason(status)
        revision = str((status.get("sync") or {}).get("revision") or "")[:8]
        shown = f"{sync}, {health}" + (f", revision {revision}" if revision else "") + (f": {why}" if why else "")
        found.append(Check("application", _name(item), PASS if good else FAIL, shown))
    for name in wanted:
        if name not in seen:
            found.append(Check("application", name, FAIL, "Argo CD does not have it: run playbooks/workload.yml"))
    return found


def _reason(status: dict[str, t.Any]) -> str:
    messages = [str(item.get("message")) for item in status.get("conditions") or []]
    messages += [str((status.get(key) or {}).get("message") or "") for key in ("operationState", "health")]
    return "; ".join(text for text in dict.fromkeys(messages) if text)[:400]


def _mounts(pods: list[dict[str, t.Any]], statuses: list[dict[str, t.Any]] | None) -> list[Check]:
    """Each running pod that mounts secrets from a vault has a status that says so."""
    mounted = {
        (str((item.get("metadata") or {}).get("namespace")), str((item.get("status") or {}).get("podName")))
        for item in statuses or []
        if (item.get("status") or {}).get("mounted")
    }
    users = [
        pod
        for pod in pods
        if (pod.get("status") or {}).get("phase") in ("Running", "Pending")
        and not (pod.get("metadata") or {}).get("deletionTimestamp")
        and any(
            (volume.get("csi") or {}).get("driver") == CSI_DRIVER
            for volume in (pod.get("spec") or {}).get("volumes") or []
        )
    ]
    if not users:
        return []
    without = [pod for pod in users if (pod["metadata"].get("namespace"), pod["metadata"].get("name")) not in mounted]
    if without:
        shown = ", ".join(_name(pod) for pod in without)
        why = "look at the pod's events: vault, identity and federated credential must fit"
        return [Check("secrets mounted", "pods", FAIL, f"not by {shown}: {why}")]
    return [Check("secrets mounted", "pods", PASS, f"by {', '.join(sorted({_name(pod) for pod in users}))}")]


def unreachable(reason: str) -> list[Check]:
    """Return the check of a cluster that did not answer."""
    return [Check("reached", "cluster", FAIL, reason)]


def not_asked() -> list[Check]:
    """Return the check of a cluster for which no credentials were given."""
    return [Check("reached", "cluster", WARN, "not asked: no Kubernetes credentials were given")]
