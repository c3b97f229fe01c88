"""What every emulated service offers to the router."""

from __future__ import annotations

from collections.abc import Callable
from re import Match
from typing import TYPE_CHECKING

from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.http.message import Request, Response

if TYPE_CHECKING:
    from aksops_sandbox.sandbox import Sandbox

HostHandler = Callable[["Sandbox", Request], Response]
ArmHandler = Callable[["Sandbox", Request, Match[str]], Response]


class Service:
    """One Azure service.

    Attributes:
        resource_types: its ARM types, answered generically with their hooks.
        arm_routes: (method, regular expression on the whole path, handler) for ARM paths that are no plain resources;
            they are asked first.
        hosts: (regular expression on the whole host name, handler) for data planes.
    """

    resource_types: list[ResourceType]
    arm_routes: list[tuple[str, str, ArmHandler]]
    hosts: list[tuple[str, HostHandler]]

    def __init__(self) -> None:
        self.resource_types = []
        self.arm_routes = []
        self.hosts = []

    def start(self, ctx: Sandbox) -> None:
        """Start the engines of what the store holds; called once, before the first request."""

    def stop(self, ctx: Sandbox) -> None:
        """Stop them; called once, at the end."""
