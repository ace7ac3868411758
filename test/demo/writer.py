"""Writes to a bucket until the node goes away, and says what was acknowledged.

    writer.py write BUCKET JOURNAL SEED    works until a request fails for want of an answer
    writer.py verify BUCKET JOURNAL        compares what the node holds with the journal

The journal has a JSON line for every operation before it is sent ("try") and
one after it was answered ("ack"). Threads share no key, and a thread sends one
request at a time, so that for every key the journal leaves at most two
possibilities: what the last acknowledged operation left, or what the one
operation that was under way when the node died would leave. Anything else is
a lost write, a torn one, or one that came back.
"""

import hashlib
import json
import os
import random
import sys
import threading

from botocore.exceptions import ClientError, HTTPClientError

from tree import client

THREADS = 6
KEYS_OF_A_THREAD = 40
KIB, MIB = 1 << 10, 1 << 20
# Inline, around the inline limit, one file, several chunks.
SIZES = [0, 100, 4 * KIB, 31 * KIB, 33 * KIB, 200 * KIB, 3 * MIB]
PART = 5 * MIB


class Journal:
    """An append-only file shared by the threads; every line is handed to the system before the next step."""

    def __init__(self, path, echo):
        self.file = open(path, "a", encoding="utf-8")
        self.echo = echo
        self.lock = threading.Lock()

    def line(self, **fields):
        with self.lock:
            self.file.write(json.dumps(fields) + "\n")
            self.file.flush()
            if self.echo and "ack" in fields:
                print(fields["ack"], flush=True)


class Writer:
    """One thread's work on its own keys."""

    def __init__(self, s3, bucket, journal, number, seed):
        self.s3, self.bucket, self.journal = s3, bucket, journal
        self.random = random.Random(f"{seed}/{number}")
        self.prefix, self.turn, self.seed = f"t{number}/", 0, seed

    def key(self):
        return f"{self.prefix}{self.random.randrange(KEYS_OF_A_THREAD):03d}"

    def step(self):
        self.turn += 1
        identity = f"{self.seed}/{self.prefix}{self.turn}"
        kind = self.random.choices(["put", "delete", "copy", "multipart", "many"], [70, 10, 8, 4, 8])[0]
        getattr(self, kind)(identity)

    def attempt(self, identity, values, send):
        """values: key → SHA-256 of what the operation leaves, or None for nothing."""
        self.journal.line(**{"try": identity, "values": values})
        send()
        self.journal.line(ack=identity)

    def put(self, identity):
        key, data = self.key(), self.random.randbytes(self.random.choice(SIZES))
        self.attempt(
            identity, {key: sha(data)}, lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)
        )

    def delete(self, identity):
        key = self.key()
        self.attempt(identity, {key: None}, lambda: self.s3.delete_object(Bucket=self.bucket, Key=key))

    def many(self, identity):
        keys = sorted({self.key() for _ in range(5)})
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}

        def send():
            answer = self.s3.delete_objects(Bucket=self.bucket, Delete=wanted)
            assert not answer.get("Errors"), answer["Errors"]

        self.attempt(identity, {key: None for key in keys}, send)

    def copy(self, identity):
        source, target = self.key(), self.key()
        if source == target:
            return
        try:
            body = self.s3.get_object(Bucket=self.bucket, Key=source)["Body"].read()
        except self.s3.exceptions.NoSuchKey:
            return
        self.attempt(
            identity,
            {target: sha(body)},
            lambda: self.s3.copy_object(
                Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source}
            ),
        )

    def multipart(self, identity):
        key = self.key()
        parts = [self.random.randbytes(PART), self.random.randbytes(self.random.randrange(1, MIB))]
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key=key)["UploadId"]
        done = []
        for number, part in enumerate(parts, 1):
            etag = self.s3.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
            )["ETag"]
            done.append({"PartNumber": number, "ETag": etag})
        self.attempt(
            identity,
            {key: sha(b"".join(parts))},
            lambda: self.s3.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
            ),
        )


def sha(data):
    return hashlib.sha256(data).hexdigest()


def write(bucket, path, seed):
    """Runs the threads until the node is gone; an answer that is an error ends the program with 1."""
    s3, journal, wrong = client(), Journal(path, echo=True), []

    def work(number):
        writer = Writer(s3, bucket, journal, number, seed)
        try:
            while True:
                writer.step()
        except ClientError as refused:
            wrong.append(f"{writer.prefix}{writer.turn}: {refused}")
        except (HTTPClientError, OSError):
            pass  # no answer: the node was killed, or it broke, which the caller finds out

    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit("\n".join(wrong))


def possible(path):
    """Reads a journal: key → the set of what it may hold now (SHA-256, or None for nothing)."""
    tried, state = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if "try" in line:
                tried[line["try"]] = line["values"]
                for key, value in line["values"].items():
                    state.setdefault(key, {None}).add(value)
            else:
                for key, value in tried.pop(line["ack"]).items():
                    state[key] = {value}
    return state


def verify(bucket, path):
    s3, state, wrong = client(), possible(path), []
    listed = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            listed[entry["Key"]] = entry
    for key in sorted(set(listed) - set(state)):
        wrong.append(f"{key} is listed, and nobody wrote it")
    now = {}
    for key in sorted(state):
        try:
            answer = s3.get_object(Bucket=bucket, Key=key)
            body = answer["Body"].read()
            value = sha(body)
            if key not in listed:
                wrong.append(f"{key} can be read and is not listed")
            elif (listed[key]["Size"], listed[key]["ETag"]) != (len(body), answer["ETag"]):
                wrong.append(f"{key} is listed as {listed[key]}, and is {len(body)} bytes with {answer['ETag']}")
        except s3.exceptions.NoSuchKey:
            value = None
            if key in listed:
                wrong.append(f"{key} is listed and cannot be read")
        if value not in state[key]:
            wrong.append(f"{key} holds {value}, may hold {sorted(map(str, state[key]))}")
        now[key] = value
    if wrong:
        raise SystemExit("\n".join(wrong))
    # What was read is what holds from here on: a later restart must not take it back.
    journal = Journal(path, echo=False)
    for key, values in state.items():
        if len(values) > 1:
            identity = f"seen/{os.getpid()}/{key}"
            journal.line(**{"try": identity, "values": {key: now[key]}})
            journal.line(ack=identity)
    print(f"{len(state)} keys, {sum(v is not None for v in now.values())} of them there")


def main():
    what, bucket, path = sys.argv[1:4]
    if what == "write":
        write(bucket, path, sys.argv[4])
    elif what == "verify":
        verify(bucket, path)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
