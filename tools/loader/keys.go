package loader

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// KeyOrder says which key a request takes.
type KeyOrder uint8

const (
	// Sequential takes every key once, in the order of its number, and starts
	// again behind the last. A load that only deletes ends there instead.
	Sequential KeyOrder = iota
	// Uniform draws every key equally often.
	Uniform
	// Zipf draws key number k with a probability proportional to (1+k)^-s: few
	// keys get most requests.
	Zipf
)

// defaultZipfExponent is s where "zipf" is given alone: of a million keys, the
// first hundred then get 53% of the requests.
const defaultZipfExponent = 1.1

// Keys is the set of keys that a load touches and the order it touches them in.
//
// A key's name is its number, mixed by a bijection, as 16 hexadecimal digits
// behind the prefix: names never repeat, and numbers that follow one another lie
// far apart in a listing, so that writing them in order is not easier than it
// would be for a real client.
type Keys struct {
	Prefix   string // of every name; letters, digits and "-._~/" only, so that no form of escaping touches it
	Seed     uint64 // another seed gives other names and other contents
	Count    uint64 // how many; 0: without end (Sequential only)
	First    uint64 // number of the first key: a later part of the same set has another
	Order    KeyOrder
	Exponent float64 // of Zipf, greater than 1; 0: 1.1
}

// ParseKeyOrder reads "sequential", "uniform", "zipf" or "zipf:1.3" into keys.
func ParseKeyOrder(s string, keys *Keys) error {
	name, exponentText, given := strings.Cut(s, ":")
	switch {
	case name == "sequential" && !given:
		keys.Order = Sequential
	case name == "uniform" && !given:
		keys.Order = Uniform
	case name == "zipf":
		keys.Order, keys.Exponent = Zipf, defaultZipfExponent
		if given {
			exponent, err := strconv.ParseFloat(exponentText, 64)
			if err != nil || !(exponent > 1 && exponent <= 10) {
				return fmt.Errorf("zipf exponent %q is not a number above 1, up to 10", exponentText)
			}
			keys.Exponent = exponent
		}
	default:
		return fmt.Errorf("%q is not an order of keys: sequential, uniform, zipf or zipf:EXPONENT", s)
	}
	return nil
}

// check says what is wrong with the keys, or nil.
func (k Keys) check() error {
	for i := range len(k.Prefix) {
		c := k.Prefix[i]
		if !unreserved(c) && c != '/' {
			return fmt.Errorf("prefix %q holds %q; letters, digits and -._~/ are allowed", k.Prefix, c)
		}
	}
	if strings.HasPrefix(k.Prefix, "/") || strings.Contains(k.Prefix, "//") || strings.Contains(k.Prefix, "./") || strings.HasSuffix(k.Prefix, ".") {
		return fmt.Errorf("prefix %q is one that paths on the way may rewrite", k.Prefix)
	}
	if k.Order != Sequential && k.Count == 0 {
		return fmt.Errorf("keys that are drawn need a count")
	}
	if k.Order == Zipf && k.Exponent != 0 && k.Exponent <= 1 {
		return fmt.Errorf("zipf exponent %g is not above 1", k.Exponent)
	}
	return nil
}

// appendName appends the name of key number i to b.
func (k Keys) appendName(b []byte, i uint64) []byte {
	const digits = "0123456789abcdef"
	b = append(b, k.Prefix...)
	mixed := mix64(i ^ k.Seed)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[mixed>>shift&15])
	}
	return b
}

// digest is a number for key i that differs by seed; content and size follow from it.
func (k Keys) digest(i uint64) uint64 { return mix64(mix64(k.Seed) + i) }

// chooser draws key numbers for one worker.
type chooser struct {
	order  KeyOrder
	count  uint64
	random *rand.Rand
	zipf   *rand.Zipf
}

// newChooser returns a chooser of numbers below count that draws from random.
func (k Keys) newChooser(random *rand.Rand, count uint64) chooser {
	c := chooser{order: k.Order, count: count, random: random}
	if k.Order == Zipf {
		exponent := k.Exponent
		if exponent == 0 {
			exponent = defaultZipfExponent
		}
		c.zipf = rand.NewZipf(random, exponent, 1, count-1)
	}
	return c
}

// choose returns a key number below count; turn is the number of this request for Sequential.
func (c chooser) choose(turn uint64) uint64 {
	switch c.order {
	case Uniform:
		return c.random.Uint64N(c.count)
	case Zipf:
		return c.zipf.Uint64()
	}
	if c.count == 0 {
		return turn
	}
	return turn % c.count
}

// mix64 is a bijection on 64 bits that spreads every bit over all: the finaliser
// of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unreserved reports whether c stands for itself in every form of URI encoding
// (RFC 3986, 2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
