package checksum

import (
	"crypto/md5" //nolint:gosec // S3's ETag is an MD5; nothing of ours relies on it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/OneOfOne/xxhash"
)

// Digests computes everything that is wanted of one payload in a single pass:
// xxhash64 always, and what Want asks for. Not safe for concurrent use.
type Digests struct {
	size   int64
	xx     *xxhash.XXHash64
	md5    hash.Hash
	sha256 hash.Hash // for the signature's payload hash, or wanted as a checksum
	sums   []sum
	pooled ClosingHash // md5, if it is a pool's
}

type sum struct {
	algorithm Algorithm
	hash      hash.Hash
}

// Want says what to compute beside xxhash64.
type Want struct {
	MD5    bool
	SHA256 bool
	Sums   []Algorithm
	// Pool computes the MD5 together with other streams'; nil: by itself. It pays
	// for long payloads. Digests with a pool must be closed.
	Pool *MD5Pool
}

// NewDigests begins a payload.
func NewDigests(w Want) *Digests {
	d := &Digests{xx: xxhash.New64()}
	if w.MD5 && w.Pool != nil {
		pooled := w.Pool.New()
		d.md5, d.pooled = pooled, pooled
	} else if w.MD5 {
		d.md5 = md5.New() //nolint:gosec // see the import
	}
	if w.SHA256 {
		d.sha256 = sha256.New()
	}
	for _, a := range w.Sums {
		switch {
		case a == SHA256 && d.sha256 != nil:
			d.sums = append(d.sums, sum{a, d.sha256})
		default:
			if h := a.New(); h != nil {
				d.sums = append(d.sums, sum{a, h})
			}
		}
	}
	return d
}

// Write adds bytes of the payload. It never fails.
func (d *Digests) Write(b []byte) (int, error) {
	d.size += int64(len(b))
	d.xx.Write(b)
	if d.md5 != nil {
		d.md5.Write(b)
	}
	if d.sha256 != nil {
		d.sha256.Write(b)
	}
	for _, s := range d.sums {
		if s.hash != d.sha256 {
			s.hash.Write(b)
		}
	}
	return len(b), nil
}

// Sums is what Digests found.
type Sums struct {
	Size   int64
	XXHash uint64
	MD5    string // raw; empty if not computed
	SHA256 string // raw; empty if not computed
	Values []Value
}

// Sums ends the payload.
func (d *Digests) Sums() Sums {
	s := Sums{Size: d.size, XXHash: d.xx.Sum64()}
	if d.md5 != nil {
		s.MD5 = string(d.md5.Sum(nil))
	}
	if d.sha256 != nil {
		s.SHA256 = string(d.sha256.Sum(nil))
	}
	for _, x := range d.sums {
		s.Values = append(s.Values, Of(x.algorithm, x.hash))
	}
	return s
}

// Close gives back what the digests hold of a pool. Idempotent; nothing to do
// without a pool.
func (d *Digests) Close() {
	if d.pooled != nil {
		d.pooled.Close()
	}
}

// ETag is the entity tag of a payload put in one request: its MD5 if that was
// computed; else a fast one, whose length (33) and leading "x" keep it from
// being taken for an MD5, as rclone would.
func (s Sums) ETag() string {
	if s.MD5 != "" {
		return hex.EncodeToString([]byte(s.MD5))
	}
	return fmt.Sprintf("x%016x%016x", s.XXHash, s.Size)
}

// Expected is what a client says about a payload. Empty fields were not given.
type Expected struct {
	Size   int64  // -1: not given
	MD5    string // raw
	SHA256 string // raw, of the signature
	Values []Value
}

// Mismatch is a difference between what a client said and what arrived.
type Mismatch struct {
	What      string // "Content-MD5", "x-amz-content-sha256", "CRC32C", "size"
	Want, Got string
}

// Error implements error.
func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s: the client says %s, what arrived is %s", m.What, m.Want, m.Got)
}

// Compare returns a *Mismatch for the first thing that differs, or nil. A value
// whose algorithm was not computed differs: a check is never skipped silently.
func (s Sums) Compare(e Expected) error {
	if e.Size >= 0 && e.Size != s.Size {
		return &Mismatch{"size", fmt.Sprint(e.Size), fmt.Sprint(s.Size)}
	}
	if e.MD5 != "" && e.MD5 != s.MD5 {
		return &Mismatch{"Content-MD5", hex.EncodeToString([]byte(e.MD5)), hex.EncodeToString([]byte(s.MD5))}
	}
	if e.SHA256 != "" && e.SHA256 != s.SHA256 {
		return &Mismatch{"x-amz-content-sha256", hex.EncodeToString([]byte(e.SHA256)), hex.EncodeToString([]byte(s.SHA256))}
	}
	for _, want := range e.Values {
		got, ok := Find(s.Values, want.Algorithm)
		if !ok || got.Sum != want.Sum {
			return &Mismatch{want.Algorithm.String(), want.String(), got.String()}
		}
	}
	return nil
}
