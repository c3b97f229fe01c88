"""Images of a registry: what references mean, what copies take, what is named when something is missing."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aksops.platform.plugins.module_utils import _acr_images_plan as plan
from ansible_collections.aksops.platform.plugins.module_utils._errors import AksPlatformError
from hypothesis import given
from hypothesis import strategies as st

A = "sha256:" + "a" * 64
B = "sha256:" + "b" * 64
REGISTRY_ID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerRegistry/registries/crshop"
digests = st.sampled_from([A, B])
names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,60}){0,3}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"redis:8@{A}", "lacks its registry"),
        (f"library/redis:8@{A}", "lacks its registry"),
        ("docker.io/library/redis:8", "lacks its digest"),
        ("docker.io/library/redis:8@sha256:abc", "lacks its digest"),
        (f"docker.io/library/redis@{A}", "lacks a tag"),
        (f"docker.io/Library/redis:8@{A}", "names no repository"),
    ],
)
def test_a_reference_that_says_too_little_is_refused_by_name(text, says):
    with pytest.raises(AksPlatformError, match=says):
        plan.parse(text)


def test_a_registry_with_a_port_and_a_name_of_our_own():
    image = plan.parse(f"images.example.com:5000/team/app:1.2@{A}", "shop/app")
    assert image == plan.Image("images.example.com:5000", "team/app", A, "shop/app", "1.2")
    assert plan.import_body(image)["source"] == {
        "registryUri": "images.example.com:5000",
        "sourceImage": f"team/app@{A}",
    }


def test_one_name_for_two_digests_is_refused_and_the_same_twice_is_one():
    one, two = {"source": f"quay.io/a/b:1@{A}"}, {"source": f"ghcr.io/a/b:1@{B}"}
    assert len(plan.images([one, dict(one)])) == 1
    with pytest.raises(AksPlatformError, match="give one another tag"):
        plan.images([one, two])


@given(names, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True))
def test_a_record_has_a_name_that_a_scope_map_may_have(repository, tag):
    image = plan.parse(f"quay.io/{repository}:{tag}@{A}")
    assert re.fullmatch(r"[a-zA-Z0-9_-]{5,50}", image.record)
    body = plan.record_body(image)["properties"]
    assert len(body["description"]) <= 256
    assert plan.recorded([{"name": image.record.upper(), "properties": body}]) == {image.record.lower(): A}


@given(st.lists(st.tuples(names, digests), unique_by=lambda pair: pair[0], max_size=6), st.data())
def test_what_was_carried_out_is_at_rest(pairs, data):
    wanted = plan.images([{"source": f"quay.io/{name}:1@{digest}"} for name, digest in pairs])
    records = {i.record: data.draw(digests) for i in wanted if data.draw(st.booleans())}
    held = data.draw(st.sampled_from([None, {}]))
    if held is not None:
        held = {i.name: data.draw(st.sampled_from([None, A, B])) for i in wanted}
    steps = plan.steps(wanted, records, held)
    assert {s.image.name for s in steps if s.action == "import"} == {
        s.image.name for s in steps if s.before != s.image.digest
    }
    after = {**records, **{s.image.record: s.image.digest for s in steps if s.action != "none"}}
    shown = None if held is None else {i.name: i.digest for i in wanted}
    assert {s.action for s in plan.steps(wanted, after, shown)} <= {"none"}
    assert plan.problems(wanted, after, shown, "crshop.azurecr.io") == []


def test_the_registry_is_believed_before_the_record():
    image = plan.parse(f"quay.io/a/b:1@{A}")
    records = {image.record: A}
    assert [s.action for s in plan.steps([image], records, None)] == ["none"]
    assert [s.action for s in plan.steps([image], records, {image.name: None})] == ["import"]
    assert [s.action for s in plan.steps([image], {}, {image.name: A})] == ["record"]
    assert plan.problems([image], records, {image.name: None}, "cr") == [
        "a/b:1 was copied to cr and is not there any more"
    ]
    assert plan.problems([image], {image.record: B}, None, "cr") == [f"a/b:1 is {B} in cr, not {A}"]
    assert plan.problems([image], {}, None, "cr") == ["a/b:1 was never copied to cr"]


def test_absent_deletes_what_is_there_or_on_record_only():
    image = plan.parse(f"quay.io/a/b:1@{A}")
    assert [s.action for s in plan.steps([image], {}, None, present=False)] == ["none"]
    assert [s.action for s in plan.steps([image], {image.record: A}, None, present=False)] == ["delete"]
    assert [s.action for s in plan.steps([image], {}, {image.name: B}, present=False)] == ["delete"]


def test_a_source_registry_by_id_and_with_credentials():
    image = plan.parse(f"crshared.azurecr.io/a/b:1@{A}")
    by_id = plan.import_body(image, {"id": REGISTRY_ID})["source"]
    assert by_id == {"sourceImage": f"a/b@{A}", "resourceId": REGISTRY_ID}
    with_token = plan.import_body(image, {"password": "p", "username": None})["source"]
    assert with_token["credentials"] == {"password": "p"}


@pytest.mark.parametrize(
    ("scope", "role", "condition", "allowed"),
    [
        (REGISTRY_ID, "7f951dda-4ed3-4680-a7ca-43fe172d538d", None, True),
        ("/subscriptions/S/resourceGroups/RG", "7f951dda-4ed3-4680-a7ca-43fe172d538d", None, True),
        (REGISTRY_ID, "00000000-0000-0000-0000-000000000000", None, False),
        (f"{REGISTRY_ID}2", "7f951dda-4ed3-4680-a7ca-43fe172d538d", None, False),
        ("/subscriptions/s/resourceGroups/r", "7f951dda-4ed3-4680-a7ca-43fe172d538d", None, False),
        (REGISTRY_ID, "7f951dda-4ed3-4680-a7ca-43fe172d538d", "@Resource[...]", False),
    ],
)
def test_who_may_pull(scope, role, condition, allowed):
    properties = {"scope": scope, "roleDefinitionId": f"/subscriptions/s/x/{role.upper()}", "condition": condition}
    assert plan.may_pull([{"properties": properties}], REGISTRY_ID) is allowed
