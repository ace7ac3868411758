"""Batch: many objects in one answer. What it says of members, ranges and what is missing: test_aistore_batch.py."""

from covers import covers

from conftest import content


@covers("Batch.get")
def test_a_batch_is_read_in_its_order(ais, shared):
    names = [f"batch-{n}" for n in (3, 1, 2)]
    for n, name in enumerate(names):
        shared.object(name).get_writer().put_content(content(1000 * n, seed=name))
    got = [(info.obj_name, data) for info, data in ais.batch(names, bucket=shared).get()]
    assert got == [(name, content(1000 * n, seed=name)) for n, name in enumerate(names)]
