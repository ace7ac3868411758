"""The AWS command line client: s3 and s3api, as a user types them."""

import hashlib
import json
import os
import urllib.request

import pytest

from conftest import MIB, SIZES, content, digest, new_bucket_name, run, same_tree, write_tree


@pytest.fixture
def aws(node, program, tmp_path):
    """Runs aws with the endpoint and keys in the environment, and nothing of the machine's own."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL": node.url,
        "AWS_ACCESS_KEY_ID": node.access,
        "AWS_SECRET_ACCESS_KEY": node.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": str(tmp_path / "aws-config"),
        "AWS_PAGER": "",
    }
    (tmp_path / "aws-config").write_text(
        "[default]\ns3 =\n  addressing_style = path\n  signature_version = s3v4\n  multipart_threshold = 8MB\n  multipart_chunksize = 8MB\n"
    )
    path = program("aws")
    return lambda *arguments, want=0, **change: run([path, *arguments], env={**env, **change}, want=want)


@pytest.fixture
def own(aws):
    """A bucket that aws made, and removes with all that is in it."""
    name = new_bucket_name("aws")
    assert f"make_bucket: {name}" in aws("s3", "mb", f"s3://{name}").out
    yield name
    aws("s3", "rb", "--force", f"s3://{name}")
    assert name not in aws("s3", "ls").out


def test_every_size(aws, own, tmp_path):
    for size in SIZES:
        source, back = tmp_path / f"{size}.txt", tmp_path / f"{size}.back"
        source.write_bytes(content(size))
        aws("s3", "cp", "--only-show-errors", source, f"s3://{own}/sizes/{size}.txt")
        aws("s3", "cp", "--only-show-errors", f"s3://{own}/sizes/{size}.txt", back)
        assert digest(back.read_bytes()) == digest(source.read_bytes()), f"{size} bytes"
    head = aws("s3api", "head-object", "--bucket", own, "--key", f"sizes/{MIB}.txt").json()
    assert head["ContentLength"] == MIB
    assert head["ETag"] == f'"{hashlib.md5(content(MIB)).hexdigest()}"'
    assert head["ContentType"] == "text/plain"
    listed = {line.split()[3]: int(line.split()[2]) for line in aws("s3", "ls", f"s3://{own}/sizes/").out.splitlines()}
    assert listed == {f"{size}.txt": size for size in SIZES}
    aws("s3", "rm", f"s3://{own}/sizes/0.txt")
    aws("s3api", "head-object", "--bucket", own, "--key", "sizes/0.txt", want=None)
    aws("s3", "rm", "--recursive", f"s3://{own}/sizes/")
    assert aws("s3", "ls", "--recursive", f"s3://{own}").out == ""


def test_multipart_of_60_megabytes(aws, own, tmp_path):
    source, back = tmp_path / "big", tmp_path / "back"
    source.write_bytes(content(60_000_000))
    aws("s3", "cp", "--only-show-errors", source, f"s3://{own}/big", "--metadata", "a=1,b=two")
    head = aws("s3api", "head-object", "--bucket", own, "--key", "big").json()
    assert head["Metadata"] == {"a": "1", "b": "two"}
    assert head["ETag"].endswith('-8"'), head["ETag"]
    aws("s3", "cp", "--only-show-errors", f"s3://{own}/big", back)
    assert digest(back.read_bytes()) == digest(source.read_bytes())
    # Copied and moved on the server, part by part.
    aws("s3", "cp", "--only-show-errors", f"s3://{own}/big", f"s3://{own}/copied")
    aws("s3", "mv", "--only-show-errors", f"s3://{own}/copied", f"s3://{own}/moved/big")
    aws("s3", "cp", "--only-show-errors", f"s3://{own}/moved/big", back)
    assert digest(back.read_bytes()) == digest(source.read_bytes())
    names = [line.split()[3] for line in aws("s3", "ls", "--recursive", f"s3://{own}").out.splitlines()]
    assert names == ["big", "moved/big"]
    assert json.loads(aws("s3api", "list-multipart-uploads", "--bucket", own).out or "{}").get("Uploads", []) == []


def test_one_request_and_a_range(aws, own, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(content(20 * MIB))
    sent = aws("s3api", "put-object", "--bucket", own, "--key", "k", "--body", source).json()
    assert sent["ETag"] == f'"{hashlib.md5(content(20 * MIB)).hexdigest()}"'
    back = tmp_path / "back"
    answer = aws("s3api", "get-object", "--bucket", own, "--key", "k", "--range", "bytes=100-1099", back).json()
    assert answer["ContentRange"] == f"bytes 100-1099/{20 * MIB}"
    assert back.read_bytes() == content(20 * MIB)[100:1100]


def test_sync_up_and_down_with_deletes(aws, own, tmp_path):
    files = {f"d{i % 5}/f{i} ü.bin": content(i * 700, i) for i in range(60)}
    files["empty"] = b""
    files["large"] = content(9 * MIB)
    source, back = write_tree(tmp_path / "source", files), tmp_path / "back"
    aws("s3", "sync", "--only-show-errors", source, f"s3://{own}/tree")
    aws("s3", "sync", "--only-show-errors", f"s3://{own}/tree", back)
    same_tree(back, source)
    # Nothing is left to do in either direction.
    assert aws("s3", "sync", source, f"s3://{own}/tree").out == ""
    # A change of size, a new file, and a deletion travel up and down.
    (source / "d1" / "f1 ü.bin").write_bytes(b"changed")
    (source / "new").write_bytes(b"new")
    (source / "d2" / "f2 ü.bin").unlink()
    said = aws("s3", "sync", "--delete", "--no-progress", source, f"s3://{own}/tree").out.splitlines()
    assert sorted(line.split(":")[0] for line in said) == ["delete", "upload", "upload"]
    aws("s3", "sync", "--only-show-errors", "--delete", f"s3://{own}/tree", back)
    same_tree(back, source)


def test_copy_with_new_metadata(aws, own, tmp_path):
    source = tmp_path / "f.json"
    source.write_bytes(b"{}")
    aws("s3", "cp", source, f"s3://{own}/f.json", "--metadata", "a=1", "--cache-control", "no-cache")
    head = aws("s3api", "head-object", "--bucket", own, "--key", "f.json").json()
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("application/json", "no-cache", {"a": "1"})
    aws(
        "s3", "cp", f"s3://{own}/f.json", f"s3://{own}/f.json",
        "--metadata-directive", "REPLACE", "--metadata", "b=2", "--content-type", "text/b",
    )  # fmt: skip
    head = aws("s3api", "head-object", "--bucket", own, "--key", "f.json").json()
    assert (head["ContentType"], head["Metadata"]) == ("text/b", {"b": "2"})


def test_presign(aws, own, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(content(MIB))
    aws("s3", "cp", "--only-show-errors", source, f"s3://{own}/a b/ü")
    url = aws("s3", "presign", f"s3://{own}/a b/ü", "--expires-in", "60").out.strip()
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert digest(answer.read()) == digest(content(MIB))


def test_pages_and_delimiter(aws, own, tmp_path):
    write_tree(tmp_path / "t", {f"x/{i:02d}": b"x" for i in range(25)} | {"y/1": b"y", "top": b"t"})
    aws("s3", "cp", "--recursive", "--only-show-errors", tmp_path / "t", f"s3://{own}")
    answer = aws("s3api", "list-objects-v2", "--bucket", own, "--page-size", "7").json()
    assert [c["Key"] for c in answer["Contents"]] == ["top"] + [f"x/{i:02d}" for i in range(25)] + ["y/1"]
    said = aws("s3", "ls", f"s3://{own}").out.split()
    assert said[:4] == ["PRE", "x/", "PRE", "y/"] and said[-1] == "top"


def test_conditional_put(aws, own, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(b"first")
    aws("s3api", "put-object", "--bucket", own, "--key", "k", "--body", source, "--if-none-match", "*")
    refused = aws("s3api", "put-object", "--bucket", own, "--key", "k", "--body", source, "--if-none-match", "*", want=None)
    assert "PreconditionFailed" in refused.err


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(aws, own, tmp_path, algorithm):
    source = tmp_path / "f"
    source.write_bytes(content(MIB))
    put = aws(
        "s3api", "put-object", "--bucket", own, "--key", "k", "--body", source, "--checksum-algorithm", algorithm
    ).json()
    head = aws("s3api", "head-object", "--bucket", own, "--key", "k", "--checksum-mode", "ENABLED").json()
    assert head[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]


def test_delete_many(aws, own, tmp_path):
    write_tree(tmp_path / "t", {f"{i}": b"x" for i in range(5)})
    aws("s3", "sync", "--only-show-errors", tmp_path / "t", f"s3://{own}")
    wanted = json.dumps({"Objects": [{"Key": str(i)} for i in range(4)]})
    answer = aws("s3api", "delete-objects", "--bucket", own, "--delete", wanted).json()
    assert sorted(d["Key"] for d in answer["Deleted"]) == ["0", "1", "2", "3"]
    assert [c["Key"] for c in aws("s3api", "list-objects-v2", "--bucket", own).json()["Contents"]] == ["4"]


def test_errors_say_what_is_wrong(aws, own):
    missing = new_bucket_name("missing")
    assert "NoSuchBucket" in aws("s3", "ls", f"s3://{missing}", want=None).err
    assert "NoSuchKey" in aws("s3api", "get-object", "--bucket", own, "--key", "k", os.devnull, want=None).err
    assert "InvalidAccessKeyId" in aws("s3", "ls", want=None, AWS_ACCESS_KEY_ID="nobody").err
    assert "SignatureDoesNotMatch" in aws("s3", "ls", want=None, AWS_SECRET_ACCESS_KEY="wrong").err
