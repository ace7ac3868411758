package sigv4

import (
	"crypto/sha256"
	"encoding"
	"hash"
	"maps"
	"sync"
	"sync/atomic"
)

// algorithm and terminal are the fixed words of a credential scope.
const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminal   = "aws4_request"
	serviceS3  = "s3"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// digest is a SHA-256 whose state can be saved and loaded. Not safe for
// concurrent use.
type digest struct {
	hash.Hash
	loader encoding.BinaryUnmarshaler // the same hash
	sum    [sha256.Size]byte
}

func newDigest() digest {
	h := sha256.New()
	return digest{Hash: h, loader: h.(encoding.BinaryUnmarshaler)} //nolint:forcetypeassert // documented by crypto/sha256
}

// hmacKey is an HMAC-SHA256 key with its first block, inner and outer, already
// hashed: an HMAC then costs two blocks fewer. Immutable.
type hmacKey struct{ inner, outer []byte } // saved states of SHA-256

// newHMACKey prepares a key of at most one block; longer ones are hashed (RFC 2104).
func newHMACKey(key []byte) hmacKey {
	var pad [sha256.BlockSize]byte
	if len(key) > len(pad) {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(pad[:], key)
	for i := range pad {
		pad[i] ^= 0x36
	}
	k := hmacKey{inner: saved(pad[:])}
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	k.outer = saved(pad[:])
	return k
}

func saved(block []byte) []byte {
	h := sha256.New()
	h.Write(block)
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary() //nolint:forcetypeassert // documented by crypto/sha256
	if err != nil {
		panic("sigv4: SHA-256 cannot save its state: " + err.Error())
	}
	return state
}

func (d *digest) load(state []byte) {
	if err := d.loader.UnmarshalBinary(state); err != nil {
		panic("sigv4: SHA-256 cannot load its state: " + err.Error())
	}
}

// hmac leaves the HMAC of message in d.sum.
func (d *digest) hmac(k *hmacKey, message []byte) {
	d.load(k.inner)
	d.Write(message)
	d.Sum(d.sum[:0])
	d.load(k.outer)
	d.Write(d.sum[:])
	d.Sum(d.sum[:0])
}

// signingKey is the key of one access key for one day, region and service.
// Immutable.
type signingKey struct {
	credential string // ACCESSKEY/YYYYMMDD/region/service/aws4_request
	accessKey  string
	scope      string // credential without access key
	date       string
	region     string
	secret     string
	key        hmacKey
}

// newSigningKey derives the key: four HMACs, each keyed by the one before.
func newSigningKey(accessKey, secret, date, region, service string) *signingKey {
	d := newDigest()
	k := newHMACKey([]byte("AWS4" + secret))
	for _, step := range []string{date, region, service, terminal} {
		d.hmac(&k, []byte(step))
		k = newHMACKey(d.sum[:])
	}
	credential := accessKey + "/" + date + "/" + region + "/" + service + "/" + terminal
	scope := credential[len(accessKey)+1:]
	return &signingKey{
		credential: credential, accessKey: credential[:len(accessKey)], scope: scope, date: scope[:len(date)],
		region: scope[len(date)+1 : len(date)+1+len(region)], secret: secret, key: k,
	}
}

// keyCacheSize bounds the cache: a key costs about 600 bytes, so 300 KiB. A
// node sees its users' keys times one or two days times one region.
const keyCacheSize = 512

// keyCache keeps signing keys by credential. Readers take an immutable map and
// no lock; a writer copies it. Only keys that verified a signature enter, so a
// stranger cannot push others out. Safe for concurrent use.
type keyCache struct {
	current atomic.Pointer[map[string]*signingKey]
	writer  sync.Mutex
}

// get returns the key of a credential, or nil. Its secret may be an old one.
func (c *keyCache) get(credential []byte) *signingKey {
	if m := c.current.Load(); m != nil {
		return (*m)[string(credential)]
	}
	return nil
}

// put adds a key or replaces the one with its credential. A full cache loses
// the keys of earlier days or, if all are of one day, half of them.
func (c *keyCache) put(k *signingKey) {
	c.writer.Lock()
	defer c.writer.Unlock()
	next := make(map[string]*signingKey)
	if m := c.current.Load(); m != nil {
		maps.Copy(next, *m)
	}
	if len(next) >= keyCacheSize {
		maps.DeleteFunc(next, func(_ string, old *signingKey) bool { return old.date < k.date })
	}
	if len(next) >= keyCacheSize {
		for credential := range next {
			if delete(next, credential); len(next) <= keyCacheSize/2 {
				break
			}
		}
	}
	next[k.credential] = k
	c.current.Store(&next)
}
