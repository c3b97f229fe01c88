from __future__ import annotations

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _arm
from ansible_collections.aksops.platform.plugins.module_utils._arm import Answer, ArmClient
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError, ArmError
from ansible_collections.aksops.platform.plugins.module_utils._waiter import WaitTimeoutError

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.X/things/t"
HOST = "https://management.azure.com"


class Service:
    """Answers in the order given and keeps what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, method, url, headers, body):
        self.asked.append((method, url.removeprefix(HOST), headers, body))
        return self.answers.pop(0)


def answer(status, body=None, **headers):
    return Answer(status, {key.replace("_", "-"): value for key, value in headers.items()}, body or {})


def client(service, **kwargs):
    return ArmClient(None, sender=service, **kwargs)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(_arm, "POLL_SECONDS", 0)


def test_get_absent_is_none_but_a_wrong_subscription_is_an_error():
    service = Service(
        answer(404, {"error": {"code": "ResourceNotFound", "message": "no"}}),
        answer(
            404, {"error": {"code": "SubscriptionNotFound", "message": "no such subscription"}}, x_ms_request_id="r1"
        ),
    )
    arm = client(service)
    assert arm.get(ID, "2025-01-01") is None
    with pytest.raises(ArmError, match=r"SubscriptionNotFound \(HTTP 404\): no such subscription \[request id r1\]"):
        arm.get(ID, "2025-01-01")
    assert service.asked[0][1] == f"{ID}?api-version=2025-01-01"


def test_list_follows_next_link_and_refuses_a_foreign_one():
    service = Service(
        answer(200, {"value": [1], "nextLink": f"{HOST}{ID}?page=2"}),
        answer(200, {"value": [2], "nextLink": "https://evil.example/x"}),
    )
    with pytest.raises(AksPlatformError, match=r"evil\.example"):
        client(service).list(ID, "v")
    assert len(service.asked) == 2


def test_put_follows_the_asynchronous_operation_and_reads_the_result():
    told = []
    service = Service(
        answer(
            201, {"properties": {"provisioningState": "Creating"}}, azure_asyncoperation=f"{HOST}/op/1", retry_after="0"
        ),
        answer(200, {"status": "InProgress"}, retry_after="0"),
        answer(200, {"status": "Succeeded"}),
        answer(200, {"name": "t", "properties": {"provisioningState": "Succeeded"}}),
    )
    assert client(service, progress=told.append).put(ID, "v", {"a": 1}, etag="e1")["name"] == "t"
    assert service.asked[0] == ("PUT", f"{ID}?api-version=v", {"If-Match": "e1"}, {"a": 1})
    assert told == ["waiting for things/t since 0 s: InProgress"]


def test_failed_operation_carries_the_services_reason():
    service = Service(
        answer(202, azure_asyncoperation=f"{HOST}/op/1"),
        answer(
            200,
            {"status": "Failed", "error": {"code": "SkuNotAvailable", "message": "not\nhere"}},
            x_ms_request_id="r2",
        ),
    )
    with pytest.raises(ArmError, match=r"SkuNotAvailable: not here \[request id r2\]") as caught:
        client(service).patch(ID, "v", {})
    assert caught.value.code == "SkuNotAvailable"


def test_put_without_operation_polls_the_resource_itself():
    service = Service(
        answer(200, {"properties": {"provisioningState": "Updating"}}),
        answer(200, {"properties": {"provisioningState": "Updating"}}),
        answer(200, {"properties": {"provisioningState": "Succeeded"}, "etag": "2"}),
    )
    assert client(service).put(ID, "v", {})["etag"] == "2"


def test_delete_tells_absent_from_removed():
    service = Service(
        answer(404, {"error": {"code": "ResourceNotFound"}}),
        answer(204),
        answer(202, location=f"{HOST}/l"),
        answer(202),
        answer(204),
    )
    arm = client(service)
    assert arm.delete(ID, "v") is False
    assert arm.delete(ID, "v") is False
    assert arm.delete(ID, "v") is True
    assert not service.answers


def test_post_returns_what_the_location_gives():
    service = Service(answer(202, location=f"{HOST}/l"), answer(202), answer(200, {"backendAddressPools": []}))
    assert client(service).post(ID + "/backendhealth", "v") == {"backendAddressPools": []}


def test_operation_that_never_ends_names_the_resource_and_last_state():
    service = Service(answer(202, azure_asyncoperation=f"{HOST}/op/1"), *[answer(200, {"status": "Running"})] * 3)
    with pytest.raises(WaitTimeoutError, match=r"things/t.*last state was Running"):
        client(service, timeout=0).put(ID, "v", {})


def test_precondition_failed_is_told_by_status():
    service = Service(answer(412, {"error": {"code": "PreconditionFailed", "message": "etag"}}))
    with pytest.raises(ArmError) as caught:
        client(service).put(ID, "v", {}, etag="old")
    assert caught.value.status == 412


def test_details_are_added_to_the_message_once():
    body = {"error": {"code": "C", "message": "outer", "details": [{"message": "inner"}, {"message": "outer"}]}}
    with pytest.raises(ArmError, match="outer inner") as caught:
        client(Service(answer(400, body))).get(ID, "v")
    assert str(caught.value).count("outer") == 1


def test_id_without_leading_slash_is_refused():
    with pytest.raises(AksPlatformError, match="must start with a slash"):
        client(Service()).get("subscriptions/s", "v")


def test_the_pipeline_neither_registers_providers_nor_shows_the_token():
    pipeline = _arm._pipeline(None, HOST, "s/.default", "x")
    names = [type(getattr(node, "_policy", node)).__name__ for node in pipeline._pipeline._impl_policies]
    assert "RetryPolicy" in names
    assert not any("Registration" in name or "Logging" in name for name in names)


def test_time_outs_are_short_enough_to_be_waited_for():
    settings = _arm._pipeline(None, HOST, "s/.default", "x")._pipeline._transport.connection_config
    assert (settings.timeout, settings.read_timeout) == (10, 120)
