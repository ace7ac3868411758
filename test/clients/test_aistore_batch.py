"""aistore's Batch: many objects, members of shards and ranges, as one archive.

Run on one node, and on three, each of which is asked in turn: a batch is put together by
the node that was asked, whoever is in charge of what it names.
"""

import io
import os
import tarfile
import zipfile

import pytest
import requests
from aistore.sdk import Client
from aistore.sdk.errors import AISError
from aistore.sdk.retry_config import RetryConfig
from urllib3.util.retry import Retry
import tenacity

from conftest import KIB, MIB, content, new_bucket_name

NATIVES = (os.environ.get("TROUPE_NATIVES") or os.environ["TROUPE_NATIVE"]).split()
SIZES = {f"dir/{n}": size for n, size in enumerate([0, 1, 700, 16 * KIB, 32 * KIB + 1, 128 * KIB, 128 * KIB + 1, 2 * MIB])}
MEMBERS = {f"train/{n:04}.png": content(3000 + n) for n in range(90)}
SHARDS = ("s.tar", "s.tgz", "s.zip")


def tar(mode):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as shard:
        for name, data in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    return made.getvalue()


def packed():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as shard:
        for name, data in MEMBERS.items():
            shard.writestr(name, data)
    return made.getvalue()


@pytest.fixture(scope="session", params=range(len(NATIVES)))
def ais(request):
    if os.environ.get("TROUPE_CA"):
        os.environ["REQUESTS_CA_BUNDLE"] = os.environ["TROUPE_CA"]
    once = RetryConfig(http_retry=Retry(total=0), network_retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(1), reraise=True))
    return Client(NATIVES[request.param], ca_cert=os.environ.get("TROUPE_CA"), retry_config=once)


@pytest.fixture(scope="session")
def bck(ais):
    bucket = ais.bucket(new_bucket_name("Ais_Batch"))
    bucket.create(exist_ok=False)
    for name, size in SIZES.items():
        bucket.object(name).get_writer().put_content(content(size))
    for name, data in zip(SHARDS, (tar("w"), tar("w:gz"), packed())):
        bucket.object(name).get_writer().put_content(data)
    yield bucket
    bucket.delete()


@pytest.mark.parametrize("output", [".tar", ".tgz", ".tar.gz", ".zip"])
@pytest.mark.parametrize("names_only", [False, True])
def test_objects_come_in_order_and_twice(ais, bck, output, names_only):
    names = list(SIZES) + list(reversed(SIZES)) + ["dir/3", "dir/3"]
    batch = ais.batch(names, bucket=bck, output_format=output, only_obj_name=names_only)
    got = list(batch.get())
    assert [out.obj_name for out, _ in got] == names
    for out, data in got:
        assert data == content(SIZES[out.obj_name]) and out.size == len(data)
        assert not out.err_msg and out.bucket == bck.name


@pytest.mark.parametrize("output", [".tar", ".tgz", ".zip"])
def test_members_of_shards_and_what_they_are_known_by(ais, bck, output):
    batch, want = ais.batch(bucket=bck, output_format=output), []
    for n, name in enumerate(sorted(MEMBERS, key=lambda name: name[::-1])):
        batch.add(SHARDS[n % 3], archpath=name, opaque=bytes([n, 255, 254]))
        want.append((SHARDS[n % 3], name, bytes([n, 255, 254]), MEMBERS[name]))
    assert [(out.obj_name, out.archpath, out.opaque, data) for out, data in batch.get()] == want


def test_ranges(ais, bck):
    batch = ais.batch(bucket=bck)
    whole, member = content(SIZES["dir/7"]), MEMBERS["train/0080.png"]
    batch.add("dir/7", start=MIB, length=200 * KIB).add("dir/7", start=MIB + 1, length=-1).add("dir/7", length=7).add("dir/0", length=-1)
    batch.add("s.tgz", archpath="train/0080.png", start=100, length=50).add("s.zip", archpath="train/0080.png", start=3000, length=-1)
    assert [data for _, data in batch.get()] == [whole[MIB : MIB + 200 * KIB], whole[MIB + 1 :], whole[:7], b"", member[100:150], member[3000:]]


def test_other_buckets_and_the_batch_again(ais, bck):
    batch = ais.batch()
    batch.add("dir/2", bck=bck.name, provider="ais").add(bck.object("dir/1"))
    for _ in range(2):
        assert [len(data) for _, data in batch.get(clear_batch=False)] == [700, 1]
    raw = batch.get(raw=True)
    with tarfile.open(fileobj=raw, mode="r|*") as archive:
        assert [m.name for m in archive] == [f"{bck.name}/dir/2", f"{bck.name}/dir/1"]
    raw.close()
    assert len(batch) == 0


@pytest.mark.parametrize("names_only", [False, True])
@pytest.mark.parametrize("output", [".tar", ".tgz"])
def test_what_is_missing_is_told_by_its_place(ais, bck, output, names_only):
    batch = ais.batch(bucket=bck, output_format=output, only_obj_name=names_only)
    batch.add("none").add("dir/2").add("s.tar", archpath="no/ne").add("dir/0").add("none.tar", archpath="/x").add("none", start=5, length=-1)
    got = list(batch.get())
    assert [bool(out.err_msg) for out, _ in got] == [True, False, True, False, True, True]
    assert [len(data) for _, data in got] == [0, 700, 0, 0, 0, 0]


def test_what_is_missing_is_404_for_who_does_not_go_on(ais, bck):
    for absent in ({"obj": "none"}, {"obj": "s.tar", "archpath": "no/ne"}, {"obj": "none.tar", "archpath": "x"}):
        with pytest.raises(AISError) as refused:
            ais.batch(bucket=bck, cont_on_err=False).add("dir/1").add(**absent).get()
        assert refused.value.status_code == 404 and "does not exist" in refused.value.message
    for goes_on in (False, True):
        with pytest.raises(AISError) as refused:
            ais.batch(bucket=ais.bucket("there-is-none"), cont_on_err=goes_on).add("o").get()
        assert refused.value.status_code == 404 and "does not exist" in refused.value.message


def test_a_range_that_cannot_be_is_416(ais, bck):
    for goes_on in (False, True):
        for asked in ({"start": 700, "length": -1}, {"start": 1, "length": 700}):
            with pytest.raises(AISError) as refused:
                ais.batch(bucket=bck, cont_on_err=goes_on).add("dir/2", **asked).get()
            assert refused.value.status_code == 416


def test_a_thousand_members(ais, bck):
    names = list(MEMBERS)
    batch, want = ais.batch(bucket=bck), []
    for n in range(1000):
        name = names[n * 7 % len(names)]
        batch.add(SHARDS[n // 10 % 3], archpath=name)
        want.append(MEMBERS[name])
    assert [data for _, data in batch.get()] == want


def test_the_answer_is_a_stream(bck):
    url = f"{NATIVES[0]}/v1/ml/moss/{bck.name}?provider=ais"
    body = {"in": [{"objname": "dir/7", "bucket": bck.name}], "strm": True, "mime": ".tar"}
    answer = requests.get(url, json=body, verify=os.environ.get("TROUPE_CA", True), timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Transfer-Encoding"] == "chunked"
