package layout

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// Entries of delete markers are read back, lie in the order in which they came, and between
// their bounds; what is cut or changed is told from them.
func TestTombstoneJournal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		arrival, b, name := generations().Draw(t, "arrival"), bucketIDs().Draw(t, "bucket"), keyNames().Draw(t, "name")
		key := TombstoneKey(arrival, b, name)
		if a, id, n, err := ParseTombstoneKey(key); err != nil || a != arrival || id != b || n != name {
			t.Fatalf("%v %v %q: %v", a, id, n, err)
		}
		if id, err := ParseDroppedKey(DroppedKey(b)); err != nil || id != b {
			t.Fatal(id, err)
		}
		list := rapid.SliceOfN(generations(), 0, 4).Draw(t, "generations")
		value := AppendGenerations(nil, list...)
		if got, err := DecodeGenerations(value); err != nil || !slices.Equal(got, list) {
			t.Fatal(got, err)
		}
		for _, key := range [][]byte{key, DroppedKey(b), BootKey()} {
			if err := CheckTombstones(key, value); err != nil {
				t.Fatal(err)
			}
		}
		value[rapid.IntRange(0, len(value)-1).Draw(t, "byte")] ^= 0x40
		if err := CheckTombstones(key, value); !errs.Is(errs.Corrupt, err) {
			t.Fatal(err)
		}
		if err := CheckTombstones(key[:len(key)-len(name)-1], AppendGenerations(nil)); !errs.Is(errs.Corrupt, err) {
			t.Fatal(err)
		}
		other := generations().Draw(t, "other")
		after := func(g objects.Generation) bool {
			lower, upper := TombstoneBounds(g, objects.Generation{})
			return (lower != nil && bytes.Compare(key, lower) >= 0) && bytes.Compare(key, upper) < 0
		}
		if !other.IsZero() && after(other) != (arrival.Compare(other) > 0) {
			t.Fatalf("%v after %v", arrival, other)
		}
		if lower, upper := TombstoneBounds(objects.Generation{}, other); !other.IsZero() && (bytes.Compare(key, lower) >= 0 && bytes.Compare(key, upper) < 0) != (arrival.Compare(other) < 0) {
			t.Fatalf("%v before %v", arrival, other)
		}
	})
}

// The bytes of both journals do not change by accident: those of the page.
func TestTombstoneBytes(t *testing.T) {
	b := objects.BucketID{0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7}
	g := objects.Generation{Map: 1, Start: 7, Seq: 4711}
	for got, want := range map[string]string{
		fmt.Sprintf("%x", TombstoneKey(g, b, "cat")):    "7874000000000000000100000000000000070000000000001267b0b1b2b3b4b5b6b7636174",
		fmt.Sprintf("%x", DroppedKey(b)):                "7864b0b1b2b3b4b5b6b7",
		fmt.Sprintf("%x", AppendGenerations(nil, g)):    "01000000000000000100000000000000070000000000001267068d50be",
		fmt.Sprintf("%x", AppendGenerations(nil, g, g)): "0100000000000000010000000000000007000000000000126700000000000000010000000000000007000000000000126768946c92",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
