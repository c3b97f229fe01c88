"""The floor: the fewest requests that seeding needs, from a bare script with 8 threads, without any checks.

`keyvault_floor.py <vault host> <count> write|read`. Prints the seconds from the first request to the vault to the last
answer; the access token is fetched before, as the module's figure counts it.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

THREADS = 8
BURST, RATE = 300, 30.0
VERSION = "api-version=7.6"


class Pace:
    """The allowed rate: 300 writes at once, refilled at 30 a second."""

    def __init__(self) -> None:
        self._level, self._seen, self._lock = float(BURST), time.monotonic(), threading.Lock()

    def take(self) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                self._level = min(BURST, self._level + (now - self._seen) * RATE)
                self._seen = now
                if self._level >= 1:
                    self._level -= 1
                    return
            time.sleep(0.01)


def connect(host: str, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    proxy = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    connection = http.client.HTTPSConnection(proxy.hostname or "", proxy.port, context=context)
    connection.set_tunnel(host, 443)
    return connection


def main() -> None:
    host, count, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    form = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": os.environ["AZURE_CLIENT_ID"],
            "client_secret": os.environ["AZURE_CLIENT_SECRET"],
            "scope": "https://vault.azure.net/.default",
        }
    )
    login = connect("login.microsoftonline.com", context)
    path = f"/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    login.request("POST", path, form, {"Content-Type": "application/x-www-form-urlencoded"})
    token = json.loads(login.getresponse().read())["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    local = threading.local()
    pace = Pace()

    def send(method: str, target: str, body: str | None = None) -> dict:
        if not hasattr(local, "connection"):
            local.connection = connect(host, context)
        local.connection.request(method, target, body, headers)
        answer = local.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"{method} {target}: HTTP {answer.status}")
        return content

    def write(number: int) -> None:
        pace.take()
        send("PUT", f"/secrets/s-{number}?{VERSION}", json.dumps({"value": f"value-of-secret-{number}"}))

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        page = f"/secrets?{VERSION}&maxresults=25"
        while page:
            link = send("GET", page).get("nextLink")
            page = link.split(":443", 1)[1] if link else ""
        if mode == "write":
            list(pool.map(write, range(count)))
        else:
            list(pool.map(lambda number: send("GET", f"/secrets/s-{number}/?{VERSION}"), range(count)))
    print(f"{time.perf_counter() - start:.3f}")


main()
