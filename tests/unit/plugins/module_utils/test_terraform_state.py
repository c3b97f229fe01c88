from __future__ import annotations

import io
import json
from urllib.error import HTTPError, URLError

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from ansible_collections.aksops.platform.plugins.module_utils._terraform_state import StateBlob


class Token:
    token = "the-token"


class Credential:
    def get_token(self, *scopes):
        assert scopes == ("https://storage.azure.com/.default",)
        return Token


class Answer:
    def __init__(self, body=b"", **headers):
        self.body = body
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def read(self):
        return self.body


def blob(answer):
    asked = []

    def opener(url, method, headers, timeout):
        asked.append((method, url, headers))
        if isinstance(answer, Exception):
            raise answer
        return answer

    state = StateBlob(Credential(), account="st", container="tfstate", key="a b.tfstate", opener=opener)
    return state, asked


def refusal(code, reason=""):
    return HTTPError("https://st", code, "no", {"x-ms-error-code": reason}, io.BytesIO())


def test_the_lock_is_read_by_entra():
    state, asked = blob(Answer(X_Ms_Lease_State="leased", x_ms_meta_terraformlockid="abc"))
    assert state.lock_metadata() == (True, "abc")
    method, url, headers = asked[0]
    assert (method, url) == ("HEAD", "https://st.blob.core.windows.net/tfstate/a%20b.tfstate")
    assert headers["Authorization"] == "Bearer the-token"


def test_a_state_that_does_not_exist_is_not_locked_and_has_no_outputs():
    state, _asked = blob(refusal(404))
    assert state.lock_metadata() == (False, "")
    assert state.outputs() == {}


def test_the_lease_is_broken_at_once():
    state, asked = blob(Answer())
    state.break_lease()
    method, url, headers = asked[0]
    assert (method, url.rpartition("?")[2]) == ("PUT", "comp=lease")
    assert headers["x-ms-lease-action"] == "break"
    assert headers["x-ms-lease-break-period"] == "0"


def test_sensitive_outputs_are_left_out():
    body = {"outputs": {"platform": {"value": {"a": 1}}, "key": {"value": "x", "sensitive": True}}}
    state, _asked = blob(Answer(json.dumps(body).encode()))
    assert state.outputs() == {"platform": {"a": 1}}


@pytest.mark.parametrize(
    ("error", "words"),
    [(refusal(403, "AuthorizationPermissionMismatch"), "AuthorizationPermissionMismatch"), (URLError("down"), "down")],
)
def test_a_refusal_is_one_sentence_without_the_token(error, words):
    state, _asked = blob(error)
    with pytest.raises(AksPlatformError, match=words) as caught:
        state.outputs()
    assert "the-token" not in str(caught.value)
