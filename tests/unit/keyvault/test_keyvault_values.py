"""Sources of values: files, environment, generators and templates."""

from __future__ import annotations

import string

import pytest
from ansible_collections.aksops.platform.plugins.module_utils._keyvault_values import (
    MAXIMUM_BYTES,
    Generator,
    Template,
    ValueSourceError,
    from_environment,
    from_file,
    size_problem,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("content", "encoding", "strip", "expected"),
    [
        (b"secret\n", "utf-8", True, "secret"),
        (b"secret\r\n", "utf-8", True, "secret"),
        (b"secret\n\n", "utf-8", True, "secret\n"),
        (b"secret\n", "utf-8", False, "secret\n"),
        (b"\xff\x00", "base64", True, "/wA="),
    ],
)
def test_files(tmp_path, content, encoding, strip, expected):
    file = tmp_path / "value"
    file.write_bytes(content)
    assert from_file(str(file), encoding, strip) == expected


def test_binary_text_file_is_refused_without_its_content(tmp_path):
    file = tmp_path / "value"
    file.write_bytes(b"topsecret\xff")
    with pytest.raises(ValueSourceError) as caught:
        from_file(str(file), "utf-8", True)
    assert "topsecret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_missing_file_and_variable_are_named(tmp_path):
    with pytest.raises(ValueSourceError, match="nowhere cannot be read: No such file"):
        from_file(str(tmp_path / "nowhere"), "utf-8", True)
    with pytest.raises(ValueSourceError, match="value_env TOKEN is not set"):
        from_environment("TOKEN", {})
    assert from_environment("TOKEN", {"TOKEN": "x"}) == "x"


def test_sizes():
    assert size_problem("x" * MAXIMUM_BYTES) is None
    assert "larger" in str(size_problem("ä" * (MAXIMUM_BYTES // 2 + 1)))
    assert "empty" in str(size_problem(""))


@given(
    length=st.integers(4, 200),
    alphabet=st.sampled_from(["alphanumeric", "letters", "digits", "hex", "password"]),
    exclude=st.sampled_from(["", "0O1lI", "abc"]),
)
def test_generated_values_keep_their_promise(length, alphabet, exclude):
    generator = Generator(length, alphabet, exclude=exclude)
    assert generator.problem() is None
    value = generator.make()
    assert len(value) == length
    assert not set(value) & set(exclude)
    groups = [set(group) for group in generator.classes()]
    assert all(group & set(value) for group in groups)
    assert set(value) <= set().union(*groups)


@pytest.mark.parametrize(
    ("generator", "problem"),
    [
        (Generator(0), "between 1 and 4096"),
        (Generator(alphabet="custom", characters="aaaa"), "fewer than two"),
        (Generator(8, alphabet="digits", exclude=string.digits), "fewer than two"),
        (Generator(3, alphabet="password"), "at least 4"),
    ],
)
def test_generators_that_cannot_work(generator, problem):
    assert problem in generator.problem()


def test_two_generated_values_differ():
    assert Generator().make() != Generator().make()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pg://u:${secret:pw|urlencode}@h", "pg://u:p%2F%22w@h"),
        ("${secret:PW}", 'p/"w'),
        ("${secret:pw|base64}", "cC8idw=="),
        ('{"p": "${secret:pw|json}"}', '{"p": "p/\\"w"}'),
        ("a $$ b $x", "a $ b $x"),
    ],
)
def test_templates(text, expected):
    assert Template(text).render({"pw": 'p/"w'}.__getitem__) == expected


@pytest.mark.parametrize("text", ["${pw}", "${secret:}", "${secret:a_b}", "${secret:a|nonsense}", "${secret:a"])
def test_templates_that_cannot_work(text):
    with pytest.raises(ValueSourceError):
        Template(text)


def test_references_are_lower_case_and_unique():
    assert Template("${secret:A}${secret:b}${secret:a}").references == ["a", "b"]
