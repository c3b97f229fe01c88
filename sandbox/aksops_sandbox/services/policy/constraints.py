"""Which policies reach a cluster, with which effect and values: assignments, less exemptions, as constraints."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes

from . import catalog, checks, members, subjects

if TYPE_CHECKING:
    from aksops_sandbox.azure.store import Store

ASSIGNMENT = "Microsoft.Authorization/policyAssignments"
EXEMPTION = "Microsoft.Authorization/policyExemptions"
DEFINITION = "Microsoft.Authorization/policyDefinitions"
SET_DEFINITION = "Microsoft.Authorization/policySetDefinitions"
SAFEGUARD = "Microsoft.ContainerService/deploymentSafeguards"
_PARAMETER = re.compile(r"\[parameters\('([^']+)'\)\]")
_GROUPS = "/providers/microsoft.management/managementgroups/"
#: Members that deployment safeguards bring at each level beside the pod security standard.
_BEST_PRACTICES = (
    "podEnforceAntiaffinityInKubernetesCluster",
    "ensureProbesConfiguredInKubernetesCluster",
    "imagesDoNotUseLatest",
)


@dataclass(frozen=True)
class Constraint:
    """One definition of one assignment, as it counts in a cluster.

    assignment, definition: ids. initiative, reference: of the initiative that brings it, else empty. effect: deny or
    audit. warn: whether an offender is told, where nothing refuses it. values: its parameters.
    """

    assignment: str
    definition: str
    initiative: str
    reference: str
    effect: str
    warn: bool
    values: dict[str, Any]

    @property
    def template(self) -> str:
        return checks.TEMPLATES[self._guid][0]

    @property
    def check(self) -> checks.Check:
        return checks.TEMPLATES[self._guid][1](self.values)

    @property
    def subject(self) -> subjects.Subject:
        return subjects.subject(self.check, str(self.values.get("source") or "Original").capitalize())

    @property
    def _guid(self) -> str:
        return self.definition.rsplit("/", 1)[-1]

    @property
    def key(self) -> str:
        text = f"{self.assignment}|{self.reference}|{self.definition}".lower()
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def name(self) -> str:
        """As the add-on names it: the template cut to 30 letters, and a mark of the assignment."""
        return f"azurepolicy-{self.template[:30]}-{self.key}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:20]


def reach(store: Store, cluster: Resource) -> list[Constraint]:
    """The constraints of a cluster, whatever its add-on."""
    return [item for item, exempt in _judged(store, cluster) if not exempt]


def exempted(store: Store, cluster: Resource) -> list[Constraint]:
    """The constraints that an exemption in force takes away from it."""
    return [item for item, exempt in _judged(store, cluster) if exempt]


def _judged(store: Store, cluster: Resource) -> list[tuple[Constraint, bool]]:
    exemptions = [item for item in store.peek(type=EXEMPTION) if _in_force(item, cluster)]
    found: dict[str, tuple[Constraint, bool]] = {}
    for assignment in store.peek(type=ASSIGNMENT):
        if reaches(assignment, cluster):
            for item in _of_assignment(store, assignment):
                exempt = any(_exempts(exemption, assignment, item.reference) for exemption in exemptions)
                found[item.key] = (item, exempt)
    for safeguard in store.peek(type=SAFEGUARD, prefix=cluster.id):
        found |= {item.key: (item, False) for item in _of_safeguard(safeguard)}
    return list(found.values())


def reaches(assignment: Resource, cluster: Resource) -> bool:
    """Whether a cluster is in an assignment's scope."""
    scope = assignment.properties["scope"].lower()
    if not (_holds(scope, cluster.id) or scope.startswith(_GROUPS)):
        return False
    if any(_holds(item, cluster.id) for item in assignment.properties.get("notScopes") or []):
        return False
    chosen = assignment.properties.get("resourceSelectors") or []
    facts = {"resourcelocation": cluster.location or "", "resourcetype": cluster.type}
    return not chosen or any(_selected(item.get("selectors") or [], facts) for item in chosen)


def _holds(scope: str, resource_id: str) -> bool:
    return f"{resource_id.lower()}/".startswith(scope.lower().rstrip("/") + "/")


def _selected(selectors: list[dict[str, Any]], facts: dict[str, str]) -> bool:
    for selector in selectors:
        value = facts.get(str(selector.get("kind", "")).lower(), "").lower()
        wanted, unwanted = ({str(item).lower() for item in selector.get(side) or []} for side in ("in", "notIn"))
        if (wanted and value not in wanted) or value in unwanted:
            return False
    return True


def _in_force(exemption: Resource, cluster: Resource) -> bool:
    scope = exemption.id[: -len(f"/providers/{exemption.type}/{exemption.name}")]
    expires = exemption.properties.get("expiresOn")
    if expires:
        end = datetime.datetime.fromisoformat(expires)
        end = end if end.tzinfo else end.replace(tzinfo=datetime.UTC)
        if end <= datetime.datetime.now(datetime.UTC):
            return False
    return _holds(scope, cluster.id)


