package s3api

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
)

// putOrCopy tells PutObject from CopyObject.
func putOrCopy(r *request) error {
	if r.query.has("partNumber") {
		return refuse(codeInvalidArgument, "partNumber needs an uploadId").argument("partNumber", r.query.value("partNumber"))
	}
	if _, err := r.version(); err != nil {
		return err
	}
	if r.header.copySource.ok {
		return copyObject(r)
	}
	return putObject(r)
}

// putObject answers PutObject: the payload streams to the gateway, and the
// answer goes out when it is durable.
func putObject(r *request) error {
	bucket, err := r.bucket()
	if err != nil {
		return err
	}
	put, err := r.upload(r.h.config.Limits.ObjectBytes)
	if err != nil {
		return err
	}
	if put.Draft, err = r.draft(); err != nil {
		return err
	}
	if len(put.Sums) == 0 {
		put.Sums = []checksum.Algorithm{checksum.CRC64NVME} // as S3: no object is without a checksum
	}
	put.Name = r.target.key
	put.Conditions = r.header.writeConditions()
	receipt, err := r.h.config.Gateway.Put(r.context, bucket, put)
	if err != nil {
		return err
	}
	r.stored(receipt)
	r.setSums(receipt.Meta.Checksums)
	return r.empty(fasthttp.StatusOK)
}

// upload describes the request's payload to the gateway: its size, its bytes,
// and what it must hash to.
func (r *request) upload(limit int64) (*gateway.Put, error) {
	size, err := r.size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, tooLarge(size, limit)
	}
	promise, err := r.integrity()
	if err != nil {
		return nil, err
	}
	if err := r.open(limit); err != nil {
		return nil, err
	}
	put := &gateway.Put{Size: size, Body: r.body, MD5: promise.md5, SHA256: promise.sha256}
	if promise.algorithm != checksum.None {
		put.Sums = []checksum.Algorithm{promise.algorithm}
		put.Expect = func() ([]checksum.Value, error) { return promise.expect(r.body) }
	}
	return put, nil
}

func tooLarge(size, limit int64) *Error {
	return refuse(codeEntityTooLarge, "").with("ProposedSize", itoa(size)).with("MaxSizeAllowed", itoa(limit))
}

// stored sets the headers that tell what a write reached.
func (r *request) stored(receipt objects.Receipt) {
	r.record.SetObject(receipt.Meta.Size, receipt.Meta.VersionID)
	r.set("ETag", `"`+receipt.Meta.ETag+`"`)
	r.setNonEmpty("x-amz-version-id", receipt.Meta.VersionID)
	r.receipt(receipt)
}

// receipt sets X-Troupe-Receipt: the durability class that was reached, on how
// many disks and nodes, the write's place in the order of writes, and the
// payload's checksum.
func (r *request) receipt(receipt objects.Receipt) {
	var room [160]byte
	b := append(room[:0], "class="...)
	b = append(b, receipt.Class...)
	b = append(b, "; disks="...)
	b = strconv.AppendInt(b, int64(receipt.Disks), 10)
	b = append(b, "; nodes="...)
	b = strconv.AppendInt(b, int64(receipt.Nodes), 10)
	b = append(b, "; generation="...)
	b = strconv.AppendUint(b, receipt.Generation.Map, 16)
	b = append(b, '-')
	b = strconv.AppendUint(b, receipt.Generation.Start, 16)
	b = append(b, '-')
	b = strconv.AppendUint(b, receipt.Generation.Seq, 16)
	b = append(b, "; xxhash="...)
	var sum [8]byte
	binary.BigEndian.PutUint64(sum[:], receipt.Meta.XXHash)
	b = hex.AppendEncode(b, sum[:])
	r.ctx.Response.Header.SetBytesV("X-Troupe-Receipt", b)
}
