# Copyright (c) The aksops.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One mapping from options and environment to an Azure credential.

FOR INTERNAL COLLECTION USE ONLY: may change in any release.

Options win over the environment. Of each setting the environment may hold any of three families of names: AZURE_*
(Azure SDKs), ARM_* (Terraform) and those that AWX injects (AZURE_TENANT, AZURE_SECRET). Nothing is probed on the
network to find out which credential there is; the instance metadata service is asked only when the caller says so.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.aksops.platform.plugins.module_utils._errors import (
    AksPlatformError,
    missing_library,
    one_sentence,
)

AUTH_SOURCES = ["auto", "client_secret", "certificate", "workload_identity", "managed_identity", "cli"]

AUTH_ARG_SPEC: dict[str, dict[str, t.Any]] = {
    "auth_source": {"type": "str", "choices": AUTH_SOURCES, "default": "auto"},
    "subscription_id": {"type": "str"},
    "tenant_id": {"type": "str"},
    "client_id": {"type": "str"},
    "client_secret": {"type": "str", "no_log": True},
    "client_certificate_path": {"type": "path"},
    "client_certificate_password": {"type": "str", "no_log": True},
    "federated_token_file": {"type": "path", "no_log": False},
    "cloud": {
        "type": "str",
        "choices": ["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"],
        "default": "AzureCloud",
    },
}

#: Environment names of each setting, the most specific first.
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "subscription_id": ("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID"),
    "tenant_id": ("AZURE_TENANT_ID", "ARM_TENANT_ID", "AZURE_TENANT"),
    "client_id": ("AZURE_CLIENT_ID", "ARM_CLIENT_ID"),
    "client_secret": ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "AZURE_SECRET"),
    "client_secret_file": ("ARM_CLIENT_SECRET_FILE_PATH",),
    "client_certificate_path": ("AZURE_CLIENT_CERTIFICATE_PATH", "ARM_CLIENT_CERTIFICATE_PATH"),
    "client_certificate_password": ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "ARM_CLIENT_CERTIFICATE_PASSWORD"),
    "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE", "ARM_OIDC_TOKEN_FILE_PATH"),
    "federated_token": ("AZURE_FEDERATED_TOKEN", "ARM_OIDC_TOKEN"),
    "oidc_request_url": ("ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"),
    "oidc_request_token": ("ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
}

#: cloud -> (authority host, Azure Resource Manager endpoint)
CLOUDS: dict[str, tuple[str, str]] = {
    "AzureCloud": ("login.microsoftonline.com", "https://management.azure.com"),
    "AzureUSGovernment": ("login.microsoftonline.us", "https://management.usgovcloudapi.net"),
    "AzureChinaCloud": ("login.partner.microsoftonline.cn", "https://management.chinacloudapi.cn"),
}

#: What a federated token is called when it is exchanged.
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: What a federated token must have been issued for to be exchanged by Entra.
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"


class AccessToken(t.NamedTuple):
    """What azure-core expects of a credential: the token and its expiry in seconds since the epoch."""

    token: str
    expires_on: int

    def __repr__(self) -> str:
        return f"AccessToken(expires_on={self.expires_on})"


class Credential:
    """A TokenCredential whose repr and errors never show what it holds.

    C(source) says which kind it is (for messages); the SDK's object is made at the first token.
    """

    def __init__(self, source: str, factory: t.Callable[[], t.Any]) -> None:
        self.source = source
        self._factory = factory
        self._inner: t.Any = None

    def __repr__(self) -> str:
        return f"Credential(source={self.source!r})"

    def get_token(self, *scopes: str, **kwargs: t.Any) -> AccessToken:
        """Return a token for C(scopes).

        :raises AksPlatformError: Entra refused, or the SDK is missing; the sentence names the kind of credential.
        """
        if self._inner is None:
            self._inner = self._factory()
        try:
            token = self._inner.get_token(*scopes, **kwargs)
        except AksPlatformError:
            raise
        except Exception as error:
            reason = one_sentence(getattr(error, "message", None) or str(error), 400)
            raise AksPlatformError(
                f"No token for {' '.join(scopes)} by {self.source}: {reason}", auth_source=self.source
            ) from None
        return AccessToken(token.token, int(token.expires_on))


def _setting(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], name: str) -> str | None:
    value = params.get(name)
    if value:
        return str(value)
    for variable in ENVIRONMENT[name]:
        if environ.get(variable):
            return environ[variable]
    return None


def _flag(environ: t.Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in ("1", "true", "yes")


def _names(name: str) -> str:
    return f"{name} ({' or '.join(ENVIRONMENT[name])})"


def _identity() -> t.Any:
    try:
        import azure.identity
    except ImportError as error:
        raise missing_library("azure-identity", error) from None
    return azure.identity


def _oauth(authority: str, tenant: str | None, client: str | None, proof: t.Callable[[], dict[str, str]]) -> t.Any:
    from ansible_collections.aksops.platform.plugins.module_utils._oauth import ClientCredentials

    return ClientCredentials(authority, tenant or "", client or "", proof)


def _read(path: str, what: str) -> str:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read().strip()
    except OSError as error:
        raise AksPlatformError(f"The {what} file {path} cannot be read: {error.strerror}.") from None


def _github_assertion(url: str, request_token: str) -> str:
    """Ask the job's own token service (GitHub Actions, Azure Pipelines by ARM_OIDC_*) for a federated token."""
    import json
    from urllib.parse import quote

    from ansible_collections.aksops.platform.plugins.module_utils import _https

    separator = "&" if "?" in url else "?"
    address = f"{url}{separator}audience={quote(EXCHANGE_AUDIENCE, safe='')}"
    try:
        answer = _https.fetch(address, {"Authorization": f"Bearer {request_token}", "Accept": "application/json"})
        return str(json.loads(answer)["value"])
    except Exception as error:
        raise AksPlatformError(
            f"The job's OIDC token service did not give a token: {one_sentence(str(error), 200)}; "
            "does the workflow have the permission id-token: write?"
        ) from None


def _choose(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str]) -> str:
    """Return the kind of credential to use; options first, then the environment, the CLI's login last."""
    asked = params.get("auth_source") or "auto"
    if asked != "auto":
        return str(asked)
    for source in (params, None):
        there = {
            name: bool(params.get(name)) if source is not None else bool(_setting({}, environ, name))
            for name in ENVIRONMENT
        }
        if there["client_secret"] or there["client_secret_file"]:
            return "client_secret"
        if there["client_certificate_path"]:
            return "certificate"
        if there["federated_token_file"] or there["federated_token"]:
            return "workload_identity"
    if _flag(environ, "ARM_USE_MSI"):
        return "managed_identity"
    can_request = _setting({}, environ, "oidc_request_url") and _setting({}, environ, "oidc_request_token")
    if can_request and _setting(params, environ, "client_id"):
        return "workload_identity"
    return "cli"


