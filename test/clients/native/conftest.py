"""What the tests of AIStore's package share: a client, a bucket, and who notes what was called.

    TROUPE_NATIVES   the native listeners, separated by blanks: one, or one of each node.
                     Each test goes through the next of them.

Marks: covers (see covers.py).
"""

import itertools
import os
import random

import pytest
import tenacity
from aistore.sdk import Client
from aistore.sdk.retry_config import RetryConfig
from urllib3.util.retry import Retry

import covers as covering

KIB = 1024
MIB = 1024 * KIB

_numbers = itertools.count(1)
_turns = itertools.count()

_passed = set()  # methods with a test that covers them and passed, in this run


def pytest_configure(config):
    config.addinivalue_line("markers", "covers(names): the methods of the package that the test calls")


def content(size, seed=0):
    """Bytes that are the same for the same size and seed, on every run."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def new_name():
    """A name of a bucket that no other test of this run uses."""
    return f"Native-{os.getpid()}-{next(_numbers)}"


def endpoints():
    return os.environ["TROUPE_NATIVES"].split()


@pytest.fixture(scope="session")
def passed():
    """Names of the methods whose test passed so far."""
    return _passed


@pytest.fixture
def endpoint():
    """The listener of the node whose turn it is."""
    return endpoints()[next(_turns) % len(endpoints())]


def client(endpoint):
    """A client as a user makes one; it tries once, so that a retry hides nothing."""
    if os.environ.get("TROUPE_CA"):
        # requests lets this variable, which a machine may have set, win over what the package is given.
        os.environ["REQUESTS_CA_BUNDLE"] = os.environ["TROUPE_CA"]
    once = tenacity.Retrying(stop=tenacity.stop_after_attempt(1), reraise=True)
    return Client(endpoint, ca_cert=os.environ.get("TROUPE_CA"), retry_config=RetryConfig(http_retry=Retry(total=0), network_retry=once))


@pytest.fixture
def ais(endpoint):
    return client(endpoint)


@pytest.fixture
def bck(ais):
    """A bucket of the test's own. It stays: nodes of three take most of a second to agree that it goes."""
    bucket = ais.bucket(new_name())
    bucket.create(exist_ok=False)
    return bucket


@pytest.fixture(scope="session")
def made_once():
    """The name of a bucket of this run with the object o in it."""
    bucket = client(endpoints()[0]).bucket(new_name())
    bucket.create(exist_ok=False)
    bucket.object("o").get_writer().put_content(b"1")
    return bucket.name


@pytest.fixture
def shared(ais, made_once):
    """A bucket that all tests share that do not look at what else is in it; it has the object o."""
    return ais.bucket(made_once)


def names_of(item):
    return [name for mark in item.iter_markers("covers") for name in mark.args]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fails a test that passes without having called what it covers."""
    names = names_of(item)
    with covering.Noted(names, covering.CLASSES) as noted:
        result = yield
    missing = sorted(set(names) - noted.returned)
    assert not missing, f"the test says that it covers {', '.join(missing)}, and did not call it"
    _passed.update(names)
    return result
