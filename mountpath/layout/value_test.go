package layout

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/checksum"
	"github.com/troupe-storage/troupe/objects/erasure"
	"github.com/troupe-storage/troupe/objects/errs"
)

// form is one kind of value on disk, so that each test below covers all of them.
type form struct {
	name   string
	any    *rapid.Generator[any]
	encode func(any) []byte
	decode func([]byte) (any, error)
	newest byte // version that is known
	wire   bool // a version byte, fields and a CRC; else a JSON document
}

func forms() []form {
	return []form{
		wireForm("Record", metas(), AppendRecord, DecodeRecord),
		wireForm("Part", parts(), AppendPart, DecodePart),
		wireForm("Upload", uploads(), AppendUpload, DecodeUpload),
		wireForm("Intent", intents(), AppendIntent, DecodeIntent),
		wireForm("Reclaim", reclaims(), AppendReclaim, DecodeReclaim),
		wireForm("Attribute", attributes(), AppendAttribute, DecodeAttribute),
		wireForm("Mutation", mutations(), AppendMutation, DecodeMutation),
		wireForm("Segment", segments(), AppendSegment, DecodeSegment),
		wireForm("DestroyedBucket", destroyedBuckets(), AppendDestroyed, DecodeDestroyed),
		wireForm("Scrub", scrubs(), AppendScrub, DecodeScrub),
		wireForm("ScrubRange", scrubRanges(), AppendScrubRange, DecodeScrubRange),
		wireForm("Damage", damages(), AppendDamage, DecodeDamage),
		wireForm("Parts",
			listsOf(rapid.Map(parts(), func(p *objects.Part) objects.Part { return *p })), AppendParts, DecodeParts),
		documentForm("Format", formats(), EncodeFormat, DecodeFormat),
		documentForm("Manifest", manifests(), EncodeManifest, DecodeManifest),
		documentForm("Sidecar", sidecars(), EncodeSidecar, DecodeSidecar),
		documentForm("Rebuild", rebuilds(), EncodeRebuild, DecodeRebuild),
	}
}

func wireForm[T any](name string, g *rapid.Generator[T], encode func([]byte, T) []byte, decode func([]byte) (T, error)) form {
	newest := byte(ValueVersion)
	if name == "Record" || name == "Upload" {
		newest = SlicedVersion
	}
	return form{
		name: name, wire: true, newest: newest, any: g.AsAny(),
		encode: func(v any) []byte { return encode(nil, v.(T)) },
		decode: func(b []byte) (any, error) { return decode(b) },
	}
}

func documentForm[T any](name string, g *rapid.Generator[T], encode func(T) ([]byte, error), decode func([]byte) (T, error)) form {
	return form{
		name: name, any: g.AsAny(),
		encode: func(v any) []byte {
			b, err := encode(v.(T))
			if err != nil {
				panic(err)
			}
			return b
		},
		decode: func(b []byte) (any, error) { return decode(b) },
	}
}

func eachForm(t *testing.T, test func(t *testing.T, f form)) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) { test(t, f) })
	}
}

// Nothing that is stored is lost or changed, and a value says nothing about the
// buffer it is appended to or read from.
func TestValuesComeBackWhole(t *testing.T) {
	eachForm(t, func(t *testing.T, f form) {
		rapid.Check(t, func(t *rapid.T) {
			want := f.any.Draw(t, "value")
			b := f.encode(want)
			got, err := f.decode(b)
			if err != nil {
				t.Fatalf("%v\n% x", err, b)
			}
			clear(b) // the buffer dies; the value must not
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		})
	})
}

// A value is appended: what is before it stays, and is not part of its CRC.
func TestValuesAreAppended(t *testing.T) {
	m := sampleMeta()
	want := AppendRecord(nil, m)
	if got := AppendRecord([]byte("before"), m); string(got) != "before"+string(want) {
		t.Fatalf("after other bytes: %x", got)
	}
}

// One flipped bit anywhere in any value is found. The control: without the flip
// the same bytes are accepted.
func TestEveryFlippedBitIsFound(t *testing.T) {
	eachForm(t, func(t *testing.T, f form) {
		values := []any{golden()[strings.ToLower(f.name)]}
		if f.wire { // documents are read 10 times slower, and one has every member
			for seed := range 8 {
				values = append(values, f.any.Example(seed))
			}
		}
		for i, value := range values {
			b := f.encode(value)
			if _, err := f.decode(b); err != nil {
				t.Fatalf("control: value %d: %v", i, err)
			}
			for bit := range len(b) * 8 {
				b[bit/8] ^= 1 << (bit % 8)
				if got, err := f.decode(b); err == nil {
					t.Fatalf("value %d: bit %d of % x went unnoticed: %+v", i, bit, b, got)
				} else if f.wire && !errs.Is(errs.Corrupt, err) {
					t.Fatalf("value %d: bit %d: %v, want corrupt", i, bit, err)
				}
				b[bit/8] ^= 1 << (bit % 8)
			}
		}
	})
}

