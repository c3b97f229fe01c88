"""A plain HTTPS client of a sandbox, for contract tests and whole playbooks."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from aksops_sandbox.environment import variables
from aksops_sandbox.settings import Home

ARM = "https://management.azure.com"


@dataclass
class Answer:
    """A whole answer, refusals included."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> str:
        """The error code of a refusal, '' of any other answer."""
        content = self.json
        return content.get("error", {}).get("code", "") if isinstance(content, dict) else ""


class Client:
    """Asks a sandbox as one account from one vantage, with nothing but urllib."""

    def __init__(self, home: Home, vantage: str = "inside", account: str = "operator") -> None:
        self.env = variables(home, vantage, account)
        self.subscription = f"/subscriptions/{self.env['ARM_SUBSCRIPTION_ID']}"
        context = ssl.create_default_context(cafile=self.env["SSL_CERT_FILE"])
        proxy = urllib.request.ProxyHandler({"https": self.env["HTTPS_PROXY"]})
        self._opener = urllib.request.build_opener(proxy, urllib.request.HTTPSHandler(context=context))
        self._tokens: dict[str, str] = {}

    def send(self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request, as it is."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        known = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(url, data, {**known, **(headers or {})}, method=method)
        try:
            with self._opener.open(request, timeout=60) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def token(self, audience: str = ARM) -> str:
        """An access token for an audience, kept."""
        if audience not in self._tokens:
            form = urllib.parse.urlencode(
                {
                    "grant_type": "client_credentials",
                    "client_id": self.env["ARM_CLIENT_ID"],
                    "client_secret": self.env["ARM_CLIENT_SECRET"],
                    "scope": f"{audience}/.default",
                }
            )
            url = f"https://login.microsoftonline.com/{self.env['ARM_TENANT_ID']}/oauth2/v2.0/token"
            self._tokens[audience] = self.send("POST", url, form.encode()).json["access_token"]
        return self._tokens[audience]

    def arm(self, method: str, path: str, version: str, body: Any = None, wait: bool = True) -> Answer:
        """A request to ARM; `path` may leave the subscription out. Waits for the end of a long-running operation."""
        full = path if path.startswith("/subscriptions/") else f"{self.subscription}{path}"
        separator = "&" if "?" in full else "?"
        url = f"{ARM}{urllib.parse.quote(full, safe='/?&=$+%')}{separator}api-version={version}"
        answer = self.bearer(method, url, body)
        status = answer.headers.get("Azure-AsyncOperation") or answer.headers.get("Azure-Asyncoperation")
        if not (wait and status):
            return answer
        end = time.monotonic() + 120
        while time.monotonic() < end:
            poll = self.bearer("GET", status)
            if poll.json["status"] == "Failed":
                return Answer(400, poll.headers, poll.body)
            if poll.json["status"] == "Succeeded":
                return answer if method == "DELETE" else self.bearer("GET", url)
            time.sleep(0.1)
        raise TimeoutError(f"{method} {path} did not end in 120 s")

    def bearer(self, method: str, url: str, body: Any = None, audience: str = ARM) -> Answer:
        """A request with a token for an audience."""
        return self.send(method, url, body, {"Authorization": f"Bearer {self.token(audience)}"})

    def group(self, name: str) -> str:
        """Make a resource group; returns its path below the subscription."""
        assert self.arm("PUT", f"/resourceGroups/{name}", "2023-07-01", {"location": "westeurope"}).status in {200, 201}
        return f"/resourceGroups/{name}"
