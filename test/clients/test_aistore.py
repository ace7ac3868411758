"""aistore, AIStore's Python package: what a user of AIStore does, on the native listener.

Beside it boto3 looks at the same buckets through the S3 listener: there is one
set of objects, whichever side made them.
"""

import concurrent.futures
import hashlib
import io
import os
import tarfile
import zipfile

import pytest
from aistore.sdk import Client
from aistore.sdk.archive_config import ArchiveConfig, ArchiveMode
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound, ErrRemoteBckNotFound
from aistore.sdk.list_object_flag import ListObjectFlag
from aistore.sdk.obj.content_iterator.buffer import ParallelBuffer
from aistore.sdk.retry_config import RetryConfig
from botocore.exceptions import ClientError
from urllib3.util.retry import Retry
import requests
import tenacity
import xxhash

from conftest import KIB, MIB, SIZES, content, new_bucket_name, same


@pytest.fixture(scope="session")
def ais():
    """A client as a user makes one; it tries once, so that a retry hides nothing."""
    if os.environ.get("TROUPE_CA"):
        # requests lets this variable, which a machine may have set, win over what the package is given.
        os.environ["REQUESTS_CA_BUNDLE"] = os.environ["TROUPE_CA"]
    once = RetryConfig(http_retry=Retry(total=0), network_retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(1), reraise=True))
    return Client(os.environ["TROUPE_NATIVE"], ca_cert=os.environ.get("TROUPE_CA"), retry_config=once)


@pytest.fixture
def bck(ais):
    """A bucket of the test's own, destroyed with what is in it."""
    bucket = ais.bucket(new_bucket_name("Ais_Test"))
    bucket.create(exist_ok=False)
    yield bucket
    bucket.delete()


def put(bck, name, data):
    return bck.object(name).get_writer().put_content(data)


def whole(bck, name, **options):
    return bck.object(name).get_reader(**options).read_all()


# The cluster


def test_cluster_is_ready_and_has_a_map(ais):
    cluster = ais.cluster()
    assert cluster.is_ready()
    smap = cluster.get_info()
    assert len(smap.pmap) == 1 and len(smap.tmap) == 1
    assert smap.proxy_si.public_net.direct_url == os.environ["TROUPE_NATIVE"]
    assert set(smap.pmap) & set(smap.tmap) == set()
    assert cluster.get_uuid() == smap.uuid != ""
    assert cluster.get_primary_url() == os.environ["TROUPE_NATIVE"]
    [status] = cluster.get_performance().values()
    assert status["snode"]["daemon_type"] == "target"
    assert len(status["capacity"]["mountpaths"]) == 4


# Buckets


def test_buckets_are_made_listed_headed_and_destroyed(ais):
    bucket = ais.bucket(new_bucket_name("b"))
    bucket.create(exist_ok=False)
    with pytest.raises(ErrBckAlreadyExists):
        bucket.create(exist_ok=False)
    bucket.create(exist_ok=True)
    assert bucket.name in [b.name for b in ais.cluster().list_buckets()]
    assert '"provider":"ais"' in bucket.head()["Ais-Bucket-Props"]
    put(bucket, "it/is/not/empty", b"1")
    bucket.delete()
    with pytest.raises(ErrBckNotFound):
        bucket.delete(missing_ok=False)
    bucket.delete(missing_ok=True)
    with pytest.raises(ErrBckNotFound):
        bucket.list_objects()
    with pytest.raises(ErrBckNotFound):
        put(bucket, "o", b"1")
    # A bucket of the same name is another one.
    bucket.create(exist_ok=False)
    assert bucket.list_objects().entries == []
    bucket.delete()


def test_buckets_of_backends_are_not_here(ais):
    remote = ais.bucket("someone-elses", provider="aws")
    with pytest.raises(ErrRemoteBckNotFound):
        remote.list_objects()
    assert ais.cluster().list_buckets(provider="aws") == []


def test_a_bucket_name_that_cannot_be_is_refused(ais):
    for name in ("with blank", "#x", "$x", "a..b", "x" * 65):
        with pytest.raises(AISError) as refused:
            ais.bucket(name).create()
        assert refused.value.status_code == 400, name


# Objects


