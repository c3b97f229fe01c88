"""Long-running operations: work in the background, polled by the client through Azure-AsyncOperation or Location."""

from __future__ import annotations

import datetime
import threading
import traceback
import uuid
from collections.abc import Callable
from typing import Any

from aksops_sandbox.azure.errors import AzureError
from aksops_sandbox.azure.store import Store
from aksops_sandbox.http.message import Request, Response

_HOST = "https://management.azure.com"


class Operations:
    """The operations of one sandbox. They are kept in the store; one that a stop cut off is reported as Failed."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("operations")
        for key, operation in list(self._table.items()):
            if operation["status"] == "InProgress":
                error = {"code": "OperationPreempted", "message": "The sandbox was stopped during this operation."}
                self._table[key] = {**operation, "status": "Failed", "error": error}

    def start(self, subscription: str, namespace: str, location: str, resource_id: str, work: Callable[[], Any]) -> str:
        """Run `work` in the background; returns the operation's path. AzureError from `work` becomes its error."""
        name = str(uuid.uuid4())
        path = f"/subscriptions/{subscription}/providers/{namespace}/locations/{location}/operationStatuses/{name}"
        record = {"id": path, "name": name, "status": "InProgress", "startTime": _now(), "resourceId": resource_id}
        self._table[name] = record
        threading.Thread(target=self._run, args=(name, record, work), name=f"operation {name}", daemon=True).start()
        return path

    def _run(self, name: str, record: dict[str, Any], work: Callable[[], Any]) -> None:
        try:
            result = work()
            end: dict[str, Any] = {"status": "Succeeded", "percentComplete": 100}
            if isinstance(result, dict):
                end["properties"] = result
        except AzureError as error:
            end = {"status": "Failed", **error.body()}
        except Exception as error:  # the client must learn of every failure of the work
            traceback.print_exc()
            end = {"status": "Failed", "error": {"code": "InternalServerError", "message": f"{error}"}}
        self._table[name] = {**record, **end, "endTime": _now()}

    def headers(self, path: str, request: Request) -> dict[str, str]:
        """The response headers that lead a client to an operation."""
        version = request.api_version
        return {
            "Azure-AsyncOperation": f"{_HOST}{path}?api-version={version}",
            "Location": f"{_HOST}{path.replace('/operationStatuses/', '/operationResults/')}?api-version={version}",
            **retry_after(request),
        }

    def outcome(self, name: str) -> tuple[str, float] | None:
        """How an operation has ended (`Succeeded`, `Failed`) and when; None while it runs."""
        operation = self._table.get(name)
        if operation is None or operation["status"] == "InProgress":
            return None
        ended = operation.get("endTime") or operation["startTime"]
        return operation["status"], datetime.datetime.fromisoformat(ended).timestamp()

    def answer(self, request: Request, name: str, *, result: bool, render: Callable[[str], Response]) -> Response:
        """Answer a poll of an operation's status, or of its result (which is the resource itself)."""
        operation = self._table.get(name)
        if operation is None:
            raise AzureError(404, "OperationNotFound", f"There is no operation '{name}'.")
        pending = operation["status"] == "InProgress"
        if result and pending:
            location = f"{_HOST}{request.path}?api-version={request.api_version}"
            return Response.json(202, {}, {"Location": location, **retry_after(request)})
        if result and operation["status"] == "Failed":
            return Response.json(400, {"error": operation["error"]})
        if result:
            return render(operation["resourceId"])
        return Response.json(200, operation, retry_after(request) if pending else None)


def retry_after(request: Request) -> dict[str, str]:
    """`Retry-After` in seconds: Go takes 0 as 'at once', Python pollers would wait 30 s for it."""
    return {"Retry-After": "0" if request.is_go_client else "1"}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
