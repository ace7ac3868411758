package loader

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Operation is one kind of S3 request.
type Operation uint8

const (
	// Put stores an object in one request.
	Put Operation = iota
	// Get reads a whole object.
	Get
	// Head asks for an object's headers.
	Head
	// Delete removes an object.
	Delete
	// List asks for one page of a bucket's listing (ListObjectsV2).
	List
	// Range reads a slice of an object, as a reader of shards does.
	Range
	// Multipart stores an object as an upload of parts: one operation is all of
	// its requests, one after the other.
	Multipart
)

// operations is how many kinds there are.
const operations = int(Multipart) + 1

// String returns the operation as S3 people write it: "PUT".
func (o Operation) String() string {
	switch o {
	case Put:
		return "PUT"
	case Get:
		return "GET"
	case Head:
		return "HEAD"
	case Delete:
		return "DELETE"
	case List:
		return "LIST"
	case Range:
		return "RANGE"
	case Multipart:
		return "MULTIPART"
	}
	return fmt.Sprintf("operation %d", uint8(o))
}

// method returns the HTTP method of an operation that is one request.
func (o Operation) method() string {
	if o == List || o == Range {
		return "GET"
	}
	return o.String()
}

// stores reports whether the operation leaves an object behind.
func (o Operation) stores() bool { return o == Put || o == Multipart }

// reads reports whether the operation is answered with content of an object.
func (o Operation) reads() bool { return o == Get || o == Range }

// ParseOperation reads an operation's name in any case.
func ParseOperation(s string) (Operation, error) {
	for o := range Operation(operations) {
		if strings.EqualFold(s, o.String()) {
			return o, nil
		}
	}
	return 0, fmt.Errorf("%q is not an operation: put, get, head, delete, list, range or multipart", s)
}

// Mix says how often each operation is asked for, as weights: of a sum of 100,
// weights are percent. The zero Mix asks for nothing and is refused.
type Mix [operations]uint32

// Only returns the mix that asks for one operation.
func Only(o Operation) Mix {
	var m Mix
	m[o] = 1
	return m
}

// ParseMix reads "get" or "put=30,get=60,head=10".
func ParseMix(s string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(s, ",") {
		name, weightText, weighted := strings.Cut(strings.TrimSpace(part), "=")
		o, err := ParseOperation(name)
		if err != nil {
			return Mix{}, err
		}
		weight := uint64(1)
		if weighted {
			if weight, err = strconv.ParseUint(weightText, 10, 16); err != nil || weight == 0 {
				return Mix{}, fmt.Errorf("weight %q of %s is not a number from 1 to 65535", weightText, o)
			}
		}
		if m[o] != 0 {
			return Mix{}, fmt.Errorf("%s is named twice", o)
		}
		m[o] = uint32(weight)
	}
	return m, nil
}

// Has reports whether the mix asks for the operation.
func (m Mix) Has(o Operation) bool { return m[o] != 0 }

// has reports whether the mix asks for an operation of the kind.
func (m Mix) has(kind func(Operation) bool) bool {
	for o := range Operation(operations) {
		if m.Has(o) && kind(o) {
			return true
		}
	}
	return false
}

// stores, reads and changes report whether the mix has operations that leave
// objects behind, are answered with content, or write to the server at all.
func (m Mix) stores() bool  { return m.has(Operation.stores) }
func (m Mix) reads() bool   { return m.has(Operation.reads) }
func (m Mix) changes() bool { return m.stores() || m.Has(Delete) }

// storesOnly reports whether the mix asks for one operation, which leaves objects
// behind: only then may keys be without end.
func (m Mix) storesOnly() bool {
	o, alone := m.Single()
	return alone && o.stores()
}

// Single returns the operation of a mix that asks for one only.
func (m Mix) Single() (Operation, bool) {
	found, n := Put, 0
	for o := range Operation(operations) {
		if m.Has(o) {
			found = o
			n++
		}
	}
	return found, n == 1
}

// String returns what ParseMix reads.
func (m Mix) String() string {
	if o, single := m.Single(); single {
		return o.String()
	}
	var parts []string
	for o := range Operation(operations) {
		if m.Has(o) {
			parts = append(parts, fmt.Sprintf("%s=%d", o, m[o]))
		}
	}
	return strings.Join(parts, ",")
}

// pick draws an operation. The mix must ask for at least one.
func (m Mix) pick(random *rand.Rand) Operation {
	if o, single := m.Single(); single {
		return o
	}
	var sum uint32
	for _, weight := range m {
		sum += weight
	}
	drawn := random.Uint32N(sum)
	for o, weight := range m {
		if drawn < weight {
			return Operation(o)
		}
		drawn -= weight
	}
	panic("loader: a draw beyond the sum of the weights")
}
