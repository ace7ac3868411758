"""Cluster: the map, readiness, buckets, and what the nodes say of themselves."""

import io
import tarfile

import pytest
from aistore.sdk.enums import LogSeverity, NodeFilter
from aistore.sdk.errors import AISError
from aistore.sdk.request_client import RequestClient

from conftest import endpoints
from covers import covers


@covers("Cluster.get_info", "Cluster.get_uuid", "Cluster.get_primary_url", "Cluster.is_ready", "Cluster.client")
def test_the_map_names_every_node(ais, endpoint):
    cluster = ais.cluster()
    assert isinstance(cluster.client, RequestClient)
    smap = cluster.get_info()
    assert {n.public_net.direct_url for n in smap.tmap.values()} == set(endpoints())
    assert {n.public_net.direct_url for n in smap.pmap.values()} == set(endpoints())
    assert not set(smap.pmap) & set(smap.tmap)
    assert cluster.get_uuid() == smap.uuid != ""
    assert cluster.get_primary_url() == smap.proxy_si.public_net.direct_url
    assert cluster.get_primary_url() in endpoints() and endpoint in endpoints()
    assert cluster.is_ready()


@covers("Cluster.list_buckets")
def test_buckets_are_listed(ais, shared):
    assert shared.name in [b.name for b in ais.cluster().list_buckets()]
    assert ais.cluster().list_buckets(provider="aws") == []


@covers("Cluster.get_performance")
def test_every_node_tells_of_itself(ais):
    told = ais.cluster().get_performance()
    assert set(told) == set(ais.cluster().get_info().tmap)
    for node, status in told.items():
        assert status["snode"]["daemon_id"] == node
        assert status["snode"]["daemon_type"] == "target"
        assert status["tracker"]["up.ns.time"] > 0
        assert status["capacity"]["mountpaths"]


@covers("Cluster.get_node_log", "Cluster.get_cluster_logs", "Cluster.get_node_log_archive")
def test_every_nodes_log_is_read(ais):
    cluster = ais.cluster()
    smap = cluster.get_info()
    logs = cluster.get_cluster_logs()
    assert set(logs) == set(smap.tmap)
    assert set(cluster.get_cluster_logs(role=NodeFilter.ALL)) == set(smap.tmap) | set(smap.pmap)
    begun = set()
    for node, text in logs.items():
        first = text.splitlines()[0]
        assert first.startswith("Troupe ") and " began at " in first, first
        begun.add(first.split(" node ")[1].split(" ")[0])
        assert "node serves" in text
        assert cluster.get_node_log(node).startswith(first), "another node's log"
        worse = cluster.get_node_log(node, severity=LogSeverity.ERROR)
        assert worse.startswith(first) and "node serves" not in worse
        with tarfile.open(fileobj=io.BytesIO(cluster.get_node_log_archive(node)), mode="r:gz") as archive:
            [member] = archive.getmembers()
            assert archive.extractfile(member).read().decode().startswith(first)
    assert len(begun) == len(logs), "each node tells its own"
    with pytest.raises(AISError) as refused:
        cluster.get_node_log("nobody")
    assert refused.value.status_code == 404
