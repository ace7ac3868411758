package layout

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
)

// What the package writes by hand is what protobuf's own library writes for the
// messages of record.proto, byte for byte, and it has no field that record.proto
// does not name: any protobuf tool can read a Troupe disk.
func TestValuesAreTheProtobufOfRecordProto(t *testing.T) {
	file := recordProto(t)
	eachForm(t, func(t *testing.T, f form) {
		if !f.wire {
			return // documents are JSON
		}
		descriptor := file.Messages().ByName(protoreflect.Name(f.name))
		if descriptor == nil {
			t.Fatalf("record.proto has no message %s", f.name)
		}
		rapid.Check(t, func(t *rapid.T) {
			want := f.any.Draw(t, "value")
			b := f.encode(want)
			fields := b[1 : len(b)-crcBytes]
			m := dynamicpb.NewMessage(descriptor)
			if err := proto.Unmarshal(fields, m); err != nil {
				t.Fatalf("protobuf cannot read it: %v\n% x", err, fields)
			}
			if n := unknownBytes(m); n != 0 {
				t.Fatalf("%d bytes are of fields that record.proto does not have", n)
			}
			theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(theirs, fields) {
				t.Fatalf("protobuf writes\n% x\nlayout writes\n% x", theirs, fields)
			}
		})
	})
}