@pytest.mark.parametrize("size", SIZES)
def test_put_get_head_delete(bck, size):
    data, obj = content(size), bck.object(f"folder/{size}.bin")
    answer = obj.get_writer().put_content(data)
    digest = xxhash.xxh64(data).hexdigest()
    assert answer.headers["Ais-Checksum-Value"] == digest
    reader = obj.get_reader()
    same(reader.read_all(), data, obj.name)
    assert (reader.attributes.checksum_type, reader.attributes.checksum_value) == ("xxhash2", digest)
    assert (reader.attributes.size, reader.attributes.obj_version) == (size, "1")
    same(b"".join(obj.get_reader(chunk_size=64 * KIB)), data, "in pieces")
    same(whole(bck, obj.name, direct=True), data, "from the target itself")
    head = obj.head("size,checksum,etag,last-modified,location,custom,copies,chunked")
    assert (head.size, head.checksum_value, head.present) == (size, digest, True)
    assert head.etag == hashlib.md5(data).hexdigest()
    assert head.last_modified.endswith("GMT") and head.location.startswith("t[")
    assert head.custom_metadata == {} and head.chunks is None
    assert obj.head().etag == "", "what was not asked is not told"
    assert obj.props.mirror_copies == 1
    obj.delete()
    with pytest.raises(ErrObjNotFound):
        obj.delete()
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    with pytest.raises(AISError) as gone:
        obj.head()
    assert gone.value.status_code == 404


