"""Each method that waits is refused as covers.WAITING says: by a status and by name.

One that begins to work fails here: it is to leave WAITING and ASK for a test with @covers.
"""

import datetime

import pytest
from aistore.sdk.authn.access_attr import AccessAttr
from aistore.sdk.authn.authn_client import AuthNClient
from aistore.sdk.dataset.dataset_config import DatasetConfig
from aistore.sdk.etl.webserver.base_etl_server import ETLServer
from urllib3.util.retry import Retry

from covers import CLASSES, WAITING, Noted

NOW = datetime.datetime.now(datetime.timezone.utc)


class World:
    """What the cases ask: a bucket with an object, and a bucket of a backend."""

    def __init__(self, ais, bck, endpoint):
        self.ais, self.bck, self.cluster = ais, bck, ais.cluster()
        self.obj = bck.object("o")
        self.group = bck.objects(obj_names=["o"])
        self.remote = ais.bucket(bck.name, provider="aws")
        self.job = ais.job("some-id", "copy-bck")
        self.etl, self.dsort = ais.etl("some-etl"), ais.dsort("some-id")
        self.authn = AuthNClient(endpoint, retry=Retry(total=0), token="token")
        self.users, self.roles = self.authn.user_manager(), self.authn.role_manager()
        self.clusters, self.tokens = self.authn.cluster_manager(), self.authn.token_manager()
        self.endpoint = endpoint

    def append_as_file(self):
        with self.obj.get_writer().as_file() as file:
            file.write(b"2")

    def server(self):
        class Upper(ETLServer):
            def transform(self, data, *_):
                return data.upper()

            def start(self):
                pass

        self.etl.init_class()(Upper)

    def dsorted(self, path):
        path.write_text("{}")
        self.dsort.start(path)


@pytest.fixture
def world(ais, shared, endpoint):
    return World(ais, shared, endpoint)


