"""Writes botocore.json: requests as botocore signs them, frozen at one time.

Run by hand when vectors are added: python3 vectors.py > botocore.json
botocore is a signer that nobody here wrote; the tests only read the file.
"""
import base64, datetime, json, sys
from unittest import mock

import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

NOW = datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=datetime.timezone.utc)
ACCESS, SECRET, REGION = "AKIDTROUPE", "s3cr3t/with+chars", "eu-central-1"
vectors = []


def split(url):
    rest = url.split("://", 1)[1]
    host, _, target = rest.partition("/")
    if "?" in host:
        host, _, query = host.partition("?")
        return host, "", query
    path, _, query = target.partition("?")
    return host, "/" + path, query


def add(name, method, url, headers, body=b""):
    host, path, query = split(url)
    pairs = []
    for k, v in headers:
        k = k.decode() if isinstance(k, bytes) else k
        v = v.decode() if isinstance(v, bytes) else v
        if k.lower() not in ("host", "user-agent"):  # the latter is never signed
            pairs.append([k, v])
    vectors.append({
        "name": name, "method": method, "path": path, "query": query, "host": host,
        "headers": pairs, "body": base64.b64encode(body).decode(),
    })


def raw(name, method, url, headers=(), data=b"", token=None, presign=None):
    """Signs a request given byte by byte, without a client's help."""
    request = AWSRequest(method=method, url=url, data=data)
    for k, v in headers:
        request.headers.add_header(k, v)
    credentials = Credentials(ACCESS, SECRET, token)
    if presign:
        signer = botocore.auth.S3SigV4QueryAuth(credentials, "s3", REGION, expires=presign)
    else:
        signer = botocore.auth.S3SigV4Auth(credentials, "s3", REGION)
    signer.add_auth(request)
    add(name, method, request.url, request.headers.items(), data)


def client(scheme, style="path", signature="s3v4"):
    session = botocore.session.Session()
    session.set_credentials(ACCESS, SECRET)
    return session.create_client(
        "s3", region_name=REGION, endpoint_url=f"{scheme}://node.example:9000",
        config=Config(signature_version=signature, s3={"addressing_style": style}))


def sent(name, c, operation, **kwargs):
    """Runs an operation and keeps what would go over the wire."""
    def capture(request, **_):
        body = request.body
        if body is None:
            body = b""
        elif hasattr(body, "read"):
            body = body.read()
        add(name, request.method, request.url, request.headers.items(), body)
        raise KeyboardInterrupt
    c.meta.events.register("before-send.s3", capture)
    try:
        getattr(c, operation)(**kwargs)
    except KeyboardInterrupt:
        pass
    c.meta.events.unregister("before-send.s3", capture)


with mock.patch("botocore.auth.get_current_datetime", lambda *a, **k: NOW):
    base = "https://node.example:9000"
    raw("get", "GET", base + "/bucket/key")
    raw("root", "GET", base + "/")
    raw("escaped path", "GET", base + "/bucket/a%20b%2Bc/%C3%A9~%28%29/%25/..//./end")
    raw("escaped slash", "GET", base + "/bucket/a%2Fb")
    raw("query order", "GET", base + "/bucket?prefix=b%2Fc&list-type=2&delimiter=%2F&continuation-token=a%3D%3D&x-id=Z&A=1&a=0")
    raw("subresource with equals", "GET", base + "/bucket?acl=")
    raw("repeated query", "GET", base + "/bucket?k=2&k=1&k=")
    raw("space and plus in query", "GET", base + "/bucket?prefix=a%20b%2Bc%2A~")
    raw("put", "PUT", base + "/bucket/key", [("Content-Type", "text/plain"), ("Content-MD5", "XUFAKrxLKna5cZ2REBfFkg==")], b"hello")
    raw("metadata with spaces", "PUT", base + "/bucket/key",
        [("x-amz-meta-a", "  two  spaces   inside "), ("x-amz-meta-quoted", '"a   b"  c'), ("x-amz-meta-tab", "a\t b")], b"x")
    raw("repeated header", "PUT", base + "/bucket/key", [("x-amz-meta-a", "2"), ("x-amz-meta-a", "1")], b"x")
    raw("empty header", "PUT", base + "/bucket/key", [("x-amz-meta-a", "")], b"x")
    raw("utf-8 header", "PUT", base + "/bucket/key", [("x-amz-meta-a", "\u00e9\u4e16")], b"x")
    raw("virtual host", "GET", "https://bucket.node.example:9000/key")
    raw("default port", "GET", "https://bucket.node.example/key")
    raw("delete", "DELETE", base + "/bucket/key?versionId=abc")
    raw("presigned", "GET", base + "/bucket/a%20key", presign=3600)
    raw("presigned with query", "GET", base + "/bucket/key?response-content-type=text%2Fplain&versionId=x", presign=60)
    raw("presigned put with header", "PUT", base + "/bucket/key", [("x-amz-acl", "public-read")], presign=604800)
    raw("presigned virtual host", "GET", "https://bucket.node.example:9000/key", presign=1)
    for scheme in ("http", "https"):
        for style in ("path", "virtual"):
            c = client(scheme, style)
            tag = f"boto3 {scheme} {style} "
            sent(tag + "put", c, "put_object", Bucket="bucket", Key="a key+\u00e9", Body=b"payload " * 500, Metadata={"k": "v"})
            sent(tag + "put empty", c, "put_object", Bucket="bucket", Key="empty", Body=b"")
            sent(tag + "get", c, "get_object", Bucket="bucket", Key="a/../key", Range="bytes=0-9")
            sent(tag + "list", c, "list_objects_v2", Bucket="bucket", Prefix="a b/", Delimiter="/", MaxKeys=3)
            sent(tag + "delete many", c, "delete_objects", Bucket="bucket", Delete={"Objects": [{"Key": "a"}, {"Key": "b"}]})
            sent(tag + "part", c, "upload_part", Bucket="bucket", Key="k", UploadId="u+/=", PartNumber=2, Body=b"p" * 9000, ChecksumAlgorithm="SHA256")
            url = c.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "k \u00e9", "ContentType": "text/x"}, ExpiresIn=300)
            add(tag + "presigned put", "PUT", url, [("Content-Type", "text/x")], b"data")
            url = c.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k", "ResponseContentType": "a b+c"}, ExpiresIn=300)
            add(tag + "presigned get", "GET", url, [])

json.dump({
    "botocore": botocore.__version__, "time": NOW.strftime("%Y%m%dT%H%M%SZ"), "region": REGION,
    "access_key": ACCESS, "secret_key": SECRET, "vectors": vectors,
}, sys.stdout, indent=1, ensure_ascii=False)
print()