// The numbers mean what record.proto calls them: spot checks by name, since the
// test above would not see two fields of one type exchanged.
func TestFieldsHaveTheirNames(t *testing.T) {
	file := recordProto(t)
	values := golden()
	read := func(message, value string) protoreflect.Message {
		for _, f := range forms() {
			if f.name == message {
				b := f.encode(values[value])
				m := dynamicpb.NewMessage(file.Messages().ByName(protoreflect.Name(message)))
				if err := proto.Unmarshal(b[1:len(b)-crcBytes], m); err != nil {
					t.Fatal(err)
				}
				return m
			}
		}
		panic(message)
	}
	check := func(value string, m protoreflect.Message, want map[string]any) {
		t.Helper()
		for i := range m.Descriptor().Fields().Len() {
			field := m.Descriptor().Fields().Get(i)
			expected, ok := want[string(field.Name())]
			if !ok {
				t.Errorf("%s.%s is not checked", value, field.Name())
				continue
			}
			if got := plain(m.Get(field), field); !reflect.DeepEqual(got, expected) {
				t.Errorf("%s.%s = %v, want %v", value, field.Name(), got, expected)
			}
		}
	}
	generation := func(seq uint64) string {
		return string(objects.Generation{Map: 1, Start: 7, Seq: seq}.AppendTo(nil))
	}
	const upload, etag = "0123456789abcdef0123456789abcdef", "9e107d9d372bb6826bd81d3542a419d6"
	const bucketID, path = "\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7", "photos/2026/cat.jpg"

	record := read("Record", "record")
	check("record", record, map[string]any{
		"generation": generation(4711), "payload": generation(4710), "deleted": true, "where": uint64(3),
		"size": int64(15 << 20), "xxhash": uint64(0xffeeddccbbaa9988), "etag": etag + "-3", "checksums": 2,
		"modified": int64(1_700_000_001_987_654_321), "draft": "set", "path": "photos/.troupe-escaped/aa/aa", "inode": uint64(300),
		"birth": int64(1_600_000_000_000_000_000), "part_count": int64(3), "part_size": int64(5 << 20),
		"writes": uint64(0), "unsettled": false, "slicing": "not set", "follows": "", // this golden file is older than the fields
	})
	sliced := read("Record", "record-sliced")
	check("slicing", get(sliced, "slicing").Message(), map[string]any{
		"data": uint64(2), "parity": uint64(2), "cell_bytes": uint64(65536), "whole": false,
		"members": "\x01\x23\x45\x67\x89\xab\xcd\xef\x00\x00" + "\xfe\xdc\xba\x98\x76\x54\x32\x10\x01\x00" +
			"\x00\x00\x00\x00\x00\x00\x00\x07\x02\x00" + "\x01\x23\x45\x67\x89\xab\xcd\xef\x03\x00",
	})
	if follows := get(sliced, "follows").Bytes(); string(follows) != generation(4000) {
		t.Errorf("record-sliced follows % x", follows)
	}
	whole := get(read("Record", "record-whole"), "slicing").Message()
	if members := get(whole, "members").Bytes(); !get(whole, "whole").Bool() || len(members) != 30 || members[19] != 1 || members[29] != 0 {
		t.Errorf("record-whole: % x", members)
	}
	if !get(read("Part", "part-whole"), "whole").Bool() || get(get(read("Upload", "upload-sliced"), "slicing").Message(), "parity").Uint() != 2 {
		t.Error("part-whole is sliced, or upload-sliced is not")
	}
	if writes := get(read("Record", "record-writes"), "writes").Uint(); writes != 300 {
		t.Errorf("record-writes: writes is %d, want 300", writes)
	}
	if !get(read("Record", "record-unsettled"), "unsettled").Bool() {
		t.Error("record-unsettled is settled")
	}
	draft := get(record, "draft").Message()
	check("draft", draft, map[string]any{"class": "relaxed", "version_id": "v1", "headers": "set", "user": 3, "tags": 1})
	check("headers", get(draft, "headers").Message(), map[string]any{
		"content_type": "image/jpeg", "content_encoding": "identity", "content_disposition": "inline", "content_language": "en",
		"cache_control": "no-cache", "expires": "never", "redirect": "/x",
	})
	check("pair", get(draft, "tags").List().Get(0).Message(), map[string]any{"name": "project", "value": "archive"})
	check("checksum", get(record, "checksums").List().Get(1).Message(), map[string]any{
		"algorithm": uint64(4), "type": uint64(1), "parts": int64(3), "sum": strings.Repeat("s", 20),
	})
	check("part", read("Part", "part"), map[string]any{
		"number": int64(3), "payload": generation(9), "size": int64(5 << 20), "xxhash": uint64(0x0102030405060708), "etag": etag,
		"checksums": 1, "modified": int64(1_700_000_000_000_000_001), "whole": false,
	})
	check("parts", read("Parts", "parts"), map[string]any{"parts": 2})
	check("upload", read("Upload", "upload"), map[string]any{
		"id": upload, "name": "2026/cat.jpg", "initiated": int64(1_700_000_000_000_000_000), "algorithm": uint64(5), "type": uint64(1), "draft": "set", "slicing": "not set",
	})
	intent := read("Intent", "intent")
	check("intent", intent, map[string]any{
		"kind": uint64(1), "key": "set", "payload": generation(4710), "path": path,
		"begun": int64(0), "draft": "set", "upload_id": "", "part": int64(0), "record": "", "indices": "",
	})
	check("intent of a part", read("Intent", "intent-part"), map[string]any{
		"kind": uint64(2), "key": "set", "payload": generation(4712), "path": "",
		"begun": int64(0), "draft": "not set", "upload_id": upload, "part": int64(10_000), "record": "", "indices": "",
	})
	check("intent of slices", read("Intent", "intent-slice"), map[string]any{
		"kind": uint64(6), "key": "set", "payload": generation(4710), "path": "",
		"begun": int64(0), "draft": "not set", "upload_id": upload, "part": int64(10_000), "record": "", "indices": "\x00\x3f\xff",
	})
	check("intent of an import", read("Intent", "intent-import"), map[string]any{
		"kind": uint64(3), "key": "set", "payload": generation(4710), "path": path,
		"begun": int64(0), "draft": "not set", "upload_id": "", "part": int64(0), "record": "record", "indices": "",
	})
	if begun := intent.Descriptor().Fields().ByName("begun"); !intent.Has(begun) {
		t.Error("the beginning of 1970 was taken for no time")
	}
	check("key", get(intent, "key").Message(), map[string]any{
		"bucket_id": bucketID, "provider": "ais", "namespace": "u#n", "bucket": "photos", "name": "2026/cat.jpg",
	})
	check("reclaim", read("Reclaim", "reclaim"), map[string]any{
		"kind": uint64(2), "bucket": bucketID, "name": "2026/cat.jpg", "payload": generation(4709), "path": path, "upload_id": upload,
		"part": int64(2), "bytes": int64(1 << 30), "by": generation(4711), "previous": "record", "sidecar": true, "indices": "", "settles": false,
	})
	check("reclaim of slices", read("Reclaim", "reclaim-slices"), map[string]any{
		"kind": uint64(5), "bucket": bucketID, "name": "2026/cat.jpg", "payload": generation(4709), "path": "", "upload_id": "",
		"part": int64(0), "bytes": int64(1 << 30), "by": "", "previous": "record", "sidecar": false, "indices": "\x00\x03", "settles": true,
	})
	check("attribute", read("Attribute", "attribute"), map[string]any{
		"key": "set", "payload": generation(4710), "size": int64(3 << 20), "xxhash": uint64(0xffeeddccbbaa9988), "etag": etag, "checksums": 2,
		"part_number": int64(3), "upload_id": upload, "superseded_by": generation(4711), "by_marker": true,
		"modified": int64(1_700_000_001_987_654_321), "draft": "set", "sidecar": true, "algorithm": uint64(5), "type": uint64(1),
		"initiated": int64(1_700_000_000_000_000_000), "form": "not set", "index": uint64(0), "sums": "",
	})
	slice := read("Attribute", "attribute-slice")
	if index := slice.Descriptor().Fields().ByName("index"); !slice.Has(index) || read("Attribute", "attribute-whole").Has(index) {
		t.Error("slice 0 was taken for no slice, or a whole payload for one")
	}
	if sums := get(slice, "sums").Bytes(); string(sums) != "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\xff\xee\xdd\xcc\xbb\xaa\x99\x88" {
		t.Errorf("attribute-slice: sums % x", sums)
	}
	check("form", get(slice, "form").Message(), map[string]any{"data": uint64(2), "parity": uint64(1), "cell_bytes": uint64(65536), "whole": false, "members": ""})
	check("scrub", read("Scrub", "scrub"), map[string]any{
		"cycle": uint64(3), "begun": int64(1_700_000_000_000_000_000), "ended": int64(1_700_000_001_000_000_000), "at": "o12345678cat",
		"bytes": int64(15 << 20), "payloads": int64(4), "skipped": int64(5), "found": int64(6), "remaining": int64(7),
		"counted": int64(5),
	})
	check("damage", read("Damage", "damage"), map[string]any{
		"key": "set", "payload": generation(4710), "upload_id": upload, "part": int64(3), "reason": "1 byte", "found": int64(7), "path": path,
	})
	scrubbed := read("ScrubRange", "scrubrange")
	check("scrub range", scrubbed, map[string]any{"verified": 1, "former": 2, "ahead": 1})
	check("scrub span", get(scrubbed, "verified").List().Get(0).Message(), map[string]any{
		"end": "cat", "at": int64(1_700_000_000_000_000_000), "bytes": int64(15 << 20), "payloads": int64(4),
	})
}

