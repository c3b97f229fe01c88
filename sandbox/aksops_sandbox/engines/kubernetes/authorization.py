"""Azure RBAC for Kubernetes: a Kubernetes request as the Azure data action that a role assignment must grant.

The mapping is the one of AKS' authorizer (kubeguard): `Microsoft.ContainerService/managedClusters/<group>/<resource>/
<verb>`, at the scope of the cluster or of `<cluster>/namespaces/<namespace>`.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

_PREFIX = "Microsoft.ContainerService/managedClusters"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)
_READ = {"get", "list", "watch"}
_WRITE = {"create", "update", "patch"}
_DELETE = {"delete", "deletecollection"}


class Rbac(Protocol):
    """What is asked of the sandbox's role assignments."""

    def allowed(self, principal_oid: str, action: str, scope: str, data: bool = False) -> bool: ...


def _verb(verb: str) -> str:
    if verb in _READ:
        return "read"
    if verb in _WRITE:
        return "write"
    if verb in _DELETE:
        return "delete"
    return f"{verb}/action"


def data_action(spec: dict[str, Any]) -> str:
    """The data action of a SubjectAccessReview's spec."""
    resource = spec.get("resourceAttributes")
    if resource is None:
        other = spec.get("nonResourceAttributes") or {}
        path = str(other.get("path", "")).strip("/") or "*"
        return f"{_PREFIX}/{path}/{_verb(other.get('verb', 'get'))}"
    group = resource.get("group") or ""
    kind = resource.get("resource") or "*"
    if kind == "pods" and resource.get("subresource") == "exec":
        return f"{_PREFIX}/pods/exec/action"
    parts = [_PREFIX, *([group] if group else []), kind, _verb(resource.get("verb") or "*")]
    return "/".join(parts)


def scope(cluster_id: str, spec: dict[str, Any]) -> str:
    """The scope that a role assignment must cover."""
    namespace = (spec.get("resourceAttributes") or {}).get("namespace")
    return f"{cluster_id}/namespaces/{namespace}" if namespace else cluster_id


def review(rbac: Rbac, cluster_id: str, spec: dict[str, Any]) -> tuple[bool, str]:
    """(allowed, reason) for an Entra principal; everything else is left to the other authorizers.

    Entra users carry their object id as user name and their groups' object ids as groups.
    """
    user = str(spec.get("user") or "")
    if not _GUID.fullmatch(user):
        return False, ""
    action, target = data_action(spec), scope(cluster_id, spec)
    principals = [user, *(group for group in spec.get("groups") or [] if _GUID.fullmatch(group))]
    for principal in principals:
        if rbac.allowed(principal, action, target, data=True):
            return True, f"Access allowed by Azure RBAC to '{principal}'."
    return False, (
        f"User does not have access to the resource in Azure. Update role assignment to allow access: '{action}' on "
        f"'{target}'."
    )
