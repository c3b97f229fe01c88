# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing a managed cluster through ARM. FOR INTERNAL COLLECTION USE ONLY: may change in any release."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import tempfile
import time
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils import _aks_addons_plan as addons
from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils._arm import ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, poll

#: The one api-version that this collection speaks to managed clusters: the first GA one with Gateway API, app routing
#: by Istio and app monitoring. Terraform's provider writes with an older one, so the add-ons are set after it.
API_VERSION = "2026-04-01"

#: The Entra application of every AKS API server: tokens for Kubernetes are issued for it.
KUBERNETES_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"

#: Answers to a PUT that say: another writer was first or is still at work.
BUSY_CODES = ("OperationNotAllowed", "AnotherOperationInProgress", "EtagMismatch", "ConcurrentOperation", "Conflict")

CLUSTER_ARG_SPEC: dict[str, dict[str, t.Any]] = {
    "cluster_id": {"type": "str"},
    "resource_group": {"type": "str"},
    "name": {"type": "str", "aliases": ["cluster_name"]},
}
CLUSTER_RULES: dict[str, t.Any] = {
    "mutually_exclusive": [("cluster_id", "name"), ("cluster_id", "resource_group")],
    "required_one_of": [("cluster_id", "name")],
    "required_together": [("resource_group", "name")],
}


