package checksum

import (
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5; nothing of ours relies on it
	"hash"
	"sync"
	"sync/atomic"

	md5simd "github.com/minio/md5-simd"
)

// md5Together is from how many streams at once MD5s are computed side by side in
// one core's vector registers. Measured in the node (docs/decisions/002): from
// four on, PUT 1 MiB costs a quarter less than without, or than from eight on.
const md5Together = 4

// MD5Pool computes the MD5s of many streams, together where that is cheaper. Safe
// for concurrent use; the hashes that it makes are not.
type MD5Pool struct {
	server  md5simd.Server
	streams atomic.Int64
	close   sync.Once
}

// NewMD5Pool starts a pool. It is closed after the last hash.
func NewMD5Pool() *MD5Pool { return &MD5Pool{server: md5simd.NewServer()} }

// Close ends the pool. Idempotent.
func (p *MD5Pool) Close() { p.close.Do(p.server.Close) }

// New begins a stream. The hash must be closed.
func (p *MD5Pool) New() ClosingHash {
	if p.streams.Add(1) < md5Together {
		return &pooledMD5{Hash: md5.New(), pool: p} //nolint:gosec // see the import
	}
	h := p.server.NewHash()
	return &pooledMD5{Hash: h, together: h, pool: p}
}

// ClosingHash is a hash that holds something until it is closed.
type ClosingHash interface {
	hash.Hash
	Close()
}

// pooledMD5 is one stream of a pool.
type pooledMD5 struct {
	hash.Hash
	together md5simd.Hasher // nil: alone
	pool     *MD5Pool
	closed   bool
}

// Close ends the stream. Idempotent.
func (h *pooledMD5) Close() {
	if h.closed {
		return
	}
	h.closed = true
	if h.together != nil {
		h.together.Close()
	}
	h.pool.streams.Add(-1)
}
