"""s3cmd: an independent client with an implementation of its own."""

import hashlib
import os

import pytest

from conftest import MIB, SIZES, content, digest, new_bucket_name, run, same_tree, write_tree


@pytest.fixture
def s3cmd(node, program, tmp_path):
    """Runs s3cmd with a configuration file of its own, made as `s3cmd --configure` makes one."""
    config = tmp_path / "s3cfg"
    config.write_text(
        "\n".join(
            [
                "[default]",
                f"access_key = {node.access}",
                f"secret_key = {node.secret}",
                f"host_base = {node.host}",
                f"host_bucket = {node.host}",
                "use_https = False",
                "signature_v2 = False",
                "bucket_location = us-east-1",
                "progress_meter = False",
                "use_mime_magic = False",
                "",
            ]
        )
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    path = program("s3cmd")
    return lambda *arguments, want=0: run([path, "-c", config, *arguments], env=env, want=want)


@pytest.fixture
def own(s3cmd):
    """A bucket that s3cmd made, and removes with all that is in it."""
    name = new_bucket_name("s3cmd")
    s3cmd("mb", f"s3://{name}")
    yield name
    s3cmd("rb", "--recursive", "--force", f"s3://{name}")
    assert name not in s3cmd("ls").out


def test_buckets(s3cmd, own):
    assert f"s3://{own}" in s3cmd("ls").out
    said = s3cmd("info", f"s3://{own}").out
    assert f"s3://{own}/" in said


def test_every_size(s3cmd, own, tmp_path):
    for size in SIZES:
        source, back = tmp_path / f"{size}.txt", tmp_path / f"{size}.back"
        source.write_bytes(content(size))
        s3cmd("put", source, f"s3://{own}/sizes/{size}.txt")
        s3cmd("get", f"s3://{own}/sizes/{size}.txt", back)
        assert digest(back.read_bytes()) == digest(source.read_bytes()), f"{size} bytes"
    listed = {
        line.split()[3].rsplit("/", 1)[1]: int(line.split()[2])
        for line in s3cmd("ls", f"s3://{own}/sizes/").out.splitlines()
    }
    assert listed == {f"{size}.txt": size for size in SIZES}
    said = s3cmd("info", f"s3://{own}/sizes/{MIB}.txt").out
    assert hashlib.md5(content(MIB)).hexdigest() in said and "text/plain" in said
    for size in SIZES:
        s3cmd("del", f"s3://{own}/sizes/{size}.txt")
    assert s3cmd("ls", "--recursive", f"s3://{own}").out == ""
    s3cmd("get", f"s3://{own}/sizes/0.txt", tmp_path / "gone", want=None)


def test_multipart(s3cmd, own, tmp_path):
    source, back = tmp_path / "big", tmp_path / "back"
    source.write_bytes(content(17 * MIB))
    s3cmd("put", "--multipart-chunk-size-mb=5", source, f"s3://{own}/big")
    s3cmd("get", f"s3://{own}/big", back)
    assert digest(back.read_bytes()) == digest(source.read_bytes())
    assert s3cmd("multipart", f"s3://{own}").out.count("s3://") <= 1, "an upload was left open"


def test_metadata_copy_and_move(s3cmd, own, tmp_path):
    source, back = tmp_path / "f.html", tmp_path / "back"
    source.write_bytes(content(100_000))
    s3cmd("put", "--mime-type=text/x-played", "--add-header=x-amz-meta-colour:red", source, f"s3://{own}/f")
    said = s3cmd("info", f"s3://{own}/f").out
    assert "text/x-played" in said and "colour" in said and "red" in said
    s3cmd("cp", f"s3://{own}/f", f"s3://{own}/copied ü")
    s3cmd("mv", f"s3://{own}/copied ü", f"s3://{own}/moved/f")
    said = s3cmd("info", f"s3://{own}/moved/f").out
    assert "text/x-played" in said and "colour" in said
    s3cmd("get", f"s3://{own}/moved/f", back)
    assert digest(back.read_bytes()) == digest(source.read_bytes())
    names = [line.split(own + "/", 1)[1] for line in s3cmd("ls", "--recursive", f"s3://{own}").out.splitlines()]
    assert names == ["f", "moved/f"]
    s3cmd("modify", "--add-header=Cache-Control:max-age=5", "--mime-type=text/other", f"s3://{own}/f")
    assert "text/other" in s3cmd("info", f"s3://{own}/f").out


def test_sync_up_and_down_with_deletes(s3cmd, own, tmp_path):
    files = {f"d{i % 4}/f {i} ü.bin": content(i * 900, i) for i in range(40)}
    source, back = write_tree(tmp_path / "source", files), tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"{source}/", f"s3://{own}/tree/")
    s3cmd("sync", f"s3://{own}/tree/", f"{back}/")
    same_tree(back, source)
    (source / "d1" / "f 1 ü.bin").write_bytes(b"changed")
    (source / "new").write_bytes(b"new")
    (source / "d2" / "f 2 ü.bin").unlink()
    s3cmd("sync", "--delete-removed", f"{source}/", f"s3://{own}/tree/")
    s3cmd("sync", "--delete-removed", f"s3://{own}/tree/", f"{back}/")
    same_tree(back, source)


def test_listing_with_folders(s3cmd, own, tmp_path):
    tree = write_tree(tmp_path / "t", {"a/1": b"x", "a/2": b"x", "b/c/1": b"x", "top": b"x"})
    s3cmd("put", "--recursive", f"{tree}/", f"s3://{own}/")
    said = s3cmd("ls", f"s3://{own}").out.split()
    assert said.count("DIR") == 2 and f"s3://{own}/a/" in said and f"s3://{own}/b/" in said
    assert f"s3://{own}/top" in said
    du = s3cmd("du", f"s3://{own}").out.split()
    assert du[:2] == ["4", "4"], du
    s3cmd("del", "--recursive", "--force", f"s3://{own}/a/")
    assert s3cmd("ls", "--recursive", f"s3://{own}").out.count("s3://") == 2


def test_errors_say_what_is_wrong(s3cmd, own):
    assert "NoSuchBucket" in s3cmd("ls", f"s3://{new_bucket_name('missing')}", want=None).err
    assert "SignatureDoesNotMatch" in s3cmd("ls", "--secret_key=wrong", want=None).err
    assert "InvalidAccessKeyId" in s3cmd("ls", "--access_key=nobody", want=None).err


@pytest.mark.parametrize("name", ["100% sure+more/%2F", "quote'\"<&>", "日本語/\U0001f642", " blank ", "a//b"])
def test_unusual_names(s3cmd, own, tmp_path, name):
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(content(50_000))
    s3cmd("put", source, f"s3://{own}/{name}")
    s3cmd("get", f"s3://{own}/{name}", back)
    assert digest(back.read_bytes()) == digest(source.read_bytes())
    assert f"s3://{own}/{name}" in s3cmd("ls", "--recursive", f"s3://{own}").out
    s3cmd("del", f"s3://{own}/{name}")
