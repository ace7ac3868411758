"""boto3: buckets, objects of every size, metadata, copies, ranges, presigned URLs."""

import datetime
import hashlib
import io
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import KIB, MIB, SIZES, clock_an_hour_ago, content, new_bucket_name, same


def test_buckets_are_made_listed_and_removed(s3):
    names = [new_bucket_name("b") for _ in range(3)]
    for name in names:
        s3.create_bucket(Bucket=name)
    listed = {entry["Name"]: entry["CreationDate"] for entry in s3.list_buckets()["Buckets"]}
    assert set(names) <= set(listed)
    now = datetime.datetime.now(datetime.timezone.utc)
    for name in names:
        assert abs((now - listed[name]).total_seconds()) < 600, f"{name} was created at {listed[name]}"
        s3.head_bucket(Bucket=name)
        assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] in (None, "", "us-east-1")
    for name in names:
        s3.delete_bucket(Bucket=name)
        with pytest.raises(ClientError) as refused:
            s3.head_bucket(Bucket=name)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert not set(names) & {entry["Name"] for entry in s3.list_buckets()["Buckets"]}


@pytest.mark.parametrize("size", SIZES)
def test_put_get_head_delete(s3, bucket, size):
    data, name = content(size), f"folder/{size}.bin"
    put = s3.put_object(Bucket=bucket, Key=name, Body=data)
    etag = f'"{hashlib.md5(data).hexdigest()}"'
    assert put["ETag"] == etag
    head = s3.head_object(Bucket=bucket, Key=name)
    assert (head["ContentLength"], head["ETag"]) == (size, etag)
    assert head["AcceptRanges"] == "bytes"
    got = s3.get_object(Bucket=bucket, Key=name)
    assert (got["ContentLength"], got["ETag"]) == (size, etag)
    assert got["LastModified"] == head["LastModified"]
    same(got["Body"].read(), data, name)
    [entry] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (entry["Key"], entry["Size"], entry["ETag"]) == (name, size, etag)
    assert s3.delete_object(Bucket=bucket, Key=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=bucket, Key=name)
    assert gone.value.response["Error"]["Code"] == "NoSuchKey"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("before", [0, 4 * KIB, 40 * KIB, MIB])
@pytest.mark.parametrize("after", [0, 4 * KIB, 40 * KIB, MIB])
def test_overwrite_replaces_all_of_it(s3, bucket, before, after):
    # Inline over file, file over inline: the old payload must not show through.
    s3.put_object(Bucket=bucket, Key="k", Body=content(before, 1), Metadata={"turn": "first"})
    s3.put_object(Bucket=bucket, Key="k", Body=content(after, 2), Metadata={"turn": "second"})
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Metadata"] == {"turn": "second"}
    same(got["Body"].read(), content(after, 2), "k")
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 1


def test_unseekable_and_file_like_bodies(s3, bucket, tmp_path):
    # A file, whose signature covers a trailing checksum, and a stream through upload_fileobj.
    path = tmp_path / "f"
    path.write_bytes(content(300 * KIB))
    with open(path, "rb") as body:
        s3.put_object(Bucket=bucket, Key="file", Body=body)
    same(s3.get_object(Bucket=bucket, Key="file")["Body"].read(), content(300 * KIB), "file")

    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.stream = io.BytesIO(data)

        def readable(self):
            return True

        def seekable(self):
            return False

        def read(self, size=-1):
            return self.stream.read(size)

    s3.upload_fileobj(Pipe(content(300 * KIB, 2)), bucket, "pipe")
    same(s3.get_object(Bucket=bucket, Key="pipe")["Body"].read(), content(300 * KIB, 2), "pipe")


def test_headers_and_metadata_come_back(s3, bucket):
    told = {
        "ContentType": "text/x-played; charset=utf-8",
        "CacheControl": "max-age=77",
        "ContentDisposition": 'attachment; filename="cat.jpg"',
        "ContentEncoding": "identity-of-its-own",
        "ContentLanguage": "de-AT",
        "Expires": datetime.datetime(2031, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
    }
    metadata = {"colour": "red", "with-dash": "1", "spaces": "a  b", "empty": ""}
    for size in (10, 100 * KIB):
        name = f"m{size}"
        s3.put_object(Bucket=bucket, Key=name, Body=content(size), Metadata=metadata, **told)
        for answer in (s3.head_object(Bucket=bucket, Key=name), s3.get_object(Bucket=bucket, Key=name)):
            got = {field: answer.get(field) for field in told}
            assert got == told
            # HTTP folds runs of blanks in what a signature covers, so only the other values are exact.
            assert {k: " ".join(v.split()) for k, v in answer["Metadata"].items()} == {
                k: " ".join(v.split()) for k, v in metadata.items()
            }
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="plain")["ContentType"] == "binary/octet-stream"


def test_response_headers_can_be_overridden(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", ContentType="text/plain")
    got = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="application/x-other",
        ResponseContentDisposition="inline",
        ResponseCacheControl="no-store",
    )
    assert (got["ContentType"], got["ContentDisposition"], got["CacheControl"]) == (
        "application/x-other",
        "inline",
        "no-store",
    )


