"""The environment that leads any client to a sandbox: proxy, CA, credentials, tools, cluster and database addresses."""

from __future__ import annotations

import os
import shlex

from aksops_sandbox.azure.network_access import NetworkAccess
from aksops_sandbox.settings import Home, Principals, read_json
from aksops_sandbox.tools import ToolMissingError, Tools

_CA = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)
_SAVED = "AKSOPS_SAVED_"
_WAS_UNSET = "__aksops_unset__"


def variables(home: Home, vantage: str = "inside", account: str = "operator") -> dict[str, str]:
    """All variables that clients need, by name. Raises SystemExit where the sandbox is not up."""
    state = read_json(home.state)
    if state is None:
        raise SystemExit(f"No sandbox is up in {home.path}: start one with 'aksops-sandbox --home {home.path} up'.")
    principals = Principals.load(home.principals)
    who = principals.account(account)
    proxy = f"http://127.0.0.1:{state['ports'][vantage]}"
    bundle = str(home.path / "pki" / "bundle.pem")
    tools = Tools()
    result = {
        "AKSOPS_SANDBOX_HOME": str(home.path),
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
        **dict.fromkeys(("HTTP_PROXY", "http_proxy"), proxy),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost,::1"),
        **dict.fromkeys(_CA, bundle),
        "ARM_SUBSCRIPTION_ID": principals.subscription_id,
        "ARM_TENANT_ID": principals.tenant_id,
        "ARM_CLIENT_ID": who.client_id,
        "ARM_CLIENT_SECRET": who.client_secret,
        "AZURE_SUBSCRIPTION_ID": principals.subscription_id,
        "AZURE_TENANT_ID": principals.tenant_id,
        "AZURE_TENANT": principals.tenant_id,
        "AZURE_CLIENT_ID": who.client_id,
        "AZURE_CLIENT_SECRET": who.client_secret,
        "AZURE_SECRET": who.client_secret,
        "AZURE_CONFIG_DIR": str(home.path / "azure-cli"),
        "AKSOPS_PRINCIPAL_ID": who.object_id,
        "AKSOPS_CALLER_ADDRESS": NetworkAccess.inside_address if vantage == "inside" else NetworkAccess.outside_address,
        "AKSOPS_OPERATOR_IDS": ",".join(item.object_id for item in principals.accounts if item.name != "reader"),
        "GO_AZURE_SDK_SKIP_POLLING_DELAY": "true",
        "CHECKPOINT_DISABLE": "1",
        "KUBECONFIG": str(home.path / "kubeconfig"),
        "PATH": _path(home, tools),
        **_terraform(tools),
        **_of_vantage(state["environment"], vantage),
    }
    return {name: value for name, value in result.items() if value}


def _path(home: Home, tools: Tools) -> str:
    """The built tools first; the stand-in for kubelogin last, so that a real one is used where there is one."""
    built = [str(folder) for folder in tools.bin_folders()]
    return os.pathsep.join([*built, os.environ.get("PATH", ""), str(home.path / "bin")])


def _of_vantage(added: dict[str, str], vantage: str) -> dict[str, str]:
    """What services added; a name such as `PGHOSTADDR@outside` counts for that vantage only, not the plain one."""
    plain = {name: value for name, value in added.items() if "@" not in name}
    own = {name.split("@")[0]: value for name, value in added.items() if name.endswith(f"@{vantage}")}
    return plain | own


def _terraform(tools: Tools) -> dict[str, str]:
    """Terraform finds the built provider through its CLI configuration; without one it asks its registry."""
    try:
        return {"TF_CLI_CONFIG_FILE": str(tools.terraform_config())}
    except ToolMissingError:
        return {}


def child(home: Home, vantage: str, account: str) -> dict[str, str]:
    """A whole process environment for `exec`."""
    return {**os.environ, **variables(home, vantage, account)}


def exports(home: Home, vantage: str, account: str) -> str:
    """Shell exports; what they replace is kept in variables of its own, so that `--unset` restores it."""
    lines = []
    for name, value in variables(home, vantage, account).items():
        if f"{_SAVED}{name}" not in os.environ:
            lines.append(f"export {_SAVED}{name}={shlex.quote(os.environ.get(name, _WAS_UNSET))}")
        lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join(lines)


def restores() -> str:
    """Shell commands that undo `exports`."""
    lines = []
    for saved, value in sorted(os.environ.items()):
        if not saved.startswith(_SAVED):
            continue
        name = saved.removeprefix(_SAVED)
        lines.append(f"unset {name}" if value == _WAS_UNSET else f"export {name}={shlex.quote(value)}")
        lines.append(f"unset {saved}")
    return "\n".join(lines)
