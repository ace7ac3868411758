"""Which public methods of the package there are, which work, and which wait.

The methods and properties of CLASSES are taken from the package that is installed, so
that a release that brings one fails the suite until somebody has read it. Each has a
test with its name in @covers, which called it and passed, or is in WAITING and has its
case in test_absent.py, which shows how it is refused. test_methods.py judges both, and
compares the tables of docs/compatibility.md with them.
"""

import functools
import inspect
import pathlib
import sys
import typing
import unittest.mock

import pytest
from aistore.sdk.authn.authn_client import AuthNClient
from aistore.sdk.authn.cluster_manager import ClusterManager
from aistore.sdk.authn.role_manager import RoleManager
from aistore.sdk.authn.token_manager import TokenManager
from aistore.sdk.authn.user_manager import UserManager
from aistore.sdk.batch.batch import Batch
from aistore.sdk.bucket import Bucket
from aistore.sdk.client import Client
from aistore.sdk.cluster import Cluster
from aistore.sdk.dsort.core import Dsort
from aistore.sdk.etl.etl import Etl
from aistore.sdk.job import Job
from aistore.sdk.multiobj.object_group import ObjectGroup
from aistore.sdk.obj.multipart_upload import MultipartUpload
from aistore.sdk.obj.object import Object
from aistore.sdk.obj.object_reader import ObjectReader
from aistore.sdk.obj.object_writer import ObjectWriter

HERE = pathlib.Path(__file__).parent

CLASSES = {
    c.__name__: c
    for c in (
        Client, Cluster, Bucket, Object, ObjectReader, ObjectWriter, MultipartUpload, ObjectGroup, Job, Batch,
        Etl, Dsort, AuthNClient, ClusterManager, RoleManager, TokenManager, UserManager,
    )
}

NOT_MET = "not met"


class Wait(typing.NamedTuple):
    """How a method that does not work is refused, and which step of docs/build-native.md makes it work.

    Status 0: the package refuses by itself, and asks nobody. Text is in what is raised.
    """

    step: str
    status: int
    text: str


WAITING = {
    "Cluster.list_jobs_status": Wait("J3", 501, "what=status_all"),
    "Cluster.list_running_jobs": Wait("J3", 501, "what=running_all"),
    "Cluster.list_etls": Wait(NOT_MET, 501, "ETL (/v1/etl) is not implemented"),
    "Bucket.rename": Wait("N3", 501, "move-bck"),
    "Bucket.evict": Wait("R10", 404, "does not exist"),
    "Bucket.copy": Wait("J5", 501, "copy-bck"),
    "Bucket.list_archive": Wait("A4", 501, "listing the content of archives"),
    "Bucket.summary": Wait("J9", 501, "summary-bck"),
    "Bucket.info": Wait("J9", 501, ""),  # the answer of a HEAD has no text
    "Bucket.create_inventory": Wait("R13", 501, "create-inventory"),
    "Bucket.show_inventory": Wait("R13", 501, "show-inventory"),
    "Bucket.destroy_inventory": Wait("R13", 501, "destroy-inventory"),
    "Bucket.write_dataset": Wait("P2", 0, "webdataset"),
    "Bucket.transform": Wait(NOT_MET, 501, "etl-bck"),
    "Bucket.inspect": Wait(NOT_MET, 501, "etl-bck"),
    "Object.promote": Wait("J8", 501, "promote"),
    "Object.blob_download": Wait("R11", 501, "blob-download"),
    "ObjectWriter.append_content": Wait("O1", 501, "appending to an object"),
    "ObjectWriter.as_file": Wait("O1", 501, "appending to an object"),
    "ObjectGroup.delete": Wait("J4", 501, "delete-listrange"),
    "ObjectGroup.evict": Wait("R10", 404, "does not exist"),
    "ObjectGroup.prefetch": Wait("R10", 501, "prefetch-listrange"),
    "ObjectGroup.copy": Wait("J5", 501, "copy-listrange"),
    "ObjectGroup.archive": Wait("J6", 501, "archive"),
    "ObjectGroup.transform": Wait(NOT_MET, 501, "etl-listrange"),
    "ObjectGroup.inspect": Wait(NOT_MET, 501, "etl-listrange"),
    "Job.status": Wait("J3", 501, "what=status"),
    "Job.wait": Wait("J3", 501, "what=status"),
    "Job.wait_for_idle": Wait("J3", 501, "what=qryxstats"),
    "Job.wait_single_node": Wait("J3", 501, "what=qryxstats"),
    "Job.get_details": Wait("J3", 501, "what=qryxstats"),
    "Job.get_within_timeframe": Wait("J3", 501, "what=qryxstats"),
    "Job.get_total_time": Wait("J3", 501, "what=qryxstats"),
    "Job.start": Wait("J3", 501, 'control action "start"'),
    "Job.abort": Wait("J3", 501, 'control action "stop"'),
    **dict.fromkeys(
        ("Etl.init", "Etl.init_class", "Etl.start", "Etl.stop", "Etl.delete", "Etl.view", "Etl.logs"),
        Wait(NOT_MET, 501, "ETL (/v1/etl) is not implemented"),
    ),
    **dict.fromkeys(
        ("Dsort.start", "Dsort.abort", "Dsort.get_job_info", "Dsort.wait"),
        Wait(NOT_MET, 501, "dsort (/v1/sort) is not implemented"),
    ),
    **dict.fromkeys(
        (
            "AuthNClient.login", "UserManager.list", "UserManager.get", "UserManager.delete", "UserManager.update",
        ),
        Wait(NOT_MET, 501, "AuthN (/v1/users) is not implemented"),
    ),
    # To make a user the package asks for its roles first, to make a role for its cluster.
    **dict.fromkeys(
        ("UserManager.create", "RoleManager.list", "RoleManager.get", "RoleManager.update", "RoleManager.delete"),
        Wait(NOT_MET, 501, "AuthN (/v1/roles) is not implemented"),
    ),
    **dict.fromkeys(
        ("RoleManager.create", "ClusterManager.list", "ClusterManager.get", "ClusterManager.register", "ClusterManager.update", "ClusterManager.delete"),
        Wait(NOT_MET, 501, "AuthN (/v1/clusters) is not implemented"),
    ),
    **dict.fromkeys(
        ("AuthNClient.logout", "TokenManager.revoke"), Wait(NOT_MET, 501, "revoking tokens (/v1/tokens) is not implemented")
    ),
}


