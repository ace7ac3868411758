package layout

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// A segment comes before its entries, they before the next segment, and of one name the
// newest arrival comes first, whatever the bytes of the name are.
func TestHistoryKeysSortAsWhatTheySay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.Uint64Range(0, 1<<63).Draw(t, "segment")
		a, b := identities().Draw(t, "a"), identities().Draw(t, "b")
		if rapid.Bool().Draw(t, "same bucket") {
			b.bucket = a.bucket
		}
		if rapid.Bool().Draw(t, "same name") {
			b.name = a.name
		}
		a.uploadID, a.part, b.uploadID, b.part = "", 0, "", 0
		keyA := MutationKey(nil, segment, a.bucket, a.name, a.generation)
		keyB := MutationKey(nil, segment, b.bucket, b.name, b.generation)
		if got, want := bytes.Compare(keyA, keyB), a.compare(b, true); got != want {
			t.Fatalf("%+v and %+v: keys compare %d, want %d", a, b, got, want)
		}
		if bytes.Compare(SegmentKey(nil, segment), keyA) >= 0 || bytes.Compare(keyA, SegmentKey(nil, segment+1)) >= 0 {
			t.Fatalf("% x is not within its segment", keyA)
		}
		lower, upper := MutationBounds(segment, a.bucket, a.name)
		within := bytes.Compare(keyB, lower) >= 0 && bytes.Compare(keyB, upper) < 0
		if want := a.bucket == b.bucket && a.name == b.name; within != want {
			t.Fatalf("the range of %+v holds %+v: %v, want %v", a, b, within, want)
		}
		lower, upper = HistoryBounds()
		if bytes.Compare(keyA, lower) < 0 || bytes.Compare(keyA, upper) >= 0 {
			t.Fatalf("% x is not history", keyA)
		}
	})
}

// What a key of the history says is read back, and a key of another kind is refused.
func TestHistoryKeysComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := identities().Draw(t, "identity")
		want := MutationPlace{Segment: rapid.Uint64().Draw(t, "segment"), Bucket: i.bucket, Name: i.name, Arrival: i.generation}
		key := MutationKey([]byte("before"), want.Segment, want.Bucket, want.Name, want.Arrival)[len("before"):]
		got, err := ParseMutationKey(key)
		if err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
		if segment, err := SegmentOf(key); err != nil || segment != want.Segment {
			t.Fatalf("segment %d, %v, want %d", segment, err, want.Segment)
		}
		if _, err := ParseSegmentKey(key); !errs.Is(errs.Corrupt, err) {
			t.Fatalf("an entry passes for a segment: %v", err)
		}
		head := SegmentKey(nil, want.Segment)
		if segment, err := ParseSegmentKey(head); err != nil || segment != want.Segment {
			t.Fatalf("segment %d, %v, want %d", segment, err, want.Segment)
		}
		if _, err := ParseMutationKey(head); !errs.Is(errs.Corrupt, err) {
			t.Fatalf("a segment passes for an entry: %v", err)
		}
		destroyed := DestroyedKey(nil, want.Bucket)
		if id, err := ParseDestroyedKey(destroyed); err != nil || id != want.Bucket {
			t.Fatalf("bucket %s, %v", id, err)
		}
		for _, other := range [][]byte{destroyed, TombstoneKey(want.Arrival, want.Bucket, want.Name), key[:len(key)-1], nil} {
			if _, err := ParseMutationKey(other); !errs.Is(errs.Corrupt, err) {
				t.Fatalf("% x is read as an entry: %v", other, err)
			}
		}
	})
}

// A check finds damage in each of the journals of the history, and nothing in others.
func TestCheckHistory(t *testing.T) {
	g := objects.Generation{Map: 1, Start: 2, Seq: 3}
	good := map[string][2][]byte{
		"entry":     {MutationKey(nil, 1, objects.BucketID{1}, "a", g), AppendMutation(nil, &objects.Mutation{Kind: 1})},
		"segment":   {SegmentKey(nil, 1), AppendSegment(nil, new(Segment))},
		"destroyed": {DestroyedKey(nil, objects.BucketID{1}), AppendDestroyed(nil, new(DestroyedBucket))},
		"another":   {TombstoneKey(g, objects.BucketID{1}, "a"), []byte("nonsense")},
	}
	for name, entry := range good {
		if err := CheckHistory(entry[0], entry[1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another" {
			continue
		}
		damaged := bytes.Clone(entry[1])
		damaged[len(damaged)-1] ^= 1
		if err := CheckHistory(entry[0], damaged); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s with a flipped bit: %v", name, err)
		}
		if err := CheckHistory(append(bytes.Clone(entry[0]), 1), entry[1]); !errs.Is(errs.Corrupt, err) {
			t.Errorf("%s with a longer key: %v", name, err)
		}
	}
}

// What a newer version may write of kinds, causes and fields is read, and shown as what
// it is not known to be.
func TestUnknownMutationsAreShown(t *testing.T) {
	b := AppendMutation(nil, &objects.Mutation{Kind: 77, Size: 5, Origin: objects.Origin{Cause: 78}})
	b = seal(append(b[:len(b)-crcBytes], 0xfa, 0x01, 3, 'n', 'e', 'w'), 0) // field 31, bytes
	m, err := DecodeMutation(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind.String() != "unknown (77)" || m.Cause.String() != "unknown (78)" || m.Size != 5 {
		t.Fatalf("%s because of %s, %d bytes", m.Kind, m.Cause, m.Size)
	}
	if kind := objects.MutationPut.String(); kind != "put" { // the control
		t.Fatal(kind)
	}
}
