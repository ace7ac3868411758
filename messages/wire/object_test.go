package wire

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/errs"
)

// set gives every field of a struct a value that is not zero, whatever it is. A field
// that somebody adds is set, too, and the test fails until it crosses nodes.
func set(t *testing.T, v reflect.Value, but ...string) {
	t.Helper()
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if strings.Contains(strings.Join(but, " "), name) {
			continue
		}
		switch field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(time.Date(1987, 6, 5, 4, 3, 2, 1, time.UTC)))
			continue
		case []checksum.Value:
			field.Set(reflect.ValueOf([]checksum.Value{{Algorithm: checksum.SHA1, Type: checksum.Composite, Parts: 3, Sum: "\x00\xff"}, {Algorithm: checksum.CRC32, Sum: "abcd"}}))
			continue
		case []objects.Pair:
			field.Set(reflect.ValueOf([]objects.Pair{{Name: "b", Value: "\xff"}, {Name: "a", Value: ""}, {Name: "", Value: name}}))
			continue
		case *objects.Slicing:
			field.Set(reflect.ValueOf(&objects.Slicing{
				Data: 32, Parity: 2, CellBytes: 65536, Whole: true, Members: []objects.Member{{Node: 1 << 63, Index: 0, Holds: true}, {Node: 7, Index: 33}},
			}))
			continue
		case *int64:
			field.Set(reflect.ValueOf(new(int64))) // zero is something else than nothing
			continue
		}
		switch field.Kind() {
		case reflect.Struct:
			set(t, field)
		case reflect.Bool:
			field.SetBool(true)
		case reflect.String:
			field.SetString(name + "\xff\x00")
		case reflect.Uint8, reflect.Uint64:
			field.SetUint(uint64(3 + i))
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(1000 + i))
		default:
			t.Fatalf("no value for %s %s", name, field.Type())
		}
	}
}

// crossed sends a message and returns what arrives.
func crossed[M Message](t *testing.T, m M) M {
	t.Helper()
	b, err := Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	read := m.ProtoReflect().New().Interface().(M)
	if err := Decode(b, read); err != nil {
		t.Fatal(err)
	}
	return read
}

// Every field of what crosses nodes arrives as it was sent: all of them set, and none.
func TestValuesCross(t *testing.T) {
	same := func(sent, arrived any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(sent, arrived) {
			t.Errorf("%v\nsent    %+v\narrived %+v", err, sent, arrived)
		}
	}
	for _, full := range []bool{false, true} {
		var meta objects.Meta
		var part objects.Part
		var upload objects.Upload
		var conditions objects.Conditions
		var entry objects.HistoryEntry
		if full {
			set(t, reflect.ValueOf(&entry).Elem(), "Bucket")
			entry.Bucket = objects.BucketID{1, 2, 3, 4, 5, 6, 7, 0xff}
			set(t, reflect.ValueOf(&meta).Elem(), "Inode", "Birth")
			set(t, reflect.ValueOf(&part).Elem())
			set(t, reflect.ValueOf(&upload).Elem())
			set(t, reflect.ValueOf(&conditions).Elem())
		}
		gotMeta, err := crossed(t, RecordOf(&meta)).Meta()
		same(&meta, gotMeta, err)
		gotParts, err := Parts(crossed(t, &ShowAnswer{Parts: PartsOf([]objects.Part{part, part})}).Parts)
		same([]objects.Part{part, part}, gotParts, err)
		gotUpload, err := crossed(t, UploadOf(&upload)).Value()
		same(upload, gotUpload, err)
		gotEntry, err := crossed(t, MutationOf(&entry, "path")).Entry()
		same(entry, gotEntry, err)
		same(entry.Origin, crossed(t, &DropQuestion{Origin: OriginOf(&entry.Origin)}).Origin.Value(), nil)
		same(conditions, crossed(t, &KeyQuestion{Conditions: ConditionsOf(&conditions)}).Conditions.Value(), nil)
	}
	none, err := (*Record)(nil).Meta()
	same((*objects.Meta)(nil), none, err)
	far := objects.Conditions{IfModifiedSince: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), IfUnmodifiedSince: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)}
	same(far, crossed(t, ConditionsOf(&far)).Value(), nil)
}

