"""Client: what it makes, and what it finds by a URL."""

import pytest

from conftest import new_name
from covers import covers


@covers("Client.bucket", "Client.cluster", "Client.job", "Client.batch", "Client.dsort", "Client.etl")
def test_a_client_makes_what_is_asked_by_name(ais):
    assert ais.bucket("b").name == "b"
    assert ais.cluster().is_ready()
    assert (ais.job("id", "kind").job_id, ais.job("id", "kind").job_kind) == ("id", "kind")
    assert ais.batch(bucket=ais.bucket("b")).requests_list == []
    assert ais.dsort("d").dsort_id == "d"
    assert ais.etl("etl-name").name == "etl-name"


@covers("Client.get_object_from_url", "Object.get_semantic_url")
def test_an_object_is_found_by_its_url(ais, shared):
    shared.object("dir/o").get_writer().put_content(b"1")
    url = shared.object("dir/o").get_semantic_url()
    assert url == f"ais://{shared.name}/dir/o"
    assert ais.get_object_from_url(url).get_reader().read_all() == b"1"
    for wrong in ("", "dir/o", "ais://", f"nobody://{new_name()}/o"):
        with pytest.raises(Exception, match="(?i)url|provider"):
            ais.get_object_from_url(wrong)
