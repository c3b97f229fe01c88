"""Client credentials by one request: form, cache, claims, retries and errors without what was sent."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _auth, _https, _oauth
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError

SECRET = "planted/secret+value"
GOOD = (200, {"access_token": "the-token", "expires_in": 3600})


@pytest.fixture
def asked(monkeypatch):
    """What was posted; answers are taken from `asked.answers`, the last one again and again."""

    class Asked(list):
        answers: list = [GOOD]

    found = Asked()

    def post(self, body):
        found.append(parse_qs(body))
        answer = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_oauth.ClientCredentials, "_post", post)
    monkeypatch.setattr(_oauth.time, "sleep", lambda seconds: None)
    return found


def secret_credential():
    return _auth.credential({"client_secret": SECRET, "tenant_id": "t", "client_id": "c"}, {})


def test_a_secret_is_one_form_and_the_token_is_kept(asked):
    credential = secret_credential()
    assert credential.get_token("https://vault.azure.net/.default").token == "the-token"
    assert credential.get_token("https://vault.azure.net/.default", enable_cae=True).token == "the-token"
    assert asked == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["c"],
            "scope": ["https://vault.azure.net/.default"],
            "client_secret": [SECRET],
        }
    ]


def test_a_federated_token_is_read_again_for_each_request(asked, tmp_path):
    file = tmp_path / "token"
    file.write_text("first")
    params = {"federated_token_file": str(file), "tenant_id": "t", "client_id": "c"}
    credential = _auth.credential(params, {})
    credential.get_token("a")
    file.write_text("second")
    credential.get_token("b")
    assert [form["client_assertion"] for form in asked] == [["first"], ["second"]]
    assert asked[0]["client_assertion_type"] == [_auth.ASSERTION_TYPE]


def test_claims_are_never_answered_from_the_cache(asked):
    credential = secret_credential()
    credential.get_token("a")
    credential.get_token("a", claims='{"x": 1}')
    assert asked[1]["claims"] == ['{"x": 1}']


def test_trouble_is_tried_again(asked):
    asked.answers = [ConnectionResetError("reset"), (503, {}), (429, {}), GOOD]
    assert secret_credential().get_token("a").token == "the-token"
    assert len(asked) == 4


def test_a_refusal_is_entras_first_line_and_final(asked):
    asked.answers = [(401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid.\r\nTrace ID: x"})]
    with pytest.raises(AksPlatformError, match=r"by client_secret: AADSTS7000215: Invalid. \(HTTP 401\)") as caught:
        secret_credential().get_token("a")
    assert len(asked) == 1
    assert SECRET not in str(caught.value)


def test_nothing_that_is_shown_holds_a_token(asked):
    credential = _oauth.ClientCredentials("login", "t", "c", lambda: {"client_secret": SECRET})
    token = credential.get_token("a")
    assert "the-token" not in repr(token)
    assert SECRET not in repr(credential)


def test_a_jobs_own_token_service_is_asked_for_the_exchange_audience(asked, monkeypatch):
    seen = []

    def fetch(url, headers):
        seen.append((url, headers["Authorization"]))
        return b'{"value": "the-assertion"}'

    monkeypatch.setattr(_https, "fetch", fetch)
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example.com/x?api-version=2",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "job",
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_ID": "c",
    }
    assert _auth.credential({}, environ).get_token("a").token == "the-token"
    assert seen == [
        ("https://token.example.com/x?api-version=2&audience=api%3A%2F%2FAzureADTokenExchange", "Bearer job")
    ]
    assert asked[0]["client_assertion"] == ["the-assertion"]
