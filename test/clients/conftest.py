"""What every client test shares: where the node is, buckets, bytes, programs.

The tests talk to a node that is already running; the Go test beside this file
starts one and says where it is in the environment:

    TROUPE_S3        http://127.0.0.1:PORT, the S3 listener
    TROUPE_NATIVE    http://127.0.0.1:PORT, the native listener (for AIStore's clients)
    TROUPE_CA        file of the authority to trust, where it is https:// (optional)
    TROUPE_ACCESS    the root access key
    TROUPE_SECRET    its secret
    TROUPE_REPORT    a file that gets one JSON line for each test (optional)

The clients are unmodified: what they are told is an endpoint, a region and a
pair of keys, as a user would tell them.
"""

import contextlib
import datetime
import hashlib
import itertools
import json
import os
import pathlib
import random
import shutil
import subprocess
import time
import unittest.mock

import boto3
import pytest
from botocore.config import Config

KIB = 1024
MIB = 1024 * 1024

# Sizes around every threshold of the server: nothing, one byte, the small
# object, the inline limit (32 KiB) and its neighbours, one slab (128 KiB), a
# large object, and one that several clients already split.
SIZES = [0, 1, 4 * KIB, 32 * KIB - 1, 32 * KIB, 32 * KIB + 1, 128 * KIB, MIB, 20 * MIB]

# A client that hangs is a failure that names itself: nothing here takes a
# minute on a healthy node.
PROGRAM_SECONDS = 240


def pytest_configure(config):
    for name in ("TROUPE_S3", "TROUPE_ACCESS", "TROUPE_SECRET"):
        if not os.environ.get(name):
            raise pytest.UsageError(f"{name} is not set: run these through `go test ./test/clients`")


def pytest_runtest_logreport(report):
    """Tells the Go test how each test ended, so that it can report them as its own."""
    path = os.environ.get("TROUPE_REPORT")
    if not path:
        return
    if report.when != "call" and report.outcome == "passed":
        return
    line = {
        "name": report.nodeid.split("::", 1)[-1],
        "file": report.nodeid.split("::", 1)[0],
        "when": report.when,
        "outcome": report.outcome,
        "seconds": report.duration,
        "text": report.longreprtext if report.outcome != "passed" else "",
    }
    with open(path, "a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def content(size, seed=0):
    """Bytes that are the same for the same size and seed, on every run."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def same(got, want, what):
    """Compares payloads without printing megabytes when they differ."""
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    raise AssertionError(f"{what}: got {len(got)} bytes, want {len(want)}; they differ first at byte {at}")


def same_tree(got, want):
    """Two directories hold the same files with the same bytes."""

    def manifest(root):
        root = pathlib.Path(root)
        return {
            str(path.relative_to(root)): (path.stat().st_size, digest(path.read_bytes()))
            for path in root.rglob("*")
            if path.is_file()
        }

    got, want = manifest(got), manifest(want)
    missing = sorted(set(want) - set(got))
    extra = sorted(set(got) - set(want))
    changed = sorted(name for name in set(got) & set(want) if got[name] != want[name])
    assert not (missing or extra or changed), f"missing {missing[:10]}, extra {extra[:10]}, changed {changed[:10]}"


def write_tree(root, files):
    """Makes files (name → bytes) under root, last changed a day ago.

    The time of an object is told in whole seconds: a file of this very second
    would look newer than its copy in the bucket, and clients would send it again.
    """
    yesterday = time.time() - 86400
    for name, data in files.items():
        path = pathlib.Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (yesterday, yesterday))
    return pathlib.Path(root)


def run(arguments, env=None, want=0, cwd=None):
    """Runs a program; fails with all that it said when its exit code is not the wanted one.

    want None takes any code but zero.
    """
    arguments = [str(a) for a in arguments]
    done = subprocess.run(
        arguments, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROGRAM_SECONDS
    )
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    good = done.returncode != 0 if want is None else done.returncode == want
    assert good, (
        f"{' '.join(arguments)}\nended with {done.returncode}, want {'a failure' if want is None else want}"
        f"\nstdout: {out[-4000:]}\nstderr: {err[-4000:]}"
    )
    return Ran(out, err)


class Ran:
    """What a program said."""

    def __init__(self, out, err):
        self.out, self.err = out, err

    def json(self):
        return json.loads(self.out)


class Node:
    """Where the node listens and whom it knows."""

    def __init__(self, url=None):
        self.url = (url or os.environ["TROUPE_S3"]).rstrip("/")
        self.host = self.url.split("://", 1)[1]
        self.port = int(self.host.rsplit(":", 1)[1])
        self.access = os.environ["TROUPE_ACCESS"]
        self.secret = os.environ["TROUPE_SECRET"]
        self.ca = os.environ.get("TROUPE_CA")

    def client(self, access=None, secret=None, url=None, ca=True, **config):
        """A boto3 client as a user makes one; config goes to botocore.Config."""
        config.setdefault("s3", {"addressing_style": "path"})
        # One try: a retry would hide an error that the server should not have sent.
        config.setdefault("retries", {"total_max_attempts": 1})
        return boto3.client(
            "s3",
            endpoint_url=url or self.url,
            aws_access_key_id=access or self.access,
            aws_secret_access_key=secret or self.secret,
            region_name="us-east-1",
            verify=self.ca if ca and self.ca else None,
            config=Config(**config),
        )


@contextlib.contextmanager
def clock_an_hour_ago():
    """Lets botocore sign as if it were an hour ago, with both of its signers."""

    def past(remove_tzinfo=True):
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        return now.replace(tzinfo=None) if remove_tzinfo else now

    with contextlib.ExitStack() as stack:
        for module in ("botocore.auth", "botocore.crt.auth"):
            stack.enter_context(unittest.mock.patch(f"{module}.get_current_datetime", past))
        yield


_numbers = itertools.count(1)


def new_bucket_name(prefix):
    """A name that no other test of this run uses."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def node():
    return Node()


@pytest.fixture(scope="session")
def s3(node):
    return node.client()


def empty(s3, bucket):
    """Deletes every object and every open upload of a bucket."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        names = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if names:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
            assert not answer.get("Errors"), answer["Errors"]


@pytest.fixture
def bucket(s3, request):
    """A bucket of the test's own, made and removed by boto3."""
    name = new_bucket_name("t")
    s3.create_bucket(Bucket=name)
    yield name
    # A test that failed leaves the bucket for whoever reads the log; cleaning
    # up after it would report the same trouble twice.
    if not getattr(request.node, "failed", False):
        empty(s3, name)
        s3.delete_bucket(Bucket=name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.failed = True
    return report


@pytest.fixture
def program():
    """The path of a program, which the caller of these tests promised to be there."""

    def find(name):
        path = shutil.which(name)
        assert path, f"{name} is not on the path: run `make tools`"
        return path

    return find
