"""Carries a directory into a bucket and back with boto3.

    tree.py bucket NAME
    tree.py up NAME DIRECTORY
    tree.py down NAME DIRECTORY
"""

import os
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

WORKERS = 8


def client():
    return boto3.client(
        "s3",
        endpoint_url=os.environ["TROUPE_S3"],
        aws_access_key_id=os.environ["TROUPE_ACCESS"],
        aws_secret_access_key=os.environ["TROUPE_SECRET"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=32, retries={"total_max_attempts": 1}),
    )


def up(s3, bucket, root):
    root = pathlib.Path(root)
    files = [path for path in root.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(WORKERS) as pool:
        # list() raises what a worker raised.
        list(pool.map(lambda path: s3.upload_file(str(path), bucket, path.relative_to(root).as_posix()), files))


def down(s3, bucket, root):
    root = pathlib.Path(root)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    for folder in {(root / key).parent for key in keys}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda key: s3.download_file(bucket, key, str(root / key)), keys))


def main():
    what, bucket = sys.argv[1:3]
    s3 = client()
    if what == "bucket":
        s3.create_bucket(Bucket=bucket)
    elif what == "up":
        up(s3, bucket, sys.argv[3])
    elif what == "down":
        down(s3, bucket, sys.argv[3])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
