"""Microsoft.LoadTestService: Azure Load Testing resources, control plane."""

from __future__ import annotations

from typing import Any

from aksops_sandbox.azure.errors import bad_request
from aksops_sandbox.azure.resource_type import ResourceType
from aksops_sandbox.azure.store import Resource
from aksops_sandbox.services import shapes
from aksops_sandbox.services.base import Service


class LoadTest(ResourceType):
    type = "Microsoft.LoadTestService/loadTests"
    status = "loadtestservice/2022-12-01/loadtests"
    name_pattern = r"^[A-Za-z0-9_-]{1,64}$"

    def prepare(self, ctx: Any, new: Resource, old: Resource | None) -> None:
        if len(new.properties.get("description") or "") > 512:
            raise bad_request(
                "InvalidResourceDescription", "The description of a load test has 512 characters at most."
            )
        key = shapes.dig(new.properties, "encryption.keyUrl")
        if key and not new.body.get("identity"):
            raise bad_request("InvalidEncryption", "A customer-managed key needs a managed identity.")
        host = f"{shapes.guid()}.{new.location}.cnt-prod.loadtesting.azure.com"
        shapes.computed(new, old, dataPlaneURI=host)


class LoadTestService(Service):
    """The resources only: tests and runs belong to the data plane, which is not served."""

    def __init__(self) -> None:
        super().__init__()
        self.resource_types = [LoadTest()]
