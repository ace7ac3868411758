package placement

import (
	"fmt"
	"slices"
	"testing"

	"github.com/OneOfOne/xxhash"
	"pgregory.net/rapid"

	"github.com/troupe-storage/troupe/objects"
)

// All numbers in this file were computed by a program of its own (Python,
// xxHash64 and the mix written out from their specifications and checked against
// xxHash's published vectors). They are an on-disk format: a change here means
// that every node looks for every object in another place.

func TestMixVectors(t *testing.T) {
	for x, want := range map[uint64]uint64{
		0x0000000000000000: 0x1a70a846bd9cc2a9,
		0x0000000000000001: 0xc5883e370b0926c3,
		0x0000000000000002: 0x2ab4f2e47129d653,
		0x9e3779b97f4a7c15: 0x1afdb7a92e6601b0,
		0x8000000000000000: 0x4c69688b090492d9,
		0xffffffffffffffff: 0x8defbd3346f3593a,
		0x0123456789abcdef: 0x82065669c6ab7f2d,
		0xdeadbeefcafebabe: 0x922d3b105868f677,
	} {
		if got := Mix(x); got != want {
			t.Errorf("Mix(%#016x) = %#016x, want %#016x", x, got, want)
		}
	}
}

func digestsOf(ids ...string) []uint64 {
	var digests []uint64
	for _, id := range ids {
		digests = append(digests, objects.DigestID(id))
	}
	return digests
}

// The whole road from a name to a mountpath and to a node.
func TestPlacementVectors(t *testing.T) {
	mountpaths, nodes := digestsOf("mp1", "mp2", "mp3", "mp4"), digestsOf("t1", "t2", "t3")
	for digest, want := range map[uint64][2]int{
		0x5b96d43e92c20791: {0, 1}, 0xf7def56192de01c0: {1, 2}, 0x6aa5ab13bca94a0e: {2, 0}, 0x5278c257f34818ea: {2, 2},
		0xac528c57fb2da77a: {1, 0}, 0xf33e23ffef26dc30: {3, 1}, 0x101fa0ef2407d8d9: {3, 1}, 0x9571c262557bd734: {3, 1},
	} {
		if got := [2]int{Highest(mountpaths, digest), Highest(nodes, digest)}; got != want {
			t.Errorf("%#016x lies on %v, want %v", digest, got, want)
		}
	}
}

// Ten thousand names at once: their places, hashed, and how even they are.
func TestPlacementOfManyNames(t *testing.T) {
	mountpaths := digestsOf("mp1", "mp2", "mp3", "mp4")
	var counts [4]int
	var places []byte
	for n := range 10_000 {
		key := objects.Key{Bucket: objects.Bucket{Provider: objects.ProviderAIS, Name: "b"}, Name: fmt.Sprintf("object-%d", n)}
		i := Highest(mountpaths, key.Digest())
		counts[i]++
		places = append(places, byte('1'+i))
	}
	if want := [4]int{2505, 2523, 2531, 2441}; counts != want {
		t.Errorf("%v on each, want %v", counts, want)
	}
	if got := xxhash.Checksum64S(places, 0); got != 0x2949f589d94ab61d {
		t.Errorf("the places hash to %#016x", got)
	}
}

// What makes it HRW: the order of the list says nothing, and a mountpath that is
// removed moves its own keys only.
func TestRemovingOneMovesOnlyItsKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Uint64(), 1, 8, rapid.ID[uint64]).Draw(t, "ids")
		key := rapid.Uint64().Draw(t, "key")
		winner := ids[Highest(ids, key)]

		shuffled := rapid.Permutation(ids).Draw(t, "shuffled")
		if got := shuffled[Highest(shuffled, key)]; got != winner {
			t.Fatalf("in another order %#x wins, not %#x", got, winner)
		}
		gone := rapid.IntRange(0, len(ids)-1).Draw(t, "gone")
		rest := append(append([]uint64(nil), ids[:gone]...), ids[gone+1:]...)
		if ids[gone] != winner && rest[Highest(rest, key)] != winner {
			t.Fatalf("removing %#x moved a key of %#x", ids[gone], winner)
		}
	})
}

// Nobody wins an empty list, and equals count once.
func TestHighestAtTheEdges(t *testing.T) {
	if got := Highest(nil, 1); got != -1 {
		t.Errorf("of nothing: %d", got)
	}
	if got := Highest([]uint64{7, 7, 7}, 1); got != 0 {
		t.Errorf("of equals: %d", got)
	}
}

// Order agrees with Highest, and a candidate that leaves moves nobody else: the
// owners of a key without it are the others in the same order.
func TestOrderKeepsTheRest(t *testing.T) {
	ids := []uint64{11, 22, 33, 44, 55}
	for key := range uint64(2000) {
		order := Order(ids, Mix(key), len(ids))
		if order[0] != Highest(ids, Mix(key)) {
			t.Fatalf("key %d: Order begins with %d, Highest says %d", key, order[0], Highest(ids, Mix(key)))
		}
		gone := int(key % 5)
		rest := slices.Delete(slices.Clone(ids), gone, gone+1)
		var want, got []uint64
		for _, i := range order {
			if i != gone {
				want = append(want, ids[i])
			}
		}
		for _, i := range Order(rest, Mix(key), 9) {
			got = append(got, rest[i])
		}
		if !slices.Equal(want, got) {
			t.Fatalf("key %d without %d: %v, want %v", key, ids[gone], got, want)
		}
	}
}
