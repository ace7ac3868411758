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
)

// operations is how many kinds there are.
const operations = int(List) + 1

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
	}
	return fmt.Sprintf("operation %d", uint8(o))
}

// method returns the HTTP method.
func (o Operation) method() string {
	if o == List {
		return "GET"
	}
	return o.String()
}

// ParseOperation reads an operation's name in any case.
func ParseOperation(s string) (Operation, error) {
	for o := Put; o <= List; o++ {
		if strings.EqualFold(s, o.String()) {
			return o, nil
		}
	}
	return 0, fmt.Errorf("%q is not an operation: put, get, head, delete or list", s)
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

// Single returns the operation of a mix that asks for one only.
func (m Mix) Single() (Operation, bool) {
	found, n := Put, 0
	for o := Put; o <= List; o++ {
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
	for o := Put; o <= List; o++ {
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
