package layout

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/allocation"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Values come from disks, and disks invent. Every Decode and Parse function
// takes any bytes: no panic, no memory out of proportion, and what it accepts it
// also writes. Most damage stops at the CRC, so the targets make it right: what
// is behind it must hold by itself.

// memoryBase bounds what decoding allocates for the smallest input: the value, an
// error.
const memoryBase = 4 << 10

// checkMemory fails if decode allocates more than allocation.Factor and memoryBase
// allow.
func checkMemory(t *testing.T, input int, decode func()) {
	t.Helper()
	allocation.Check(t, input, memoryBase, decode)
}

func FuzzDecode(f *testing.F) {
	all := forms()
	for i, form := range all {
		for seed := range 4 {
			f.Add(uint8(i), form.encode(form.any.Example(seed)))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		form := all[int(which)%len(all)]
		try := func(b []byte) {
			var value any
			var err error
			checkMemory(t, len(b), func() { value, err = form.decode(b) })
			if err != nil {
				if kind := errs.KindOf(err); kind != errs.Corrupt && kind != errs.Internal {
					t.Fatalf("kind %v: %v", kind, err)
				}
				return
			}
			again, err := form.decode(form.encode(value))
			if err != nil || !reflect.DeepEqual(again, value) {
				t.Fatalf("%v\nread    %+v\nwritten %+v", err, value, again)
			}
		}
		try(b)
		if form.wire {
			try(seal(append([]byte{form.newest}, b...), 0))
			if len(b) >= frameBytes {
				try(seal(bytes.Clone(b[:len(b)-crcBytes]), 0))
			}
		}
	})
}

// A manifest's times and headers may be written in ways that we do not write
// them; FuzzDecode covers its decoding, this one what a CRC would hide there.
func FuzzDecodeDocument(f *testing.F) {
	for _, form := range forms() {
		if !form.wire {
			b := form.encode(form.any.Example(1))
			f.Add(b[4 : bytes.LastIndex(b, []byte(crcMember))-4])
		}
	}
	f.Add([]byte(`"version": 1, "parts": [{}]`))
	f.Fuzz(func(t *testing.T, members []byte) {
		b := closeDocument(string(members))
		checkMemory(t, len(b), func() {
			if m, err := DecodeManifest(b); (m == nil) != (err != nil) {
				t.Errorf("%+v with error %v", m, err)
			}
		})
		checkMemory(t, len(b), func() {
			if format, err := DecodeFormat(b); (format == nil) != (err != nil) {
				t.Errorf("%+v with error %v", format, err)
			}
		})
	})
}

func FuzzDecodeEntry(f *testing.F) {
	for seed := range 8 {
		b := AppendRecord(nil, metas().Example(seed))
		f.Add(b[1 : len(b)-crcBytes])
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		b := seal(append([]byte{ValueVersion}, fields...), 0)
		var entry objects.Meta
		var err error
		checkMemory(t, len(b), func() { err = DecodeEntry(b, &entry) })
		m, recordErr := DecodeRecord(b)
		if recordErr == nil && (err != nil || !reflect.DeepEqual(&entry, entryOf(m))) {
			t.Fatalf("%v\nentry  %+v\nrecord %+v", err, entry, m)
		}
		if err != nil && !reflect.DeepEqual(entry, objects.Meta{}) {
			t.Fatalf("%v left %+v behind", err, entry)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, form := range keyForms() {
		for seed := range 4 {
			f.Add(form.append(nil, form.only(identities().Example(seed))))
		}
	}
	for seed := range 4 {
		i := identities().Example(seed)
		f.Add(MutationKey(nil, uint64(seed), i.bucket, i.name, i.generation))
		f.Add(SegmentKey(nil, uint64(seed)))
		f.Add(DestroyedKey(nil, i.bucket))
	}
	all := keyForms()
	f.Fuzz(func(t *testing.T, key []byte) {
		ObjectName(key)
		checkMemory(t, len(key), func() {
			if p, err := ParseMutationKey(key); err == nil && !bytes.Equal(MutationKey(nil, p.Segment, p.Bucket, p.Name, p.Arrival), key) {
				t.Errorf("% x reads as %+v", key, p)
			}
		})
		if segment, err := ParseSegmentKey(key); err == nil && !bytes.Equal(SegmentKey(nil, segment), key) {
			t.Errorf("% x reads as segment %d", key, segment)
		}
		if bucket, err := ParseDestroyedKey(key); err == nil && !bytes.Equal(DestroyedKey(nil, bucket), key) {
			t.Errorf("% x reads as bucket %s", key, bucket)
		}
		for _, form := range all {
			var i identity
			var err error
			checkMemory(t, len(key), func() { i, err = form.parse(key) })
			if err != nil {
				if !errs.Is(errs.Corrupt, err) {
					t.Fatalf("%v, want corrupt", err)
				}
				continue
			}
			// A key has one spelling: two keys never mean one thing.
			if again := form.append(nil, i); !bytes.Equal(again, key) {
				t.Fatalf("% x reads as %+v, which is written % x", key, i, again)
			}
		}
	})
}

func FuzzParsePartName(f *testing.F) {
	f.Add("3.1-7-9")
	f.Add("10000.ffffffffffffffff-0-1")
	f.Fuzz(func(t *testing.T, name string) {
		var number int
		var payload objects.Generation
		var err error
		checkMemory(t, len(name), func() { number, payload, err = ParsePartName(name) })
		if err == nil && PartName(number, payload) != name {
			t.Fatalf("%q reads as part %d of %v", name, number, payload)
		}
	})
}

func FuzzParseSliceName(f *testing.F) {
	f.Add("1-7-9.00")
	f.Add("ffffffffffffffff-0-1.whole")
	f.Fuzz(func(t *testing.T, name string) {
		var payload objects.Generation
		var index uint8
		var err error
		checkMemory(t, len(name), func() { payload, index, err = ParseSliceName(name) })
		if err == nil && SliceName(payload, index) != name {
			t.Fatalf("%q reads as slice %d of %v", name, index, payload)
		}
	})
}

func FuzzPaths(f *testing.F) {
	for _, name := range []string{"a/b", "..", "/a", "a//b", EscapeDir + "/x", "\x00"} {
		f.Add("photos", name)
		f.Add("..", name)
	}
	f.Fuzz(func(t *testing.T, bucket, name string) {
		b := objects.Bucket{Provider: objects.ProviderAIS, Name: bucket}
		checkMemory(t, len(bucket)+len(name), func() { EscapedPath(b, name); UploadDir(name); NaturalPath(b, name) })
		escaped := EscapedPath(b, name)
		checkPath(t, escaped)
		checkPath(t, UploadDir(name))
		if natural, ok := NaturalPath(b, name); ok {
			checkPath(t, natural)
			if natural != BucketDir(b)+"/"+name || natural == escaped {
				t.Fatalf("%q, %q", natural, escaped)
			}
		}
	})
}
