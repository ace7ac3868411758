"""boto3: listing, with pages, prefixes, delimiters; deleting many at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import new_bucket_name

COUNT = 2500


def names_of(count):
    """Names in three folders and at the root, in the order of their bytes."""
    names = []
    for i in range(count):
        folder = ("a/", "b/c/", "b/d/", "")[i % 4]
        names.append(f"{folder}{i:05d}")
    return sorted(names)


@pytest.fixture(scope="module")
def full(s3):
    """A bucket of COUNT small objects, shared by the tests that only read."""
    name = new_bucket_name("full")
    s3.create_bucket(Bucket=name)
    names = names_of(COUNT)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=name, Key=key, Body=key.encode()), names))
    yield name, names
    for at in range(0, len(names), 1000):
        batch = [{"Key": key} for key in names[at : at + 1000]]
        answer = s3.delete_objects(Bucket=name, Delete={"Objects": batch})
        assert sorted(d["Key"] for d in answer["Deleted"]) == names[at : at + 1000]
        assert not answer.get("Errors")
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0
    s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("page", [1000, 999, 300, 7])
def test_pages_of_version_two(s3, full, page):
    bucket, names = full
    if page == 7:
        names = [n for n in names if n.startswith("b/c/")]
    prefix = "b/c/" if page == 7 else ""
    got, pages, token = [], 0, {}
    while True:
        answer = s3.list_objects_v2(Bucket=bucket, MaxKeys=page, Prefix=prefix, **token)
        entries = answer.get("Contents", [])
        assert answer["KeyCount"] == len(entries) <= page
        got += [entry["Key"] for entry in entries]
        pages += 1
        if not answer["IsTruncated"]:
            assert "NextContinuationToken" not in answer
            break
        assert len(entries) == page, "a page that is not the last is full"
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert got == names
    assert pages == -(-len(names) // page)


@pytest.mark.parametrize("page", [1000, 7])
def test_pages_of_version_one(s3, full, page):
    bucket, names = full
    prefix = "b/d/" if page == 7 else ""
    want = [n for n in names if n.startswith(prefix)]
    got, marker = [], {}
    while True:
        answer = s3.list_objects(Bucket=bucket, MaxKeys=page, Prefix=prefix, **marker)
        got += [entry["Key"] for entry in answer.get("Contents", [])]
        if not answer["IsTruncated"]:
            break
        marker = {"Marker": answer.get("NextMarker") or got[-1]}
    assert got == want


def test_the_default_page_is_a_thousand(s3, full):
    bucket, names = full
    answer = s3.list_objects_v2(Bucket=bucket)
    assert (answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"]) == (1000, 1000, True)
    answer = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert len(answer["Contents"]) == 1000
    answer = s3.list_objects_v2(Bucket=bucket, MaxKeys=0)
    assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)


def test_delimiter(s3, full):
    bucket, names = full
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == ["a/", "b/"]
    assert [c["Key"] for c in answer["Contents"]] == [n for n in names if "/" not in n]
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="b/")
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == ["b/c/", "b/d/"]
    assert "Contents" not in answer
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/", Prefix="b/c/")
    assert "CommonPrefixes" not in answer
    assert [c["Key"] for c in answer["Contents"]] == [n for n in names if n.startswith("b/c/")]


@pytest.mark.parametrize("page", [1, 2, 7, 100])
def test_delimiter_over_pages(s3, full, page):
    bucket, names = full
    want = sorted({n.split("/")[0] + "/" if "/" in n else n for n in names})
    if page < 7:
        want = want[:20]
    got, token = [], {}
    while len(got) < len(want):
        answer = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=page, **token)
        found = [p["Prefix"] for p in answer.get("CommonPrefixes", [])]
        found += [c["Key"] for c in answer.get("Contents", [])]
        assert answer["KeyCount"] == len(found) <= page
        got += sorted(found)
        if not answer["IsTruncated"]:
            break
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert sorted(got)[: len(want)] == want


def test_prefix_and_start_after(s3, full):
    bucket, names = full
    at = len(names) // 2
    answer = s3.list_objects_v2(Bucket=bucket, StartAfter=names[at], MaxKeys=50)
    assert [c["Key"] for c in answer["Contents"]] == names[at + 1 : at + 51]
    answer = s3.list_objects_v2(Bucket=bucket, StartAfter="b/c")
    assert answer["Contents"][0]["Key"] == next(n for n in names if n > "b/c")
    answer = s3.list_objects_v2(Bucket=bucket, Prefix="b/c/000")
    assert [c["Key"] for c in answer["Contents"]] == [n for n in names if n.startswith("b/c/000")]
    answer = s3.list_objects_v2(Bucket=bucket, Prefix="nothing")
    assert answer["KeyCount"] == 0


def test_paginator(s3, full):
    bucket, names = full
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1000})
    assert [c["Key"] for page in pages for c in page["Contents"]] == names


def test_order_is_that_of_bytes(s3, bucket):
    names = ["Z", "a", "a!", "a/", "a/b", "aB", "a~", "ä", "ｆ", "\U0001f642"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    got = [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert got == sorted(names, key=lambda name: name.encode())
    got, token = [], {}
    while True:
        answer = s3.list_objects_v2(Bucket=bucket, MaxKeys=1, **token)
        got += [c["Key"] for c in answer["Contents"]]
        if not answer["IsTruncated"]:
            break
        token = {"ContinuationToken": answer["NextContinuationToken"]}
    assert got == sorted(names, key=lambda name: name.encode())


@pytest.mark.parametrize("delimiter", ["/", "-", "::", "ü"])
def test_other_delimiters(s3, bucket, delimiter):
    names = [f"one{delimiter}1", f"one{delimiter}2", f"two{delimiter}{delimiter}3", "three"]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    answer = s3.list_objects_v2(Bucket=bucket, Delimiter=delimiter)
    assert [p["Prefix"] for p in answer["CommonPrefixes"]] == [f"one{delimiter}", f"two{delimiter}"]
    assert [c["Key"] for c in answer["Contents"]] == ["three"]


def test_a_list_shows_every_acknowledged_write_at_once(s3, bucket):
    for i in range(50):
        s3.put_object(Bucket=bucket, Key=f"{i:03d}", Body=b"x" * (i * 1500))
        assert len(s3.list_objects_v2(Bucket=bucket).get("Contents", [])) == i + 1
    for i in range(50):
        s3.delete_object(Bucket=bucket, Key=f"{i:03d}")
        assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 49 - i


def test_delete_many(s3, bucket):
    for i in range(20):
        s3.put_object(Bucket=bucket, Key=f"k/{i}&<ü>", Body=b"x")
    wanted = [{"Key": f"k/{i}&<ü>"} for i in range(10)] + [{"Key": "was never there"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert sorted(d["Key"] for d in answer["Deleted"]) == sorted(w["Key"] for w in wanted)
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": f"k/{i}&<ü>"} for i in range(10, 15)], "Quiet": True}
    )
    assert "Deleted" not in answer and "Errors" not in answer
    left = [c["Key"] for c in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == sorted(f"k/{i}&<ü>" for i in range(15, 20))