// The CRC is what finds them: with it made right again, some flips are values.
// Without this control the test above could pass for the wrong reason.
func TestFlippedBitsWithoutTheCRCWouldPass(t *testing.T) {
	b := AppendRecord(nil, sampleMeta())
	accepted := 0
	for bit := 8; bit < (len(b)-crcBytes)*8; bit++ {
		damaged := bytes.Clone(b[:len(b)-crcBytes])
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := DecodeRecord(seal(damaged, 0)); err == nil {
			accepted++
		}
	}
	if accepted < len(b) {
		t.Fatalf("only %d flips of %d bytes make another value: the fields alone find nearly all", accepted, len(b))
	}
}

// A value that was cut short is found at every length, and so is one with more
// behind it.
func TestCutAndPaddedValuesAreFound(t *testing.T) {
	eachForm(t, func(t *testing.T, f form) {
		b := f.encode(f.any.Example(3))
		for n := range len(b) {
			if _, err := f.decode(b[:n]); !errs.Is(errs.Corrupt, err) {
				t.Fatalf("cut to %d of %d bytes: %v", n, len(b), err)
			}
		}
		if _, err := f.decode(append(bytes.Clone(b), 0)); !errs.Is(errs.Corrupt, err) {
			t.Fatalf("one byte more: %v", err)
		}
	})
}

// A newer binary may add fields: an older one passes over them, whatever their
// wire type, at the front and at the end. The control: the same bytes under the
// number of a known field change the value or fail.
func TestUnknownFieldsArePassedOver(t *testing.T) {
	const unknown protowire.Number = 1000
	add := func(b []byte, n protowire.Number) []byte {
		b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), 1<<63)
		b = protowire.AppendFixed32(protowire.AppendTag(b, n, protowire.Fixed32Type), 7)
		b = protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), 7)
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), []byte("later"))
		b = protowire.AppendTag(b, n, protowire.StartGroupType)
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), 1)
		return protowire.AppendTag(b, n, protowire.EndGroupType)
	}
	eachForm(t, func(t *testing.T, f form) {
		if !f.wire {
			return // documents: TestDocumentsPassOverUnknownMembers
		}
		for seed := range 20 {
			want := f.any.Example(seed)
			b := f.encode(want)
			fields := b[1 : len(b)-crcBytes]
			newer := func(n protowire.Number) []byte {
				return seal(add(append(add([]byte{b[0]}, n), fields...), n), 0)
			}
			got, err := f.decode(newer(unknown))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %v\ngot  %+v\nwant %+v", seed, err, got, want)
			}
			if got, err := f.decode(newer(1)); err == nil && reflect.DeepEqual(got, want) {
				t.Fatalf("control: seed %d: field 1 was passed over too", seed)
			}
		}
	})
}