def test_files_are_put(bck, tmp_path):
    data = content(3 * MIB + 17)
    path = tmp_path / "file"
    path.write_bytes(data)
    bck.object("from-file").get_writer().put_file(path)
    same(whole(bck, "from-file"), data, "from-file")
    for name in ("a", "sub/b", "sub/c.txt"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(name.encode())
    bck.put_files(tmp_path / "tree", recursive=True, prepend="up/")
    assert [e.name for e in bck.list_objects(prefix="up/").entries] == ["up/a", "up/sub/b", "up/sub/c.txt"]


def test_a_body_of_unknown_length_is_put(bck):
    if os.environ["TROUPE_NATIVE"].startswith("https"):
        return  # the package sends no body over HTTPS whose length it cannot tell
    data = content(MIB)
    bck.object("o").get_writer()._put_data(data[at : at + 10_000] for at in range(0, MIB, 10_000))
    same(whole(bck, "o"), data, "o")


def test_overwriting_counts(bck):
    obj = bck.object("o")
    for turn in range(1, 4):
        assert put(bck, "o", content(turn * 20 * KIB)).headers["Ais-Version"] == str(turn)
    assert obj.props.obj_version == "3"
    obj.delete()
    assert put(bck, "o", b"anew").headers["Ais-Version"] == "1"


@pytest.mark.parametrize("size", [10 * KIB, 300 * KIB])
def test_ranges(bck, size):
    data = content(size)
    put(bck, "o", data)
    for header, want in {
        "bytes=5-100": data[5:101], "bytes=0-0": data[:1], f"bytes={size - 1}-": data[-1:],
        "bytes=-7": data[-7:], f"bytes=100-{size * 2}": data[100:], "bytes=9000-9999": data[9000:10000],
    }.items():
        same(whole(bck, "o", byte_range=header), want, header)
    for header in (f"bytes={size}-", f"bytes={size}-{size + 9}"):
        with pytest.raises(AISError) as refused:
            whole(bck, "o", byte_range=header)
        assert refused.value.status_code == 416, header


def test_parallel_reading(bck):
    data = content(20 * MIB)
    put(bck, "o", data)
    result = whole(bck, "o", num_workers=4)
    assert isinstance(result, ParallelBuffer)
    try:
        same(bytes(result.buf[: len(data)]), data, "o")
    finally:
        result.close()


def test_reading_as_a_file_goes_on_where_it_stopped(bck):
    data = content(2 * MIB)
    put(bck, "o", data)
    with bck.object("o").get_reader().as_file() as file:
        same(file.read(1000) + file.read(), data, "o")


def request(bck, method, name, headers=None, data=None, **parameters):
    """What the package has no method for; as a Go client sends it."""
    url = f"{os.environ['TROUPE_NATIVE']}/v1/objects/{bck.name}/{name}"
    return requests.request(
        method, url, params={"provider": "ais", **parameters}, headers=headers, data=data, verify=os.environ.get("TROUPE_CA", True)
    )


@pytest.mark.parametrize("size", [10 * KIB, MIB])
def test_declared_checksums_are_held_against_the_content(bck, size):
    data = content(size)
    for kind, value in {
        "xxhash": xxhash.xxh64(data).hexdigest(), "xxhash2": xxhash.xxh64(data).hexdigest(), "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(), "sha512": hashlib.sha512(data).hexdigest(),
    }.items():
        good = request(bck, "PUT", kind, {"Ais-Checksum-Type": kind, "Ais-Checksum-Value": value}, data)
        assert good.status_code == 200, good.text
        wrong = "0" * len(value)
        bad = request(bck, "PUT", kind, {"Ais-Checksum-Type": kind, "Ais-Checksum-Value": wrong}, data[::-1])
        assert bad.status_code == 400
        assert f"BAD DATA CHECKSUM: {kind}({wrong} != " in bad.json()["message"]
        same(whole(bck, kind), data, f"{kind}: a refused write changes nothing")
    # What is there already is not written again, unless that is asked.
    sum_of_it = {"Ais-Checksum-Type": "xxhash2", "Ais-Checksum-Value": xxhash.xxh64(data).hexdigest()}
    assert request(bck, "PUT", "xxhash2", sum_of_it, data).headers["Ais-Version"] == "1"
    assert request(bck, "PUT", "xxhash2", sum_of_it, data, skip_vc="true").headers["Ais-Version"] == "2"


def test_custom_metadata(bck, s3):
    obj = bck.object("o")
    put(bck, "o", content(100 * KIB))
    assert obj.get_reader().attributes.custom_metadata == {}
    obj.get_writer().set_custom_props({"color": "red", "size": "a=b"})
    obj.get_writer().set_custom_props({"color": "blue"})
    assert obj.head("custom").custom_metadata == {"color": "blue", "size": "a=b"}
    assert s3.head_object(Bucket=bck.name, Key="o")["Metadata"] == {"color": "blue", "size": "a=b"}
    obj.get_writer().set_custom_props({"only": "this"}, replace_existing=True)
    assert obj.get_reader().attributes.custom_metadata == {"only": "this"}
    same(obj.get_reader().read_all(), content(100 * KIB), "o")
    assert obj.props.obj_version == "1"
    with pytest.raises(AISError) as refused:
        obj.get_writer().set_custom_props({"long": "x" * 3000})
    assert refused.value.status_code == 400
    with pytest.raises(ErrObjNotFound):
        bck.object("none").get_writer().set_custom_props({"a": "b"})


def test_copies(ais, bck):
    put(bck, "from", content(200 * KIB))
    bck.object("from").get_writer().set_custom_props({"a": "b"})
    assert bck.object("from").copy(bck.object("dir/to")).status_code == 200
    same(whole(bck, "dir/to"), content(200 * KIB), "dir/to")
    assert bck.object("dir/to").head("custom").custom_metadata == {"a": "b"}
    with pytest.raises(ErrBckNotFound) as refused:
        bck.object("from").copy(ais.bucket("nowhere").object("to"))
    assert "bucket" in str(refused.value) and "does not exist" in str(refused.value)
    with pytest.raises(ErrObjNotFound):
        bck.object("none").copy(bck.object("to"))


def test_objects_in_parts(bck):
    obj, parts = bck.object("o"), [content(300 * KIB, n) for n in range(3)]
    upload = obj.multipart_upload().create()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: upload.add_part(n + 1).put_content(parts[n]), [2, 0, 1]))
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    upload.complete()
    same(obj.get_reader().read_all(), b"".join(parts), "o")
    same(whole(bck, "o", byte_range=f"bytes={300 * KIB - 2}-{300 * KIB + 1}"), parts[0][-2:] + parts[1][:2], "across parts")
    chunks = obj.head("chunked").chunks
    assert (chunks.chunk_count, chunks.max_chunk_size) == (3, 300 * KIB)
    obj.get_writer().set_custom_props({"a": "b"})
    assert obj.head("custom").custom_metadata == {"a": "b"}

    with pytest.raises(AISError, match="no chunks"):
        bck.object("p").multipart_upload().create().complete()
    with pytest.raises(AISError, match=r"invalid size \(0\)"):
        bck.object("p").multipart_upload().create().add_part(1).put_content(b"")
    with pytest.raises(AISError, match="does not exist"):
        upload.complete()
    gone = bck.object("p").multipart_upload().create()
    gone.add_part(1).put_content(b"1")
    gone.abort()
    with pytest.raises(AISError, match="does not exist"):
        gone.complete()


