package cipher

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

const (
	// KeyBytes is the size of a Key.
	KeyBytes = 32
	// Overhead is by how many bytes what Key.Seal returns is longer than what it sealed.
	Overhead  = saltBytes + tagBytes
	saltBytes = 32
	tagBytes  = 16
)

// Purposes keep keys that are computed from the same one apart. They are formats.
const (
	purposeSecret = "troupe sealed 1"
	purposeObject = "object"
	purposePart   = "part"
)

// Key is 32 secret bytes. It never prints them. A value; safe for concurrent use.
type Key struct{ secret [KeyBytes]byte }

// NewKey takes a key that somebody else has made; errs.Invalid: it has another size.
func NewKey(secret []byte) (Key, error) {
	var k Key
	if len(secret) != KeyBytes {
		return k, errs.E("cipher.NewKey", errs.Invalid, fmt.Errorf("a key has %d bytes, and this one %d", KeyBytes, len(secret)))
	}
	copy(k.secret[:], secret)
	return k, nil
}

// RandomKey makes a key.
func RandomKey() Key {
	var k Key
	rand.Read(k.secret[:]) // never fails
	return k
}

// Bytes returns the key, for who seals it under another one.
func (k Key) Bytes() []byte { return k.secret[:] }

// String implements fmt.Stringer: it says nothing of the key.
func (k Key) String() string { return "key" }

// GoString implements fmt.GoStringer, so that no format prints the key.
func (k Key) GoString() string { return "cipher.Key" }

// Format implements fmt.Formatter, which %x and %v ask before anything else.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// derive computes a key for a purpose.
func (k Key) derive(salt []byte, purpose string) Key {
	var d Key
	secret, err := hkdf.Key(sha256.New, k.secret[:], salt, purpose, KeyBytes)
	if err != nil {
		panic("cipher: HKDF does not make 32 bytes: " + err.Error())
	}
	copy(d.secret[:], secret)
	return d
}

// Object is the key of the payload of an object of which k is the data key.
func (k Key) Object() Key { return k.derive(nil, purposeObject) }

// Part is the key of the payload of a part of an upload of which k is the data key.
func (k Key) Part(number int) Key {
	return k.derive(nil, string(binary.BigEndian.AppendUint32([]byte(purposePart), uint32(number))))
}

// Seal seals a secret: a random salt of 32 bytes, then AES-256-GCM under HKDF-SHA256 of
// the key and the salt, with the 16 bytes of its tag. A key may seal any number of
// secrets. Additional says what the secret is of: who opens it has to know the same.
func (k Key) Seal(plain []byte, additional string) []byte {
	var salt [saltBytes]byte
	rand.Read(salt[:]) // never fails
	return k.sealWith(salt, plain, additional)
}

func (k Key) sealWith(salt [saltBytes]byte, plain []byte, additional string) []byte {
	sealed := make([]byte, saltBytes, len(plain)+Overhead)
	copy(sealed, salt[:])
	// The key is of this salt alone, and seals once: its nonce is 0.
	return k.secretAEAD(salt[:]).Seal(sealed, make([]byte, gcmNonce), plain, []byte(additional))
}

// gcmNonce is the size of the nonce of GCM.
const gcmNonce = 12

// Open returns what Seal has sealed. errs.Denied: not under this key, not with this
// additional, or it was changed; nobody can tell which.
func (k Key) Open(sealed []byte, additional string) ([]byte, error) {
	const op errs.Op = "cipher.Open"
	if len(sealed) < Overhead {
		return nil, errs.E(op, errs.Denied, fmt.Errorf("%d bytes are no sealed secret", len(sealed)))
	}
	plain, err := k.secretAEAD(sealed[:saltBytes]).Open(nil, make([]byte, gcmNonce), sealed[saltBytes:], []byte(additional))
	if err != nil {
		return nil, errs.E(op, errs.Denied, errors.New("it was sealed under another key, or for something else, or it was changed"))
	}
	return plain, nil
}

func (k Key) secretAEAD(salt []byte) stdcipher.AEAD {
	derived := k.derive(salt, purposeSecret)
	block, err := aes.NewCipher(derived.secret[:])
	if err != nil {
		panic("cipher: AES does not take 32 bytes: " + err.Error())
	}
	aead, err := stdcipher.NewGCM(block)
	if err != nil {
		panic("cipher: GCM does not take AES: " + err.Error())
	}
	return aead
}
