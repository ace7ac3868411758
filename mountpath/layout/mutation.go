package layout

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Fields of message Mutation.
const (
	mutationKind       protowire.Number = 1
	mutationCause      protowire.Number = 2
	mutationAt         protowire.Number = 3
	mutationGeneration protowire.Number = 4
	mutationSize       protowire.Number = 5
	mutationXXHash     protowire.Number = 6
	mutationPrincipal  protowire.Number = 7
	mutationRequest    protowire.Number = 8
	mutationAsked      protowire.Number = 9
	mutationOther      protowire.Number = 10
)

// AppendMutation appends the value of an entry of the history. A zero generation stands
// for the arrival in the entry's key.
func AppendMutation(dst []byte, m *objects.Mutation) []byte {
	start := len(dst)
	dst = append(dst, ValueVersion)
	dst = appendUint(dst, mutationKind, uint64(m.Kind))
	dst = appendUint(dst, mutationCause, uint64(m.Cause))
	dst = appendTime(dst, mutationAt, m.At)
	dst = appendGeneration(dst, mutationGeneration, m.Generation)
	dst = appendInt(dst, mutationSize, m.Size)
	dst = appendFixed(dst, mutationXXHash, m.XXHash)
	dst = appendText(dst, mutationPrincipal, m.Principal)
	dst = appendText(dst, mutationRequest, m.Request)
	dst = appendText(dst, mutationAsked, m.Asked)
	dst = appendText(dst, mutationOther, m.Other)
	return seal(dst, start)
}

// DecodeMutation reads what AppendMutation wrote. Kinds and causes that this binary does
// not know are read as they are.
func DecodeMutation(b []byte) (*objects.Mutation, error) {
	const op errs.Op = "layout.DecodeMutation"
	c, err := openCopy(op, ValueVersion, b)
	if err != nil {
		return nil, err
	}
	m := new(objects.Mutation)
	for field, form, ok := c.next(); ok; field, form, ok = c.next() {
		switch field {
		case mutationKind:
			m.Kind = objects.MutationKind(c.small(form))
		case mutationCause:
			m.Cause = objects.Cause(c.small(form))
		case mutationAt:
			m.At = c.time(form)
		case mutationGeneration:
			m.Generation = c.generation(form)
		case mutationSize:
			m.Size = c.int(form)
		case mutationXXHash:
			m.XXHash = c.fixed(form)
		case mutationPrincipal:
			m.Principal = c.text(form)
		case mutationRequest:
			m.Request = c.text(form)
		case mutationAsked:
			m.Asked = c.text(form)
		case mutationOther:
			m.Other = c.text(form)
		default:
			c.skip(field, form)
		}
	}
	if err := c.close(op); err != nil {
		return nil, err
	}
	return m, nil
}
