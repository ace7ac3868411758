"""boto3: multipart uploads by hand and by the transfer manager."""

import hashlib
import os

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from conftest import KIB, MIB, content, digest, same

PART = 5 * MIB

# What a user sets to see the manager split: 5 MiB parts from 5 MiB on.
SPLIT = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)


def multipart_etag(parts):
    """The entity tag of S3 for parts: the MD5 of the MD5s, and how many."""
    return f'"{hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest()}-{len(parts)}"'


def split(data, size=PART):
    return [data[i : i + size] for i in range(0, len(data), size)] or [b""]


def upload(s3, bucket, key, parts, **create):
    """Uploads parts one by one and completes; returns the answer of Complete."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key=key, **create)["UploadId"]
    done = []
    for number, part in enumerate(parts, 1):
        etag = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=part)["ETag"]
        assert etag == f'"{hashlib.md5(part).hexdigest()}"'
        done.append({"PartNumber": number, "ETag": etag})
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": done}
    )


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 23 * MIB])
def test_transfer_manager_up_and_down(s3, bucket, tmp_path, size):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(content(size))
    s3.upload_file(
        str(source), bucket, "big", Config=SPLIT, ExtraArgs={"Metadata": {"a": "1"}, "ContentType": "text/big"}
    )
    head = s3.head_object(Bucket=bucket, Key="big")
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (size, {"a": "1"}, "text/big")
    if size >= PART:
        assert head["ETag"] == multipart_etag(split(content(size)))
    s3.download_file(bucket, "big", str(back), Config=SPLIT)
    assert digest(back.read_bytes()) == digest(content(size))
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")


def test_by_hand(s3, bucket):
    parts = [content(PART, 1), content(PART, 2), content(17, 3)]
    done = upload(s3, bucket, "k", parts, Metadata={"a": "1"}, ContentType="text/parts")
    assert done["ETag"] == multipart_etag(parts)
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["ETag"], got["Metadata"], got["ContentType"]) == (done["ETag"], {"a": "1"}, "text/parts")
    same(got["Body"].read(), b"".join(parts), "k")
    [entry] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (entry["Size"], entry["ETag"]) == (2 * PART + 17, done["ETag"])
    # A range that lies across two parts.
    got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={PART - 10}-{PART + 9}")
    same(got["Body"].read(), parts[0][-10:] + parts[1][:10], "across parts")


def test_single_small_part(s3, bucket):
    parts = [b"only one, and small"]
    done = upload(s3, bucket, "k", parts)
    assert done["ETag"] == multipart_etag(parts)
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), parts[0], "k")


def test_parts_in_any_order_and_sent_again(s3, bucket):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etags = {}
    for number, seed in ((9, 1), (2, 2), (9, 3)):  # part 9 twice: the last one counts
        etags[number] = s3.upload_part(
            Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, Body=content(PART, seed)
        )["ETag"]
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed] == [(2, PART, etags[2]), (9, PART, etags[9])]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etags[n]} for n in (2, 9)]},
    )
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), content(PART, 2) + content(PART, 3), "k")


def test_parts_that_are_not_named_are_left_out(s3, bucket):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etags = [
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=n, Body=content(PART, n))["ETag"]
        for n in (1, 2, 3)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etags[0]}, {"PartNumber": 3, "ETag": etags[2]}]},
    )
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), content(PART, 1) + content(PART, 3), "k")


def test_nothing_is_seen_before_complete_and_abort_leaves_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=content(PART))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"before"
    [listed] = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert (listed["Key"], listed["UploadId"]) == ("k", upload_id)
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"before"
    with pytest.raises(ClientError) as gone:
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=2, Body=b"late")
    assert gone.value.response["Error"]["Code"] == "NoSuchUpload"
    with pytest.raises(ClientError) as gone:
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert gone.value.response["Error"]["Code"] == "NoSuchUpload"


@pytest.mark.parametrize(
    "wrong, code",
    [
        ("etag", "InvalidPart"),
        ("number", "InvalidPart"),
        ("order", "InvalidPartOrder"),
        ("small", "EntityTooSmall"),
        ("upload", "NoSuchUpload"),
    ],
)
def test_complete_refuses(s3, bucket, wrong, code):
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    first, second = 10 if wrong == "small" else PART, PART if wrong == "order" else 10
    etags = [
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=n, Body=content(size, n))["ETag"]
        for n, size in ((1, first), (2, second))
    ]
    parts = [{"PartNumber": 1, "ETag": etags[0]}, {"PartNumber": 2, "ETag": etags[1]}]
    if wrong == "etag":
        parts[0]["ETag"] = f'"{"0" * 32}"'
    elif wrong == "number":
        parts[1]["PartNumber"] = 3
    elif wrong == "order":
        parts.reverse()
    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key="k",
            UploadId="no-such-upload" if wrong == "upload" else upload_id,
            MultipartUpload={"Parts": parts},
        )
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError) as missing:
        s3.head_object(Bucket=bucket, Key="k")
    assert missing.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_upload_part_copy(s3, bucket):
    data = content(12 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = []
    for number, (first, last) in enumerate([(0, 6 * MIB - 1), (6 * MIB, 12 * MIB - 1)], 1):
        answer = s3.upload_part_copy(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=f"bytes={first}-{last}",
        )
        etag = answer["CopyPartResult"]["ETag"]
        assert etag == f'"{hashlib.md5(data[first : last + 1]).hexdigest()}"'
        parts.append({"PartNumber": number, "ETag": etag})
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), data, "k")


def test_managed_copy_of_a_large_object(s3, bucket):
    # The manager heads, splits, and copies part by part, as rclone and aws do.
    data = content(14 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=data, Metadata={"a": "1"})
    s3.copy({"Bucket": bucket, "Key": "source"}, bucket, "k", Config=SPLIT)
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), data, "k")


def test_one_part_of_many_can_be_read(s3, bucket):
    parts = [content(PART, 1), content(PART, 2), content(17, 3)]
    upload(s3, bucket, "k", parts)
    for number, part in enumerate(parts, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number)
        assert got["PartsCount"] == 3
        same(got["Body"].read(), part, f"part {number}")


def test_overwriting_and_deleting_a_multipart_object(s3, bucket):
    upload(s3, bucket, "k", [content(PART, 1), content(100, 2)])
    s3.put_object(Bucket=bucket, Key="k", Body=b"small")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"
    upload(s3, bucket, "k", [content(PART, 3), content(100, 4)])
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), content(PART, 3) + content(100, 4), "k")
    s3.delete_object(Bucket=bucket, Key="k")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_complete_can_be_conditional(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"part")["ETag"]
    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
            IfNoneMatch="*",
        )
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_of_parts(s3, bucket, tmp_path, algorithm):
    data = content(2 * PART + 1000)
    path = tmp_path / "f"
    path.write_bytes(data)
    s3.upload_file(str(path), bucket, "k", Config=SPLIT, ExtraArgs={"ChecksumAlgorithm": algorithm})
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head.get(f"Checksum{algorithm}"), head
    # botocore verifies what it can while it reads.
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    same(got["Body"].read(), data, "k")


def test_many_parts_through_the_manager(s3, bucket, tmp_path):
    # The default of boto3: 8 MiB parts, ten threads.
    path = tmp_path / "f"
    path.write_bytes(os.urandom(64 * MIB + 3 * KIB))
    s3.upload_file(str(path), bucket, "k")
    s3.download_file(bucket, "k", str(tmp_path / "back"))
    assert digest((tmp_path / "back").read_bytes()) == digest(path.read_bytes())
