"""Not a test of Troupe: what the Go harness must be able to tell apart."""

import pytest


def test_passes():
    assert True


def test_fails():
    assert 1 + 1 == 3


def test_is_skipped():
    pytest.skip("on purpose")


@pytest.fixture
def broken():
    raise RuntimeError("on purpose")


def test_breaks_before(broken):
    pass