def credential(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> Credential:
    """Return the credential that C(params) (the options of C(AUTH_ARG_SPEC)) and C(environ) describe.

    No request is made and no SDK is imported before the first token is asked for.

    :raises AksPlatformError: a setting that the chosen kind needs is missing; the sentence names option and variables.
    """
    environ = os.environ if environ is None else environ
    source = _choose(params, environ)
    authority = CLOUDS[params.get("cloud") or "AzureCloud"][0]
    tenant = _setting(params, environ, "tenant_id")
    client = _setting(params, environ, "client_id")

    if source in ("client_secret", "certificate", "workload_identity"):
        missing = [_names(name) for name, value in (("tenant_id", tenant), ("client_id", client)) if not value]
        if missing:
            raise AksPlatformError(f"The credential {source} also needs {' and '.join(missing)}.", auth_source=source)
    assert isinstance(authority, str)

    if source == "client_secret":
        return _client_secret(params, environ, tenant, client, authority)
    if source == "certificate":
        return _certificate(params, environ, tenant, client, authority)
    if source == "workload_identity":
        return _workload_identity(params, environ, tenant, client, authority)
    if source == "managed_identity":
        return Credential(source, lambda: _identity().ManagedIdentityCredential(client_id=client))
    return _cli(params, environ, tenant)


def _client_secret(
    params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], tenant: str | None, client: str | None, authority: str
) -> Credential:
    secret = _setting(params, environ, "client_secret")
    path = _setting({}, environ, "client_secret_file")
    if not secret and path:
        secret = _read(path, "client secret")
    if not secret:
        raise AksPlatformError(f"The credential client_secret needs {_names('client_secret')}.")
    return Credential("client_secret", lambda: _oauth(authority, tenant, client, lambda: {"client_secret": secret}))


def _certificate(
    params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], tenant: str | None, client: str | None, authority: str
) -> Credential:
    path = _setting(params, environ, "client_certificate_path")
    password = _setting(params, environ, "client_certificate_password")
    if not path:
        raise AksPlatformError(f"The credential certificate needs {_names('client_certificate_path')}.")
    if not os.path.isfile(path):
        raise AksPlatformError(f"The client certificate file {path} does not exist.")
    return Credential(
        "certificate",
        lambda: _identity().CertificateCredential(
            tenant, client, certificate_path=path, password=password, authority=authority
        ),
    )


def _workload_identity(
    params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], tenant: str | None, client: str | None, authority: str
) -> Credential:
    path = _setting(params, environ, "federated_token_file")
    token = _setting({}, environ, "federated_token")
    url = _setting({}, environ, "oidc_request_url")
    request_token = _setting({}, environ, "oidc_request_token")
    if path:

        def assertion() -> str:
            return _read(path, "federated token")

    elif token:

        def assertion() -> str:
            return token

    elif url and request_token:

        def assertion() -> str:
            return _github_assertion(url, request_token)

    else:
        raise AksPlatformError(
            f"The credential workload_identity needs {_names('federated_token_file')}, "
            "or a job with an OIDC token service."
        )

    def proof() -> dict[str, str]:
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion()}

    return Credential("workload_identity", lambda: _oauth(authority, tenant, client, proof))


def _cli(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str], tenant: str | None) -> Credential:
    from shutil import which

    if not which("az", path=environ.get("PATH")):
        raise AksPlatformError(
            "There is no Azure credential: set AZURE_TENANT_ID and AZURE_CLIENT_ID with AZURE_CLIENT_SECRET, "
            "AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE, or log in by the az command, "
            "or say auth_source=managed_identity."
        )
    return Credential("cli", lambda: _identity().AzureCliCredential(tenant_id=tenant or ""))


def tenant_id(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> str | None:
    """Return the Entra tenant that options or environment name, None where neither does (az CLI, managed identity)."""
    return _setting(params, os.environ if environ is None else environ, "tenant_id")


def subscription_id(params: t.Mapping[str, t.Any], environ: t.Mapping[str, str] | None = None) -> str:
    """Return the subscription to work in.

    :raises AksPlatformError: neither option nor environment names one.
    """
    value = _setting(params, os.environ if environ is None else environ, "subscription_id")
    if not value:
        raise AksPlatformError(f"No subscription is named: set {_names('subscription_id')}.")
    return value


def arm_endpoint(params: t.Mapping[str, t.Any]) -> str:
    """Return the address of Azure Resource Manager in the cloud that C(params) name, without a trailing slash."""
    return CLOUDS[params.get("cloud") or "AzureCloud"][1]