def _exempts(exemption: Resource, assignment: Resource, reference: str) -> bool:
    if not shapes.same_id(exemption.properties["policyAssignmentId"], assignment.id):
        return False
    references = {item.lower() for item in exemption.properties.get("policyDefinitionReferenceIds") or []}
    return not references or reference.lower() in references


def _of_assignment(store: Store, assignment: Resource) -> Iterator[Constraint]:
    properties = assignment.properties
    definition_id = properties["policyDefinitionId"]
    given = {name: entry.get("value") for name, entry in (properties.get("parameters") or {}).items()}
    enforced = properties.get("enforcementMode", "Default") == "Default"
    initiative = catalog.find(definition_id) or store.get(definition_id)
    if initiative is None:
        return
    if "/policysetdefinitions/" not in definition_id.lower():
        yield from _constraints(assignment.id, [("", definition_id, given)], "", properties, enforced)
        return
    if isinstance(initiative, catalog.BuiltIn):
        declared = initiative.parameters
        held = [(ref, f"/providers/{DEFINITION}/{guid}", passed) for ref, guid, passed in initiative.members]
    else:
        declared = initiative.properties.get("parameters") or {}
        held = [
            (
                str(item.get("policyDefinitionReferenceId") or ""),
                str(item["policyDefinitionId"]),
                {name: entry.get("value") for name, entry in (item.get("parameters") or {}).items()},
            )
            for item in initiative.properties.get("policyDefinitions") or []
        ]
    values = with_defaults(declared, given)
    parts = [
        (ref, member, {name: _resolve(entry, values) for name, entry in passed.items()}) for ref, member, passed in held
    ]
    yield from _constraints(assignment.id, parts, definition_id, properties, enforced)


def _constraints(
    assignment: str,
    parts: Iterable[tuple[str, str, dict[str, Any]]],
    initiative: str,
    properties: dict[str, Any],
    enforced: bool,
) -> Iterator[Constraint]:
    for reference, definition_id, given in parts:
        item = catalog.find(definition_id)
        if item is None or item.id not in checks.TEMPLATES:
            continue
        values = with_defaults(item.parameters, given)
        effect = _overridden(str(values.pop("effect", "Audit")), properties, reference).lower()
        if effect not in ("deny", "audit"):
            continue
        warn = bool(values.pop("warn", False))
        effect = effect if enforced else "audit"
        yield Constraint(assignment, f"/providers/{DEFINITION}/{item.id}", initiative, reference, effect, warn, values)


def _overridden(effect: str, properties: dict[str, Any], reference: str) -> str:
    for override in properties.get("overrides") or []:
        facts = {"policydefinitionreferenceid": reference}
        if override.get("kind", "").lower() == "policyeffect" and _selected(override.get("selectors") or [], facts):
            return str(override.get("value"))
    return effect


def _of_safeguard(safeguard: Resource) -> Iterator[Constraint]:
    """Deployment safeguards: AKS assigns these itself, so that no right to assign policies is needed."""
    properties = safeguard.properties
    enforced = properties["level"] == "Enforce"
    fixed: dict[str, Any] = {
        "effect": "Deny" if enforced else "Audit",
        "warn": not enforced,
        "source": "All",
        "excludedNamespaces": ["azure-extensions-usage-system", *properties["excludedNamespaces"]],
        "namespaces": [],
        "allowedHostPaths": {"paths": []},
        "allowedCapabilities": ["NET_BIND_SERVICE"],
        "requiredDropCapabilities": ["ALL"],
        "requiredProbes": ["readinessProbe", "livenessProbe"],
    }
    level = {"Baseline": members.BASELINE, "Restricted": members.RESTRICTED}
    chosen = [item for item in members.SAFEGUARDS if item[0] in _BEST_PRACTICES]
    chosen += level.get(properties["podSecurityStandardsLevel"], ())
    parts = []
    for reference, guid, passed in chosen:
        known = {name: _resolve(entry, fixed) for name, entry in passed.items() if _known(entry, fixed)}
        parts.append((reference, f"/providers/{DEFINITION}/{guid}", {**known, "warn": fixed["warn"]}))
    initiative = f"/providers/{SET_DEFINITION}/c047ea8e-9c78-49b2-958b-37e56d291a44"
    yield from _constraints(safeguard.id, parts, initiative, {}, True)


def resources(items: Iterable[Constraint]) -> set[tuple[str, str]]:
    """The (API group, resource) pairs that any of the constraints judges, without subresources."""
    return {pair for item in items for pair in item.subject.resources if "/" not in pair[1]}


def _known(entry: Any, values: dict[str, Any]) -> bool:
    found = _PARAMETER.fullmatch(entry) if isinstance(entry, str) else None
    return found is None or found.group(1) in values


def _resolve(entry: Any, values: dict[str, Any]) -> Any:
    """A value, or what `[parameters('x')]` stands for."""
    found = _PARAMETER.fullmatch(entry) if isinstance(entry, str) else None
    return values.get(found.group(1)) if found else entry


def with_defaults(declared: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The values of declared parameters, names compared without case."""
    lower = {name.lower(): value for name, value in given.items()}
    return {
        name: lower[name.lower()] if lower.get(name.lower()) is not None else schema.get("defaultValue")
        for name, schema in declared.items()
    }
