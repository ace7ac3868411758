package sigv4

import "crypto/sha256"

// chain signs the chunks and trailers of one body, each with the signature
// before it. Both directions use it. Not safe for concurrent use.
type chain struct {
	identity *Identity
	previous [64]byte // the signature that the next one is chained to
	digest   digest   // for HMACs
	text     []byte   // the string to sign, reused
	next     [64]byte // what sum computed
}

func newChain(id *Identity) chain {
	return chain{identity: id, previous: id.signature, digest: newDigest(), text: make([]byte, 0, 320)}
}

// head begins a string to sign: what is signed, when, by whom, after what.
func (c *chain) head(what string) {
	b := append(c.text[:0], what...)
	b = append(append(b, '\n'), c.identity.timestamp[:]...)
	b = append(append(b, '\n'), c.identity.key.scope...)
	c.text = append(append(append(b, '\n'), c.previous[:]...), '\n')
}

func (c *chain) sum(hash *[sha256.Size]byte) *[64]byte {
	c.text = appendHex(c.text, hash[:])
	c.digest.hmac(&c.identity.key.key, c.text)
	appendHex(c.next[:0], c.digest.sum[:])
	return &c.next
}

// chunk returns the signature of a chunk with the hash, valid until the next
// call. The chain goes on when advance is called.
func (c *chain) chunk(hash *[sha256.Size]byte) *[64]byte {
	c.head("AWS4-HMAC-SHA256-PAYLOAD")
	c.text = append(c.text, emptySHA256+"\n"...)
	return c.sum(hash)
}

// trailer returns the signature of the trailers, whose canonical form is a line
// "name:value\n" each.
func (c *chain) trailer(canonical []byte) *[64]byte {
	c.head("AWS4-HMAC-SHA256-TRAILER")
	hash := sha256.Sum256(canonical)
	return c.sum(&hash)
}

// advance makes the last computed signature the previous one.
func (c *chain) advance() { c.previous = c.next }
