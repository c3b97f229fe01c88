"""Azure resource ids, parsed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceId:
    """An ARM path below management.azure.com, taken apart.

    `scope` is what stands before the last `/providers/`: '' (tenant), a subscription, a resource group or another
    resource. `names` is one shorter than `types` where the path names a collection or an action.
    """

    scope: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def type(self) -> str:
        """The full type, for example `Microsoft.Network/virtualNetworks/subnets`."""
        return "/".join((self.namespace, *self.types))

    @property
    def is_collection(self) -> bool:
        """True where the last type has no name: a list, or a POST action."""
        return len(self.types) > len(self.names)

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def parent(self) -> str:
        """The id of the resource that holds this one: the parent resource, else the scope."""
        if len(self.types) == 1:
            return self.scope
        pairs = zip(self.types[:-1], self.names, strict=False)
        return f"{self.scope}/providers/{self.namespace}/" + "/".join(f"{t}/{n}" for t, n in pairs)

    @property
    def subscription(self) -> str:
        parts = self.scope.strip("/").split("/")
        return parts[1] if len(parts) > 1 and parts[0].lower() == "subscriptions" else ""

    @property
    def resource_group(self) -> str:
        parts = self.scope.strip("/").split("/")
        return parts[3] if len(parts) > 3 and parts[2].lower() == "resourcegroups" else ""

    def __str__(self) -> str:
        text = f"{self.scope}/providers/{self.namespace}"
        for position, kind in enumerate(self.types):
            text += f"/{kind}"
            if position < len(self.names):
                text += f"/{self.names[position]}"
        return text


def parse(path: str) -> ResourceId | None:
    """The ResourceId of a path that holds `/providers/`, else None."""
    path = "/" + path.strip("/")
    index = path.lower().rfind("/providers/")
    if index < 0:
        return None
    parts = path[index + len("/providers/") :].split("/")
    if len(parts) < 2:
        return None
    return ResourceId(path[:index], parts[0], tuple(parts[1::2]), tuple(parts[2::2]))


def resource_group_id(resource_id: str) -> str:
    """`/subscriptions/S/resourceGroups/G` of any id inside a resource group, '' where there is none."""
    parts = resource_id.strip("/").split("/")
    if len(parts) >= 4 and parts[0].lower() == "subscriptions" and parts[2].lower() == "resourcegroups":
        return "/" + "/".join(parts[:4])
    return ""


def last_name(resource_id: str) -> str:
    """The last segment of an id."""
    return resource_id.rstrip("/").rsplit("/", 1)[-1]
