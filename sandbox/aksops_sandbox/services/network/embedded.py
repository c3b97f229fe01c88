"""Parents that show their children inside themselves: networks and subnets, NSGs and rules, route tables and routes.

The children are resources of their own; the parent renders them, and a PUT of the parent with the list brings them in
step. A PUT without the list leaves them as they are.
"""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.resource_type import ResourceType, stamp
from aksops_sandbox.azure.store import Resource


class EmbeddedChild(ResourceType):
    """A child that its parent renders. `validate` sees the parent and the siblings as they will be."""

    tracked = False
    etag = True

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        parent_id = new.id.rsplit("/", 2)[0]
        parent = ctx.store.get(parent_id)
        siblings = [
            other for other in ctx.store.list(type=self.type, prefix=parent_id) if other.id.lower() != new.id.lower()
        ]
        self.validate(ctx, new, old, parent, siblings)

    def validate(
        self, ctx: Any, new: Resource, old: Resource | None, parent: Resource, siblings: list[Resource]
    ) -> None:
        """Fill defaults and refuse what Azure refuses."""


class EmbeddingParent(ResourceType):
    """A parent with one property that lists its children."""

    etag = True
    child: EmbeddedChild
    field: str

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        listed = new.properties.pop(self.field, None)
        self.validate(ctx, new, old)
        present = {child.id.lower(): child for child in ctx.store.list(type=self.child.type, prefix=new.id)}
        if listed is None:
            wanted = {key: child.copy() for key, child in present.items()}
        else:
            wanted = {child.id.lower(): child for child in (self._child(new, entry) for entry in listed)}
            if len(wanted) != len(listed):
                raise bad_request("DuplicateResourceName", f"'{self.field}' of {new.name} names an entry twice.")
        for key in present.keys() - wanted.keys():
            self.child.remove(ctx, present[key])
        for key, child in wanted.items():
            siblings = [other for other_key, other in wanted.items() if other_key != key]
            self.child.validate(ctx, child, present.get(key), new, siblings)
        if listed is not None:
            for key in present.keys() - wanted.keys():
                ctx.store.delete(key)
            for key, child in wanted.items():
                child.internal = present[key].internal if key in present else {}
                child.properties["provisioningState"] = "Succeeded"
                stamp(child)
                ctx.store.put(child)

    def _child(self, parent: Resource, entry: dict[str, Any]) -> Resource:
        name = entry.get("name")
        if not name:
            raise bad_request("InvalidRequestFormat", f"An entry of '{self.field}' of {parent.name} has no name.")
        kind = self.child.type.rsplit("/", 1)[1]
        properties = dict(entry.get("properties") or {})
        return Resource(f"{parent.id}/{kind}/{name}", name, self.child.type, properties=properties)

    def validate(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        """Fill defaults and refuse what Azure refuses in the parent itself."""

    def render(self, ctx: Any, resource: Resource) -> dict[str, Any]:
        shown = super().render(ctx, resource)
        shown["properties"] = dict(resource.properties)
        children = ctx.store.list(type=self.child.type, prefix=resource.id)
        shown["properties"][self.field] = [self.child.render(ctx, child) for child in children]
        return shown
