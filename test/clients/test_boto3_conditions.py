"""boto3: conditional reads and writes, checksums, and the errors that clients act on."""

import base64
import datetime
import hashlib
import threading
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import KIB, MIB, clock_an_hour_ago, content, new_bucket_name, same

ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


def code_of(error):
    return error.value.response["Error"]["Code"]


def status_of(error):
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_put_if_absent(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert (code_of(refused), status_of(refused)) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")


def test_put_if_absent_of_a_large_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=content(2 * MIB, 1), IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=content(2 * MIB, 2), IfNoneMatch="*")
    assert code_of(refused) == "PreconditionFailed"
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), content(2 * MIB, 1), "k")


@pytest.mark.parametrize("size", [100, 100 * KIB])
def test_only_one_of_many_wins(node, bucket, size):
    start, won, lost, other = threading.Barrier(8), [], [], []
    client = node.client(max_pool_connections=8)

    def contend(number):
        start.wait()
        try:
            client.put_object(Bucket=bucket, Key="k", Body=content(size, number), IfNoneMatch="*")
            won.append(number)
        except ClientError as refused:
            # Amazon's word for a race that it lost while the winner was still at work is a conflict.
            known = refused.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            (lost if known else other).append(refused.response["Error"]["Code"])

    threads = [threading.Thread(target=contend, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost), other) == (1, 7, [])
    same(client.get_object(Bucket=bucket, Key="k")["Body"].read(), content(size, won[0]), "k")


def test_put_if_match(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]
    newer = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag)
    assert (code_of(refused), status_of(refused)) == ("PreconditionFailed", 412)
    s3.put_object(Bucket=bucket, Key="k", Body=b"fourth", IfMatch=newer)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="missing", Body=b"x", IfMatch=etag)
    assert (code_of(refused), status_of(refused)) == ("NoSuchKey", 404)


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"body")["ETag"]
    at = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    hour = datetime.timedelta(hours=1)
    for good in ({"IfMatch": etag}, {"IfNoneMatch": '"other"'}, {"IfModifiedSince": at - hour}, {"IfUnmodifiedSince": at}):
        assert s3.get_object(Bucket=bucket, Key="k", **good)["Body"].read() == b"body"
        s3.head_object(Bucket=bucket, Key="k", **good)
    for bad, status in (
        ({"IfMatch": '"other"'}, 412),
        ({"IfNoneMatch": etag}, 304),
        ({"IfModifiedSince": at}, 304),
        ({"IfUnmodifiedSince": at - hour}, 412),
    ):
        for read in (s3.get_object, s3.head_object):
            with pytest.raises(ClientError) as refused:
                read(Bucket=bucket, Key="k", **bad)
            assert status_of(refused) == status, f"{read.__name__} {bad}"


@pytest.mark.parametrize("size", [0, 10, 40 * KIB, MIB])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums(s3, bucket, algorithm, size):
    data, field = content(size), f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    assert put[field]
    if algorithm in ("SHA1", "SHA256"):
        want = base64.b64encode(hashlib.new(algorithm.lower(), data).digest()).decode()
        assert put[field] == want
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[field] == put[field]
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got[field] == put[field]
    same(got["Body"].read(), data, "k")
    assert field not in s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [10, MIB])
