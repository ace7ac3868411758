"""What jobs, batches, ETL, dsort and AuthN say without asking a node."""

import pytest
from aistore.sdk.authn.authn_client import AuthNClient
from aistore.sdk.etl.etl import Etl

from covers import covers


@covers("Job.job_id", "Job.job_kind")
def test_a_job_is_named(ais):
    job = ais.job("some-id", "some-kind")
    assert (job.job_id, job.job_kind) == ("some-id", "some-kind")


@covers("Batch.add", "Batch.clear", "Batch.requests_list")
def test_a_batch_is_written_down(ais, shared):
    batch = ais.batch(["a"], bucket=shared)
    batch.add("s.tar", archpath="m", start=1, length=2).add("b", bck="other", provider="ais")
    assert [(i.obj_name, i.bck) for i in batch.requests_list] == [("a", shared.name), ("s.tar", shared.name), ("b", "other")]
    assert batch.clear().requests_list == []


@covers("Etl.name", "Etl.pipeline", "Etl.validate_etl_name")
def test_an_etl_is_named(ais):
    assert (ais.etl("some-etl").name, (ais.etl("some-etl") >> ais.etl("other-etl")).pipeline) == ("some-etl", ["other-etl"])
    Etl.validate_etl_name("some-etl")
    with pytest.raises(ValueError):
        Etl.validate_etl_name("x")


@covers("Dsort.dsort_id")
def test_a_dsort_is_named(ais):
    assert ais.dsort("id").dsort_id == "id"


@covers(
    "AuthNClient.client", "AuthNClient.cluster_manager", "AuthNClient.role_manager", "AuthNClient.user_manager",
    "AuthNClient.token_manager", "ClusterManager.client", "RoleManager.client", "UserManager.client", "TokenManager.client",
)
def test_an_authn_client_makes_its_managers(endpoint):
    authn = AuthNClient(endpoint)
    assert authn.client.base_url == f"{endpoint}/v1"
    for manager in (authn.cluster_manager(), authn.role_manager(), authn.user_manager(), authn.token_manager()):
        assert manager.client is authn.client
