"""Constraints as ValidatingAdmissionPolicies: one that refuses or records, and one that only answers the audit."""

from __future__ import annotations

import re
from typing import Any

from . import checks, subjects
from .constraints import Constraint

Manifest = dict[str, Any]
AUDITOR = "azure-policy-audit"
LABELS = {"managed-by": "azure-policy-addon"}
DIGEST = "sandbox.aksops.platform/digest"
#: Namespaces that the add-on itself leaves alone, whatever is assigned.
EXEMPT = ("kube-system", "gatekeeper-system", "azure-arc")
VERSION = "admissionregistration.k8s.io/v1"
_WARNING = re.compile(r"ValidatingAdmissionPolicy '(azurepolicy-audit-[0-9a-f]+)' with binding '[^']+': (.*)", re.S)
#: What does not touch the spec (labels, a finalizer, a node's notes) is not judged again.
_CHANGED = "request.operation == 'CREATE' || !has(object.spec) || object.spec != oldObject.spec"


def manifests(constraint: Constraint) -> list[Manifest]:
    """Policy and binding that act, policy and binding that audit; none where nothing can be meant."""
    if not constraint.subject.resources:
        return []
    actions = {"deny": ["Deny"], "audit": ["Warn", "Audit"] if constraint.warn else ["Audit"]}[constraint.effect]
    acting = {"changed": _CHANGED, "people": f"request.userInfo.username != '{AUDITOR}'"}
    audit = {"auditor": f"request.userInfo.username == '{AUDITOR}' && request.dryRun"}
    return [
        _policy(constraint, constraint.name, acting),
        _binding(constraint, constraint.name, actions),
        _policy(constraint, audit_name(constraint), audit),
        _binding(constraint, audit_name(constraint), ["Warn"]),
    ]


def audit_name(constraint: Constraint) -> str:
    return f"azurepolicy-audit-{constraint.key}"


def violations(warnings: list[str]) -> dict[str, str]:
    """Name of the audit's policy -> its message, of the warnings in an answer."""
    return {match[1]: match[2] for text in warnings if (match := _WARNING.search(text))}


def namespace_condition(names: list[str]) -> str:
    """CEL: the request's namespace is one of these; `*` stands for any text at an end, as in Gatekeeper."""
    parts = []
    for name in names:
        core = checks.literal(name.strip("*"))
        if name.startswith("*") and name.endswith("*") and len(name) > 1:
            parts.append(f"request.namespace.contains({core})")
        elif name.endswith("*"):
            parts.append(f"request.namespace.startsWith({core})")
        elif name.startswith("*"):
            parts.append(f"request.namespace.endsWith({core})")
        else:
            parts.append(f"request.namespace == {core}")
    return " || ".join(parts)


def _metadata(constraint: Constraint, name: str) -> Manifest:
    annotations = {
        "azure-policy-assignment-id": constraint.assignment,
        "azure-policy-definition-id": constraint.definition,
        "azure-policy-definition-reference-id": constraint.reference,
        "azure-policy-setdefinition-id": constraint.initiative,
        "constraint-installed-by": "azure-policy-addon",
        DIGEST: constraint.digest,
    }
    return {"name": name, "labels": dict(LABELS), "annotations": annotations}


def _policy(constraint: Constraint, name: str, conditions: dict[str, str]) -> Manifest:
    check, judged, values = constraint.check, constraint.subject, constraint.values
    conditions = dict(conditions)
    namespaces = [str(item) for item in values.get("namespaces") or []]
    if namespaces:
        conditions["namespaces"] = namespace_condition(namespaces)
    excluded = [*EXEMPT, *(str(item) for item in values.get("excludedNamespaces") or [])]
    conditions["excluded"] = f"!({namespace_condition(sorted(set(excluded)))})"
    labels = subjects.label_condition(values.get("labelSelector") or {}, judged.labels)
    if labels:
        conditions["labels"] = labels
    variables = {"spec": judged.spec, **check.variables}
    rules: dict[str, list[str]] = {}
    for group, resource in judged.resources:
        rules.setdefault(group, []).append(resource)
    match: Manifest = {
        "resourceRules": [
            {"apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": resources}
            for group, resources in rules.items()
        ]
    }
    return {
        "apiVersion": VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": _metadata(constraint, name),
        "spec": {
            # As Gatekeeper's webhook: an error of the policy itself stops nobody's work.
            "failurePolicy": "Ignore",
            "matchConstraints": match,
            "matchConditions": [{"name": key, "expression": text} for key, text in conditions.items()],
            "variables": [{"name": key, "expression": text} for key, text in variables.items()],
            "validations": [{"expression": check.passes, "messageExpression": check.message, "reason": "Forbidden"}],
        },
    }


def _binding(constraint: Constraint, name: str, actions: list[str]) -> Manifest:
    return {
        "apiVersion": VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": _metadata(constraint, name),
        "spec": {"policyName": name, "validationActions": actions},
    }
