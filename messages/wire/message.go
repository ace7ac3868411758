package wire

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/troupe-storage/troupe/objects/errs"
)

// Message is one of this package's messages, by pointer.
type Message interface {
	ProtoReflect() protoreflect.Message
	SizeVT() int
	MarshalToSizedBufferVT([]byte) (int, error)
	UnmarshalVT([]byte) error
}

// Append appends a message's bytes.
func Append(to []byte, m Message) ([]byte, error) {
	size := m.SizeVT()
	to = slices.Grow(to, size)
	all := to[:len(to)+size]
	if _, err := m.MarshalToSizedBufferVT(all[len(to):]); err != nil {
		return to, errs.E("wire.Append", nameOf(m), errs.Internal, err)
	}
	return all, nil
}

// Decode reads a message, which must be empty. It keeps nothing of b. An error is of
// kind Invalid and names the message.
func Decode(b []byte, m Message) error {
	const op errs.Op = "wire.Decode"
	meter := meter{left: memoryBase + memoryFactor*len(b)}
	if err := meter.walk(b, m.ProtoReflect().Descriptor()); err != nil {
		return errs.E(op, nameOf(m), errs.Invalid, err)
	}
	if err := m.UnmarshalVT(b); err != nil {
		return errs.E(op, nameOf(m), errs.Invalid, err)
	}
	return nil
}

func nameOf(m Message) string { return string(m.ProtoReflect().Descriptor().Name()) }

// What the messages within one may take of memory: so many bytes for each byte of
// input, and so many in any case. Two bytes are enough to name an empty message of some
// hundred bytes. What nodes send is far below it: the smallest, an Outcome, takes 72 for 4.
const (
	memoryFactor = 24
	memoryBase   = 4 << 10
)

// meter counts the memory that the messages within one take, before they take it.
type meter struct {
	left  int                           // bytes
	sizes map[protoreflect.FullName]int // of messages; nil: none was measured
}

// walk looks at the bytes of a message. Fields that are not known are checked for their
// form only.
func (w *meter) walk(b []byte, d protoreflect.MessageDescriptor) error {
	fields := d.Fields()
	for len(b) > 0 {
		number, form, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(number, form, b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if field := fields.ByNumber(number); field != nil && form == protowire.BytesType && field.Kind() == protoreflect.MessageKind {
			within, _ := protowire.ConsumeBytes(b) // it has been consumed once
			if w.left -= w.sizeOf(field.Message()); w.left < 0 {
				return fmt.Errorf("its field %s takes more memory than bytes that say something do", field.Name())
			}
			if err := w.walk(within, field.Message()); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// sizeOf is about what an empty message takes in memory, with the pointer to it: its
// fields as protoc-gen-go lays them out, and what it has of its own.
func (w *meter) sizeOf(d protoreflect.MessageDescriptor) int {
	if size, ok := w.sizes[d.FullName()]; ok {
		return size
	}
	const own, word = 40, 8
	size := own + word
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		switch {
		case field.IsList() || field.Kind() == protoreflect.BytesKind:
			size += 3 * word
		case field.Kind() == protoreflect.StringKind:
			size += 2 * word
		default:
			size += word
		}
	}
	if w.sizes == nil {
		w.sizes = make(map[protoreflect.FullName]int)
	}
	w.sizes[d.FullName()] = size
	return size
}
