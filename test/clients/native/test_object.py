"""Object, its readers, writers and uploads. Each test has names of its own in a bucket that all share."""

import tarfile
import io

import pytest
import requests
import xxhash
from aistore.sdk.archive_config import ArchiveConfig
from aistore.sdk.errors import AISError, ErrObjNotFound
from aistore.sdk.obj.object_reader import ObjectReader
from aistore.sdk.obj.object_writer import ObjectWriter

from conftest import KIB, MIB, content
from covers import covers

SIZES = [0, 4 * KIB, 100 * KIB, MIB + 1]


@covers("Object.get_writer", "Object.get_reader", "ObjectWriter.put_content", "ObjectReader.read_all", "Object.delete")
@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_written_read_and_deleted(shared, size):
    data, obj = content(size), shared.object("dir/o")
    assert isinstance(obj.get_writer(), ObjectWriter) and isinstance(obj.get_reader(), ObjectReader)
    obj.get_writer().put_content(data)
    assert obj.get_reader().read_all() == data
    assert obj.get_reader(direct=True).read_all() == data
    if size:
        assert obj.get_reader(byte_range=f"bytes=1-{size}").read_all() == data[1:]
    obj.delete()
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()


@covers("ObjectWriter.put_file")
def test_a_file_is_put(shared, tmp_path):
    (tmp_path / "f").write_bytes(content(MIB))
    shared.object("file").get_writer().put_file(tmp_path / "f")
    assert shared.object("file").get_reader().read_all() == content(MIB)


@covers("ObjectReader.raw", "ObjectReader.as_file", "ObjectReader.attributes", "ObjectReader.head")
def test_a_reader_reads_as_it_is_asked(shared):
    data, obj = content(300 * KIB), shared.object("reader")
    obj.get_writer().put_content(data)
    assert obj.get_reader().raw().read() == data
    with obj.get_reader().as_file() as file:
        assert (file.read(1000), file.read()) == (data[:1000], data[1000:])
    assert b"".join(obj.get_reader(chunk_size=64 * KIB)) == data
    parallel = obj.get_reader(num_workers=2).read_all()
    try:
        assert bytes(parallel.buf[: len(data)]) == data
    finally:
        parallel.close()
    for attributes in (obj.get_reader().attributes, obj.get_reader().head()):
        assert (attributes.checksum_value, attributes.obj_version) == (xxhash.xxh64(data).hexdigest(), "1")


def test_members_of_shards_are_read(shared):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        header = tarfile.TarInfo("m")
        header.size = 5
        archive.addfile(header, io.BytesIO(b"hello"))
    shared.object("s.tar").get_writer().put_content(made.getvalue())
    assert shared.object("s.tar").get_reader(archive_config=ArchiveConfig(archpath="m")).read_all() == b"hello"


@covers("Object.head", "Object.props", "Object.props_cached", "ObjectWriter.set_custom_props")
def test_what_is_known_of_an_object(shared):
    data, obj = content(50 * KIB), shared.object("known")
    with pytest.raises(AISError) as refused:
        obj.head()
    assert refused.value.status_code == 404
    assert obj.props_cached is None
    obj.get_writer().put_content(data)
    obj.get_writer().set_custom_props({"a": "b", "c": "d"})
    obj.get_writer().set_custom_props({"a": "e"})
    assert obj.head("custom,size").custom_metadata == {"a": "e", "c": "d"}
    assert (obj.props.size, obj.props_cached.size) == (len(data), len(data))
    obj.get_writer().set_custom_props({"only": "this"}, replace_existing=True)
    assert obj.head("custom").custom_metadata == {"only": "this"}


@covers("Object.copy")
def test_an_object_is_copied(shared):
    shared.object("from").get_writer().put_content(content(80 * KIB))
    for n in range(3):  # so that some name is at another node
        shared.object("from").copy(shared.object(f"dir/{n}"))
        assert shared.object(f"dir/{n}").get_reader().read_all() == content(80 * KIB)


@covers("Object.get_url", "Object.uname", "Object.name", "Object.bucket_name", "Object.bucket_provider", "Object.query_params")
def test_what_an_object_says_of_itself(shared, endpoint):
    obj = shared.object("dir/o")
    obj.get_writer().put_content(b"1")
    assert requests.get(obj.get_url(), timeout=60).content == b"1"
    assert obj.get_url().startswith(endpoint)
    assert obj.uname.endswith(f"{shared.name}/dir/o") or obj.uname.endswith(f"{shared.name}/@#/dir/o")
    assert (obj.name, obj.bucket_name, obj.bucket_provider.value, obj.query_params) == ("dir/o", shared.name, "ais", {"provider": "ais"})


@covers("Object.multipart_upload", "MultipartUpload.create", "MultipartUpload.add_part", "MultipartUpload.complete", "MultipartUpload.abort")
def test_an_object_is_written_in_parts(shared):
    obj, parts = shared.object("parts"), [content(70 * KIB, n) for n in range(3)]
    upload = obj.multipart_upload().create()
    for n in (1, 0, 2):
        upload.add_part(n + 1).put_content(parts[n])
    with pytest.raises(ErrObjNotFound):
        obj.get_reader().read_all()
    upload.complete()
    assert obj.get_reader().read_all() == b"".join(parts)
    gone = shared.object("p").multipart_upload().create()
    gone.add_part(1).put_content(b"1")
    gone.abort()
    with pytest.raises(AISError, match="does not exist"):
        gone.complete()
