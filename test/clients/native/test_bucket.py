"""Bucket: its life, its lists, files into it, and what it says of itself."""

import json

import pytest
from aistore.sdk.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, InvalidBckProvider
from aistore.sdk.provider import Provider
import requests

from conftest import new_name
from covers import covers

NAMES = [f"a/{n:02}" for n in range(12)] + ["b"]


@pytest.fixture
def filled(bck):
    for name in NAMES:
        bck.object(name).get_writer().put_content(name.encode())
    return bck


@covers("Bucket.create", "Bucket.delete", "Bucket.head")
def test_a_bucket_is_made_headed_and_destroyed(ais):
    bucket = ais.bucket(new_name())
    with pytest.raises(AISError) as refused:
        bucket.head()
    assert refused.value.status_code == 404
    bucket.create(exist_ok=False)
    bucket.create(exist_ok=True)
    with pytest.raises(ErrBckAlreadyExists):
        bucket.create(exist_ok=False)
    assert json.loads(bucket.head()["Ais-Bucket-Props"])["provider"] == "ais"
    bucket.object("o").get_writer().put_content(b"1")
    bucket.delete()
    bucket.delete(missing_ok=True)
    with pytest.raises(ErrBckNotFound):
        bucket.delete(missing_ok=False)


@covers("Bucket.list_objects")
def test_a_page_is_listed(filled):
    page = filled.list_objects(prefix="a/", page_size=5, props="name,size")
    assert [(e.name, e.size) for e in page.entries] == [(name, 4) for name in NAMES[:5]]
    rest = filled.list_objects(prefix="a/", page_size=100, uuid=page.uuid, continuation_token=page.continuation_token)
    assert [e.name for e in rest.entries] == NAMES[5:12] and rest.continuation_token == ""


@covers("Bucket.list_all_objects", "Bucket.list_objects_iter", "Bucket.list_all_objects_iter", "Bucket.list_urls")
def test_all_is_listed(filled):
    assert [e.name for e in filled.list_all_objects(page_size=4)] == NAMES
    assert [e.name for e in filled.list_objects_iter(page_size=3, prefix="a/")] == NAMES[:12]
    assert [o.get_reader().read_all() for o in filled.list_all_objects_iter(prefix="a/0", start_after="a/03")] == [
        name.encode() for name in NAMES[4:10]
    ]
    urls = list(filled.list_urls(prefix="b"))
    assert [requests.get(u, verify=True, timeout=60).content for u in urls] == [b"b"]


@covers("Bucket.put_files")
def test_files_are_put(bck, tmp_path):
    for name in ("one.txt", "two.bin", "sub/three.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    bck.put_files(tmp_path, recursive=True, pattern="*.txt", prepend="up/", dry_run=True)
    assert bck.list_all_objects() == []
    bck.put_files(tmp_path, recursive=True, pattern="*.txt", prepend="up/")
    assert [e.name for e in bck.list_all_objects()] == ["up/one.txt", "up/sub/three.txt"]
    assert bck.object("up/sub/three.txt").get_reader().read_all() == b"sub/three.txt"


@covers(
    "Bucket.name", "Bucket.provider", "Bucket.namespace", "Bucket.qparam", "Bucket.client", "Bucket.get_path", "Bucket.as_model",
    "Bucket.object", "Bucket.objects", "Bucket.verify_cloud_bucket",
)
def test_what_a_bucket_says_of_itself(ais, shared, endpoint):
    bck = shared
    assert (bck.provider, bck.namespace, bck.qparam) == (Provider.AIS, None, {"provider": "ais"})
    assert bck.client.base_url == f"{endpoint}/v1"
    assert bck.get_path().rstrip("/").endswith(bck.name)
    assert (bck.as_model().name, bck.as_model().provider) == (bck.name, "ais")
    assert bck.object("o").name == "o"
    assert bck.objects(obj_names=["a", "b"]).list_names() == ["a", "b"]
    with pytest.raises(InvalidBckProvider):
        bck.verify_cloud_bucket()
    ais.bucket("b", provider="aws").verify_cloud_bucket()


@covers("Bucket.make_request")
def test_a_request_that_has_no_method_of_its_own(shared):
    bck = shared

    def versioned():
        return json.loads(bck.head()["Ais-Bucket-Props"])["versioning"]["enabled"]

    was = versioned()
    bck.make_request("PATCH", "set-bprops", value={"versioning": {"enabled": was}})
    assert versioned() == was
    with pytest.raises(AISError) as refused:
        bck.make_request("POST", "no-such-action")
    assert refused.value.status_code == 400 and "no-such-action" in refused.value.message


def test_each_target_lists_what_it_is_in_charge_of(ais, bck):
    names = sorted(f"o-{n}" for n in range(24))
    for name in names:
        bck.object(name).get_writer().put_content(b"1")
    told = {}
    for target in ais.cluster().get_info().tmap:
        for page_size in (0, 3):
            of = bck.list_all_objects(target=target, page_size=page_size, props="name,location")
            assert all(e.location.startswith(f"t[{target}]") for e in of)
            told[target] = [e.name for e in of]
    assert sorted(name for of in told.values() for name in of) == names, told
    with pytest.raises(AISError) as refused:
        bck.list_objects(target="tnobody")
    assert refused.value.status_code == 404
