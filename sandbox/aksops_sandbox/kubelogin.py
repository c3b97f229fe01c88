"""What kubectl runs for a token: a stand-in for kubelogin in the sandbox's environment, with the standard library only.

    kubelogin get-token --server-id APPLICATION [...]     prints an ExecCredential
    kubelogin convert-kubeconfig [...]                    nothing to convert: every login mode signs in alike

Whatever login mode a kubeconfig names (`az aks get-credentials` writes the interactive one), it signs in with
AZURE_CLIENT_ID, AZURE_CLIENT_SECRET and AZURE_TENANT_ID through the sandbox's proxy, as `aksops-sandbox env` sets them.
A real kubelogin on PATH comes before it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def install(folder: Path) -> None:
    """Put the command `kubelogin` into a folder that the sandbox's environment has on PATH."""
    command = folder / "kubelogin"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m {__name__} "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands; returns the exit code."""
    parser = argparse.ArgumentParser(prog="kubelogin", description="Stand-in of the sandbox for Azure's kubelogin.")
    commands = parser.add_subparsers(dest="command", required=True)
    token = commands.add_parser("get-token")
    token.add_argument("--server-id", required=True)
    commands.add_parser("convert-kubeconfig")
    chosen, _ = parser.parse_known_args(argv)
    return _get_token(chosen.server_id) if chosen.command == "get-token" else 0


def _get_token(application: str) -> int:
    missing = [name for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET") if name not in os.environ]
    if missing:
        print(f"{', '.join(missing)} not set: run kubectl in the environment of 'aksops-sandbox env'.", file=sys.stderr)
        return 1
    form = {
        "grant_type": "client_credentials",
        "client_id": os.environ["AZURE_CLIENT_ID"],
        "client_secret": os.environ["AZURE_CLIENT_SECRET"],
        "scope": f"{application}/.default",
    }
    url = f"https://login.microsoftonline.com/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    try:
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30) as response:
            answer = json.load(response)
    except (OSError, urllib.error.URLError) as error:
        print(f"No token from {url}: {error}. Is the sandbox up?", file=sys.stderr)
        return 1
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=int(answer["expires_in"]) - 60)
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {
            "token": answer["access_token"],
            "expirationTimestamp": expires.isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
    }
    print(json.dumps(credential))
    return 0


if __name__ == "__main__":
    sys.exit(main())
