"""boto3: how a client may say which bucket, and how it may sign."""

import socket
import ssl
import unittest.mock
import urllib.error
import urllib.request

import boto3
import pytest
from botocore.config import Config

from conftest import KIB, MIB, content, new_bucket_name, same


@pytest.fixture
def localhost_names():
    """Makes every name below localhost mean this machine, which some resolvers do and glibc may not."""
    real = socket.getaddrinfo

    def resolve(host, *arguments, **keywords):
        if isinstance(host, str) and host.endswith(".localhost"):
            host = "127.0.0.1"
        return real(host, *arguments, **keywords)

    with unittest.mock.patch("socket.getaddrinfo", resolve):
        yield


def exercise(s3, bucket):
    """One round of everything that names a bucket."""
    s3.create_bucket(Bucket=bucket)
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=content(100 * KIB))
    same(s3.get_object(Bucket=bucket, Key="a b/ü")["Body"].read(), content(100 * KIB), "a b/ü")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü"})
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == ["a b/"]
    assert [c["Key"] for c in answer["Contents"]] == ["copy"]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a b/ü"}, {"Key": "copy"}]})
    s3.delete_bucket(Bucket=bucket)


def test_virtual_host_style(node, localhost_names):
    s3 = node.client(url=f"http://localhost:{node.port}", s3={"addressing_style": "virtual"})
    seen = []
    s3.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.url))
    bucket = new_bucket_name("virtual")
    exercise(s3, bucket)
    # Negative control: the requests really named the bucket in the host.
    assert any(url.startswith(f"http://{bucket}.localhost:{node.port}/") for url in seen), seen[:3]


def test_path_style_on_localhost(node):
    exercise(node.client(url=f"http://localhost:{node.port}"), new_bucket_name("path"))


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_any_region_may_be_signed_for(node, region):
    # An endpoint of one's own has no region; clients are configured with all kinds.
    s3 = boto3.client(
        "s3",
        endpoint_url=node.url,
        aws_access_key_id=node.access,
        aws_secret_access_key=node.secret,
        region_name=region,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    bucket = new_bucket_name("region")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)


def test_a_bucket_of_another_region_is_refused(s3):
    # The node has one region. A bucket somewhere else is not to be had, and the client is told so.
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.create_bucket(
            Bucket=new_bucket_name("region"), CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
    assert refused.value.response["Error"]["Code"] == "InvalidLocationConstraint"


@pytest.mark.parametrize("size", [0, 4 * KIB, 3 * MIB])
@pytest.mark.parametrize("checksums", ["when_required", "when_supported"])
@pytest.mark.parametrize("payload", [True, False], ids=["signed", "unsigned"])
def test_every_way_to_sign_a_body(node, bucket, size, checksums, payload):
    s3 = node.client(
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        s3={"addressing_style": "path", "payload_signing_enabled": payload},
    )
    s3.put_object(Bucket=bucket, Key="k", Body=content(size))
    same(s3.get_object(Bucket=bucket, Key="k")["Body"].read(), content(size), "k")
    s3.delete_object(Bucket=bucket, Key="k")


def test_one_connection_serves_many_requests(node, bucket):
    # Errors, bodies that are refused, and empty answers all leave the connection usable.
    s3 = node.client(max_pool_connections=1)
    for turn in range(20):
        s3.put_object(Bucket=bucket, Key=f"k{turn}", Body=content(turn * 9000))
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket=bucket, Key="missing")
        with pytest.raises(s3.exceptions.ClientError):
            s3.put_object(Bucket=bucket, Key="k0", Body=content(200 * KIB), IfNoneMatch="*")
        same(s3.get_object(Bucket=bucket, Key=f"k{turn}")["Body"].read(), content(turn * 9000), f"k{turn}")


def test_signature_version_2(node, bucket):
    # Old clients still sign this way: headers, links, subresources, parts, metadata.
    s3 = node.client(signature_version="s3")
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket=bucket, Key="a b/é+", Body=content(3 * MIB), Metadata={"one": "1"}, ContentType="text/plain")
    got = s3.get_object(Bucket=bucket, Key="a b/é+", ResponseContentType="text/x")
    same(got["Body"].read(), content(3 * MIB), "a b/é+")
    assert got["Metadata"] == {"one": "1"} and got["ContentType"] == "text/x"
    assert s3.list_objects_v2(Bucket=bucket, Prefix="a b/")["KeyCount"] == 1
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=content(9000))
    s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    s3.put_object_tagging(Bucket=bucket, Key="parts", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="parts")["TagSet"] == [{"Key": "k", "Value": "v"}]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "parts"}]})
    # A subresource that this version cannot sign is refused, not served unsigned.
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.get_object_attributes(Bucket=bucket, Key="a b/é+", ObjectAttributes=["ETag"])
    assert refused.value.response["Error"]["Code"] == "InvalidRequest"
    # Links, and what somebody makes of them.
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/é+"}, ExpiresIn=600)
    assert "AWSAccessKeyId=" in link
    same(fetch(node, link), content(3 * MIB), "link")
    for wrong in (link.replace("a%20b", "a%20c"), link + "&acl", link.replace("Expires=", "Expires=9")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(node, wrong)
        assert refused.value.code == 403
    with pytest.raises(s3.exceptions.ClientError) as refused:
        node.client(signature_version="s3", secret="wrong").list_buckets()
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    s3.delete_object(Bucket=bucket, Key="a b/é+")


def fetch(node, link):
    context = ssl.create_default_context(cafile=node.ca) if node.ca else None
    with urllib.request.urlopen(link, context=context) as answer:
        return answer.read()
