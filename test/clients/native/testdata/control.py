"""The negative control of @covers: run by TestCoversIsJudged, and by nothing else."""

from aistore.sdk import Client

from covers import covers


@covers("Client.job")
def test_calls_what_it_covers():
    assert Client("http://127.0.0.1:1").job("id").job_id == "id"


@covers("Client.job", "Client.cluster")
def test_calls_half_of_it():
    assert Client("http://127.0.0.1:1").job("id").job_id == "id"
