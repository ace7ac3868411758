"""ObjectGroup: what it names without a job."""

import requests
from aistore.sdk.multiobj import ObjectRange

from covers import covers


@covers("ObjectGroup.list_names", "ObjectGroup.list_urls", "ObjectGroup.list_all_objects_iter", "ObjectGroup.client")
def test_a_group_names_its_objects(shared):
    names = [f"o-{n}.txt" for n in range(4)]
    for name in names:
        shared.object(name).get_writer().put_content(name.encode())
    for group in (
        shared.objects(obj_names=names), shared.objects(obj_template="o-{0..3}.txt"),
        shared.objects(obj_range=ObjectRange(prefix="o-", min_index=0, max_index=3, suffix=".txt")),
    ):
        assert group.client is shared.client
        assert group.list_names() == names
        assert [requests.get(url, timeout=60).text for url in group.list_urls()] == names
        found = list(group.list_all_objects_iter(prefix="o-", props="name,size"))
        assert [(o.name, o.props_cached.size) for o in found] == [(name, len(name)) for name in names]