func get(m protoreflect.Message, field protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(field))
}

// plain makes a value comparable: bytes as string, lists as their length,
// messages as "set", numbers as the widest of their kind.
func plain(v protoreflect.Value, field protoreflect.FieldDescriptor) any {
	switch {
	case field.IsList():
		return v.List().Len()
	case field.Message() != nil:
		if v.Message().IsValid() {
			return "set"
		}
		return "not set"
	}
	switch x := v.Interface().(type) {
	case []byte:
		return string(x)
	case uint32:
		return uint64(x)
	default:
		return x
	}
}

func unknownBytes(m protoreflect.Message) int {
	n := len(m.GetUnknown())
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				n += unknownBytes(v.List().Get(i).Message())
			}
		default:
			n += unknownBytes(v.Message())
		}
		return true
	})
	return n
}

// recordProto reads record.proto: messages of fields, one a line, is all that it
// uses of the language, and all that this reads.
func recordProto(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	source, err := os.ReadFile("record.proto")
	if err != nil {
		t.Fatal(err)
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("record.proto"), Package: proto.String("troupe.layout"), Syntax: proto.String("proto3"),
	}
	var message *descriptorpb.DescriptorProto
	for line := range strings.Lines(string(source)) {
		line, _, _ = strings.Cut(line, "//")
		words := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";"))
		switch {
		case len(words) == 0 || words[0] == "syntax" || words[0] == "package":
		case words[0] == "message" && len(words) == 3 && words[2] == "{":
			message = &descriptorpb.DescriptorProto{Name: proto.String(words[1])}
			file.MessageType = append(file.MessageType, message)
		case words[0] == "}" && message != nil:
			message = nil
		case message != nil:
			if err := addField(message, words); err != nil {
				t.Fatalf("record.proto: %q: %v", line, err)
			}
		default:
			t.Fatalf("record.proto: %q is not understood", line)
		}
	}
	descriptor, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return descriptor
}

func addField(message *descriptorpb.DescriptorProto, words []string) error {
	field := &descriptorpb.FieldDescriptorProto{Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	switch words[0] {
	case "repeated":
		field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		words = words[1:]
	case "optional": // what a compiler makes of it: a group of one
		words = words[1:]
		field.Proto3Optional = proto.Bool(true)
		field.OneofIndex = proto.Int32(int32(len(message.OneofDecl)))
		message.OneofDecl = append(message.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: proto.String("_" + words[1])})
	}
	if len(words) != 4 || words[2] != "=" {
		return fmt.Errorf("want type name = number")
	}
	number, err := strconv.ParseInt(words[3], 10, 32)
	if err != nil {
		return err
	}
	field.Name, field.JsonName, field.Number = proto.String(words[1]), proto.String(words[1]), proto.Int32(int32(number))
	if kind, ok := descriptorpb.FieldDescriptorProto_Type_value["TYPE_"+strings.ToUpper(words[0])]; ok {
		field.Type = descriptorpb.FieldDescriptorProto_Type(kind).Enum()
	} else {
		field.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
		field.TypeName = proto.String(".troupe.layout." + words[0])
	}
	message.Field = append(message.Field, field)
	return nil
}
