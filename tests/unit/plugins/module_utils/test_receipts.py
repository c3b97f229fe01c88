"""Receipts in a container: names, selection, idempotence, refusals."""

from __future__ import annotations

import datetime
import json
import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _blobs, _receipts
from ansible_collections.aksops.platform.plugins.module_utils import _receipts_plan as plans
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st

SERVER = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DBforPostgreSQL/flexibleServers/Psql-Shop"
RECEIPT = {"status": "pass", "finished": "2026-11-23T04:02:11+01:00", "n": 1}
ENDPOINT = "https://stshop.blob.core.windows.net/"


class Account:
    """An account that lists two names a page and can refuse."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.log: list[str] = []
        self.failures: list[Any] = []

    def __call__(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> _blobs.Reply:
        self.log.append(method)
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        assert headers["Authorization"] == "Bearer t0ken"
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        name = unquote(parts.path.removeprefix("/receipts").removeprefix("/"))
        if query.get("comp") == "list":
            names = [one for one in sorted(self.blobs) if one.startswith(query.get("prefix", ""))]
            start = int(query.get("marker", 0))
            more = str(start + 2) if start + 2 < len(names) else ""
            items = "".join(f"<Blob><Name>{one}</Name></Blob>" for one in names[start : start + 2])
            text = f"<EnumerationResults><Blobs>{items}</Blobs><NextMarker>{more}</NextMarker></EnumerationResults>"
            return _blobs.Reply(200, {}, text.encode())
        if method == "PUT":
            if name in self.blobs:
                return _blobs.Reply(409, {"x-ms-error-code": "BlobAlreadyExists"}, b"")
            self.blobs[name] = body or b""
            return _blobs.Reply(201, {}, b"")
        if name not in self.blobs:
            return _blobs.Reply(404, {"x-ms-error-code": "BlobNotFound"}, b"")
        return _blobs.Reply(200, {}, self.blobs[name])


def container(account: Account) -> _blobs.Container:
    credential = SimpleNamespace(get_token=lambda scope: SimpleNamespace(token="t0ken"))
    return _blobs.Container(ENDPOINT, "receipts", credential, sender=account, sleep=lambda seconds: None)


def keep(
    account: Account, receipt: dict[str, Any], *, kind: str = "restore", subject: str = SERVER, **options: Any
) -> Any:
    options = {"page": None, "check_mode": False, **options}
    return _receipts.store(
        container(account), kind, subject, receipt, options["page"], check_mode=options["check_mode"]
    )


def test_the_same_receipt_is_the_same_blob_and_is_written_once(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<p>pass")
    account = Account()
    assert keep(account, RECEIPT, check_mode=True)["changed"]
    assert account.blobs == {}
    first = keep(account, RECEIPT, page=str(page))
    again = keep(account, dict(reversed(RECEIPT.items())), page=str(page))
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["name"] == again["name"]
    assert first["time"] == "2026-11-23T03:02:11Z"
    assert account.blobs[first["name"].replace(".json", ".html")] == b"<p>pass"
    assert len(account.blobs) == 2
    assert account.log[-1] == "HEAD"
    assert keep(account, {**RECEIPT, "n": 2})["changed"]


def test_receipts_are_found_by_kind_subject_and_age_the_newest_first():
    account = Account()
    for hour in (1, 2, 3):
        keep(account, {"finished": f"2026-11-23T0{hour}:00:00Z", "hour": hour})
    keep(account, {"finished": "2026-11-23T04:00:00Z", "hour": 4}, kind="drill")
    keep(account, {"finished": "2026-11-23T05:00:00Z", "hour": 5}, subject=f"{SERVER}-2")
    account.blobs["restore/notes.txt"] = b"somebody's"
    now = datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)

    def hours(**filters: Any) -> list[int]:
        options = {"kind": None, "subject_id": None, "max_age": None, "limit": None, "now": now, **filters}
        return [item["receipt"]["hour"] for item in _receipts.load(container(account), **options)]

    assert hours() == [5, 4, 3, 2, 1]
    assert hours(kind="restore") == [5, 3, 2, 1]
    assert hours(kind="restore", subject_id=SERVER.upper()) == [3, 2, 1]
    assert hours(subject_id=SERVER + "/") == [4, 3, 2, 1]
    assert hours(max_age=3) == [5, 4, 3]
    assert hours(limit=2) == [5, 4]
    assert hours(kind="promotion") == []


def test_an_answer_that_was_lost_is_asked_for_again():
    account = Account()
    account.failures = [OSError("reset"), _blobs.Reply(503, {}, b"")]
    assert keep(account, RECEIPT)["changed"]
    account.failures = [_blobs.Reply(503, {}, b"")] * 9
    with pytest.raises(AksPlatformError, match="did not answer"):
        keep(account, RECEIPT)


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("AuthorizationPermissionMismatch", 403, "Storage Blob Data Contributor"),
        ("AuthorizationFailure", 403, "firewall"),
        ("ContainerNotFound", 404, "infrastructure.yml"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_token(code, status, words):
    account = Account()
    account.failures = [_blobs.Reply(status, {"x-ms-error-code": code}, b"")]
    with pytest.raises(AksPlatformError, match=words) as caught:
        _receipts.load(container(account), kind=None, subject_id=None, max_age=None, limit=None)
    assert "t0ken" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "subject", "receipt", "words"),
    [
        ("Re store", SERVER, RECEIPT, "kind"),
        ("restore", " ", RECEIPT, "subject_id is empty"),
        ("restore", SERVER, {"status": "pass"}, "no time"),
        ("restore", SERVER, {"finished": "2026-11-23T04:02:11"}, "time zone"),
        ("restore", SERVER, {"finished": "yesterday"}, "time zone"),
    ],
)
def test_a_receipt_that_could_not_be_found_again_is_refused(kind, subject, receipt, words):
    with pytest.raises(AksPlatformError, match=words):
        keep(Account(), receipt, kind=kind, subject=subject)


@pytest.mark.parametrize(
    "endpoint", ["http://a.blob.core.windows.net/", "https://example.org/", "a", "https://a.blob.x/y"]
)
def test_the_token_goes_to_blob_services_only(endpoint):
    with pytest.raises(AksPlatformError, match="blob service"):
        _blobs.Container(endpoint, "receipts", None)


def test_a_blob_that_is_no_receipt_is_named():
    account = Account()
    name = keep(account, RECEIPT)["name"]
    account.blobs[name] = b"[]"
    with pytest.raises(AksPlatformError, match=re.escape(name)):
        _receipts.load(container(account), kind=None, subject_id=None, max_age=None, limit=None)


@given(st.text(min_size=1).filter(lambda text: text.strip().rstrip("/")), st.dictionaries(st.text(), st.integers()))
def test_whatever_is_kept_is_found(subject, content):
    document = plans.document("drill", subject, {**content, "finished": "2026-11-23T04:02:11Z"})
    assert plans.select([document.name], kind="drill", subject_id=subject) == [document.name]
    assert document.name.startswith(plans.prefix("drill", subject))
    found = plans.parse(document.name, document.content)
    assert found["subject_id"] == subject
    assert found["receipt"] == json.loads(json.dumps({**content, "finished": "2026-11-23T04:02:11Z"}))