def test_a_wrong_checksum_is_refused(s3, bucket, algorithm, size):
    right = s3.put_object(Bucket=bucket, Key="other", Body=b"other bytes", ChecksumAlgorithm=algorithm)
    field = f"Checksum{algorithm}"
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=content(size), **{field: right[field]})
    assert (code_of(refused), status_of(refused)) == ("BadDigest", 400)
    assert [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["other"]


@pytest.mark.parametrize("size", [10, MIB])
def test_content_md5(s3, bucket, size):
    data = content(size)
    good = base64.b64encode(hashlib.md5(data).digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=data, ContentMD5=good)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k2", Body=data, ContentMD5=wrong)
    assert (code_of(refused), status_of(refused)) == ("BadDigest", 400)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k2", Body=data, ContentMD5="not base64 at all")
    assert (code_of(refused), status_of(refused)) == ("InvalidDigest", 400)
    assert [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]


def test_missing_things(s3, bucket):
    nowhere = new_bucket_name("nowhere")
    with pytest.raises(ClientError) as missing:
        s3.get_object(Bucket=bucket, Key="missing")
    assert (code_of(missing), status_of(missing)) == ("NoSuchKey", 404)
    assert missing.value.response["Error"]["Key"] == "missing"
    with pytest.raises(ClientError) as missing:
        s3.head_object(Bucket=bucket, Key="missing")
    assert status_of(missing) == 404
    for what, call in {
        "get": lambda: s3.get_object(Bucket=nowhere, Key="k"),
        "put": lambda: s3.put_object(Bucket=nowhere, Key="k", Body=b"x"),
        "delete": lambda: s3.delete_object(Bucket=nowhere, Key="k"),
        "list": lambda: s3.list_objects_v2(Bucket=nowhere),
        "delete bucket": lambda: s3.delete_bucket(Bucket=nowhere),
        "create upload": lambda: s3.create_multipart_upload(Bucket=nowhere, Key="k"),
        "delete many": lambda: s3.delete_objects(Bucket=nowhere, Delete={"Objects": [{"Key": "k"}]}),
    }.items():
        with pytest.raises(ClientError) as missing:
            call()
        assert (code_of(missing), status_of(missing)) == ("NoSuchBucket", 404), what
    with pytest.raises(ClientError) as missing:
        s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "missing"})
    assert (code_of(missing), status_of(missing)) == ("NoSuchKey", 404)
    # Deleting what is not there is no error.
    assert s3.delete_object(Bucket=bucket, Key="missing")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_bucket_errors(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket=bucket)
    assert (code_of(refused), status_of(refused)) == ("BucketNotEmpty", 409)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    # Amazon's us-east-1 answers 200 to the owner, every other region 409.
    try:
        s3.create_bucket(Bucket=bucket)
    except ClientError as exists:
        assert exists.response["Error"]["Code"] == "BucketAlreadyOwnedByYou"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    for name in ("Upper-Case", "under_score", "a.-b", "-dash", "192.168.5.4"):
        with pytest.raises(ClientError) as refused:
            s3.create_bucket(Bucket=name)
        assert (code_of(refused), status_of(refused)) == ("InvalidBucketName", 400), name


def test_who_is_asking(node, s3, bucket):
    with pytest.raises(ClientError) as refused:
        node.client(access="nobody").list_buckets()
    assert (code_of(refused), status_of(refused)) == ("InvalidAccessKeyId", 403)
    with pytest.raises(ClientError) as refused:
        node.client(secret="wrong").list_buckets()
    assert (code_of(refused), status_of(refused)) == ("SignatureDoesNotMatch", 403)
    with pytest.raises(ClientError) as refused:
        node.client(secret="wrong").put_object(Bucket=bucket, Key="k", Body=content(2 * MIB))
    assert (code_of(refused), status_of(refused)) == ("SignatureDoesNotMatch", 403)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(urllib.error.HTTPError) as anonymous:
        urllib.request.urlopen(f"{node.url}/{bucket}", timeout=60)
    assert anonymous.value.code == 403
    assert b"AccessDenied" in anonymous.value.read()


def test_a_clock_that_is_wrong(node):
    with clock_an_hour_ago():
        with pytest.raises(ClientError) as refused:
            node.client().list_buckets()
    assert (code_of(refused), status_of(refused)) == ("RequestTimeTooSkewed", 403)


def test_an_error_names_its_request(s3, bucket):
    with pytest.raises(ClientError) as missing:
        s3.get_object(Bucket=bucket, Key="missing")
    answer = missing.value.response
    identity = answer["ResponseMetadata"]["RequestId"]
    assert identity and answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"] == identity


def test_an_empty_tag_set(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
