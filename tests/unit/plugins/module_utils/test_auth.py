from __future__ import annotations

import sys

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _auth
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

SECRET = "s3cr3t-canary"
BASE = {"tenant": "11111111-1111-1111-1111-111111111111", "client": "22222222-2222-2222-2222-222222222222"}


@pytest.mark.parametrize(
    "environ",
    [
        {"AZURE_TENANT_ID": BASE["tenant"], "AZURE_CLIENT_ID": BASE["client"], "AZURE_CLIENT_SECRET": SECRET},
        {"ARM_TENANT_ID": BASE["tenant"], "ARM_CLIENT_ID": BASE["client"], "ARM_CLIENT_SECRET": SECRET},
        {"AZURE_TENANT": BASE["tenant"], "AZURE_CLIENT_ID": BASE["client"], "AZURE_SECRET": SECRET},
    ],
    ids=["azure", "terraform", "awx"],
)
def test_each_family_of_names_gives_a_client_secret_that_repr_hides(environ):
    got = _auth.credential({}, environ)
    assert got.source == "client_secret"
    assert SECRET not in repr(got)


def test_options_win_over_the_environment(tmp_path):
    token = tmp_path / "token"
    token.write_text("header.payload.signature")
    environ = {"ARM_TENANT_ID": BASE["tenant"], "ARM_CLIENT_ID": BASE["client"], "ARM_CLIENT_SECRET": SECRET}
    assert _auth.credential({"federated_token_file": str(token)}, environ).source == "workload_identity"


def test_secret_file_of_terraform_is_read(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    environ = {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c", "ARM_CLIENT_SECRET_FILE_PATH": str(path)}
    assert _auth.credential({}, environ).source == "client_secret"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"AZURE_CLIENT_SECRET": SECRET, "AZURE_CLIENT_ID": "c"}, "AZURE_TENANT_ID"),
        ({"AZURE_SECRET": SECRET, "AZURE_TENANT": "t"}, "ARM_CLIENT_ID"),
        ({"AZURE_FEDERATED_TOKEN_FILE": "/nowhere", "AZURE_TENANT_ID": "t"}, "AZURE_CLIENT_ID"),
        ({"AZURE_CLIENT_CERTIFICATE_PATH": "/nowhere", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}, "/nowhere"),
        ({"PATH": "/nonexistent"}, "AZURE_CLIENT_SECRET"),
    ],
)
def test_what_is_missing_is_named_and_no_secret_shown(environ, named):
    with pytest.raises(AksPlatformError) as caught:
        _auth.credential({}, environ)
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


def test_managed_identity_only_when_asked():
    assert _auth.credential({"auth_source": "managed_identity"}, {}).source == "managed_identity"
    assert _auth.credential({}, {"ARM_USE_MSI": "true"}).source == "managed_identity"
    with pytest.raises(AksPlatformError):
        _auth.credential({}, {"AZURE_CLIENT_ID": "c", "PATH": "/nonexistent"})


def test_github_job_without_any_secret_uses_its_token_service():
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.actions.example/x?y=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET,
        "AZURE_CLIENT_ID": "c",
        "AZURE_TENANT_ID": "t",
    }
    assert _auth.credential({}, environ).source == "workload_identity"


def test_errors_of_the_sdk_become_one_sentence_without_the_secret():
    class Refusing:
        def get_token(self, *_scopes, **_kwargs):
            raise ValueError("AADSTS7000215: Invalid client secret\nTrace ID: x")

    with pytest.raises(AksPlatformError) as caught:
        _auth.Credential("client_secret", Refusing).get_token("https://management.azure.com/.default")
    assert "AADSTS7000215" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_token_is_not_in_its_repr():
    assert SECRET not in repr(_auth.AccessToken(SECRET, 1))


def test_missing_sdk_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    got = _auth.credential({"auth_source": "managed_identity"}, {})
    with pytest.raises(AksPlatformError, match="azure-identity") as caught:
        got.get_token("scope")
    assert "\n" not in str(caught.value)


def test_subscription_from_option_then_environment():
    assert _auth.subscription_id({"subscription_id": "a"}, {"ARM_SUBSCRIPTION_ID": "b"}) == "a"
    assert _auth.subscription_id({}, {"ARM_SUBSCRIPTION_ID": "b"}) == "b"
    with pytest.raises(AksPlatformError, match="ARM_SUBSCRIPTION_ID"):
        _auth.subscription_id({}, {})


def test_documentation_fragment_and_argument_spec_agree():
    import yaml
    from ansible_collections.aksops.platform.plugins.doc_fragments.azure_auth import ModuleDocFragment

    options = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert list(options) == list(_auth.AUTH_ARG_SPEC)
    for name, spec in _auth.AUTH_ARG_SPEC.items():
        for key in ("type", "choices", "default"):
            assert options[name].get(key) == spec.get(key), (name, key)