NAMES = [
    "plain", "with blank", " ", "per%cent", "per%25cent", "plus+", "a&b=c", "what?", "hash#", "back\\slash", "(brackets)", "[1]",
    "ünïcode/日本", "-dash", ".dot", "..dots", "a//b", "x" * 200 + "/" + "y" * 200, "quote'\"", "semi;colon", "t\tab",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_come_back_as_they_went(bck, s3, name):
    data = name.encode()
    put(bck, name, data)
    same(whole(bck, name), data, name)
    assert [e.name for e in bck.list_objects().entries] == [name]
    assert bck.object(name).head("name").present
    assert s3.get_object(Bucket=bck.name, Key=name)["Body"].read() == data
    bck.object(name).delete()


# Lists


def test_lists_page_by_page(bck):
    names = sorted(f"{group}/{n:04d}" for group in ("a", "b", "ä") for n in range(40))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: put(bck, name, name.encode()), names))
    names.sort(key=lambda name: name.encode())
    assert [e.name for e in bck.list_all_objects()] == names
    assert [e.name for e in bck.list_all_objects(page_size=7)] == names
    assert [e.name for e in bck.list_objects_iter(page_size=13)] == names
    assert [e.name for e in bck.list_objects_iter(page_size=40, prefix="b/")] == [n for n in names if n.startswith("b/")]
    assert [e.name for e in bck.list_all_objects(prefix="a/000", start_after="a/0004", page_size=2)] == [f"a/{n:04d}" for n in range(5, 10)]
    assert bck.list_all_objects(prefix="none") == []
    page = bck.list_objects(page_size=10)
    assert len(page.entries) == 10 and page.continuation_token == names[9] and len(page.uuid) >= 9
    again = bck.list_objects(page_size=10, uuid=page.uuid, continuation_token=page.continuation_token)
    assert [e.name for e in again.entries] == names[10:20]


def test_lists_tell_what_is_asked(bck):
    put(bck, "o", content(50 * KIB))
    put(bck, "o", content(60 * KIB))
    bck.object("o").get_writer().set_custom_props({"a": "b"})
    digest = xxhash.xxh64(content(60 * KIB)).hexdigest()
    [entry] = bck.list_objects(props="name,size,checksum,atime,version,location,copies,custom").entries
    assert (entry.size, entry.checksum, entry.version, entry.copies) == (60 * KIB, digest, "2", 1)
    assert entry.atime.endswith("UTC") and entry.location.startswith("t[")
    assert entry.is_cached() and entry.is_ok()
    [entry] = bck.list_objects(props="name").entries
    assert (entry.size, entry.checksum, entry.version, entry.atime) == (0, "", "", "")
    [entry] = bck.list_objects().entries
    assert entry.size == 60 * KIB
    [obj] = bck.list_all_objects_iter(props="name,size,version")
    same(obj.get_reader().read_all(), content(60 * KIB), "the object of an entry")
    for prop in ("target_url", "node"):  # which the package's own text has for location
        [again] = bck.list_objects(props=f"name,{prop}").entries
        assert again.location.startswith("t[") and again.checksum == ""
    with pytest.raises(AISError) as refused:
        bck.list_objects(props="name,colour")
    assert refused.value.status_code == 400


def test_lists_of_one_level(bck):
    for name in ("a/1", "a/2", "a/deep/3", "b", "c/4", "ab"):
        put(bck, name, b"1")

    def level(prefix="", **options):
        flags = [ListObjectFlag.NO_RECURSION]
        return [(e.name, bool(e.flags & 256)) for e in bck.list_all_objects(prefix=prefix, flags=flags, **options)]

    assert level() == [("a/", True), ("ab", False), ("b", False), ("c/", True)]
    assert level("a/") == [("a/1", False), ("a/2", False), ("a/deep/", True)]
    assert level("a") == [("a/", True), ("ab", False)]
    assert level(page_size=1) == level()


