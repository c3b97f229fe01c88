"""The sandbox's core through plain HTTPS: tokens, ARM's rules, roles, faults, ledger, state across a restart."""

from __future__ import annotations

import json
import subprocess
import urllib.error

import pytest

GROUPS = "2023-07-01"
ROLES = "2022-04-01"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def test_a_group_is_made_read_and_deleted(client):
    path = client.group("core-life")
    assert client.arm("GET", path, GROUPS).json["properties"]["provisioningState"] == "Succeeded"
    assert client.arm("PUT", path, GROUPS, {"location": "West Europe"}).status == 200
    assert client.arm("DELETE", path, GROUPS).status == 202


@pytest.mark.parametrize(
    ("method", "path", "version", "body", "status", "code"),
    [
        ("PUT", "/resourceGroups/bad.", GROUPS, {"location": "westeurope"}, 400, "InvalidResourceGroup"),
        ("PUT", "/resourceGroups/x", GROUPS, {"location": "atlantis"}, 400, "LocationNotAvailableForResourceGroup"),
        ("GET", "/resourceGroups/missing", GROUPS, None, 404, "ResourceGroupNotFound"),
        ("GET", "/resourceGroups/missing", "", None, 400, "MissingApiVersionParameter"),
        ("GET", "/resourceGroups/x/providers/Microsoft.Made/ups/y", GROUPS, None, 501, "NotImplementedInSandbox"),
        ("GET", "/subscriptions/00000000-0000-0000-0000-000000000000", GROUPS, None, 404, "SubscriptionNotFound"),
    ],
)
def test_arm_refuses_what_azure_refuses(client, method, path, version, body, status, code):
    answer = client.arm(method, path, version, body)
    assert (answer.status, answer.code) == (status, code)


def test_a_request_without_a_token_is_challenged(client):
    answer = client.send("GET", f"https://management.azure.com{client.subscription}?api-version={GROUPS}")
    assert answer.status == 401
    assert client.env["ARM_TENANT_ID"] in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("change", [{"client_secret": "wrong"}, {"client_id": "nobody"}, {"grant_type": "password"}])
def test_a_wrong_credential_gets_no_token(client, change):
    form = {
        "grant_type": "client_credentials",
        "client_id": client.env["ARM_CLIENT_ID"],
        "client_secret": client.env["ARM_CLIENT_SECRET"],
        "scope": "https://management.azure.com/.default",
    }
    text = "&".join(f"{name}={value}" for name, value in (form | change).items())
    answer = client.send(
        "POST", f"https://login.microsoftonline.com/{client.env['ARM_TENANT_ID']}/oauth2/v2.0/token", text.encode()
    )
    assert answer.status in {400, 401}
    assert "access_token" not in answer.json


def test_a_reader_reads_and_does_not_write(sandbox, client):
    path = client.group("core-rights")
    reader = sandbox.client(account="reader")
    assert reader.arm("GET", path, GROUPS).status == 200
    answer = reader.arm("PUT", path, GROUPS, {"location": "westeurope"})
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")


def test_a_role_is_assigned_once(client):
    path = client.group("core-roles")
    base = f"{path}/providers/Microsoft.Authorization/roleAssignments"
    role = f"{client.subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    principal = {"principalId": client.env["AKSOPS_PRINCIPAL_ID"], "roleDefinitionId": role}
    one, two = "1" * 8 + "-1111-1111-1111-" + "1" * 12, "2" * 8 + "-2222-2222-2222-" + "2" * 12
    assert client.arm("PUT", f"{base}/{one}", ROLES, {"properties": principal}).status == 201
    assert client.arm("PUT", f"{base}/{two}", ROLES, {"properties": principal}).code == "RoleAssignmentExists"
    unknown = principal | {"principalId": "3" * 8 + "-3333-3333-3333-" + "3" * 12}
    assert client.arm("PUT", f"{base}/{two}", ROLES, {"properties": unknown}).code == "PrincipalNotFound"
    assert client.arm("DELETE", f"{base}/{one}", ROLES).status == 200
    assert client.arm("DELETE", f"{base}/{one}", ROLES).status == 204


def test_an_unknown_host_is_refused(client):
    with pytest.raises(urllib.error.URLError, match="403"):
        client.send("GET", "https://example.com/")


def test_a_fault_hits_its_share_and_the_ledger_shows_it(faults, client):
    path = client.group("core-faults")
    before = int(faults.run("ledger", "--last"))
    faults.run("fault", "status", "--path", f"*{path}", "--status", "429", "--count", "2", "--retry-after", "1")
    statuses = [client.arm("GET", path, GROUPS).status for _ in range(3)]
    assert statuses == [429, 429, 200]
    entries = [json.loads(line) for line in faults.run("ledger", "--since", str(before), "--path", path).splitlines()]
    assert [entry["status"] for entry in entries] == [429, 429, 200]
    assert [entry["fault"] for entry in entries] == ["status", "status", None]


@pytest.mark.parametrize(("kind", "made"), [("reset", False), ("lost", True)])
def test_a_dropped_connection_leaves_the_request_undone_or_done(faults, client, kind, made):
    path = f"/resourceGroups/core-{kind}"
    faults.run("fault", kind, "--path", f"*{path}", "--count", "1")
    with pytest.raises((OSError, urllib.error.URLError)):
        client.arm("PUT", path, GROUPS, {"location": "westeurope"})
    assert (client.arm("GET", path, GROUPS).status == 200) is made


def test_state_and_addresses_survive_down_and_up(sandbox, client):
    path = client.group("core-restart")
    sandbox.run("down")
    sandbox.run("up")
    assert sandbox.client().env["HTTPS_PROXY"] == client.env["HTTPS_PROXY"]
    assert client.arm("GET", path, GROUPS).status == 200


def test_env_can_be_taken_back(sandbox):
    script = f"""
    export SSL_CERT_FILE=/before; unset ARM_CLIENT_ID
    eval "$({sandbox_command(sandbox)} env)"; test -n "$ARM_CLIENT_ID"; test "$SSL_CERT_FILE" != /before
    eval "$({sandbox_command(sandbox)} env --unset)"; test -z "${{ARM_CLIENT_ID+x}}"; test "$SSL_CERT_FILE" = /before
    """
    subprocess.run(["bash", "-euc", script], check=True, timeout=60)


def sandbox_command(sandbox) -> str:
    """`aksops-sandbox` for this sandbox, as a shell word list."""
    return f"aksops-sandbox --home {sandbox.home.path}"
