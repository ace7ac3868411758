"""Every client once over each way to the node: HTTPS with an authority of its own, IPv6, both.

What the clients do with S3 is tested elsewhere; here it is the road that counts:
a large object in parts and back, a small one, a listing, a presigned link, and
that a client which does not know the authority refuses.
"""

import os
import ssl
import urllib.request

import botocore.exceptions
import pytest

from conftest import KIB, MIB, content, new_bucket_name, run, same

BIG = 20 * MIB
SMALL = 100 * KIB


@pytest.fixture
def files(tmp_path):
    for name, size in (("big", BIG), ("small", SMALL)):
        (tmp_path / name).write_bytes(content(size))
    return tmp_path


def fetch(node, url):
    context = ssl.create_default_context(cafile=node.ca) if node.ca else None
    with urllib.request.urlopen(url, context=context) as answer:
        return answer.read()


def test_boto3(node, s3, bucket, files):
    s3.upload_file(str(files / "big"), bucket, "big")  # in parts
    s3.put_object(Bucket=bucket, Key="small", Body=content(SMALL))
    same(s3.get_object(Bucket=bucket, Key="big")["Body"].read(), content(BIG), "big")
    same(s3.get_object(Bucket=bucket, Key="big", Range="bytes=1000000-1999999")["Body"].read(), content(BIG)[1000000:2000000], "range")
    assert [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["big", "small"]
    link = node.client(signature_version="s3v4").generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "small"}, ExpiresIn=60)
    assert link.startswith(node.url + "/")
    same(fetch(node, link), content(SMALL), "presigned")


def test_boto3_does_not_trust_a_stranger(node, monkeypatch):
    if not node.ca:
        return  # plain HTTP: there is nobody to trust
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(botocore.exceptions.SSLError):
        node.client(ca=False).list_buckets()


def test_aws(node, program, bucket, files, tmp_path):
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": node.url, "AWS_ACCESS_KEY_ID": node.access,
        "AWS_SECRET_ACCESS_KEY": node.secret, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }
    if node.ca:
        env["AWS_CA_BUNDLE"] = node.ca
    aws = program("aws")
    for name, size in (("big", BIG), ("small", SMALL)):
        run([aws, "s3", "cp", files / name, f"s3://{bucket}/aws/{name}"], env=env)
        run([aws, "s3", "cp", f"s3://{bucket}/aws/{name}", tmp_path / "back"], env=env)
        same((tmp_path / "back").read_bytes(), content(size), name)
    assert "big" in run([aws, "s3", "ls", f"s3://{bucket}/aws/"], env=env).out


def test_rclone(node, program, bucket, files, tmp_path):
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "RCLONE_CONFIG": str(tmp_path / "none.conf"),
        "RCLONE_CONFIG_T_TYPE": "s3", "RCLONE_CONFIG_T_PROVIDER": "Other", "RCLONE_CONFIG_T_ENDPOINT": node.url,
        "RCLONE_CONFIG_T_ACCESS_KEY_ID": node.access, "RCLONE_CONFIG_T_SECRET_ACCESS_KEY": node.secret,
        "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_S3_UPLOAD_CUTOFF": "8M",
    }
    if node.ca:
        env["RCLONE_CA_CERT"] = node.ca
    rclone = program("rclone")
    for name, size in (("big", BIG), ("small", SMALL)):
        run([rclone, "copyto", files / name, f"t:{bucket}/rclone/{name}"], env=env)
        run([rclone, "copyto", f"t:{bucket}/rclone/{name}", tmp_path / "back"], env=env)
        same((tmp_path / "back").read_bytes(), content(size), name)
    assert run([rclone, "lsf", f"t:{bucket}/rclone"], env=env).out.split() == ["big", "small"]


def test_s3cmd(node, program, bucket, files, tmp_path):
    config = tmp_path / "s3cfg"
    lines = [
        "[default]", f"access_key = {node.access}", f"secret_key = {node.secret}", f"host_base = {node.host}", f"host_bucket = {node.host}",
        f"use_https = {bool(node.ca)}", "signature_v2 = False", "bucket_location = us-east-1", "progress_meter = False", "use_mime_magic = False",
    ]
    if node.ca:
        lines.append(f"ca_certs_file = {node.ca}")
    config.write_text("\n".join(lines) + "\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    s3cmd = [program("s3cmd"), "-c", config]
    for name, size in (("big", BIG), ("small", SMALL)):
        run([*s3cmd, "put", files / name, f"s3://{bucket}/s3cmd/{name}"], env=env)
        run([*s3cmd, "get", "--force", f"s3://{bucket}/s3cmd/{name}", tmp_path / "back"], env=env)
        same((tmp_path / "back").read_bytes(), content(size), name)
    assert "big" in run([*s3cmd, "ls", f"s3://{bucket}/s3cmd/"], env=env).out


def test_curl(node, program, bucket, files, tmp_path):
    curl = [
        program("curl"), "-fsS", "--globoff", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{node.access}:{node.secret}",
        "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
    ]
    if node.ca:
        curl += ["--cacert", node.ca]
    run([*curl, "-T", files / "big", f"{node.url}/{bucket}/curl"])  # with Expect: 100-continue
    run([*curl, "-o", tmp_path / "back", f"{node.url}/{bucket}/curl"])
    same((tmp_path / "back").read_bytes(), content(BIG), "curl")
    run([*curl, f"{node.url}/~health?readiness=true"])
    # A refusal comes before the body is sent: curl waits for 100 Continue.
    refused = run([*curl, "-v", "-T", files / "big", f"{node.url}/no-such-bucket/curl"], want=None)
    assert "404" in refused.err and "100 Continue" not in refused.err, refused.err