# What each flag lists: which entries, and whether they tell sizes and checksums; or how
# it is refused. A flag that a release of the package brings fails here.
FLAGGED = {
    **dict.fromkeys(
        ("MISSING", "DELETED", "BCK_PRESENT", "DONT_HEAD_REMOTE", "DONT_ADD_REMOTE", "ONLY_REMOTE_PROPS", "DIFF", "NO_DIRS", "IS_S3"),
        (["a/1", "a/2", "b"], True, False),
    ),
    "CACHED": (["a/1", "a/2", "b"], True, True),
    "NAME_ONLY": (["a/1", "a/2", "b"], False, False),
    "NAME_SIZE": (["a/1", "a/2", "b"], True, False),
    "NO_RECURSION": (["a/", "b"], True, False),
    "ARCH_DIR": (501, "the content of archives"),
    "NOT_CACHED": (400, "every object is in the cluster"),
    "NBI": (400, "no inventory to list"),
}


@pytest.mark.parametrize("flag", ListObjectFlag, ids=lambda flag: flag.name)
def test_lists_by_each_flag(bck, flag):
    for name in ("a/1", "a/2", "b", "gone"):
        put(bck, name, b"1")
    bck.object("gone").delete()
    want = FLAGGED[flag.name]
    if isinstance(want[0], int):
        with pytest.raises(AISError) as refused:
            bck.list_all_objects(flags=[flag])
        assert refused.value.status_code == want[0]
        assert want[1] in refused.value.message
        return
    names, sizes, checksums = want
    for page_size in (0, 1):
        entries = bck.list_all_objects(flags=[flag], page_size=page_size)
        assert [e.name for e in entries] == names
        objects = [e for e in entries if not e.name.endswith("/")]
        assert all(e.is_cached() and e.is_ok() and e.flags == 64 for e in objects)
        assert {e.size for e in objects} == {1 if sizes else 0}
        assert {e.checksum for e in objects} == {xxhash.xxh64(b"1").hexdigest() if checksums else ""}
    entries = bck.list_all_objects(flags=[flag, ListObjectFlag.NO_RECURSION], page_size=1)
    assert [(e.name, e.flags) for e in entries] == [("a/", 256), ("b", 64)]


def test_no_inventory_of_a_bucket_without_a_backend(bck):
    with pytest.raises(AISError) as refused:
        bck.list_objects(inventory_name="inventory")
    assert refused.value.status_code == 400
    assert "no inventory to list" in refused.value.message


# One bucket, two sides


def test_s3_and_native_see_one_object(ais, bck, s3):
    data = content(80 * KIB)
    put(bck, "dir/native", data)
    head = s3.head_object(Bucket=bck.name, Key="dir/native")
    assert head["ETag"].strip('"') == hashlib.md5(data).hexdigest() == bck.object("dir/native").head("etag").etag
    assert head["ContentLength"] == len(data)
    s3.put_object(Bucket=bck.name, Key="dir/s3", Body=data, Metadata={"from": "s3"}, ContentType="text/plain")
    attributes = bck.object("dir/s3").get_reader().attributes
    assert attributes.custom_metadata == {"from": "s3"} and attributes.size == len(data)
    same(whole(bck, "dir/s3"), data, "dir/s3")
    assert [e["Key"] for e in s3.list_objects_v2(Bucket=bck.name)["Contents"]] == [e.name for e in bck.list_objects().entries]
    bck.object("dir/s3").get_writer().set_custom_props({"more": "1"})
    head = s3.head_object(Bucket=bck.name, Key="dir/s3")
    assert (head["Metadata"], head["ContentType"]) == ({"from": "s3", "more": "1"}, "text/plain")
    s3.upload_fileobj(io.BytesIO(content(20 * MIB)), bck.name, "big")
    same(whole(bck, "big"), content(20 * MIB), "in parts from S3")
    assert bck.object("big").head("chunked").chunks.chunk_count == 3
    bck.object("dir/native").delete()
    with pytest.raises(ClientError):
        s3.head_object(Bucket=bck.name, Key="dir/native")
    name = new_bucket_name("made-by-s3")
    s3.create_bucket(Bucket=name)
    assert name in [b.name for b in ais.cluster().list_buckets()]
    assert name in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    ais.bucket(name).delete()
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=name)