def covers(*names):
    """Marks a test as one that calls each of these methods, and goes on with what it returned."""
    return pytest.mark.covers(*names)


def public(classes):
    """The public methods and properties of classes, as CLASS.NAME."""
    return [
        f"{label}.{name}"
        for label, cls in classes.items()
        for name in dir(cls)
        if not name.startswith("_") and (callable(getattr(cls, name)) or isinstance(getattr(cls, name), property))
    ]


class Noted:
    """What was called while it was entered, of the methods that it was given, by a file below this directory.

    Calls of the package among its own methods do not count. Of one thread at a time.
    """

    def __init__(self, names, classes):
        self.called, self.returned = set(), set()
        self._patches = []
        for name in names:
            label, attribute = name.split(".")
            cls = classes[label]
            self._patches.append(unittest.mock.patch.object(cls, attribute, self._noting(name, inspect.getattr_static(cls, attribute))))

    def __enter__(self):
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_):
        for patch in reversed(self._patches):
            patch.stop()

    def _noting(self, name, found):
        if isinstance(found, property):
            return property(self._calling(name, found.fget), found.fset, found.fdel, found.__doc__)
        if isinstance(found, (staticmethod, classmethod)):
            return type(found)(self._calling(name, found.__func__))
        return self._calling(name, found)

    def _calling(self, name, function):
        @functools.wraps(function)
        def noting(*arguments, **options):
            here = HERE in pathlib.Path(sys._getframe(1).f_code.co_filename).parents
            if here:
                self.called.add(name)
            result = function(*arguments, **options)
            if here:
                self.returned.add(name)
            return result

        return noting


def judge(names, passed, waiting):
    """What is wrong with the lists: text for each method that is in none, or in both, or is not there."""
    wrong = []
    for name in names:
        if name in waiting and name in passed:
            wrong.append(f"{name} is in WAITING and has a test that passed: it is to leave WAITING and test_absent.py")
        if name not in waiting and name not in passed:
            wrong.append(f"{name} has no test that covers it and passed, and is not in WAITING")
    for name in (set(waiting) | set(passed)) - set(names):
        wrong.append(f"{name} is no public method of the package")
    return sorted(wrong)


def tables():
    """The tables of docs/compatibility.md: what works by class, then what waits."""
    lines = ["| class | works, on one node and on three |", "|---|---|"]
    for label, cls in CLASSES.items():
        works = [f"`{name.split('.')[1]}`" for name in public({label: cls}) if name not in WAITING]
        lines.append(f"| `{label}` | {', '.join(works) or 'nothing'} |")
    lines += ["", "| waits | for | is told |", "|---|---|---|"]
    told = {}  # rows of one answer are one
    for name in public(CLASSES):
        if name in WAITING:
            wait = WAITING[name]
            told.setdefault((name.split(".")[0], wait), []).append(f"`{name}`")
    for (_, wait), names in told.items():
        answer = f"{wait.status}: `{wait.text}`" if wait.status and wait.text else str(wait.status) if wait.status else f"`{wait.text}` is not installed"
        lines.append(f"| {', '.join(names)} | {wait.step} | {answer} |")
    return "\n".join(lines) + "\n"
