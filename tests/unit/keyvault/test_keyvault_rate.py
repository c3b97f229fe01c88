"""The token bucket and the back-off."""

from __future__ import annotations

from ansible_collections.aksops.platform.plugins.module_utils._keyvault_rate import TokenBucket, backoff
from hypothesis import given
from hypothesis import strategies as st
from keyvault_support import Clock


def test_a_burst_then_the_rate():
    clock = Clock()
    bucket = TokenBucket(10, 2, clock, clock.sleep)
    start = clock.now
    for _ in range(10):
        bucket.take()
    assert clock.now == start
    for _ in range(6):
        bucket.take()
    assert 2.9 <= clock.now - start <= 3.1


def test_a_penalty_holds_everybody_back():
    clock = Clock()
    bucket = TokenBucket(10, 2, clock, clock.sleep)
    bucket.penalize(5)
    start = clock.now
    bucket.take()
    assert clock.now - start >= 5


@given(burst=st.integers(1, 20), rate=st.integers(1, 50), count=st.integers(1, 100))
def test_never_more_than_the_limit_allows(burst, rate, count):
    clock = Clock()
    bucket = TokenBucket(burst, rate, clock, clock.sleep)
    start = clock.now
    for number in range(1, count + 1):
        bucket.take()
        assert number <= burst + (clock.now - start) * rate + 1e-3


def test_backoff_doubles_up_to_its_ceiling():
    assert [backoff(number, 1, 16, lambda: 1.0) for number in range(7)] == [1, 2, 4, 8, 16, 16, 16]
    assert backoff(3, 1, 16, lambda: 0.0) == 4
