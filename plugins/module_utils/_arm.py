# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of Azure Resource Manager. FOR INTERNAL COLLECTION USE ONLY: may change in any release.

It speaks JSON, names resources by their id (a path without host), retries what is safe to retry, honours Retry-After
and follows long-running operations to their end. The SDK is imported when the first request is made.
"""

from __future__ import annotations

import json
import threading
import typing as t
from urllib.parse import urlsplit

from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    ArmError,
    missing_library,
    one_sentence,
)
from ansible_collections.aksops.platform.plugins.module_utils._waiter import Progress, WaitTimeoutError, poll

VERSION = "0.1.0"
USER_AGENT = f"aksops.platform/{VERSION}"

#: Provisioning states after which a resource or an operation does not change any more.
TERMINAL = ("succeeded", "failed", "canceled", "cancelled")

#: Codes of a 404 that say the question is wrong rather than that the resource is absent.
WRONG_QUESTION = ("SubscriptionNotFound", "InvalidSubscriptionId", "InvalidResourceType", "TenantNotFound")

#: Seconds between two looks at an operation for which the service names no pause of its own.
POLL_SECONDS = 5.0


class Answer(t.NamedTuple):
    """An HTTP answer of ARM: status, headers (lower-case keys) and the parsed body (empty where there is none)."""

    status: int
    headers: dict[str, str]
    body: dict[str, t.Any]


class ArmClient:
    """Reads and writes resources by id; every write waits for the operation that it started.

    :param credential: anything with get_token(*scopes).
    :param endpoint: address of ARM without a trailing slash, or of a data plane that speaks as ARM does (Key Vault).
    :param scope: what the token is for; the endpoint's own by default.
    :param timeout: seconds that one long-running operation may take.
    :param progress: gets one sentence before every pause of a wait.
    :param sender: C((method, url, headers, body) -> Answer) in place of the SDK's pipeline, for tests.
    """

    def __init__(
        self,
        credential: t.Any,
        *,
        user_agent: str = USER_AGENT,
        endpoint: str = _auth.CLOUDS["AzureCloud"][1],
        scope: str | None = None,
        timeout: float = 3600,
        progress: Progress | None = None,
        sender: t.Callable[[str, str, dict[str, str], t.Any], Answer] | None = None,
    ) -> None:
        self._credential = credential
        self._user_agent = user_agent
        self._endpoint = endpoint.rstrip("/")
        self._scope = scope or f"{self._endpoint}/.default"
        self._timeout = timeout
        self._progress = progress
        self._send = sender or self._send_by_sdk
        self._pipeline: t.Any = None
        self._making = threading.Lock()

    def __repr__(self) -> str:
        return f"ArmClient(endpoint={self._endpoint!r})"

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def get(self, path: str, api_version: str) -> dict[str, t.Any] | None:
        """Return the resource, or None where it, its parent or its resource group does not exist.

        :raises ArmError: any other error.
        """
        answer = self._send("GET", self._url(path, api_version), {}, None)
        if answer.status == 404 and _error_of(answer)[0] not in WRONG_QUESTION:
            return None
        return self._checked("GET", path, answer).body

    def list(self, path: str, api_version: str) -> list[dict[str, t.Any]]:
        """Return all items of a collection, following nextLink; an absent collection is an empty list."""
        items: list[dict[str, t.Any]] = []
        url: str | None = self._url(path, api_version)
        while url:
            answer = self._send("GET", self._own(url), {}, None)
            if answer.status == 404 and _error_of(answer)[0] not in WRONG_QUESTION:
                return items
            body = self._checked("GET", path, answer).body
            items.extend(body.get("value") or [])
            url = body.get("nextLink")
        return items

    def put(
        self, path: str, api_version: str, body: t.Any, etag: str | None = None, *, wait: bool = True
    ) -> dict[str, t.Any]:
        """Create or replace the resource and return it as it is when the operation has ended.

        :param etag: sent as If-Match; C(*) means that it must exist.
        :param wait: False returns the first answer's body, while the operation goes on.
        :raises ArmError: refused, or the operation failed. Status 412 means that another writer came first.
        """
        return self._write("PUT", path, api_version, body, etag, wait)

    def patch(
        self, path: str, api_version: str, body: t.Any, etag: str | None = None, *, wait: bool = True
    ) -> dict[str, t.Any]:
        """Change parts of the resource; see C(put)."""
        return self._write("PATCH", path, api_version, body, etag, wait)

    def post(self, path: str, api_version: str, body: t.Any = None) -> dict[str, t.Any]:
        """Call an action and return its result (an empty dict where it has none)."""
        answer = self._checked("POST", path, self._send("POST", self._url(path, api_version), {}, body))
        return self._finish("POST", path, api_version, answer)

    def delete(self, path: str, api_version: str, etag: str | None = None) -> bool:
        """Delete the resource and wait until it is gone; False where there was none."""
        headers = {"If-Match": etag} if etag else {}
        answer = self._send("DELETE", self._url(path, api_version), headers, None)
        if answer.status == 204 or (answer.status == 404 and _error_of(answer)[0] not in WRONG_QUESTION):
            return False
        self._finish("DELETE", path, api_version, self._checked("DELETE", path, answer))
        return True

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write(
        self, method: str, path: str, api_version: str, body: t.Any, etag: str | None, wait: bool
    ) -> dict[str, t.Any]:
        headers = {"If-Match": etag} if etag else {}
        answer = self._send(method, self._url(path, api_version), headers, body)
        self._checked(method, path, answer)
        return self._finish(method, path, api_version, answer) if wait else answer.body

    def _finish(self, method: str, path: str, api_version: str, answer: Answer) -> dict[str, t.Any]:
        """Follow the operation that C(answer) started and return what the verb is to return."""
        operation = answer.headers.get("azure-asyncoperation")
        location = answer.headers.get("location")
        if answer.status in (201, 202, 200) and operation:
            last = self._follow(method, path, operation, answer)
            if method in ("PUT", "PATCH"):
                return self.get(path, api_version) or {}
            if method == "POST":
                if location:
                    return self._follow_location(method, path, location, answer)
                return (last.get("properties") or {}).get("output") or last.get("output") or {}
            return {}
        if answer.status == 202 and location:
            result = self._follow_location(method, path, location, answer)
            return self.get(path, api_version) or {} if method in ("PUT", "PATCH") else result
        if method in ("PUT", "PATCH") and not _ended(_state_of(answer.body)):
            return self._follow_resource(method, path, api_version, answer)
        return answer.body

    def _follow(self, method: str, path: str, url: str, first: Answer) -> dict[str, t.Any]:
        """Poll an Azure-AsyncOperation address until the operation has ended; raise what it failed with."""
        url = self._own(url)
        latest = [first]

        def check() -> tuple[bool, str]:
            answer = self._checked("GET", path, self._send("GET", url, {}, None))
            latest[0] = answer
            state = str(answer.body.get("status") or ("InProgress" if answer.status == 202 else "Succeeded"))
            return _ended(state), state

        state = self._poll(check, path, latest)
        answer = latest[0]
        if state.lower() != "succeeded":
            raise _operation_error(method, path, state, answer)
        return answer.body

    def _follow_location(self, method: str, path: str, url: str, first: Answer) -> dict[str, t.Any]:
        """Poll a Location address until it answers with something else than 202."""
        url = self._own(url)
        latest = [first]

        def check() -> tuple[bool, str]:
            answer = self._send("GET", url, {}, None)
            latest[0] = answer
            if answer.status == 404 and method == "DELETE":
                return True, "gone"
            self._checked("GET", path, answer)
            return answer.status != 202, f"HTTP {answer.status}"

        self._poll(check, path, latest)
        return latest[0].body

    def _follow_resource(self, method: str, path: str, api_version: str, first: Answer) -> dict[str, t.Any]:
        """Poll the resource itself until its provisioningState is final."""
        latest = [first]

        def check() -> tuple[bool, str]:
            answer = self._checked("GET", path, self._send("GET", self._url(path, api_version), {}, None))
            latest[0] = answer
            state = _state_of(answer.body)
            return _ended(state), state

        state = self._poll(check, path, latest)
        if state.lower() not in ("", "succeeded"):
            raise _operation_error(method, path, state, latest[0])
        return latest[0].body

    def _poll(self, check: t.Callable[[], tuple[bool, str]], path: str, latest: list[Answer]) -> str:
        def pause(_state: str) -> float:
            return _retry_after(latest[0])

        name = "/".join(path.strip("/").split("/")[-2:])
        try:
            return poll(check, timeout=self._timeout, interval=pause, describe=name, progress=self._progress)
        except WaitTimeoutError as error:
            raise WaitTimeoutError(f"{path}: {error}", **error.details) from None

    # -- transport -----------------------------------------------------------------------------------------------------

    def _url(self, path: str, api_version: str) -> str:
        if not path.startswith("/"):
            raise AksPlatformError(f"{path!r} is not an Azure resource id: it must start with a slash.")
        return f"{self._endpoint}{path}{'&' if '?' in path else '?'}api-version={api_version}"

    def _own(self, url: str) -> str:
        """Refuse an address outside ARM, so that the token goes nowhere else."""
        host = urlsplit(url).hostname or ""
        own = urlsplit(self._endpoint).hostname or ""
        if urlsplit(url).scheme != "https" or not (host == own or host.endswith(f".{own}")):
            raise AksPlatformError(
                f"The service pointed to {host or url!r}, which is not {own}; the token is not sent there."
            )
        return url

    def _checked(self, method: str, path: str, answer: Answer) -> Answer:
        if answer.status < 400:
            return answer
        code, message = _error_of(answer)
        raise ArmError(
            status=answer.status,
            code=code,
            message=message,
            method=method,
            path=path,
            request_id=_request_id(answer),
        )

    def _send_by_sdk(self, method: str, url: str, headers: dict[str, str], body: t.Any) -> Answer:
        with self._making:
            if self._pipeline is None:
                self._pipeline = _pipeline(self._credential, self._endpoint, self._scope, self._user_agent)
        from azure.core.exceptions import AzureError
        from azure.core.rest import HttpRequest

        request = HttpRequest(method, url, headers={"Accept": "application/json", **headers}, json=body)
        try:
            response = self._pipeline.send_request(request)
            text = response.text()
        except AzureError as error:
            host = urlsplit(url).hostname
            raise AksPlatformError(
                f"{method} {urlsplit(url).path}: {host} did not answer: {one_sentence(str(error), 300)}; "
                "check the network, the proxy and the CA bundle."
            ) from None
        try:
            parsed = json.loads(text) if text.strip() else {}
        except ValueError:
            parsed = {"error": {"code": "NotJson", "message": one_sentence(text, 200)}}
        lower = {key.lower(): value for key, value in response.headers.items()}
        return Answer(response.status_code, lower, parsed if isinstance(parsed, dict) else {"value": parsed})


def _pipeline(credential: t.Any, endpoint: str, scope: str, user_agent: str) -> t.Any:
    try:
        from azure.core.pipeline import policies
        from azure.mgmt.core import ARMPipelineClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
    except ImportError as error:
        raise missing_library("azure-mgmt-core", error) from None
    from ansible_collections.aksops.platform.plugins.module_utils._https import sdk_transport

    # No ARMAutoResourceProviderRegistrationPolicy: providers belong to the subscription's owner, not to a run.
    return ARMPipelineClient(
        endpoint,
        # An address that swallows packets is told within a minute, not after the SDK's half an hour.
        transport=sdk_transport(connection_timeout=10, read_timeout=120),
        policies=[
            policies.RequestIdPolicy(),
            policies.UserAgentPolicy(base_user_agent=user_agent),
            # Its own limit for answers is three: too few where a busy subscription is throttled for a minute.
            policies.RetryPolicy(
                retry_total=10, retry_status=10, retry_connect=3, retry_backoff_factor=0.8, retry_backoff_max=30
            ),
            ARMChallengeAuthenticationPolicy(credential, scope),
        ],
    )


def client(
    params: t.Mapping[str, t.Any],
    environ: t.Mapping[str, str] | None = None,
    *,
    timeout: float = 3600,
    progress: Progress | None = None,
) -> ArmClient:
    """Return the client that the options of C(_auth.AUTH_ARG_SPEC) describe; no request is made yet."""
    return ArmClient(
        _auth.credential(params, environ),
        endpoint=_auth.arm_endpoint(params),
        timeout=timeout,
        progress=progress,
    )


def _ended(state: str) -> bool:
    return not state or state.lower() in TERMINAL


def _state_of(body: dict[str, t.Any]) -> str:
    properties = body.get("properties")
    return str((properties if isinstance(properties, dict) else {}).get("provisioningState") or "")


def _retry_after(answer: Answer) -> float:
    try:
        return max(0.0, min(60.0, float(answer.headers["retry-after"])))
    except (KeyError, ValueError):
        return POLL_SECONDS


def _request_id(answer: Answer) -> str | None:
    return answer.headers.get("x-ms-request-id") or answer.headers.get("x-ms-correlation-request-id")


def _error_of(answer: Answer) -> tuple[str, str]:
    """Return code and message of an error body; ARM nests them below C(error), some services do not."""
    error = answer.body.get("error")
    if not isinstance(error, dict):
        error = answer.body
    code = str(error.get("code") or f"Http{answer.status}")
    message = str(error.get("message") or "")
    details = [str(item.get("message")) for item in error.get("details") or [] if item.get("message")]
    fresh = [text for text in details if text not in message]
    return code, " ".join([message, *fresh[:3]]).strip()


def _operation_error(method: str, path: str, state: str, answer: Answer) -> ArmError:
    code, message = _error_of(answer)
    if code.startswith("Http"):
        code = f"Operation{state.capitalize()}"
    return ArmError(
        status=0,
        code=code,
        message=message or f"the operation ended as {state}",
        method=method,
        path=path,
        request_id=_request_id(answer),
    )
