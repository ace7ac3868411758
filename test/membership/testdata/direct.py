"""Reads objects as the unmodified aistore package does with direct=True.

Arguments: the URL of a native listener, and the name of a bucket to make.
"""

import sys

import requests
from aistore.sdk import Client

COUNT = 60

client = Client(sys.argv[1])
bucket = client.bucket(sys.argv[2]).create()
data = {f"dir/object {i}": f"payload of {i}".encode() for i in range(COUNT)}
for name, payload in data.items():
    bucket.object(name).get_writer().put_content(payload)

smap = client.cluster().get_info()
assert len(smap.tmap) == 3, smap
owners = set()
for name, payload in data.items():
    read = bucket.object(name).get_reader(direct=True).read_all()
    assert read == payload, (name, read)
    owner = smap.get_target_for_object(f"{bucket.get_path()}{name}")
    owners.add(owner.daemon_id)
    for target in smap.tmap.values():
        url = f"{target.public_net.direct_url}/v1/objects/{sys.argv[2]}/{requests.utils.quote(name)}"
        answer = requests.get(url, allow_redirects=False, timeout=60)
        if target.daemon_id == owner.daemon_id:
            assert answer.status_code == 200 and answer.content == payload, (name, answer.status_code)
        else:  # negative control: it matters who is asked
            assert answer.status_code == 301, (name, answer.status_code)
            assert answer.headers["Location"].startswith(owner.public_net.direct_url + "/"), answer.headers
assert len(owners) == 3, owners
assert len(list(bucket.list_objects_iter())) == COUNT
