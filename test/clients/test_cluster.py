"""Every client through every node of a cluster of three.

What goes in through one node is listed, read and deleted through the others, by each
client in turn, and byte for byte what it was. The Go test looks afterwards whether any
node answered a client of S3 with a redirect.

    TROUPE_NODES     the S3 listeners, separated by blanks
    TROUPE_NATIVES   the native listeners, in the same order
"""

import os

import pytest
from aistore.sdk import Client
from aistore.sdk.errors import ErrObjNotFound
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from conftest import KIB, MIB, Node, content, new_bucket_name, run, same, same_tree, write_tree

# Enough names that every node is in charge of some (of 12 keys a node of three has none
# in one of 130 buckets), of every kind of storage, and two that go in parts.
FILES = {f"small/{n} ü.bin": (n * 4000, n) for n in range(9)} | {"middle": (200 * KIB, 1), "big/one": (17 * MIB, 2), "big/two": (9 * MIB, 3)}
SPLIT = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)

EACH = pytest.mark.parametrize("at", [0, 1, 2])


@pytest.fixture(scope="session")
def nodes():
    found = [Node(url) for url in os.environ["TROUPE_NODES"].split()]
    assert len(found) == 3
    return found


@pytest.fixture
def turn(nodes, at):
    """The nodes, the one whose turn it is first."""
    return nodes[at:] + nodes[:at]


@pytest.fixture
def copies():
    return 1


@pytest.fixture
def made(turn, copies):
    """A bucket that was made through the node whose turn it is, of as many copies as the test asks for."""
    name = new_bucket_name("cluster")
    client = turn[0].client()
    client.meta.events.register("before-call.s3.CreateBucket", lambda params, **_: params["headers"].update({"X-Troupe-Copies": str(copies)}))
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("source"), {name: content(*of) for name, of in FILES.items()})


def listed(node, bucket):
    """What boto3 lists, three keys a page, so that pages cross from node to node."""
    pages = node.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3})
    return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}


def receipt(answer):
    """What a write has reached, as the node that answers says."""
    return answer["ResponseMetadata"]["HTTPHeaders"]["x-troupe-receipt"]


SIZES = {name: size for name, (size, _) in FILES.items()}


