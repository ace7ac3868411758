"""rclone: syncs, server-side copies and moves, checks by ETag."""

import hashlib
import json
import os

import pytest

from conftest import KIB, MIB, SIZES, content, digest, new_bucket_name, run, same_tree, write_tree


@pytest.fixture
def rclone(node, program, tmp_path):
    """Runs rclone against a remote t: that is made of environment variables only."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "RCLONE_CONFIG": str(tmp_path / "none.conf"),
        "RCLONE_CONFIG_T_TYPE": "s3",
        "RCLONE_CONFIG_T_PROVIDER": "Other",
        "RCLONE_CONFIG_T_ENDPOINT": node.url,
        "RCLONE_CONFIG_T_ACCESS_KEY_ID": node.access,
        "RCLONE_CONFIG_T_SECRET_ACCESS_KEY": node.secret,
        "RCLONE_CONFIG_T_REGION": "us-east-1",
        # One try of everything: what needs a second is a fault.
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
        "RCLONE_S3_UPLOAD_CUTOFF": "16M",
        "RCLONE_S3_CHUNK_SIZE": "5M",
        "RCLONE_S3_COPY_CUTOFF": "12M",
    }
    path = program("rclone")
    return lambda *arguments, want=0: run([path, *arguments], env=env, want=want)


@pytest.fixture
def own(rclone):
    """A bucket that rclone made, and purges."""
    name = new_bucket_name("rclone")
    rclone("mkdir", f"t:{name}")
    yield name
    rclone("purge", f"t:{name}")
    assert name not in rclone("lsd", "t:").out


def test_buckets(rclone, own):
    assert own in rclone("lsd", "t:").out
    assert rclone("lsf", f"t:{own}").out == ""


def test_every_size(rclone, own, tmp_path):
    source = write_tree(tmp_path / "source", {f"{size}.txt": content(size) for size in SIZES})
    rclone("copy", source, f"t:{own}/sizes")
    listed = {e["Path"]: e for e in json.loads(rclone("lsjson", "--hash", f"t:{own}/sizes").out)}
    assert {name: e["Size"] for name, e in listed.items()} == {f"{size}.txt": size for size in SIZES}
    assert listed[f"{MIB}.txt"]["Hashes"]["md5"] == hashlib.md5(content(MIB)).hexdigest()
    assert listed["4096.txt"]["MimeType"].startswith("text/plain")
    rclone("check", "--download", source, f"t:{own}/sizes")
    rclone("check", source, f"t:{own}/sizes")
    rclone("copy", f"t:{own}/sizes", tmp_path / "back")
    same_tree(tmp_path / "back", source)
    for size in SIZES:
        rclone("deletefile", f"t:{own}/sizes/{size}.txt")
    assert rclone("lsf", "--recursive", f"t:{own}").out == ""


def test_multipart_with_chunks(rclone, own, tmp_path):
    source = write_tree(tmp_path / "source", {"big": content(48 * MIB), "bigger than one chunk": content(16 * MIB + 1)})
    rclone("copy", source, f"t:{own}")
    rclone("check", "--download", source, f"t:{own}")
    # rclone keeps the MD5 of what it sent in parts in the metadata.
    rclone("check", source, f"t:{own}")
    # Server-side, in parts of a copy.
    rclone("copy", f"t:{own}", f"t:{own}/copied", "--exclude", "copied/**")
    rclone("copy", f"t:{own}/copied", tmp_path / "back")
    same_tree(tmp_path / "back", source)


def test_modification_times_survive(rclone, own, tmp_path):
    source = write_tree(tmp_path / "source", {"small": b"x", "large": content(MIB)})
    for name in ("small", "large"):
        os.utime(source / name, (1_000_000_000, 1_000_000_000))
    rclone("copy", source, f"t:{own}")
    rclone("copy", f"t:{own}", tmp_path / "back")
    for name in ("small", "large"):
        assert (tmp_path / "back" / name).stat().st_mtime == 1_000_000_000
    # A new time without new bytes is a copy onto itself with new metadata.
    os.utime(source / "small", (1_100_000_000, 1_100_000_000))
    rclone("sync", source, f"t:{own}")
    rclone("copy", f"t:{own}", tmp_path / "back")
    assert (tmp_path / "back" / "small").stat().st_mtime == 1_100_000_000
    assert (tmp_path / "back" / "small").read_bytes() == b"x"


def test_server_side_copy_and_move(rclone, own, tmp_path):
    files = {"a b/1 ü.bin": content(100), "a b/2+%.bin": content(100 * KIB), "c/3": content(2 * MIB)}
    source = write_tree(tmp_path / "source", files)
    rclone("copy", source, f"t:{own}/one")
    rclone("copy", f"t:{own}/one", f"t:{own}/two")
    rclone("move", f"t:{own}/two", f"t:{own}/three")
    rclone("moveto", f"t:{own}/three/c/3", f"t:{own}/three/c/drei")
    names = rclone("lsf", "--recursive", "--files-only", f"t:{own}").out.splitlines()
    want = [f"one/{name}" for name in files] + ["three/a b/1 ü.bin", "three/a b/2+%.bin", "three/c/drei"]
    assert sorted(names) == sorted(want)
    rclone("moveto", f"t:{own}/three/c/drei", f"t:{own}/three/c/3")
    rclone("check", "--download", source, f"t:{own}/three")


def test_sync_up_and_down_with_deletes(rclone, own, tmp_path):
    files = {f"d{i % 7}/f{i} ü.bin": content(i * 500, i) for i in range(150)}
    source, back = write_tree(tmp_path / "source", files), tmp_path / "back"
    rclone("sync", source, f"t:{own}/tree")
    rclone("sync", f"t:{own}/tree", back)
    same_tree(back, source)
    (source / "d1" / "f1 ü.bin").write_bytes(b"changed")
    (source / "new").write_bytes(b"new")
    (source / "d2" / "f2 ü.bin").unlink()
    rclone("sync", source, f"t:{own}/tree")
    rclone("sync", f"t:{own}/tree", back)
    same_tree(back, source)
    assert "0 differences" in rclone("check", source, f"t:{own}/tree").err


def test_streams_ranges_and_sizes(rclone, own, tmp_path):
    source = write_tree(tmp_path / "source", {"f": content(300 * KIB), "sub/g": content(1000)})
    rclone("copy", source, f"t:{own}")
    said = json.loads(rclone("size", "--json", f"t:{own}").out)
    assert (said["count"], said["bytes"]) == (2, 300 * KIB + 1000)
    path = tmp_path / "cut"
    path.write_text(rclone("cat", "--offset", "0", "--count", "0", f"t:{own}/f").out)
    assert digest(bytes(path.read_bytes())) == digest(b"")
    assert rclone("lsf", f"t:{own}").out.splitlines() == ["f", "sub/"]
    rclone("delete", f"t:{own}")
    assert rclone("lsf", "--recursive", "--files-only", f"t:{own}").out == ""


@pytest.mark.parametrize(
    "name", ["100% sure+more/%2F", "quote'\"<&>", "日本語/\U0001f642", "back\\slash", "new\nline", "del\x7f", "?uploads&x=y"]
)
def test_unusual_names(rclone, own, tmp_path, name):
    source = write_tree(tmp_path / "source", {name: content(50_000)})
    rclone("copy", source, f"t:{own}")
    rclone("copy", f"t:{own}", tmp_path / "back")
    same_tree(tmp_path / "back", source)
    rclone("check", "--download", source, f"t:{own}")


def test_errors_say_what_is_wrong(rclone, own):
    assert "directory not found" in rclone("lsf", f"t:{new_bucket_name('missing')}", want=None).err
    assert "SignatureDoesNotMatch" in rclone("lsd", "t:", "--s3-secret-access-key=wrong", want=None).err
    assert "InvalidAccessKeyId" in rclone("lsd", "t:", "--s3-access-key-id=nobody", want=None).err