def cluster_id(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> str:
    """Return the cluster's resource id from C(cluster_id), or from C(resource_group), C(name) and the subscription.

    :raises AksPlatformError: it is not the id of a managed cluster, or no subscription is known.
    """
    value = params.get("cluster_id")
    if not value:
        subscription = _auth.subscription_id(params, environ)
        group, name = params["resource_group"], params["name"]
        return (
            f"/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.ContainerService/managedClusters/{name}"
        )
    parts = str(value).strip("/").split("/")
    if len(parts) != 8 or "/".join(parts[5:7]).lower() != "microsoft.containerservice/managedclusters":
        raise AksPlatformError(f"{value!r} is not the id of a Microsoft.ContainerService/managedClusters resource.")
    return str(value)


def settle(arm: ArmClient, path: str, *, timeout: float, interval: float, progress: Progress | None = None) -> t.Any:
    """Return the cluster when no operation is at work on it; None where it does not exist."""

    def check() -> tuple[bool, t.Any]:
        cluster = arm.get(path, API_VERSION)
        state = str(((cluster or {}).get("properties") or {}).get("provisioningState") or "Succeeded")
        return state.lower() in ("succeeded", "failed", "canceled"), _Seen(cluster, state)

    name = path.rsplit("/", 1)[-1]
    return poll(check, timeout=timeout, interval=interval, describe=f"cluster {name}", progress=progress).cluster


class _Seen(t.NamedTuple):
    cluster: t.Any
    state: str

    def __str__(self) -> str:
        return self.state


def apply_addons(
    arm: ArmClient,
    path: str,
    wish: addons.Wish,
    *,
    check_mode: bool,
    wait: bool = True,
    timeout: float = 1800,
    interval: float = 5,
    progress: Progress | None = None,
    sleep: t.Callable[[float], None] = time.sleep,
) -> tuple[addons.Plan, dict[str, t.Any] | None]:
    """Bring the told features of the cluster to C(wish) by at most one PUT with the ETag that was read.

    When another writer came between, everything is read, refused and decided anew.

    :returns: the plan that was carried out, and the cluster afterwards (None: it does not exist).
    :raises AksPlatformError: AKS would refuse the wish, the cluster is absent, or AKS did not do what it accepted.
    """
    name = path.rsplit("/", 1)[-1]
    deadline = time.monotonic() + timeout
    while True:
        left = max(0.0, deadline - time.monotonic())
        if check_mode:
            cluster = arm.get(path, API_VERSION)
        else:
            cluster = settle(arm, path, timeout=left, interval=interval, progress=progress)
        if cluster is None:
            return _plan_without_cluster(name, wish, check_mode=check_mode), None
        plan = addons.plan(cluster, wish)
        if not plan.changes:
            return plan, cluster
        refused = addons.refusals(cluster, wish)
        if refused:
            raise AksPlatformError(
                f"AKS would refuse this for {name}: {' '.join(refused)}", refusals=refused, changes=plan.changes
            )
        if check_mode:
            return plan, cluster
        try:
            arm.put(path, API_VERSION, plan.body, etag=cluster.get("eTag"), wait=wait)
        except ArmError as error:
            busy = error.status == 412 or (error.status == 409 and error.code in BUSY_CODES)
            if not busy or time.monotonic() >= deadline:
                raise
            if progress:
                progress(f"cluster {name} is written by someone else ({error.code}); reading it again")
            sleep(interval * random.uniform(0.5, 1.5))
            continue
        after = arm.get(path, API_VERSION)
        if wait and after is not None:
            missing = addons.plan(after, wish).changes
            if missing:
                raise AksPlatformError(
                    f"AKS accepted the request for {name} and did not carry it out: {'; '.join(missing)}.",
                    changes=missing,
                )
        return plan, after


def _plan_without_cluster(name: str, wish: addons.Wish, *, check_mode: bool) -> addons.Plan:
    """A cluster that is not there has no add-ons: fine for what is to be off, a promise in check mode for the rest."""
    told = {feature: settings for feature, settings in wish.items() if settings is not None}
    on = {
        feature: {key: value for key, value in {"enabled": True, **settings}.items() if value is not None}
        for feature, settings in told.items()
        if settings.get("enabled", True)
    }
    if not on:
        return addons.Plan([], {}, {}, None)
    if not check_mode:
        raise AksPlatformError(f"There is no cluster {name} to enable {', '.join(on)} in; create it first.")
    changes = [f"{feature}.enabled: off -> on, once the cluster {name} exists" for feature in on]
    return addons.Plan(changes, {feature: {"enabled": False} for feature in on}, on, {})


class Door(t.NamedTuple):
    """How to reach the Kubernetes API: address and CA certificates (PEM)."""

    host: str
    ca_cert: str


def door(arm: ArmClient, path: str) -> Door:
    """Ask ARM for the user's kubeconfig and take address and CA from it; it holds no credential.

    :raises AksPlatformError: the cluster does not exist, or the answer is no kubeconfig.
    """
    import yaml

    name = path.rsplit("/", 1)[-1]
    try:
        answer = arm.post(f"{path}/listClusterUserCredential?format=exec", API_VERSION)
    except ArmError as error:
        if error.status == 404:
            raise AksPlatformError(f"There is no cluster {name} at {path}.") from None
        if error.status == 403:
            raise AksPlatformError(
                f"{error}; the caller needs the role Azure Kubernetes Service Cluster User Role on the cluster."
            ) from None
        raise
    try:
        kubeconfig = yaml.safe_load(base64.b64decode(answer["kubeconfigs"][0]["value"]))
        cluster = kubeconfig["clusters"][0]["cluster"]
        return Door(cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode())
    except (KeyError, IndexError, TypeError, ValueError, yaml.YAMLError) as error:
        raise AksPlatformError(
            f"The user credential of cluster {name} is no kubeconfig with server and CA ({type(error).__name__})."
        ) from None


def facts(cluster: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what roles need to know of a cluster besides its add-ons."""
    properties = cluster.get("properties") or {}
    return {
        "id": cluster.get("id"),
        "provisioning_state": properties.get("provisioningState"),
        "power_state": (properties.get("powerState") or {}).get("code"),
        "kubernetes_version": properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion"),
        "node_resource_group": properties.get("nodeResourceGroup"),
        "oidc_issuer": (properties.get("oidcIssuerProfile") or {}).get("issuerURL"),
        "private": bool((properties.get("apiServerAccessProfile") or {}).get("enablePrivateCluster")),
    }


@contextlib.contextmanager
def ca_file(certificates: str, kept: str | None) -> t.Iterator[str]:
    """Give a file (mode 0600) with C(certificates): C(kept), which stays, or one that is removed at the end.

    :raises AksPlatformError: the file cannot be written.
    """
    directory = os.path.dirname(os.path.abspath(kept)) if kept else None
    try:
        if directory:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=directory, prefix=".ca-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(certificates)
        if kept:
            os.replace(temporary, kept)
    except OSError as error:
        raise AksPlatformError(f"The CA file {kept} cannot be written: {error.strerror}.") from None
    try:
        yield kept or temporary
    finally:
        if not kept:
            os.unlink(temporary)