// What names a file of one node's disk does not leave it.
func TestFilesStay(t *testing.T) {
	got, err := crossed(t, RecordOf(&objects.Meta{Inode: 5, Birth: 6, Size: 7})).Meta()
	if err != nil || got.Inode != 0 || got.Birth != 0 || got.Size != 7 {
		t.Errorf("%v: %+v", err, got)
	}
}

// Numbers that a value cannot hold are refused, not cut off.
func TestNumbersAreChecked(t *testing.T) {
	for _, r := range []*Record{
		{Size: -1}, {Where: 256}, {PartCount: -1}, {PartCount: math.MaxInt32 + 1}, {PartSize: -1},
		{Checksums: []*Checksum{{Algorithm: 256}}}, {Checksums: []*Checksum{{Type: 256}}}, {Checksums: []*Checksum{{Parts: -1}}},
		{Slicing: &Slicing{}}, {Slicing: &Slicing{Data: 33, Parity: 1, CellBytes: 1}}, {Slicing: &Slicing{Data: 1, Parity: 1, CellBytes: 1 << 31}},
		{Slicing: &Slicing{Data: 1, Parity: 1, CellBytes: 1, Members: make([]byte, 9)}}, {Slicing: &Slicing{Data: 1, Parity: 1, CellBytes: 1, Members: []byte("\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00")}},
	} {
		if m, err := r.Meta(); err == nil {
			t.Errorf("%v was read as %+v", r, m)
		}
	}
	for _, p := range []*Part{{Number: -1}, {Size: -1}, {Checksums: []*Checksum{{Algorithm: 256}}}} {
		if m, err := Parts([]*Part{p}); err == nil {
			t.Errorf("%v was read as %+v", p, m)
		}
	}
	for _, m := range []*Mutation{{Bucket: make([]byte, 7)}, {Bucket: make([]byte, 8), Kind: 256}} {
		if e, err := m.Entry(); err == nil {
			t.Errorf("%v was read as %+v", m, e)
		}
	}
	if o := (&Origin{Cause: 256, Request: []byte("r")}).Value(); o.Cause != 0 || o.Request != "r" {
		t.Errorf("a cause that is no number of ours: %+v", o)
	}
	if id, err := (&About{Id: make([]byte, 7)}).BucketID(); err == nil {
		t.Errorf("7 bytes were read as %s", id)
	}
	if kind := (&Failure{Kind: 1 << 20}).ErrorKind(); kind != errs.Internal {
		t.Errorf("a kind of failure that nobody knows is %s", kind)
	}
}

// Kinds of failures go between nodes by their numbers, and nodes may be of different
// versions: a new kind comes after the last.
func TestKindsKeepTheirNumbers(t *testing.T) {
	for number, name := range map[errs.Kind]string{
		0: "internal error", 1: errs.NotFound.String(), 2: errs.Exists.String(), 3: errs.Denied.String(), 4: errs.Invalid.String(), 5: errs.Busy.String(), 6: errs.NoSpace.String(),
		7: errs.Offline.String(), 8: errs.Corrupt.String(), 9: errs.Canceled.String(), 10: errs.Conflict.String(), 11: errs.IO.String(),
	} {
		if number != 0 && number.String() != name {
			t.Errorf("%d is %s, it was %s", number, number, name)
		}
		if got := (&Failure{Kind: uint32(number)}).ErrorKind(); got != number {
			t.Errorf("%d arrives as %d", number, got)
		}
	}
	if errs.IO != 11 {
		t.Errorf("the last kind is %d by now: ErrorKind and this table want the new one", errs.IO)
	}
}