def test_names_that_only_s3_makes_are_read_and_deleted_here(bck, s3):
    for name in ("dir/", "~/x"):
        s3.put_object(Bucket=bck.name, Key=name, Body=b"1")
        assert whole(bck, name) == b"1"
        with pytest.raises(AISError) as refused:
            put(bck, name, b"2")
        assert refused.value.status_code == 400
        bck.object(name).delete()
    assert bck.list_all_objects() == []


def shard_of(extension, members):
    """A shard as Python's own libraries make it."""
    made = io.BytesIO()
    if extension == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(fileobj=made, mode="w" if extension == "tar" else "w:gz") as archive:
            for name, data in members.items():
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
    return made.getvalue()


@pytest.mark.parametrize("extension", ["tar", "tgz", "tar.gz", "zip"])
def test_members_of_shards(bck, extension):
    members = {f"train/{n // 2:04}.{'cls' if n % 2 else 'png'}": content(100 * n) for n in range(100)}
    name = f"dir/shard.{extension}"
    put(bck, name, shard_of(extension, members))

    def member(path):
        return bck.object(name).get_reader(archive_config=ArchiveConfig(archpath=path))

    for path in list(members)[::9] + ["train/0000.png", "train/0049.cls"]:
        assert member(path).read_all() == members[path]
        assert b"".join(member(path)) == members[path]
        assert member("/" + path).read_all() == members[path]
    with member("train/0040.cls").as_file() as file:
        assert file.read(10) == members["train/0040.cls"][:10]
        assert file.read() == members["train/0040.cls"][10:]
    for mode, text, chosen in (
        (ArchiveMode.REGEXP, r"00[12]\d\.png$", lambda n: n.endswith(".png") and "0010" <= n[6:10] < "0030"),
        (ArchiveMode.PREFIX, "train/000", lambda n: n.startswith("train/000")),
        (ArchiveMode.SUFFIX, ".cls", lambda n: n.endswith(".cls")),
        (ArchiveMode.SUBSTR, "3", lambda n: "3" in n),
        (ArchiveMode.WDSKEY, "train/0007", lambda n: n.startswith("train/0007.")),
    ):
        answer = bck.object(name).get_reader(archive_config=ArchiveConfig(regex=text, mode=mode)).read_all()
        with tarfile.open(fileobj=io.BytesIO(answer)) as archive:
            got = [(m.name, archive.extractfile(m).read()) for m in archive]
        assert got == [(n, data) for n, data in members.items() if chosen(n)]
    for missing in (lambda: member("train/none").read_all(),
                    lambda: bck.object(name).get_reader(archive_config=ArchiveConfig(regex="none", mode=ArchiveMode.PREFIX)).read_all()):
        with pytest.raises(AISError) as refused:
            missing()
        assert refused.value.status_code == 404
    url = bck.object(name).get_url(archpath="train/0001.png")
    assert requests.get(url, verify=os.environ.get("TROUPE_CA", True), timeout=60).content == members["train/0001.png"]


def test_what_is_missing_is_refused_by_name(ais, bck):
    put(bck, "o", b"1")
    for ask, words in {
        lambda: bck.summary(): "summary-bck",
        lambda: bck.rename("elsewhere"): "move-bck",
        lambda: bck.objects(obj_names=["o"]).delete(): "delete-listrange",
        lambda: bck.object("o").get_writer().append_content(b"2"): "append",
        lambda: bck.list_archive("o"): "archives",
        lambda: ais.batch(["o"], bucket=bck, streaming_get=False).get(): "get-batch",
        lambda: ais.etl("some-etl").view(): "ETL",
        lambda: ais.dsort("some-sort").abort(): "dsort",
        lambda: ais.job("some-job").status(): "what=status",
    }.items():
        with pytest.raises(AISError) as refused:
            ask()
        assert refused.value.status_code == 501, words
        assert words in refused.value.message