@EACH
@pytest.mark.parametrize("copies", [1, 2])
def test_boto3(turn, made, copies, source):
    first, second, third = (node.client() for node in turn)
    for name in FILES:
        first.upload_file(str(source / name), made, name, Config=SPLIT, ExtraArgs={"Metadata": {"name": str(len(name))}})
    for node in turn:
        assert listed(node, made) == SIZES
        assert made in [b["Name"] for b in node.client().list_buckets()["Buckets"]]
    for name, of in FILES.items():
        for client in (first, second, third):
            answer = client.get_object(Bucket=made, Key=name)
            same(answer["Body"].read(), content(*of), name)
            assert answer["Metadata"] == {"name": str(len(name))}
            assert client.head_object(Bucket=made, Key=name)["ETag"] == answer["ETag"]
    same(third.get_object(Bucket=made, Key="big/one", Range="bytes=5000000-6999999")["Body"].read(), content(*FILES["big/one"])[5000000:7000000], "range")

    # An upload that every node has a hand in.
    upload = first.create_multipart_upload(Bucket=made, Key="in parts")["UploadId"]
    parts = [content(5 * MIB, 7), content(5 * MIB, 8), content(1000, 9)]
    done = []
    for number, (client, part) in enumerate(zip((first, second, third), parts), 1):
        etag = client.upload_part(Bucket=made, Key="in parts", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        done.append({"PartNumber": number, "ETag": etag})
    for client in (first, second, third):
        assert [u["UploadId"] for u in client.list_multipart_uploads(Bucket=made)["Uploads"]] == [upload]
        assert len(client.list_parts(Bucket=made, Key="in parts", UploadId=upload)["Parts"]) == 3
    answer = second.complete_multipart_upload(Bucket=made, Key="in parts", UploadId=upload, MultipartUpload={"Parts": done})
    assert f"nodes={copies};" in receipt(answer)
    same(third.get_object(Bucket=made, Key="in parts")["Body"].read(), b"".join(parts), "in parts")
    second.copy_object(Bucket=made, Key="a copy", CopySource={"Bucket": made, "Key": "in parts"})
    same(first.get_object(Bucket=made, Key="a copy")["Body"].read(), b"".join(parts), "a copy")

    # Conditions are judged by one node, whoever is asked.
    with pytest.raises(ClientError) as there:
        third.put_object(Bucket=made, Key="middle", Body=b"no", IfNoneMatch="*")
    assert there.value.response["Error"]["Code"] == "PreconditionFailed"
    answer = second.put_object(Bucket=made, Key="middle", Body=b"yes", IfMatch=third.head_object(Bucket=made, Key="middle")["ETag"])
    assert f"nodes={copies};" in receipt(answer)
    same(first.get_object(Bucket=made, Key="middle")["Body"].read(), b"yes", "middle")

    names = [{"Key": name} for name in [*FILES, "in parts", "a copy", "never there"]]
    answer = second.delete_objects(Bucket=made, Delete={"Objects": names})
    assert len(answer["Deleted"]) == len(names) and not answer.get("Errors")
    for node in turn:
        assert listed(node, made) == {}
        with pytest.raises(ClientError) as gone:
            node.client().get_object(Bucket=made, Key="middle")
        assert gone.value.response["Error"]["Code"] == "NoSuchKey"


def carry(turn, made, source, back, client):
    """A tree goes in through one node and comes back through the others; client makes the commands of one node."""
    first, second, third = (client(node) for node in turn)
    first.up(source)
    for node in turn:
        assert listed(node, made) == SIZES
    assert all(name in second.listed() for name in FILES)
    for n, other in enumerate((second, third)):
        (back / str(n)).mkdir()
        other.down(back / str(n))
        same_tree(back / str(n), source)
    third.remove()
    for node in turn:
        assert listed(node, made) == {}


@EACH
def test_aws(turn, made, source, program, tmp_path):
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n  multipart_threshold = 8MB\n  multipart_chunksize = 8MB\n")

    class Aws:
        def __init__(self, node):
            self.env = {
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": node.url, "AWS_ACCESS_KEY_ID": node.access,
                "AWS_SECRET_ACCESS_KEY": node.secret, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "",
                "AWS_CONFIG_FILE": str(tmp_path / "config"),
            }

        def s3(self, *arguments):
            return run([program("aws"), "s3", *arguments], env=self.env).out

        def up(self, tree):
            self.s3("sync", "--only-show-errors", tree, f"s3://{made}")

        def down(self, tree):
            self.s3("sync", "--only-show-errors", f"s3://{made}", tree)

        def listed(self):
            return self.s3("ls", "--recursive", f"s3://{made}")

        def remove(self):
            self.s3("rm", "--only-show-errors", "--recursive", f"s3://{made}")

    carry(turn, made, source, tmp_path, Aws)


@EACH
def test_rclone(turn, made, source, program, tmp_path):
    class Rclone:
        def __init__(self, node):
            self.env = {
                "PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "RCLONE_CONFIG": str(tmp_path / "none.conf"),
                "RCLONE_CONFIG_T_TYPE": "s3", "RCLONE_CONFIG_T_PROVIDER": "Other", "RCLONE_CONFIG_T_ENDPOINT": node.url,
                "RCLONE_CONFIG_T_ACCESS_KEY_ID": node.access, "RCLONE_CONFIG_T_SECRET_ACCESS_KEY": node.secret,
                "RCLONE_RETRIES": "1", "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_S3_UPLOAD_CUTOFF": "8M",
            }

        def rclone(self, *arguments):
            return run([program("rclone"), *arguments], env=self.env).out

        def up(self, tree):
            self.rclone("sync", tree, f"t:{made}")
            self.rclone("check", tree, f"t:{made}")

        def down(self, tree):
            self.rclone("sync", f"t:{made}", tree)

        def listed(self):
            return self.rclone("lsf", "--recursive", f"t:{made}")

        def remove(self):
            self.rclone("delete", f"t:{made}")

    carry(turn, made, source, tmp_path, Rclone)


@EACH
def test_s3cmd(turn, made, source, program, tmp_path):
    class S3cmd:
        def __init__(self, node):
            self.config = tmp_path / f"s3cfg-{node.port}"
            self.config.write_text("\n".join([
                "[default]", f"access_key = {node.access}", f"secret_key = {node.secret}", f"host_base = {node.host}", f"host_bucket = {node.host}",
                "use_https = False", "signature_v2 = False", "bucket_location = us-east-1", "progress_meter = False", "use_mime_magic = False", "",
            ]))

        def s3cmd(self, *arguments):
            env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
            return run([program("s3cmd"), "-c", self.config, *arguments], env=env).out

        def up(self, tree):
            self.s3cmd("sync", "--multipart-chunk-size-mb=5", f"{tree}/", f"s3://{made}/")

        def down(self, tree):
            self.s3cmd("sync", f"s3://{made}/", f"{tree}/")

        def listed(self):
            return self.s3cmd("ls", "--recursive", f"s3://{made}")

        def remove(self):
            self.s3cmd("del", "--recursive", "--force", f"s3://{made}")

    carry(turn, made, source, tmp_path, S3cmd)


@EACH
def test_aistore(turn, made, at):
    natives = os.environ["TROUPE_NATIVES"].split()
    first, second, third = (Client(url).bucket(made) for url in natives[at:] + natives[:at])
    for name, of in FILES.items():
        first.object(name).get_writer().put_content(content(*of))
    for bck in (first, second, third):
        assert {e.name: e.size for e in bck.list_all_objects(page_size=5, props="name,size")} == SIZES
    for name, of in FILES.items():
        for bck in (second, third):
            same(bck.object(name).get_reader().read_all(), content(*of), name)
    for node in turn:  # and S3 sees the same
        assert listed(node, made) == SIZES

    parts = [content(300 * KIB, n) for n in range(3)]
    upload = second.object("in parts").multipart_upload().create()
    for number, part in enumerate(parts, 1):
        upload.add_part(number).put_content(part)
    upload.complete()
    for bck in (first, second, third):
        same(bck.object("in parts").get_reader().read_all(), b"".join(parts), "in parts")
    third.object("middle").get_writer().set_custom_props({"a": "b"})
    assert first.object("middle").head("custom").custom_metadata == {"a": "b"}

    for name in [*FILES, "in parts"]:
        third.object(name).delete()
    for bck in (first, second, third):
        assert bck.list_all_objects() == []
        with pytest.raises(ErrObjNotFound):
            bck.object("middle").get_reader().read_all()
