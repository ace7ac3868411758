package cipher

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/troupe-storage/troupe/objects/errs"
)

// What the seal of a node and its fingerprint are computed for. They are formats.
const (
	purposeSeal        = "troupe seal 1"
	purposeFingerprint = "troupe seal id"
)

// Fingerprint tells one seed from another, and nothing of either.
type Fingerprint [8]byte

// String implements fmt.Stringer: 16 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText implements encoding.TextMarshaler.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(f)) {
		return errs.E("cipher.Fingerprint", string(text), errs.Invalid, errors.New("a fingerprint has 16 hexadecimal digits"))
	}
	_, err := hex.Decode(f[:], text)
	return err
}

// Seal is the key that the nodes of a cluster compute from a seed that they share, and
// under which the secrets lie that they have to know. Immutable.
type Seal struct {
	key         Key
	fingerprint Fingerprint
}

// NewSeal computes the seal of a cluster, given by its id. A seed that people chose can be
// guessed by who has what is sealed: it should be random, 32 bytes or more.
func NewSeal(seed []byte, cluster string) (*Seal, error) {
	const op errs.Op = "cipher.NewSeal"
	if len(seed) == 0 {
		return nil, errs.E(op, cluster, errs.Invalid, errors.New("the seed is empty"))
	}
	s := new(Seal)
	key, err := hkdf.Key(sha256.New, seed, []byte(cluster), purposeSeal, KeyBytes)
	if err != nil {
		return nil, errs.E(op, cluster, errs.Internal, err)
	}
	copy(s.key.secret[:], key)
	told, err := hkdf.Key(sha256.New, seed, []byte(cluster), purposeFingerprint, len(s.fingerprint))
	if err != nil {
		return nil, errs.E(op, cluster, errs.Internal, err)
	}
	copy(s.fingerprint[:], told)
	return s, nil
}

// Fingerprint tells the seal from those of other seeds.
func (s *Seal) Fingerprint() Fingerprint { return s.fingerprint }

// String implements fmt.Stringer.
func (s *Seal) String() string { return "seal " + s.fingerprint.String() }

// GoString implements fmt.GoStringer, so that no format prints the key.
func (s *Seal) GoString() string { return s.String() }

// Format implements fmt.Formatter, which %x and %v ask before anything else.
func (s *Seal) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// Seal is Key.Seal.
func (s *Seal) Seal(plain []byte, additional string) []byte { return s.key.Seal(plain, additional) }

// Seals are the seal that is in force and those before it, which only open. Immutable.
type Seals struct {
	current *Seal
	before  []*Seal
}

// NewSeals returns seals; those before may be none.
func NewSeals(current *Seal, before ...*Seal) *Seals { return &Seals{current, before} }

// Current is the one to seal with.
func (s *Seals) Current() *Seal { return s.current }

// ErrOtherSeal is the cause of an error: something was sealed with another seed than this
// node has.
var ErrOtherSeal = errors.New("it was sealed with another seed")

// Open opens what the seal of a fingerprint has sealed. errs.Offline, ErrOtherSeal: there
// is none of it here. errs.Denied: see Key.Open.
func (s *Seals) Open(by Fingerprint, sealed []byte, additional string) ([]byte, error) {
	if s.current.fingerprint == by {
		return s.current.key.Open(sealed, additional)
	}
	for _, b := range s.before {
		if b.fingerprint == by {
			return b.key.Open(sealed, additional)
		}
	}
	return nil, errs.E("cipher.Open", errs.Offline, fmt.Errorf("%w: its fingerprint is %s, and this node's is %s", ErrOtherSeal, by, s.current.fingerprint))
}
