package wire

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// samples are what crosses nodes by itself, not within another message: one empty
// message of each kind.
func samples() []Message {
	return []Message{
		new(ListQuestion), new(ListAnswer), new(UploadsQuestion), new(UploadsAnswer), new(KeyQuestion), new(Record), new(DeletedAnswer),
		new(DeletesQuestion), new(DeletesAnswer), new(StoreQuestion), new(StoreAnswer), new(ShowQuestion), new(ShowAnswer), new(ConfirmQuestion),
		new(ConfirmAnswer), new(SettledQuestion), new(HoldingsQuestion), new(HoldingsAnswer), new(DropQuestion), new(Failure), new(Nothing),
		new(UploadQuestion), new(UploadAnswer), new(PartQuestion), new(HeldUploadsQuestion), new(HeldUploadsAnswer),
		new(HistoryQuestion), new(HistoryAnswer), new(StageQuestion), new(StageAnswer), new(UnstageQuestion), new(SliceQuestion), new(SliceAnswer),
		new(HaveQuestion), new(HaveAnswer), new(BuildQuestion), new(BuildAnswer),
	}
}

// Samples are all messages but those that are within another one: a message that is
// asked or answered and is not among them is not fuzzed.
func TestSamplesAreComplete(t *testing.T) {
	within, all := map[protoreflect.FullName]bool{}, map[protoreflect.FullName]bool{}
	for _, file := range []protoreflect.FileDescriptor{File_messages_wire_object_proto, File_messages_wire_question_proto, File_messages_wire_slice_proto} {
		for i := range file.Messages().Len() {
			d := file.Messages().Get(i)
			all[d.FullName()] = true
			for j := range d.Fields().Len() {
				if m := d.Fields().Get(j).Message(); m != nil {
					within[m.FullName()] = true
				}
			}
		}
	}
	for _, s := range samples() {
		delete(all, s.ProtoReflect().Descriptor().FullName())
	}
	for name := range all {
		if !within[name] {
			t.Errorf("%s is not among the samples", name)
		}
	}
}

// filled sets every field of a message, and of those within it, to what is not nothing.
func filled(m protoreflect.Message) protoreflect.Message {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		value := func(within protoreflect.Message) protoreflect.Value {
			switch field.Kind() {
			case protoreflect.MessageKind:
				return protoreflect.ValueOfMessage(filled(within))
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte("\xff\x00bytes")[:7])
			case protoreflect.StringKind:
				return protoreflect.ValueOfString("text")
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(2)
			case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
				return protoreflect.ValueOfUint64(1 << 40)
			default:
				return protoreflect.ValueOfInt64(7)
			}
		}
		if field.IsList() {
			list := m.Mutable(field).List()
			for range 2 {
				var within protoreflect.Message
				if field.Kind() == protoreflect.MessageKind {
					within = list.NewElement().Message()
				}
				list.Append(value(within))
			}
			continue
		}
		var within protoreflect.Message
		if field.Kind() == protoreflect.MessageKind {
			within = m.NewField(field).Message()
		}
		m.Set(field, value(within))
	}
	return m
}

// What is generated reads and writes what any other implementation of protobuf does.
func TestMessagesAreProtobuf(t *testing.T) {
	for _, s := range samples() {
		filled(s.ProtoReflect())
		ours, err := Append([]byte("before"), s)
		if err != nil {
			t.Fatal(err)
		}
		again := s.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(ours[len("before"):], again); err != nil || !proto.Equal(again, s.ProtoReflect().Interface()) {
			t.Errorf("%s: %v: written %v, read %v", nameOf(s), err, s, again)
		}
		theirs, err := proto.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		read := s.ProtoReflect().New().Interface().(Message)
		if err := Decode(theirs, read); err != nil || !proto.Equal(read.ProtoReflect().Interface(), again) {
			t.Errorf("%s: %v: sent %v, read %v", nameOf(s), err, again, read)
		}
	}
}

// A node that is upgraded first sends fields that the others do not know: they are
// skipped, wherever they are.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	q := &StoreQuestion{Name: []byte("photos/cat.jpg"), Record: &Record{Size: 5}}
	b, err := Append(nil, q)
	if err != nil {
		t.Fatal(err)
	}
	later := append(slices.Clone(b), 0xfa, 0x7f, 3, 'n', 'e', 'w') // field 2047, three bytes
	later = append(later, 0xf8, 0x7f, 0x96, 0x01)                  // the same field as a number
	record := append([]byte{0x22, 6}, 0xfa, 0x7f, 3, 'n', 'e', 'w')
	later = append(later, record...) // and one within the record, which is merged with the first
	read := new(StoreQuestion)
	if err := Decode(later, read); err != nil {
		t.Fatal(err)
	}
	if string(read.Name) != "photos/cat.jpg" || read.Record.GetSize() != 5 {
		t.Errorf("read %v", read)
	}
}