// Unknown fields inside nested messages are passed over as well: headers,
// checksums and keys will grow.
func TestUnknownNestedFieldsArePassedOver(t *testing.T) {
	nested := func(field protowire.Number, fields []byte) []byte {
		extra := protowire.AppendString(protowire.AppendTag(nil, 500, protowire.BytesType), "later")
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), append(extra, fields...))
	}
	name := appendText(nil, pairName, "n")
	draft := append(nested(draftUser, name), nested(draftHeaders, appendText(nil, headersContentType, "text/plain"))...)
	b := append([]byte{ValueVersion}, nested(recordDraft, draft)...)
	b = append(b, nested(recordChecksums, appendUint(nil, checksumAlgorithm, 2))...)
	m, err := DecodeRecord(seal(b, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := &objects.Meta{
		Checksums: []checksum.Value{{Algorithm: checksum.CRC32C}},
		Draft:     objects.Draft{User: []objects.Pair{{Name: "n"}}, Headers: objects.Headers{ContentType: "text/plain"}},
	}
	if !reflect.DeepEqual(m, want) {
		t.Fatalf("got  %+v\nwant %+v", m, want)
	}
	i, err := DecodeIntent(seal(append([]byte{ValueVersion}, nested(intentKey, appendText(nil, keyName, "n"))...), 0))
	if err != nil || i.Key.Name != "n" {
		t.Fatalf("%+v, %v", i, err)
	}
}

// A whole value of a version to come is not damage: nobody may quarantine it.
func TestNewerVersionIsNotCorruption(t *testing.T) {
	eachForm(t, func(t *testing.T, f form) {
		if !f.wire {
			return // documents: TestFormatOfANewerVersionNamesBoth
		}
		b := f.encode(f.any.Example(1))
		b[0] = f.newest + 1
		_, err := f.decode(seal(b[:len(b)-crcBytes], 0))
		if !errors.Is(err, ErrNewer) || errs.Is(errs.Corrupt, err) {
			t.Fatalf("got %v, want ErrNewer", err)
		}
		if !strings.Contains(err.Error(), fmt.Sprint("version ", f.newest+1)) || !strings.Contains(err.Error(), fmt.Sprint("reads ", f.newest)) {
			t.Fatalf("%q does not name both versions", err)
		}
	})
}

// A record or upload with a slicing is of a version that a binary from before must not read,
// and says so; without one it is of the version that it always was.
func TestOnlyWhatIsSlicedIsNewer(t *testing.T) {
	s := &objects.Slicing{Data: 3, Parity: 2, CellBytes: 65536}
	g := objects.Generation{Map: 1, Start: 2, Seq: 3}
	for name, test := range map[string]struct {
		value []byte
		want  byte
	}{
		"sliced record": {AppendRecord(nil, &objects.Meta{Slicing: s}), SlicedVersion}, "sliced upload": {AppendUpload(nil, &objects.Upload{Slicing: s}), SlicedVersion},
		"record": {AppendRecord(nil, sampleMeta()), ValueVersion}, "marker that follows": {AppendRecord(nil, &objects.Meta{Deleted: true, Follows: g}), ValueVersion},
		"upload": {AppendUpload(nil, new(objects.Upload)), ValueVersion},
	} {
		if test.value[0] != test.want {
			t.Errorf("a %s is of version %d, want %d", name, test.value[0], test.want)
		}
		// A binary of before knows version 1 only.
		if _, err := openValue("before", ValueVersion, test.value); errors.Is(err, ErrNewer) != (test.want == SlicedVersion) {
			t.Errorf("a %s, to a binary of before: %v", name, err)
		}
	}
	var entry objects.Meta
	if err := DecodeEntry(AppendRecord(nil, &objects.Meta{Size: 5, Slicing: s, Follows: g}), &entry); err != nil || entry.Size != 5 || entry.Slicing != nil {
		t.Errorf("%v: %+v", err, entry)
	}
}

// What says of slices what cannot be is corrupt, although its CRC is right.
func TestSlicesThatCannotBe(t *testing.T) {
	form := erasure.Form{Data: 2, Parity: 1, CellBytes: 65536}
	for want, value := range map[string][]byte{
		"0 slices of data":   AppendRecord(nil, &objects.Meta{Slicing: &objects.Slicing{Parity: 1, CellBytes: 1}}),
		"cells of 0 bytes":   AppendRecord(nil, &objects.Meta{Slicing: &objects.Slicing{Data: 1, Parity: 1}}),
		"slice 3 of 3":       AppendRecord(nil, &objects.Meta{Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 1, Members: []objects.Member{{Index: 3}}}}),
		"is out of order":    AppendRecord(nil, &objects.Meta{Slicing: &objects.Slicing{Data: 2, Parity: 1, CellBytes: 1, Members: []objects.Member{{Index: 1}, {}}}}),
		"members of 9 bytes": seal(append([]byte{SlicedVersion}, appendText(nil, recordSlicing, "\x08\x02\x10\x01\x18\x01\x2a\x09123456789")...), 0),
	} {
		if _, err := DecodeRecord(value); !errs.Is(errs.Corrupt, err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for want, a := range map[string]*Attribute{
		"slice 4 of 3":            {Form: form, Index: 4},
		"sums of 2 slices of 3":   {Form: form, Sums: make([]uint64, 2)},
		"cells of 1 bytes, 16 to": {Form: erasure.Form{Data: 2, Parity: 1, CellBytes: 1}},
	} {
		if _, err := DecodeAttribute(AppendAttribute(nil, a)); !errs.Is(errs.Corrupt, err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := DecodeAttribute(seal(appendSums([]byte{ValueVersion}, attributeSums, []uint64{1}), 0)); !errs.Is(errs.Corrupt, err) {
		t.Errorf("sums without a form: %v", err)
	}
}

// Fields of the wrong form are refused rather than guessed: with a right CRC
// they were written by something that is not Troupe.
func TestFieldsOfTheWrongFormAreRefused(t *testing.T) {
	for name, fields := range map[string][]byte{
		"short generation": protowire.AppendBytes(protowire.AppendTag(nil, recordGeneration, protowire.BytesType), make([]byte, 23)),
		"generation as a number": protowire.AppendVarint(
			protowire.AppendTag(nil, recordGeneration, protowire.VarintType), 1),
		"where above 255": appendUint(nil, recordWhere, 256),
		"size as text":    appendText(nil, recordSize, "12"),
		"length beyond the end": append(
			protowire.AppendTag(nil, recordETag, protowire.BytesType), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"cut number":      protowire.AppendTag(nil, recordSize, protowire.VarintType),
		"cut fixed":       append(protowire.AppendTag(nil, recordXXHash, protowire.Fixed64Type), 1, 2, 3),
		"field 0":         {0x00, 0x01},
		"group not ended": protowire.AppendTag(nil, 900, protowire.StartGroupType),
		"draft of garbage": protowire.AppendBytes(
			protowire.AppendTag(nil, recordDraft, protowire.BytesType), []byte{0xff}),
	} {
		b := seal(append([]byte{ValueVersion}, fields...), 0)
		if m, err := DecodeRecord(b); !errs.Is(errs.Corrupt, err) || m != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// Entries and records say the same: a listing shows what a GET would.
func TestEntryIsPartOfTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := AppendRecord(nil, metas().Draw(t, "record"))
		m, err := DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		entry := *m // what was in it before must not shine through
		if err := DecodeEntry(b, &entry); err != nil {
			t.Fatal(err)
		}
		clear(b)
		if want := entryOf(m); !reflect.DeepEqual(&entry, want) {
			t.Fatalf("got  %+v\nwant %+v", &entry, want)
		}
	})
}

// entryOf is what DecodeEntry promises of a record.
func entryOf(m *objects.Meta) *objects.Meta {
	e := &objects.Meta{Generation: m.Generation, Deleted: m.Deleted, Unsettled: m.Unsettled, Size: m.Size, ETag: m.ETag, Modified: m.Modified}
	e.Class, e.VersionID = m.Class, m.VersionID
	for _, v := range m.Checksums {
		e.Checksums = append(e.Checksums, checksum.Value{Algorithm: v.Algorithm, Type: v.Type})
	}
	return e
}

// A damaged entry is not listed, and leaves nothing behind.
func TestDamagedEntryIsRefused(t *testing.T) {
	b := AppendRecord(nil, sampleMeta())
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		m := *sampleMeta()
		if err := DecodeEntry(b, &m); !errs.Is(errs.Corrupt, err) || !reflect.DeepEqual(m, objects.Meta{}) {
			t.Fatalf("bit %d: %+v, %v", bit, m, err)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	var m objects.Meta
	if err := DecodeEntry(b, &m); err != nil {
		t.Fatalf("control: %v", err)
	}
}

// A page of a listing is a thousand entries: each costs two allocations at most.
func TestEntryAllocatesLittle(t *testing.T) {
	m := sampleMeta()
	m.VersionID = "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"
	b := AppendRecord(nil, m)
	var entry objects.Meta
	if n := testing.AllocsPerRun(100, func() {
		if err := DecodeEntry(b, &entry); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Fatalf("%v allocations, at most 2", n)
	}
}

// Times that nanoseconds cannot hold become the nearest that they can, not
// another century.
func TestExtremeTimesAreClamped(t *testing.T) {
	for _, c := range []struct{ in, want time.Time }{
		{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 1<<63-1).UTC()},
		{time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, -1<<63).UTC()},
		{time.Date(2026, 1, 1, 1, 0, 0, 5, time.FixedZone("", 3600)), time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)},
	} {
		m, err := DecodeRecord(AppendRecord(nil, &objects.Meta{Modified: c.in}))
		if err != nil || !m.Modified.Equal(c.want) {
			t.Errorf("%v: %v, %v; want %v", c.in, m.Modified, err, c.want)
		}
	}
}

// An attribute of the longest legal key fits, with every field at its longest,
// and AttributeFits knows its limit.
func TestAttributeOfTheLongestKeyFits(t *testing.T) {
	a := largestAttribute()
	b := AppendAttribute(nil, a)
	if !AttributeFits(b) || len(b) > MaxAttributeBytes/2 {
		t.Fatalf("%d bytes; the comment of AttributeFits promises less than half of %d", len(b), MaxAttributeBytes)
	}
	longest := &objects.Draft{User: []objects.Pair{{Name: "n"}}}
	for DraftFits(longest) {
		longest.User[0].Value += "v"
	}
	a.CarryDraft(longest)
	if !a.Sidecar || a.Draft != nil {
		t.Errorf("a draft of %d bytes is carried", len(appendDraft(nil, attributeDraft, longest)))
	}
	longest.User[0].Value = longest.User[0].Value[1:]
	a.CarryDraft(longest)
	if b := AppendAttribute(nil, a); a.Sidecar || a.Draft != longest || !AttributeFits(b) {
		t.Errorf("with the longest draft that it carries, the attribute has %d bytes", len(b))
	}
	// Of the widest form, too: then the draft goes to the sidecar earlier.
	a.Form, a.Sums = erasure.FormOf(erasure.MaxData, erasure.MaxParity), make([]uint64, erasure.MaxSlices)
	a.CarryDraft(longest)
	if b := AppendAttribute(nil, a); !a.Sidecar || !AttributeFits(b) {
		t.Errorf("beside 64 sums, the attribute has %d bytes; a sidecar has the draft: %v", len(b), a.Sidecar)
	}
	a.Key.Name = a.Key.Name[:100]
	a.CarryDraft(longest)
	if b := AppendAttribute(nil, a); a.Sidecar || !AttributeFits(b) {
		t.Errorf("beside 64 sums and a short name, the attribute has %d bytes; a sidecar has the draft: %v", len(b), a.Sidecar)
	}
	for n, want := range map[int]bool{3 << 10: true, 3<<10 + 1: false} { // 3 KiB: see MaxAttributeBytes
		if AttributeFits(make([]byte, n)) != want {
			t.Errorf("an attribute of %d bytes fits: %v", n, !want)
		}
	}
}

func largestAttribute() *Attribute {
	most := objects.Generation{Map: 1<<64 - 1, Start: 1<<64 - 1, Seq: 1<<64 - 1}
	a := &Attribute{
		Key: objects.Key{
			Bucket: objects.Bucket{
				ID: objects.BucketID{1, 2, 3, 4, 5, 6, 7, 8}, Provider: "azure",
				Namespace: strings.Repeat("u", 32) + "#" + strings.Repeat("n", 64), Name: strings.Repeat("b", 64),
			},
			Name: strings.Repeat("n", objects.MaxNameBytes),
		},
		Payload: most, Size: 1<<63 - 1, XXHash: 1<<64 - 1, ETag: strings.Repeat("e", 32) + "-10000",
		PartNumber: 10_000, UploadID: strings.Repeat("f", 32), SupersededBy: most, ByMarker: true,
		Modified: time.Unix(0, 1<<63-1), Sidecar: true, Wanted: checksum.Wanted{Algorithm: checksum.SHA256, Type: checksum.Composite},
		Initiated: time.Unix(0, 1<<63-1),
	}
	for _, algorithm := range checksum.Algorithms() {
		a.Checksums = append(a.Checksums, checksum.Value{
			Algorithm: algorithm, Type: checksum.Composite, Parts: 10_000, Sum: strings.Repeat("s", algorithm.Size()),
		})
	}
	return a
}

// sampleMeta is a record as an S3 client makes it.
func sampleMeta() *objects.Meta {
	return &objects.Meta{
		Generation: objects.Generation{Map: 1, Start: 7, Seq: 4711},
		Payload:    objects.Generation{Map: 1, Start: 7, Seq: 4710},
		Where:      objects.File,
		Inode:      1234567,
		Birth:      1_700_000_000_123_456_789,
		Size:       3 << 20,
		XXHash:     0x9f2c11d041aa03be,
		ETag:       "9e107d9d372bb6826bd81d3542a419d6",
		Checksums:  []checksum.Value{{Algorithm: checksum.CRC64NVME, Sum: "\x01\x02\x03\x04\x05\x06\x07\x08"}},
		Modified:   time.Unix(1_700_000_001, 987_654_321).UTC(),
		Draft: objects.Draft{
			Headers: objects.Headers{ContentType: "image/jpeg", CacheControl: "max-age=3600"},
			User:    []objects.Pair{{Name: "camera", Value: "Leica M6"}, {Name: "place", Value: "Köln"}},
			Tags:    []objects.Pair{{Name: "project", Value: "archive"}},
			Class:   objects.Synced,
		},
	}
}
