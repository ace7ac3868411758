"""Writes botocore.json: requests as botocore's `s3` signer (version 2) signs them.

Run by hand when vectors are added: python3 vectors.py > botocore.json
botocore is a signer that nobody here wrote; the tests only read the file.
"""
import datetime, email.utils, json, sys
from unittest import mock

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = 1709210096  # 2024-02-29T12:34:56Z
ACCESS, SECRET = "AKIDTROUPE", "s3cr3t/with+chars"
vectors = []


def sign(name, method, url, headers=(), presign=None, auth_path=None):
    request = AWSRequest(method=method, url=url)
    for k, v in headers:
        request.headers.add_header(k, v)
    request.auth_path = auth_path
    credentials = Credentials(ACCESS, SECRET)
    date = email.utils.formatdate(NOW, usegmt=True)
    with mock.patch("botocore.auth.formatdate", lambda usegmt: date), mock.patch("time.time", lambda: NOW):
        if presign is None:
            botocore.auth.HmacV1Auth(credentials).add_auth(request)
        else:
            botocore.auth.HmacV1QueryAuth(credentials, expires=presign).add_auth(request)
    host, _, target = request.url.split("://", 1)[1].partition("/")
    path, _, query = target.partition("?")
    sent = [] if presign is not None else [[k, v] for k, v in request.headers.items()]
    if presign is not None:  # what a browser sends beside the link
        sent = [[k, v] for k, v in headers if not k.lower().startswith("x-amz-") and k.lower() not in ("content-type", "content-md5")]
    vectors.append({"name": name, "method": method, "path": "/" + path, "query": query, "host": host, "headers": sent})


B = "http://node:9000/bucket"
sign("list buckets", "GET", "http://node:9000/")
sign("get", "GET", B + "/key", [("Range", "bytes=0-9")])
sign("escapes", "GET", B + "/a%20b/%C3%A9%2Bc//d%2F.")
sign("put", "PUT", B + "/key", [("Content-Type", "text/plain"), ("Content-MD5", "XrY7u+Ae7tCTyyK7j1rNww=="), ("x-amz-meta-b", " 2 "), ("X-Amz-Meta-A", "1"), ("x-amz-acl", "private")])
sign("same header twice", "PUT", B + "/key", [("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")])
for sub in ("acl", "uploads", "tagging", "versioning", "location", "delete", "policy", "cors", "lifecycle", "website", "uploads="):
    sign("subresource " + sub, "GET", B + "?" + sub)
sign("bucket as clients sign it", "GET", B + "?list-type=2", auth_path="/bucket/")
sign("part", "PUT", B + "/key?partNumber=3&uploadId=ab%2Bc%20d")
sign("unsigned parameters", "GET", B + "?prefix=a%2Fb&list-type=2&max-keys=7")
sign("responses", "GET", B + "/key?response-content-type=text%2Fplain&response-content-disposition=attachment%3B%20filename%3D%22a%20b%22&versionId=null")
sign("virtual host", "GET", "http://photos.s3.example:9000/cat.jpg?acl", auth_path="/photos/cat.jpg")
sign("presigned get", "GET", B + "/key", presign=3600)
sign("presigned with subresource", "GET", B + "/key?versionId=null&response-expires=0", presign=60)
sign("presigned put", "PUT", B + "/a%20b", [("Content-Type", "text/plain"), ("x-amz-meta-a", "1")], presign=900)
json.dump({"botocore": botocore.__version__, "time": NOW, "access_key": ACCESS, "secret_key": SECRET, "domain": "s3.example", "vectors": vectors}, sys.stdout, indent=1)
print()