// What is no message is refused with an error that names what it should have been.
func TestGarbageIsNamed(t *testing.T) {
	for _, garbage := range []string{"\xff", "\x0a\xff\xff\xff\xff\x07", "\x0b", "\x09\x01", "GET / HTTP/1.1\r\n"} {
		err := Decode([]byte(garbage), new(HoldingsQuestion))
		if !errs.Is(errs.Invalid, err) || err.Error()[:len("wire.Decode: HoldingsQuestion: ")] != "wire.Decode: HoldingsQuestion: " {
			t.Errorf("%q: %v", garbage, err)
		}
	}
}

// Bytes that name many empty messages take no memory: they are refused before. What
// nodes send is never refused, however much of it is nothing.
func TestMemoryIsBounded(t *testing.T) {
	empty := slices.Repeat([]byte{0x0a, 2, 0x12, 0}, 100_000) // entries with empty records
	allocation.Check(t, len(empty), testMemory, func() {
		if err := Decode(empty, new(ListAnswer)); !errs.Is(errs.Invalid, err) {
			t.Errorf("empty records: %v", err)
		}
	})
	answers := []Message{new(DeletesAnswer), new(HoldingsAnswer), new(ListAnswer), new(SettledQuestion)}
	for range 100_000 {
		answers[0].(*DeletesAnswer).Outcomes = append(answers[0].(*DeletesAnswer).Outcomes, &Outcome{State: 1})
		answers[1].(*HoldingsAnswer).Holdings = append(answers[1].(*HoldingsAnswer).Holdings, &Holding{Name: []byte("a"), Generation: &Generation{Map: 1, Start: 1, Seq: 1}})
		answers[2].(*ListAnswer).Entries = append(answers[2].(*ListAnswer).Entries, &Entry{Name: []byte("a")})
		answers[3].(*SettledQuestion).List = append(answers[3].(*SettledQuestion).List, &Settlement{Name: []byte("a"), Generation: &Generation{Map: 1, Start: 1, Seq: 1}})
	}
	for _, m := range answers {
		b, err := Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(b, m.ProtoReflect().New().Interface().(Message)); err != nil {
			t.Error(err)
		}
	}
}

// testMemory bounds what decoding allocates for the smallest input: what Decode allows,
// what is made of it, an error, the table of sizes.
const testMemory = 16 << 10

// Nodes are authenticated, and may still send anything: a bug, another version. No
// decoder panics or takes memory out of proportion, and what it accepts it also writes.
func FuzzDecode(f *testing.F) {
	for i, s := range samples() {
		b, err := Append(nil, filled(s.ProtoReflect()).Interface().(Message))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b)
		f.Add(uint8(i), []byte{0x0a, 0x00, 0x0a, 0x00})
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		all := samples()
		m := all[int(which)%len(all)]
		var err error
		allocation.Check(t, len(b), testMemory, func() {
			m = m.ProtoReflect().New().Interface().(Message)
			if err = Decode(b, m); err == nil {
				values(m)
			}
		})
		if err != nil {
			if !errs.Is(errs.Invalid, err) {
				t.Fatal(err)
			}
			return
		}
		again := m.ProtoReflect().New().Interface().(Message)
		if written, err := Append(nil, m); err != nil {
			t.Fatal(err)
		} else if err := again.UnmarshalVT(written); err != nil || !proto.Equal(again.ProtoReflect().Interface(), m.ProtoReflect().Interface()) {
			t.Fatalf("%v\nread    %v\nwritten %v", err, m, again)
		}
	})
}

// values makes what a message holds into values of package objects, as those do who
// receive it. Errors are answers, too.
func values(m Message) {
	switch m := m.(type) {
	case *ListAnswer:
		for _, e := range m.Entries {
			_, _ = e.Record.Meta()
		}
	case *UploadsAnswer:
		for _, u := range m.Uploads {
			_, _ = u.Value()
		}
	case *KeyQuestion:
		_, _ = m.About.BucketID()
		_ = m.Conditions.Value()
	case *DeletesQuestion:
		for _, d := range m.List {
			_ = d.Conditions.Value()
		}
	case *Record:
		_, _ = m.Meta()
	case *StoreQuestion:
		_, _ = m.Record.Meta()
		_, _ = Parts(m.Parts)
	case *StoreAnswer:
		_, _ = m.Here.Meta()
	case *ShowAnswer:
		_, _ = m.Record.Meta()
		_, _ = Parts(m.Parts)
	case *DeletedAnswer:
		_, _ = m.Marker.Meta()
	}
}