@pytest.mark.parametrize("size", [0, 10, 100 * KIB, 3 * MIB])
def test_copy(s3, bucket, size):
    data, source = content(size), {"Bucket": bucket, "Key": "from here/ä+b.bin"}
    s3.put_object(Bucket=bucket, Key=source["Key"], Body=data, Metadata={"a": "1"}, ContentType="text/a")
    other = new_bucket_name("copy")
    s3.create_bucket(Bucket=other)
    for to in (bucket, other):
        answer = s3.copy_object(Bucket=to, Key="to", CopySource=source)
        assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        got = s3.get_object(Bucket=to, Key="to")
        assert (got["Metadata"], got["ContentType"]) == ({"a": "1"}, "text/a")
        same(got["Body"].read(), data, to)
    s3.delete_object(Bucket=other, Key="to")
    s3.delete_bucket(Bucket=other)


def test_copy_directives(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata={"a": "1"}, ContentType="text/a")
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(
        Bucket=bucket, Key="copied", CopySource=source, MetadataDirective="COPY", TaggingDirective="COPY"
    )
    assert s3.head_object(Bucket=bucket, Key="copied")["Metadata"] == {"a": "1"}
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
        ContentType="text/b",
    )
    head = s3.head_object(Bucket=bucket, Key="replaced")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "text/b")
    # Onto itself: only with new metadata.
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "3"})
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Metadata"] == {"c": "3"}
    assert got["Body"].read() == b"body"
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert refused.value.response["Error"]["Code"] == "InvalidRequest"
    assert s3.get_object_tagging(Bucket=bucket, Key="copied")["TagSet"] == []


def test_copy_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"body")["ETag"]
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfMatch=etag)
    with pytest.raises(ClientError) as refused:
        s3.copy_object(Bucket=bucket, Key="c", CopySource=source, CopySourceIfNoneMatch=etag)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412


@pytest.mark.parametrize("size", [100, 32 * KIB, 5 * MIB])
@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=50-", 50, None),
        ("bytes=-7", -7, None),
        ("bytes=0-99999999", 0, None),
        ("bytes=-99999999", 0, None),
    ],
)
def test_ranges(s3, bucket, size, asked, first, last):
    data = content(size)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    begin = first if first >= 0 else size + first
    end = size - 1 if last is None else last
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {begin}-{end}/{size}"
    same(got["Body"].read(), data[begin : end + 1], asked)


def test_range_outside_the_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-20")
    assert refused.value.response["Error"]["Code"] == "InvalidRange"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416


@pytest.fixture(scope="module")
def signer(node):
    """A client that presigns with version 4; left alone, boto3 still presigns with version 2 in us-east-1."""
    return node.client(signature_version="s3v4")


@pytest.mark.parametrize("size", [0, 4 * KIB, 2 * MIB])
def test_presigned_urls(signer, bucket, size):
    data = content(size)
    name = "signed/ä b+c.bin"
    put = signer.generate_presigned_url("put_object", {"Bucket": bucket, "Key": name}, ExpiresIn=120)
    request = urllib.request.Request(put, data=data, method="PUT", headers={"Content-Type": "text/presigned"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    get = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": name}, ExpiresIn=120)
    with urllib.request.urlopen(get, timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/presigned"
        same(answer.read(), data, name)
    head = signer.generate_presigned_url("head_object", {"Bucket": bucket, "Key": name}, ExpiresIn=120)
    with urllib.request.urlopen(urllib.request.Request(head, method="HEAD"), timeout=60) as answer:
        assert int(answer.headers["Content-Length"]) == size


def test_presigned_urls_that_are_refused(signer, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body")
    get = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=120)
    signature = "X-Amz-Signature="
    at = get.index(signature) + len(signature)
    digit = "0" if get[at] != "0" else "1"
    wrong = {
        "another key": get.replace("/k?", "/other?"),
        "another signature": get[:at] + digit + get[at + 1 :],
        "longer life": get.replace("X-Amz-Expires=120", "X-Amz-Expires=12000"),
        "a method that was not signed": get,
        "no signature": get.split("?")[0],
    }
    for what, url in wrong.items():
        method = "DELETE" if what == "a method that was not signed" else "GET"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60)
        assert refused.value.code == 403, what
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"


def test_presigned_url_expires(signer, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"body")
    # Signed an hour ago, so that nothing has to wait for it.
    with clock_an_hour_ago():
        expired = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
        alive = signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, ExpiresIn=7200)
    with urllib.request.urlopen(alive, timeout=60) as answer:
        assert answer.read() == b"body"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(expired, timeout=60)
    assert refused.value.code == 403
    assert b"expired" in refused.value.read().lower()


def test_tags_of_an_object_change(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"payload", Tagging="old=1", Metadata={"kept": "yes"})
    before = s3.head_object(Bucket=bucket, Key="k")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "two words", "Value": "é"}, {"Key": "empty", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    after = s3.get_object(Bucket=bucket, Key="k")
    assert after["TagCount"] == 3 and after["Metadata"] == {"kept": "yes"} and after["Body"].read() == b"payload"
    assert after["ETag"] == before["ETag"] and after["LastModified"] == before["LastModified"]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    with pytest.raises(ClientError) as refused:
        s3.put_object_tagging(Bucket=bucket, Key="missing", Tagging={"TagSet": tags})
    assert refused.value.response["Error"]["Code"] == "NoSuchKey"
