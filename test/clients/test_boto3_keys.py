"""boto3: keys that tempt a server which stores files.

A key is stored and listed exactly as it was given, or refused; nothing outside
the mountpaths is touched (the Go test looks at the directories afterwards).
"""

import pytest
from botocore.exceptions import ClientError

from conftest import KIB, content, same

# Keys that have to be stored: every S3 client may use them.
STORED = {
    "unicode": "grüße/日本語/\U0001f642.txt",
    "two forms of one letter, composed": "form/\u00e9",
    "two forms of one letter, decomposed": "form/e\u0301",
    "blanks": " leading and  double and trailing ",
    "percent": "100%/%2F%20%41",
    "plus": "a+b+c",
    "reserved": "!*'();:@&=+$,?#[]",
    "quotes and brackets": "<a href=\"b\">'c'&amp;</a>",
    "backslash": "a\\b\\..\\c",
    "dots in front": "...hidden/.also",
    "the node's own folder": ".troupe/format.json",
    "the escape of others": "%74roupe",
    "tilde and caret": "~/^`|{}",
    "a file": "tree/a",
    "below a file": "tree/a/b",
    "below that": "tree/a/b/c",
    "trailing slash": "folder/",
    "component of 255 bytes": "x" * 255 + "/y",
    "component of 256 bytes": "x" * 256 + "/y",
    "1,024 bytes": "k" * 1024,
    "1,024 bytes in many folders": "/".join(["d"] * 512) + "e",
    "1,024 bytes of unicode": "ü" * 512,
    "newline, tab": "line\nbreak\ttab\rreturn",
    "looks like a query": "a?uploads&x=y",
    "looks like a version": "k;1",
    "looks like nothing": "-",
    "one character": "a",
}

# Keys that Amazon's clients may send but that a server may also refuse, with a 4xx and nothing written.
STORED_OR_REFUSED = {
    "dot dot inside": "a/../b",
    "dot dot in front": "../../escaped",
    "dot dot alone": "..",
    "dot dot at the end": "a/..",
    "many dot dots": "../" * 20 + "etc/troupe-was-here",
    "dot inside": "a/./b",
    "dot alone": ".",
    "leading slash": "/leading",
    "two leading slashes": "//leading",
    "two slashes": "a//b",
    "only slashes": "///",
    "control characters": "bell\x07escape\x1bdelete\x7f",
    "all of the low ones": "".join(chr(c) for c in range(1, 32)),
    "zero": "zero\x00byte",
}


def store(s3, bucket, key, data):
    """Puts; returns whether the server took it, and fails on anything but a clear refusal."""
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=data)
        return True
    except ClientError as refused:
        status = refused.response["ResponseMetadata"]["HTTPStatusCode"]
        code = refused.response["Error"]["Code"]
        assert 400 <= status < 500 and code not in ("SignatureDoesNotMatch", "NoSuchKey", "NoSuchBucket"), (
            f"{key!r} was refused with {status} {code}"
        )
        return False


# Inline and file: the second kind meets the file system with its name.
@pytest.mark.parametrize("size", [10, 40 * KIB], ids=["inline", "file"])
@pytest.mark.parametrize("what", [*STORED, *STORED_OR_REFUSED])
def test_a_key_is_kept_as_it_is(s3, bucket, what, size):
    must = what in STORED
    key = STORED[what] if must else STORED_OR_REFUSED[what]
    data = content(size, what)
    taken = store(s3, bucket, key, data)
    assert taken or not must, f"{key!r} was refused"
    listed = [c["Key"] for c in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    assert listed == ([key] if taken else [])
    if not taken:
        return
    same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), data, repr(key))
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size
    listed = [c["Key"] for c in s3.list_objects(Bucket=bucket, Prefix=key).get("Contents", [])]
    assert listed == [key]
    if any(ord(c) < 32 and c not in "\t\n\r" for c in key):
        s3.delete_object(Bucket=bucket, Key=key)  # XML 1.0 cannot write these characters
    else:
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
        assert not answer.get("Errors"), answer["Errors"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("size", [10, 40 * KIB], ids=["inline", "file"])
def test_all_of_them_side_by_side(s3, bucket, size):
    # Names that could fall onto one another: each keeps its own bytes.
    keys = [*STORED.values(), *STORED_OR_REFUSED.values()]
    taken = [key for key in keys if store(s3, bucket, key, content(size, key))]
    assert set(STORED.values()) <= set(taken)
    listed = [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(taken, key=lambda key: key.encode())
    for key in taken:
        same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), content(size, key), repr(key))
    for key in taken[::2]:
        s3.delete_object(Bucket=bucket, Key=key)
    for key in taken[1::2]:
        same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), content(size, key), repr(key))
    for key in taken[1::2]:
        s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("first, second", [("a", "a/b"), ("a/b", "a"), ("x/", "x/y"), ("x/y", "x/"), ("x", "x/")])
@pytest.mark.parametrize("size", [10, 40 * KIB], ids=["inline", "file"])
def test_a_name_and_a_name_below_it(s3, bucket, first, second, size):
    for turn in range(2):  # the second time over what the first left on the disk
        for key in (first, second):
            s3.put_object(Bucket=bucket, Key=key, Body=content(size, key + str(turn)))
        for key in (first, second):
            same(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), content(size, key + str(turn)), key)
        assert [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]] == sorted([first, second])
        s3.delete_object(Bucket=bucket, Key=first)
        same(s3.get_object(Bucket=bucket, Key=second)["Body"].read(), content(size, second + str(turn)), second)
        s3.delete_object(Bucket=bucket, Key=second)
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_too_long(s3, bucket):
    for key in ("k" * 1025, "ü" * 513):
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        assert refused.value.response["Error"]["Code"] == "KeyTooLongError"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("key", ["plain", "with blank/ü+%41", "a//b", "q?x=1&y"])
def test_hostile_copy_sources(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"body")
    s3.copy_object(Bucket=bucket, Key="copied", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == b"body"