ASK = {
    "Cluster.list_jobs_status": lambda w, _: w.cluster.list_jobs_status(),
    "Cluster.list_running_jobs": lambda w, _: w.cluster.list_running_jobs(),
    "Cluster.list_etls": lambda w, _: w.cluster.list_etls(),
    "Bucket.rename": lambda w, _: w.bck.rename("elsewhere"),
    "Bucket.evict": lambda w, _: w.remote.evict(),
    "Bucket.copy": lambda w, _: w.bck.copy(w.ais.bucket("elsewhere")),
    "Bucket.list_archive": lambda w, _: w.bck.list_archive("o"),
    "Bucket.summary": lambda w, _: w.bck.summary(),
    "Bucket.info": lambda w, _: w.bck.info(),
    "Bucket.create_inventory": lambda w, _: w.bck.create_inventory(),
    "Bucket.show_inventory": lambda w, _: w.bck.show_inventory(),
    "Bucket.destroy_inventory": lambda w, _: w.bck.destroy_inventory(),
    "Bucket.write_dataset": lambda w, _: w.bck.write_dataset(DatasetConfig(None)),
    "Bucket.transform": lambda w, _: w.bck.transform("some-etl", w.ais.bucket("elsewhere")),
    "Bucket.inspect": lambda w, _: w.bck.inspect("some-etl"),
    "Object.promote": lambda w, path: w.obj.promote(str(path)),
    "Object.blob_download": lambda w, _: w.obj.blob_download(),
    "ObjectWriter.append_content": lambda w, _: w.obj.get_writer().append_content(b"2"),
    "ObjectWriter.as_file": lambda w, _: w.append_as_file(),
    "ObjectGroup.delete": lambda w, _: w.group.delete(),
    "ObjectGroup.evict": lambda w, _: w.remote.objects(obj_names=["o"]).evict(),
    "ObjectGroup.prefetch": lambda w, _: w.remote.objects(obj_names=["o"]).prefetch(),
    "ObjectGroup.copy": lambda w, _: w.group.copy(w.ais.bucket("elsewhere")),
    "ObjectGroup.archive": lambda w, _: w.group.archive("o.tar"),
    "ObjectGroup.transform": lambda w, _: w.group.transform(w.bck, "some-etl"),
    "ObjectGroup.inspect": lambda w, _: w.group.inspect("some-etl"),
    "Job.status": lambda w, _: w.job.status(),
    "Job.wait": lambda w, _: w.job.wait(timeout=1),
    "Job.wait_for_idle": lambda w, _: w.job.wait_for_idle(timeout=1),
    "Job.wait_single_node": lambda w, _: w.job.wait_single_node(timeout=1),
    "Job.get_details": lambda w, _: w.job.get_details(),
    "Job.get_within_timeframe": lambda w, _: w.job.get_within_timeframe(NOW),
    "Job.get_total_time": lambda w, _: w.job.get_total_time(),
    "Job.start": lambda w, _: w.job.start(),
    "Job.abort": lambda w, _: w.job.abort(),
    "Etl.init": lambda w, _: w.etl.init("image", "command"),
    "Etl.init_class": lambda w, _: w.server(),
    "Etl.start": lambda w, _: w.etl.start(),
    "Etl.stop": lambda w, _: w.etl.stop(),
    "Etl.delete": lambda w, _: w.etl.delete(),
    "Etl.view": lambda w, _: w.etl.view(),
    "Etl.logs": lambda w, _: w.etl.logs(),
    "Dsort.start": lambda w, path: w.dsorted(path / "spec.json"),
    "Dsort.abort": lambda w, _: w.dsort.abort(),
    "Dsort.get_job_info": lambda w, _: w.dsort.get_job_info(),
    "Dsort.wait": lambda w, _: w.dsort.wait(timeout=1),
    "AuthNClient.login": lambda w, _: w.authn.login("me", "secret"),
    "AuthNClient.logout": lambda w, _: w.authn.logout(),
    "UserManager.list": lambda w, _: w.users.list(),
    "UserManager.get": lambda w, _: w.users.get("me"),
    "UserManager.create": lambda w, _: w.users.create("me", ["role"], "secret"),
    "UserManager.update": lambda w, _: w.users.update("me", password="other"),
    "UserManager.delete": lambda w, _: w.users.delete("me"),
    "RoleManager.list": lambda w, _: w.roles.list(),
    "RoleManager.get": lambda w, _: w.roles.get("role"),
    "RoleManager.create": lambda w, _: w.roles.create("role", "what for", "alias", [AccessAttr.GET]),
    "RoleManager.update": lambda w, _: w.roles.update("role", desc="other"),
    "RoleManager.delete": lambda w, _: w.roles.delete("role"),
    "ClusterManager.list": lambda w, _: w.clusters.list(),
    "ClusterManager.get": lambda w, _: w.clusters.get(cluster_id="id"),
    "ClusterManager.register": lambda w, _: w.clusters.register("alias", [w.endpoint]),
    "ClusterManager.update": lambda w, _: w.clusters.update("id", cluster_alias="alias"),
    "ClusterManager.delete": lambda w, _: w.clusters.delete(cluster_id="id"),
    "TokenManager.revoke": lambda w, _: w.tokens.revoke("token"),
}


def test_each_waiting_method_is_asked():
    assert sorted(ASK) == sorted(WAITING)


@pytest.mark.parametrize("name", sorted(WAITING))
def test_is_refused(world, tmp_path, name):
    wait = WAITING[name]
    with Noted([name], CLASSES) as noted, pytest.raises(Exception) as refused:
        ASK[name](world, tmp_path)
    assert noted.called == {name}, "the case asks something else"
    assert getattr(refused.value, "status_code", 0) == wait.status, refused.value
    # The package leaves an answer that it knows no error for as the JSON that it was.
    assert wait.text in str(getattr(refused.value, "message", refused.value)).replace('\\"', '"')
